"""A sweep's tables for people: in the terminal, as Markdown, LaTeX, CSV and JSON, and as a figure."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from numpro_plugin.cli.tables import aligned
from numpro_plugin.errors import NumProError
from numpro_plugin.files import write_text_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpro_plugin.sweep.results import Row, TaskTable

_LEFT_OUT = ("_timechat", "_Fair", "_Good", "R1_set")
"""Metrics that the table leaves to the JSON."""

_STAR = "*: longer by reading videos, or drawing on them, for clips that later cells may have found in the cache"

_LATEX = str.maketrans({"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}"})


def header_and_cells(found: TaskTable) -> tuple[list[str], list[list[str]]]:
    """Names of the columns, and each row's words; what a cell lacks is left blank."""
    metrics = [name for row in found.rows for name in row.metrics if not any(part in name for part in _LEFT_OUT)]
    metrics = list(dict.fromkeys(metrics))
    header = ["cell", *metrics, f"d {found.metric}", "95 %", "tokens", "s/query", "ceiling"]
    return header, [_words(row, metrics) for row in found.rows]


def terminal_text(found: TaskTable) -> str:
    """The table for a terminal, with a line for each cell that has no scores."""
    header, rows = header_and_cells(found)
    lines = [f"{found.task}: {found.queries} queries in all cells; d {found.metric}: difference to the first cell", ""]
    lines += aligned([header, *rows])
    lines += [_STAR] if _has_stars(found) else []
    lines += [f"{row.cell}: {row.problem}" for row in found.rows if row.problem]
    return "\n".join(lines)


def write_tables(out: Path, tables: Sequence[TaskTable], protocol: dict[str, Any]) -> list[Path]:
    """Write ``table.md``, ``table.tex``, ``table.csv`` and ``table.json`` into a sweep's folder."""
    texts = {
        "table.md": "\n\n".join(_markdown(found) for found in tables) + "\n",
        "table.tex": "\n\n".join(_latex(found) for found in tables) + "\n",
        "table.csv": _csv(tables),
        "table.json": json.dumps({"protocol": protocol, "tables": [asdict(found) for found in tables]}, indent=1) + "\n",
    }
    for name, text in texts.items():
        write_text_whole(out / name, text)
    return [out / name for name in texts]


def write_figures(out: Path, tables: Sequence[TaskTable]) -> list[Path]:
    """Draw each task's scores as ``TASK.png`` and ``TASK.svg``; none without matplotlib."""
    from numpro_plugin.views.plots import check_plot, plot_sweep

    written = []
    for found in tables:
        rows = {row.cell: (row.metrics[found.metric], row.ceiling) for row in found.rows if found.metric in row.metrics}
        for suffix in (".png", ".svg"):
            path = out / f"{found.task}{suffix}"
            try:
                check_plot(path)
            except NumProError:
                return []
            if rows:
                plot_sweep(path, f"{found.task}: {found.metric}, {found.queries} queries", rows)
                written.append(path)
    return written


def _words(row: Row, metrics: Sequence[str]) -> list[str]:
    interval = f"[{row.interval[0]:+.2f}, {row.interval[1]:+.2f}]" if row.interval else ""
    return [
        row.cell,
        *(f"{row.metrics[name]:.2f}" if name in row.metrics else "" for name in metrics),
        "" if row.difference is None else f"{row.difference:+.2f}",
        interval,
        "" if row.tokens is None else f"{row.tokens:.0f}",
        "" if row.seconds is None else f"{row.seconds:.3g}{'*' * bool(row.clips_made)}",
        "" if row.ceiling is None else f"{row.ceiling:.2f}",
    ]


def _has_stars(found: TaskTable) -> bool:
    return any(row.seconds is not None and row.clips_made for row in found.rows)


def _markdown(found: TaskTable) -> str:
    header, rows = header_and_cells(found)
    lines = [f"**{found.task}**, {found.queries} queries", ""]
    lines += ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    lines += ["| " + " | ".join(re.sub(r"([|*])", r"\\\1", cell) for cell in row) + " |" for row in rows]
    lines += ["", f"\\{_STAR}"] if _has_stars(found) else []
    return "\n".join(lines)


def _latex(found: TaskTable) -> str:
    header, rows = header_and_cells(found)
    lines = [f"% {found.task}, {found.queries} queries", rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}", r"\hline"]
    lines += [" & ".join(cell.translate(_LATEX) for cell in line) + r" \\" for line in [header, *rows]]
    lines.insert(4, r"\hline")
    if _has_stars(found):
        lines.insert(1, f"% {_STAR}")
    return "\n".join([*lines, r"\hline", r"\end{tabular}"])


def _csv(tables: Sequence[TaskTable]) -> str:
    """One line a cell and task, with all metrics unrounded."""
    metrics = list(dict.fromkeys(name for found in tables for row in found.rows for name in row.metrics))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            "task",
            "cell",
            *metrics,
            "compared_metric",
            "difference",
            "low",
            "high",
            "tokens",
            "seconds_per_query",
            "clips_made",
            "ceiling",
            "problem",
        ]
    )
    for found in tables:
        for row in found.rows:
            low, high = row.interval or (None, None)
            costs = [row.tokens, row.seconds, row.clips_made, row.ceiling, row.problem]
            writer.writerow(
                [found.task, row.cell, *(row.metrics.get(name) for name in metrics), found.metric, row.difference, low, high, *costs]
            )
    return out.getvalue()
