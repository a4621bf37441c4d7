"""The house keeps its order: rooms import downwards only, nothing imports in a circle, and light commands stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

ROOMS = (
    "errors",
    "printable",
    "internals",
    "files",
    "processes",
    "timeline",
    "encoding",
    "numbering",
    "progress_bar",
    "settings",
    "prompts",
    "environment",
    "metrics",
    "answers",
    "video",
    "showing",
    "clips",
    "weights",
    "longva",
    "families",
    "benchmarks",
    "reports",
    "views",
    "design",
    "inference",
    "cli.terminal",
    "cli.tables",
    "cli.command",
    "trainer.recipe",
    "trainer.memory",
    "trainer.shard_format",
    "trainer.instructions",
    "trainer.shards",
    "trainer.batches",
    "trainer.output",
    "trainer.run",
    "trainer.plan",
    "trainer.cli",
    "harness",
    "demo",
    "app",
    "sweep",
    "trainer.tiny_base",
    "cli",
)
"""From the ground floor up; a room may import itself and what stands before it."""

USES_THE_HARNESS = ("harness", "demo", "sweep", "cli")


@cache
def modules() -> dict[str, Path]:
    """Every module of the checkout by the name that it is installed under."""
    found = {}
    for top in ("numpro_plugin", "trainer"):
        for path in (ROOT / top).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join(parts if top == "numpro_plugin" else ("numpro_plugin", *parts))] = path
    return found


@cache
def imports(name: str) -> frozenset[str]:
    """The project's modules that a module imports, anywhere in it, except for type checking alone."""
    path = modules()[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    nodes: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            nodes += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
                base = f"{above}.{base}".rstrip(".")
            found |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules() else base for alias in node.names}
        nodes += ast.iter_child_nodes(node)
    return frozenset(found & modules().keys()) - {name}


def room(name: str) -> str:
    """The room of a module: the longest name in ROOMS that it begins with."""
    inside = name.removeprefix("numpro_plugin.")
    found = [one for one in ROOMS if inside == one or inside.startswith(f"{one}.")]
    assert found, f"{name} stands in no room; add it to ROOMS, on the floor where it belongs"
    return max(found, key=len)


def test_arrows_go_down_only():
    inside = [name for name in modules() if name not in ("numpro_plugin", "numpro_plugin.trainer")]
    upwards = {
        f"{name} imports {target}"
        for name in inside
        for target in imports(name) - {"numpro_plugin", "numpro_plugin.trainer"}
        if ROOMS.index(room(target)) > ROOMS.index(room(name))
    }
    assert not upwards


def test_no_module_imports_itself_through_others():
    graph = {name: imports(name) - {"numpro_plugin"} for name in modules() if name != "numpro_plugin"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_the_harness_is_imported_by_the_demo_and_the_command_alone():
    users = {room(name) for name in modules() for target in imports(name) if name != "numpro_plugin" and room_or_none(target) == "harness"}
    assert users <= set(USES_THE_HARNESS)


def room_or_none(name: str) -> str | None:
    return None if name in ("numpro_plugin", "numpro_plugin.trainer") else room(name)


def test_lmms_eval_is_imported_by_the_harness_alone():
    users = set()
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None) or ""]
            if isinstance(node, (ast.Import, ast.ImportFrom)) and any(one.split(".")[0] == "lmms_eval" for one in names):
                users.add(room(name))
    assert users <= {"harness", "demo", "sweep"}


def test_only_one_module_reads_the_projects_variables():
    users = [name for name, path in modules().items() if 'environ.get("NUMPRO_' in path.read_text(encoding="utf-8")]
    assert users == ["numpro_plugin.environment"]


GROWING = {"numpro_plugin/benchmarks/readers", "numpro_plugin/families", "numpro_plugin/cli"}
"""Folders with one module for each benchmark, model family or group of commands, which are found by its name."""


def test_a_folder_has_at_most_a_dozen_modules():
    folders: dict[Path, int] = {}
    for path in modules().values():
        folders[path.parent] = folders.get(path.parent, 0) + (path.name != "__init__.py")
    counts = {str(folder.relative_to(ROOT)): count for folder, count in folders.items() if count > 12}
    assert set(counts) <= GROWING


def test_importing_the_package_costs_nothing():
    program = "import sys, numpro_plugin; print([m for m in ('torch', 'numpy', 'av', 'cv2', 'PIL') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_every_data_file(tmp_path: Path):
    checkout = copy_of_checkout(tmp_path)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(checkout)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        f"{name.replace('.', '/')}/__init__.py" if path.name == "__init__.py" else f"{name.replace('.', '/')}.py"
        for name, path in modules().items()
    }
    for folder, place in (("numpro_plugin/data", "numpro_plugin/data"), ("tasks", "numpro_plugin/tasks")):
        files = [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        wanted |= {f"{place}/{path.relative_to(ROOT / folder)}" for path in files}
    for folder in ("recipes", "deepspeed"):
        wanted |= {f"numpro_plugin/trainer/{folder}/{path.name}" for path in (ROOT / "trainer" / folder).iterdir()}
    assert sorted(wanted - held) == []


def copy_of_checkout(tmp_path: Path) -> Path:
    """Building writes beside the sources, so it is done elsewhere."""
    import shutil

    place = tmp_path / "checkout"
    for name in ("numpro_plugin", "tasks", "trainer"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place / name)
    return place
