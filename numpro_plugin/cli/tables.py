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
    first = max(map(len, rows), default=0)
    widths = [max(8, len(name)) for name in names]
    lines = [" " * first + "".join(f"  {name:>{width}}" for name, width in zip(names, widths, strict=True))]
    for title, row in rows.items():
        cells = [f"{row[name]:.2f}" if name in row else "" for name in names]
        lines.append(f"{title:{first}}" + "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=True)))
    return "\n".join(line.rstrip() for line in lines)
