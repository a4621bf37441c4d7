"""Commands in the documentation exist as they are written: verbs, flags, tasks, models, their arguments, recipe keys."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import shlex
import tomllib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.pages import PAGES, ROOT, SCRIPTS, Command, code_spans, commands, text_of

from numpro_plugin.cli import main as numpro
from numpro_plugin.environment import settings_from_environment
from numpro_plugin.trainer import cli as numpro_train
from numpro_plugin.trainer.recipe.record import load_recipe
from numpro_plugin.trainer.tiny_base import __main__ as tiny_base

PARSERS = {"numpro": numpro._parser, "numpro-train": numpro_train._parser}
LMMS_EVAL = ("lmms-eval", "lmms_eval")
LAUNCHERS = ("torchrun", "accelerate", "deepspeed", "srun")
OTHERS = {"scontrol", "pip", "pytest", "ruff", "mypy", "zensical", "pre-commit", "vllm", ".ci/run"}
"""Commands whose arguments are somebody else's."""

MODELS = ("numpro", "numpro_hf", "numpro_oracle")


def all_commands() -> list[Command]:
    return [command for page in (*PAGES, *SCRIPTS) for command in commands(page)]


@pytest.mark.parametrize("command", all_commands(), ids=str)
def test_command(command: Command, monkeypatch: pytest.MonkeyPatch):
    settings_from_environment(dict(command.variables))  # a NUMPRO_* variable that does not exist is an error
    check(list(command.words), monkeypatch)


def test_commands_are_found():
    """The reader of shell blocks has not gone blind."""
    names = {command.words[0].rpartition("/")[2] for command in all_commands()}
    assert names >= {"numpro", "numpro-train", "lmms-eval", "lmms_eval", "torchrun", "python"}
    assert len(all_commands()) > 40


