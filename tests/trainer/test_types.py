"""mypy knows the types across the trainer's modules: a name that does not exist is an error, not ``Any``."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = {
    "output/resume.py": ("def claim_output(", "recipe"),
    "shards/make.py": ("def _is_done(", "chunk"),
    "instructions/sources.py": ("def read_inputs(", "files"),
}
"""By module: a function, and its parameter whose type is defined in another module of the trainer."""


@pytest.mark.slow
def test_mypy_reports_unknown_attributes(tmp_path: Path) -> None:
    for name in ("numpro_plugin", "trainer"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "data"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    expected = set()
    for module, (function, parameter) in FUNCTIONS.items():
        file = tmp_path / "trainer" / module
        before, found, after = file.read_text().partition(f"\n{function}")
        head, _, body = after.partition(":\n    ")
        while not re.search(r"\) -> [^\n]*$", head):  # the line ended inside the parameters
            more, _, body = body.partition(":\n    ")
            head += f":\n    {more}"
        text = f"{before}{found}{head}:\n    {parameter}.no_such_field.at_all  # noqa\n    "
        file.write_text(text + body)
        expected.add(f"trainer/{module}:{text.count(chr(10))}")
    modules = [f"trainer/{module}" for module in FUNCTIONS]
    done = subprocess.run([sys.executable, "-m", "mypy", *modules], cwd=tmp_path, capture_output=True, text=True, check=False)
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert {line.partition(": error:")[0] for line in errors} == expected, done.stdout + done.stderr
    assert all('has no attribute "no_such_field"' in line for line in errors)
