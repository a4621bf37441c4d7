"""What the documentation names exists, and its tables are complete: tasks, metrics, variables, arguments, recipe keys, folders."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.pages import PAGES, ROOT, code_spans, prose, table_with, text_of

from numpro_plugin import environment
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.numbering import NumberStyle
from numpro_plugin.settings import NumProSettings
from numpro_plugin.trainer.recipe.record import Recipe, known_keys, recipe_names

TASKS = {path.stem for path in (ROOT / "tasks").glob("numpro*.yaml")}
MODELS = {"numpro", "numpro_hf", "numpro_oracle"}
OF_OTHERS = {"docs/data.md"}
"""Files of other repositories."""

FOLDERS = ("numpro_plugin", "trainer", "tasks", "tests", "examples", "docs", ".ci")


def metrics() -> set[str]:
    text = "".join(path.read_text() for path in (ROOT / "tasks").glob("*.yaml"))
    return set(re.findall(r"metric: [\"']?([^\"'\s,}]+)", text))


@pytest.mark.parametrize("page", PAGES)
def test_names_within_text_exist(page: str):
    unknown = []
    for span in code_spans(page):
        for word in re.findall(r"[\w.@/-]+", span):
            if re.fullmatch(r"NUMPRO_[A-Z_]+", word):
                good = word in {*environment._SETTINGS, *environment._OTHERS}
            elif re.fullmatch(r"numpro_plugin(\.\w+)+", word):
                good = importable(word)
            elif word.split("/")[0] in FOLDERS and "/" in word and "NAME" not in word:
                good = (ROOT / word).exists() or word in OF_OTHERS
            elif re.fullmatch(r"numpro(_\w+)?", word) and "NAME" not in word:
                good = word in TASKS | MODELS | {"numpro_plugin"}
            elif re.fullmatch(r"(numpro|data|lora|optimizer|memory|run)\.(?!json)[a-z]\w*(\.\w+)?", word):
                good = word in known_keys()
            else:
                continue
            if not good:
                unknown.append(word)
    assert unknown == []


def importable(name: str) -> bool:
    """Whether a dotted name is a module or something in one."""
    try:
        import_module(name)
    except ImportError:
        module, _, last = name.rpartition(".")
        return "." in name and hasattr(import_module(module), last)
    return True


def rows_of(head: str) -> list[list[str]]:
    """The rows of both pages' tables about benchmarks."""
    return [row for page in ("docs/evaluate.md", "docs/benchmarks.md") for row in table_with(page, head)]


def test_sizes_are_those_of_the_readers():
    for name, _, sizes, _ in table_with("docs/benchmarks.md", "| `numpro prepare` |"):
        benchmark = BENCHMARKS[name.strip("`")]
        known = [count for count in benchmark.sizes.get(benchmark.splits[0], ()) if count is not None]
        named = [int(count) for count in re.findall(r"\d+", sizes)]  # after them, those of another layout of the same benchmark
        assert named[: len(known)] == known, name


def test_every_task_and_metric_is_described():
    rows = {span for row in rows_of("| task |") for span in re.findall(r"`([^`]+)`", row[0])}
    twins = {"numpro_charades_plain", "numpro_charades_native", "numpro_plain", "numpro_native", "numpro_timelens_plain"}
    assert rows == {task for task in TASKS if not task.endswith(("_plain", "_native"))} | twins
    assert {row[0].strip("`") for row in rows_of("| `numpro prepare` |")} == set(BENCHMARKS)
    spans = set(code_spans("docs/metrics.md"))
    named = {name for name in metrics() if name in spans or (name.endswith("_timechat") and "_timechat" in spans)}
    assert metrics() - named == set()


def test_splits_of_the_tasks():
    for row in rows_of("| task |"):
        benchmark = row[0].strip("`").removeprefix("numpro_").removesuffix("_hd")
        if benchmark in BENCHMARKS:
            assert row[2].strip("`") == BENCHMARKS[benchmark].splits[0]


def test_the_table_of_variables_is_complete_and_its_defaults_are_right():
    described = dict(named_defaults(table_with("docs/settings.md", "| variable |")))
    assert set(described) == {*environment._SETTINGS, *environment._OTHERS} - {"NUMPRO_SHARED"}
    settings, style = NumProSettings(), NumberStyle()
    defaults: dict[str, Any] = {
        name: getattr(settings, field, getattr(style, field, None)) for name, (field, _) in environment._SETTINGS.items()
    }
    defaults |= {"NUMPRO_FRAME_SIZE": settings.frame_size[0], "NUMPRO_ENCODING": settings.encoding.name, "NUMPRO_DECODER": "pyav"}
    defaults |= {"NUMPRO_CACHE_GB": environment.DEFAULT_CACHE_GB, "NUMPRO_UNPACKED_GB": environment.DEFAULT_UNPACKED_GB}
    assert {name: described[name] for name in defaults} == {
        name: value if isinstance(value, str) else f"{value:g}" for name, value in defaults.items()
    }


