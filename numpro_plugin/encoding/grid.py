"""Frames in one picture: how many, in which order, and where each picture begins."""

from __future__ import annotations

import re
from typing import NamedTuple

from numpro_plugin.errors import NumProError

_LAYOUT = re.compile(r"(?P<columns>[0-9]{1,2})x(?P<rows>[0-9]{1,2})(?:/(?P<stride>[0-9]{1,3}))?")


class Grid(NamedTuple):
    """Frames in one picture, in reading order; each picture begins ``stride`` frames after the one before."""

    columns: int
    rows: int
    stride: int

    @property
    def frames(self) -> int:
        """How many frames a picture holds."""
        return self.columns * self.rows

    def parts(self, count: int) -> list[range]:
        """Which of ``count`` frames each picture holds: as many pictures as it takes to show all; the last may hold fewer frames."""
        starts = range(0, max(1, count - self.frames + self.stride), self.stride)
        return [range(start, min(start + self.frames, count)) for start in starts]


def grid_of(layout: str) -> Grid | None:
    """The grid of a layout as it is written; None for ``frames``. Raises NumProError for anything else."""
    if layout == "frames":
        return None
    match = _LAYOUT.fullmatch(layout) if isinstance(layout, str) else None
    if match is None:
        raise NumProError(f"encoding: layout={layout!r} is unknown; allowed: frames, or a grid as COLUMNSxROWS/STRIDE, for example 4x3/6")
    columns, rows = int(match["columns"]), int(match["rows"])
    stride = int(match["stride"] or columns * rows)
    if not (1 <= stride <= columns * rows and 2 <= columns * rows <= 64):
        raise NumProError(
            f"encoding: layout={layout!r} must hold 2 to 64 frames, with a stride of 1 up to that number so that no frame is left out"
        )
    return Grid(columns, rows, stride)
