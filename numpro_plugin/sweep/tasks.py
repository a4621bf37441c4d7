"""The tasks of a sweep: which they are, and the prepared tables behind them."""

from __future__ import annotations

import math
import re
from importlib.resources import files
from typing import TYPE_CHECKING

import yaml

from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.table import default_split, read_report, table_path
from numpro_plugin.errors import NumProError
from numpro_plugin.files import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


def single_tasks(names: Sequence[str]) -> list[str]:
    """Names of tasks with NumPro's groups replaced by their tasks, each once. Groups of others stay.

    Raises:
        NumProError: no name, or a task or group that has an encoding of its own.
    """
    if not names:
        raise NumProError("--tasks names no task")
    if own := [name for name in names if name.endswith(("_plain", "_native"))]:
        raise NumProError(f"--tasks {own[0]}: has an encoding of its own, so every cell would be the same; name it without the ending")
    found: list[str] = []
    for name in names:
        file = files("numpro_plugin.tasks") / f"{name}.yaml"
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        found += yaml.safe_load(text)["task"] if re.search(r"^group:", text, re.MULTILINE) else [name]
    return list(dict.fromkeys(found))


def unprepared(tasks: Iterable[str]) -> dict[str, str]:
    """Why tasks of NumPro's cannot be evaluated, by name: those whose benchmark is not prepared."""
    found = {}
    for task in tasks:
        if (path := table_of(task)) is not None:
            try:
                read_report(path)
            except NumProError as error:
                found[task] = str(error)
    return found


def table_of(task: str) -> Path | None:
    """The prepared table of one of NumPro's tasks; None for others."""
    name = task.removeprefix("numpro_").removesuffix("_sets").removesuffix("_hd")
    if not task.startswith("numpro_") or name not in BENCHMARKS:
        return None
    return table_path(name, default_split(BENCHMARKS[name]))


def first_queries(task: str, limit: float | None) -> int | None:
    """How many of a task's queries lmms-eval asks with a ``--limit``, which below 1 is a share of them; None: all."""
    path = table_of(task)
    if limit is None or path is None:
        return None
    return int(limit) if limit >= 1 else math.ceil(limit * read_report(path).n_used)


def table_state(task: str) -> str | None:
    """A digest of a task's prepared table and of what is known of its videos; None for tasks without one."""
    path = table_of(task)
    if path is None:
        return None
    try:
        return digest(read_report(path).protocol(), path.read_bytes())
    except (NumProError, OSError):
        return None
