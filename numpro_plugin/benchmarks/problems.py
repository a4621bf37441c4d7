"""The videos that cannot be used as they are: the first ten for the terminal, all of them in a file beside the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpro_plugin.files import write_text_whole
from numpro_plugin.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpro_plugin.benchmarks.table import Report

_MOST_SHOWN = 10


def problems_text(entries: list[str]) -> str:
    """The first ten entries, one a line, and how many more there are."""
    lines = [f"    {printable(entry)}" for entry in entries[:_MOST_SHOWN]]
    if len(entries) > _MOST_SHOWN:
        lines.append(f"    ... and {len(entries) - _MOST_SHOWN} more")
    return "\n".join(lines)


def problems_path(table: Path) -> Path:
    """Where the list of a table's problems is: ``test.problems.tsv`` beside ``test.parquet``."""
    return table.with_suffix(".problems.tsv")


def write_problems(report: Report, table: Path) -> bool:
    """Write all problems of a report beside its table: kind, video and reason, with tabs between them.

    An old list is removed if there are no problems now.

    Returns:
        Whether the file was written; a folder that cannot be written to is no reason to fail.
    """
    path, lines = problems_path(table), ["\t".join(map(_cell, entry)) for entry in _entries(report)]
    try:
        if not lines:
            path.unlink(missing_ok=True)
            return False
        write_text_whole(path, "\n".join(["problem\tvideo\treason", *lines, ""]))
    except OSError:
        return False
    return True


def _entries(report: Report) -> Iterator[tuple[str, str, str]]:
    yield from (("missing", name, "") for name in report.missing)
    yield from (("unreadable", path, reason) for path, reason in report.unreadable.items())
    yield from (("damaged", path, reason) for path, reason in report.damaged.items())
    for name, (now_s, was_s) in report.differing_durations.items():
        yield "length differs", name, f"is {now_s:.2f} s, expected {was_s:.2f} s"


def _cell(text: str) -> str:
    return printable(text).replace("\t", "\\t").replace("\n", "\\n")
