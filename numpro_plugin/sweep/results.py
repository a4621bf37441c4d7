"""The finished cells of a sweep -> one table a task: scores, differences to the first cell, costs and ceilings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from numpro_plugin.benchmarks.text_files import read_jsonl
from numpro_plugin.errors import NumProError
from numpro_plugin.reports.bootstrap import paired_intervals
from numpro_plugin.reports.compare import CHANGE, read_scores
from numpro_plugin.sweep.run import RECORD, cells_folder, read_record
from numpro_plugin.sweep.tasks import table_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpro_plugin.settings import NumProSettings, Rate
    from numpro_plugin.sweep.cells import Cell


@dataclass
class Row:
    """A cell in the table of one task."""

    cell: str
    metrics: dict[str, float] = field(default_factory=dict)
    """Means over the queries, percent."""
    difference: float | None = None
    """Of the first metric of `CHANGE` to that of the first cell, points of percent."""
    interval: tuple[float, float] | None = None
    """95 % interval of the difference."""
    tokens: float | None = None
    """That the model reads, a query: mean over queries; None where the model does not tell."""
    seconds: float | None = None
    """A query, of the whole evaluation; None if some answers were there before the cell was evaluated."""
    clips_made: int = 0
    """Videos that were read or drawn on for this cell, and then kept: its seconds are longer by that."""
    ceiling: float | None = None
    """The highest possible value of the metric that differences are of."""
    problem: str | None = None
    """Why there are no scores."""


@dataclass
class TaskTable:
    """All cells on one task."""

    task: str
    metric: str
    """That differences and ceilings are of."""
    queries: int
    """That all cells have in common."""
    rows: list[Row]


def task_tables(out: Path, cells: Sequence[Cell], tasks: Sequence[str], problems: dict[str, str], *, seed: int = 0) -> list[TaskTable]:
    """One table a task, a row a cell in the order of ``cells``.

    Args:
        out: folder of the sweep.
        cells: all of it, also those that are not finished.
        tasks: names of tasks; a group's tasks are those that its cells have samples of.
        problems: why cells failed, by name.
        seed: of the resampling, which is one for all cells of a task.
    """
    records = {cell.name: read_record(cells_folder(out) / cell.name) for cell in cells}
    found = list(dict.fromkeys(task for record in records.values() if record for task in record["queries"])) or list(tasks)
    return [_table(out, task, cells, records, problems, seed) for task in found]


def ceiling_of(task: str, settings: NumProSettings, *, automatic_rate: bool, queries: int | None = None) -> float | None:
    """The highest mIoU (of sets: mIoU_set) that an answer in shown marks can have on a task's table.

    None for tasks without one, for own queries asked for as sets, and for highlights.

    Args:
        task: its name.
        settings: how its videos are shown.
        automatic_rate: whether the rate follows each video's length.
        queries: how many of the table's are asked, which are its first; None: all.
    """
    from numpro_plugin.reports.ceiling import ceilings

    path = table_of(task)
    if path is None or task.endswith(("_sets", "_hd")):  # their metrics are others than those of one moment
        return None
    try:
        rate: Rate = "auto" if automatic_rate else settings.fps
        scores = ceilings(path, [rate], max_frames=settings.max_frames, encoding=settings.encoding, queries=queries)[rate]
    except NumProError:
        return None
    return next((scores[metric] for metric in CHANGE if metric in scores), None)


def _table(
    out: Path, task: str, cells: Sequence[Cell], records: dict[str, dict[str, Any] | None], problems: dict[str, str], seed: int
) -> TaskTable:
    rows, runs = [], {}
    asked = next((record["queries"][task] for record in records.values() if record and task in record["queries"]), None)
    for cell in cells:
        row = Row(cell.name, problem=cell.problem or problems.get(cell.name))
        rows.append(row)
        if cell.settings is not None:
            row.ceiling = ceiling_of(task, cell.settings, automatic_rate=dict(cell.variables)["NUMPRO_FPS"] == "auto", queries=asked)
        record = records[cell.name]
        if record is None:
            row.problem = row.problem or "not evaluated yet"
            continue
        try:
            log = _log(cells_folder(out) / cell.name, task)
            runs[cell.name] = read_scores(log)
        except NumProError as error:  # a task that is not NumPro's, queries without spans
            row.problem = str(error)
            continue
        row.tokens = _tokens(log)
        if not record.get("answers_from_earlier_runs"):
            row.seconds = record["seconds"] / max(1, sum(record["queries"].values()))
            row.clips_made = record.get("clips_made") or 0
    metric = next((name for name in CHANGE if all(name in run.metrics for run in runs.values())), "mIoU")
    shared = _shared(runs)
    for row in rows:
        if (of_row := runs.get(row.cell)) is not None:
            at = [of_row.rows[key] for key in shared] if shared else slice(None)
            row.metrics = {name: float(np.asarray(column)[at].mean()) for name, column in of_row.columns.items()}
    first = rows[0].cell if rows and rows[0].cell in runs else None
    if first is not None and shared:
        values = np.array([[run.columns[metric][run.rows[key]] for key in shared] for run in runs.values()])
        intervals = paired_intervals(values, np.random.default_rng(seed))
        for name, of_cell, (low, high) in zip(runs, values, intervals, strict=True):
            row = next(row for row in rows if row.cell == name)
            if name != first:
                row.difference, row.interval = float((of_cell - values[0]).mean()), (float(low), float(high))
    return TaskTable(task, metric, len(shared), rows)


def _shared(runs: dict[str, Any]) -> list[str]:
    if not runs:
        return []
    first, *others = runs.values()
    return [key for key in first.rows if all(key in other.rows for other in others)]


def _log(folder: Path, task: str) -> Path:
    logs = sorted(folder.rglob(f"*samples_{task}.jsonl"))
    if len(logs) != 1:
        raise NumProError(f"{folder}: holds {len(logs)} logs of {task}, one is expected beside {RECORD}; remove the folder and run again")
    return logs[0]


def _tokens(log: Path) -> float | None:
    counts = []
    for _, row in read_jsonl(log):
        read = [count.get("input_tokens") for count in row.get("token_counts") or [] if isinstance(count, dict)]
        counts += [count for count in read if count is not None]
    return float(np.mean(counts)) if counts else None