def test_the_table_of_the_models_arguments_is_complete_and_its_defaults_are_right():
    from numpro_plugin.harness.hf.model import NumProHF
    from numpro_plugin.harness.wrap.model import RUN, SETTINGS

    described = dict(named_defaults(table_with("docs/models.md", "| in `--model_args` | default |")))
    parameters = inspect.signature(NumProHF).parameters
    assert set(described) == set(parameters) - {"batch_size", "max_batch_size", "loaded", "unknown"}  # the first two are flags of lmms-eval
    for name, documented in described.items():
        default = parameters[name].default
        assert documented == str(default) or default in (None, ""), f"{name} is {default}"
    own = {span for row in table_with("docs/models.md", "| in `--model_args` | |") for span in re.findall(r"`(\w+)`", row[0])}
    assert own == {"base", *SETTINGS, *RUN, "base_fps", "base_max_frames"}


def test_the_table_of_recipe_keys_is_complete_and_its_defaults_are_right():
    described = list(named_defaults(table_with("docs/train.md", "| key |")))
    assert sorted(key for key, _ in described) == sorted(set(known_keys()) - {"numpro.prompt"})
    recipe: Any = Recipe().to_dict()
    recipe["numpro"]["encoding"] = "number"  # which the record says with numbers=true
    wrong = {}
    for key, documented in described:
        value = recipe
        for part in key.split("."):
            value = value[part]
        if documented is not None and not same(yaml.safe_load(documented), value):
            wrong[key] = (documented, value)
    assert wrong == {}


def same(documented: Any, value: Any) -> bool:
    """``1e-4`` is text in YAML, and ``336`` is a size of 336 x 336."""
    if isinstance(value, float):
        return float(documented) == value
    return documented == value or [documented, documented] == value


def named_defaults(rows: list[list[str]]) -> Iterator[tuple[str, str | None]]:
    """Names in a table's first column with the defaults in its second; ``.b`` after ``a.x`` is ``a.b``; None where a word stands."""
    for names, defaults, *_ in rows:
        found = re.findall(r"`([^`]+)`", names)
        values: list[str | None] = list(re.findall(r"`([^`]+)`", defaults))
        if len(values) != len(found):
            values = [None] * (len(found) - len(values)) + values  # words such as "user cache" stand first
        section = found[0].rpartition(".")[0]
        for name, value in zip(found, values, strict=True):
            yield (section + name if name.startswith(".") else name), value


def test_included_recipes_are_named():
    text = text_of("docs/train.md") + text_of("docs/demo.md")
    assert [name for name in recipe_names() if f"`{name}`" not in text and f"{name}.yaml" not in text] == []


@pytest.mark.parametrize("top", ["numpro_plugin", "trainer"])
def test_architecture_has_a_line_for_every_folder_and_module(top: str):
    spans = set(code_spans("docs/architecture.md"))
    names = {f"{path.name}/" for path in (ROOT / top).iterdir() if path.is_dir() and path.name != "__pycache__"}
    names |= {path.name for path in (ROOT / top).glob("*.py") if not path.name.startswith("__")}
    assert names - spans == set()
    described = {name for row in table_with("docs/architecture.md", f"| `{top}/` |") for name in re.findall(r"`([^`]+)`", row[0])}
    assert described - names == set()


def test_contributing_lists_files_that_exist():
    files = {span for span in code_spans("CONTRIBUTING.md") if re.fullmatch(r"[\w./-]+\.(py|yaml|md|toml)", span) and "/" in span}
    assert [file for file in files if "NAME" not in file and not (ROOT / file).exists()] == []
    assert [file for file in files if "NAME" in file and not (ROOT / file).parent.is_dir()] == []


def test_contributing_names_examples_that_exist():
    assert (ROOT / "numpro_plugin/benchmarks/readers/activitynet.py").is_file()
    assert (ROOT / "numpro_plugin/families/llava_onevision.py").is_file()


def test_every_benchmark_script_is_listed_with_its_command():
    scripts = {path.name for path in (ROOT / "tests" / "benchmarks").glob("*.py")}
    text = text_of("tests/benchmarks/README.md")
    rows = {row[0].strip("`") for row in table_with("tests/benchmarks/README.md", "| script |")}
    assert rows == scripts
    assert set(re.findall(r"^python tests/benchmarks/(\w+\.py)", text, re.MULTILINE)) == scripts


def test_nothing_is_said_of_how_the_pages_were_made():
    """Readers have neither issue numbers nor the folders of the machine on which this was written."""
    places = ("/" + "root", "/" + "work", "/" + "tmp/")
    found = {page: [place for place in places if place in prose(page)] for page in PAGES}
    assert {page: places for page, places in found.items() if places} == {}


def test_versions_agree():
    import numpro_plugin

    assert yaml.safe_load(text_of("CITATION.cff"))["version"] == numpro_plugin.__version__
    assert f"## {numpro_plugin.__version__}" in text_of("CHANGELOG.md")


def test_github_and_pre_commit_files_are_yaml():
    for name in (".github/workflows/ci.yml", ".pre-commit-config.yaml", "CITATION.cff"):
        assert yaml.safe_load(Path(ROOT / name).read_text(encoding="utf-8"))
