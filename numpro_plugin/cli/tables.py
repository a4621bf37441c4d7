"""Tables of figures as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def table(rows: Mapping[str, Mapping[str, float]], columns: Sequence[str] | None = None) -> str:
    """Named rows of figures with two digits under their columns' names, right-aligned.

    Args:
        rows: figures by column, by row; a figure that a row lacks is left blank.
        columns: which to show, in order; default: all, in the order in which they first occur.
    """
    names = list(dict.fromkeys(name for row in rows.values() for name in row)) if columns is None else list(columns)
    cells = [[title, *(f"{row[name]:.2f}" if name in row else "" for name in names)] for title, row in rows.items()]
    return "\n".join(aligned([["", *names], *cells], narrowest=8))


def aligned(rows: Sequence[Sequence[str]], *, narrowest: int = 0) -> list[str]:
    """One line a row, with the first cells to the left and the others to the right of their columns.

    Args:
        rows: equally many cells each.
        narrowest: characters that every column but the first has at least.
    """
    widths = [max(narrowest if k else 0, *(len(row[k]) for row in rows)) for k in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    ]