def check(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise unless the command could be run as it is written."""
    name, *arguments = words
    name = name.removeprefix(".venv/bin/")
    if name in PARSERS:
        check_ours(name, arguments)
    elif name in LMMS_EVAL:
        check_lmms_eval(arguments, monkeypatch)
    elif name in LAUNCHERS:
        k = min(arguments.index(flag) for flag in ("-m", "--module") if flag in arguments)
        check_module(*arguments[k + 1 :], monkeypatch=monkeypatch)
    elif name.startswith("python") and arguments[0] == "-m":
        check_module(*arguments[1:], monkeypatch=monkeypatch)
    elif name.startswith("python") and arguments[0] == "-c":
        compile(arguments[1], "page", "exec")
    elif name.startswith("python"):
        assert (ROOT / arguments[0]).is_file()
    elif name == "pip":
        for extra in re.findall(r"\[(\w+)\]", " ".join(arguments)):
            assert extra in tomllib.loads(text_of("pyproject.toml"))["project"]["optional-dependencies"]
    else:
        assert name in OTHERS, f"{name} is not known here"


def check_module(module: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if module == "lmms_eval":
        check_lmms_eval(list(arguments), monkeypatch)
    elif module == "numpro_plugin.trainer.cli":
        check_ours("numpro-train", list(arguments))
    elif module == "numpro_plugin.cli":
        check_ours("numpro", list(arguments))
    elif module == "numpro_plugin.trainer.tiny_base":
        tiny_base.make_parser().parse_args(arguments)
    else:
        assert module in ("venv", "pytest"), f"python -m {module} is not known here"


def check_ours(name: str, arguments: list[str]) -> None:
    args = PARSERS[name]().parse_args(arguments)
    if name == "numpro-train" and hasattr(args, "overrides"):
        load_recipe(args.recipe, args.overrides)  # the recipe, its keys and values


def check_lmms_eval(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from lmms_eval.__main__ import parse_eval_args
    from lmms_eval.utils import simple_parse_args_string

    monkeypatch.setattr("sys.argv", ["lmms-eval", *arguments])
    args = parse_eval_args()[1]
    for task in args.tasks.split(","):
        place = ROOT / "tasks" / f"{task}.yaml" if task.startswith("numpro") else Path(lmms_eval_folder()) / "tasks" / task
        assert place.exists(), f"there is no task {task}"
    check_model_args(args.model, simple_parse_args_string(args.model_args))


def check_model_args(model: str, given: dict[str, object]) -> None:
    from numpro_plugin.harness.hf.model import NumProHF
    from numpro_plugin.harness.wrap.model import SETTINGS

    if model == "numpro_hf":
        assert set(given) <= set(inspect.signature(NumProHF).parameters)
    elif model == "numpro":
        own = {"base", *SETTINGS, *(f"base_{name}" for name in SETTINGS)}
        assert set(given) - own <= arguments_of_base(str(given["base"]))
    else:
        assert model in MODELS
        assert not given


@cache
def arguments_of_base(base: str) -> set[str]:
    """Arguments of the constructors in the modules of a base of lmms-eval, and in those of its models that they import."""
    from lmms_eval.models import get_model_manifest

    manifest = get_model_manifest(base)
    paths = [path for path in (manifest.simple_class_path, manifest.chat_class_path) if path]
    modules = {path.rpartition(".")[0] for path in paths}
    found: set[str] = set()
    for module in list(modules):
        tree = ast.parse(source_of(module))
        modules |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "models." in (node.module or "")}
    for module in modules:
        for node in ast.walk(ast.parse(source_of(module))):
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                found |= {argument.arg for argument in node.args.args + node.args.kwonlyargs}
    return found


def source_of(module: str) -> str:
    """A module's source; nothing is imported but the packages above it."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")


def lmms_eval_folder() -> str:
    spec = find_spec("lmms_eval")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return spec.submodule_search_locations[0]


def spans_with_commands() -> list[tuple[str, str]]:
    return sorted({(page, span) for page in PAGES for span in code_spans(page) if span.split()[0] in PARSERS})


@pytest.mark.parametrize(("page", "span"), spans_with_commands())
def test_command_within_text(page: str, span: str):
    """``numpro prepare BENCHMARK --help``: the verbs exist, and each flag is one of the last verb's."""
    name, *words = shlex.split(span)
    parser = PARSERS[name]()
    for word in words:
        if (verbs := verbs_of(parser)) and not word.startswith("-"):
            if word.isupper():  # stands for any of them
                parser = next(iter(verbs.values()))
                continue
            assert word in verbs, f"{name} has no {word}"
            parser = verbs[word]
        elif word.startswith("-"):
            assert word in parser._option_string_actions, f"{parser.prog} has no {word}"


def verbs_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found[0]) if found else {}


def flags_within_text() -> list[tuple[str, str]]:
    return sorted({(page, span.split()[0]) for page in PAGES for span in code_spans(page) if re.match(r"--?[a-z]", span)})


@pytest.mark.parametrize(("page", "flag"), flags_within_text())
def test_flag_within_text(page: str, flag: str):
    ours = {flag for parser in (*PARSERS.values(), tiny_base.make_parser) for flag in flags_of(parser())}
    theirs = set(re.findall(r'"(--?[\w-]+)"', source_of("lmms_eval.__main__")))
    others = {"-rs", "--ipc=host", "--wait", "--signal"}  # pytest's, a container's, tests/benchmarks/loading.py's, SLURM's
    torchrun = set(re.findall(r'"(--?[\w-]+)"', source_of("torch.distributed.run")))
    assert flag in ours | theirs | others | torchrun


def flags_of(parser: argparse.ArgumentParser) -> set[str]:
    return set(parser._option_string_actions).union(*map(flags_of, verbs_of(parser).values()))


def test_continuous_integration_runs_the_command_of_the_front_page():
    """.ci/run holds the command itself; README says the same."""
    pattern = re.compile(r"^ *(python3\.11 -m venv .*-m pytest.*)$", re.MULTILINE)
    assert pattern.findall(text_of(".ci/run")) == pattern.findall(text_of("README.md"))
    assert len(pattern.findall(text_of(".ci/run"))) == 1
    assert ".ci/run" in text_of(".github/workflows/ci.yml")
