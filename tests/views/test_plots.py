"""`--plot` of `numpro ceiling` and `numpro compare`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from PIL import Image
from support.annotations import write_official

from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.cli.main import main

pytest.importorskip("matplotlib")


def words(svg: Path) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg.read_text())


def test_ceilings_of_one_benchmark_and_of_all(tmp_path: Path, capsys):
    prepare(BENCHMARKS["qvhighlights"], write_official(tmp_path)["qvhighlights"], progress=False)
    one, every = tmp_path / "one.svg", tmp_path / "all.svg"
    assert main(["ceiling", "qvhighlights", "--fps", "0.5", "0.05", "--plot", str(one)]) == 0
    assert {"mIoU", "R@0.5", "100.0", "0.5 numbers a second", "0.05 numbers a second"} <= set(words(one))
    assert main(["ceiling", "--fps", "0.5", "--plot", str(every)]) == 0
    assert {"100.0", "qvhighlights val, 0.5 a second"} <= set(words(every))
    assert f"written: {every}" in capsys.readouterr().out
    first = one.read_bytes()
    assert main(["ceiling", "qvhighlights", "--fps", "0.5", "0.05", "--plot", str(one), "--force", "--json", "-"]) == 0
    assert one.read_bytes() == first
    assert "written" not in capsys.readouterr().out


def test_differences_with_their_intervals(runs_folder: Path, capsys):
    a, b = runs_folder / "first", runs_folder / "second"
    for name in ("cost $1 $2.svg", "out.png"):
        assert main(["compare", str(a), str(b), "--plot", str(runs_folder / name)]) == 0
    shown = words(runs_folder / "cost $1 $2.svg")
    assert "mIoU  50.0 → 55.6" in shown
    assert any(str(a) in word and str(b) in word for word in shown)
    assert Image.open(runs_folder / "out.png").width > 500


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.pdf", "out.pdf: a figure is a PNG or an SVG file; name it"),
        ("old.png", "old.png exists; choose another name or give --force"),
        ("no/out.png", "does not exist; create it first"),
    ],
)
def test_a_wrong_name_is_refused_before_the_runs_are_read(tmp_path: Path, capsys, name: str, message: str):
    (tmp_path / "old.png").write_text("mine")
    assert main(["compare", "nowhere", "nowhere", "--plot", str(tmp_path / name)]) == 1
    assert message in capsys.readouterr().err


def test_without_matplotlib_the_error_says_what_to_install(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["compare", "nowhere", "nowhere", "--plot", str(tmp_path / "a.png")]) == 1
    assert "needs matplotlib; run: pip install 'numpro-plugin[train]'" in capsys.readouterr().err
