"""The styles of numbers that a search compares, and how one of them is chosen for the tasks."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from numpro_plugin.design.contrast import color_of
from numpro_plugin.errors import NumProError
from numpro_plugin.numbering import POSITIONS, NumberStyle, Position

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZES = (20.0, 40.0, 60.0, 80.0)
"""The paper's."""

COLORS = ("red", "blue", "black", "green", "white", "yellow")
"""The paper's four, and the two that are light."""

MOST_STYLES = 2000


@dataclass(frozen=True)
class StyleGrid:
    """Which values are tried; every combination of them is a style."""

    sizes: Sequence[float] = SIZES
    """Font sizes for a frame 336 pixels high."""
    colors: Sequence[str] = COLORS
    positions: Sequence[Position] = POSITIONS
    outlines: Sequence[float] = (0.0,)
    """Widths of an outline; it is black or white, whichever differs more from the letters."""

    def styles(self) -> list[NumberStyle]:
        """All styles, positions first.

        Raises:
            NumProError: a value that no style can have, or too many styles.
        """
        for name, values in (("sizes", self.sizes), ("colors", self.colors), ("positions", self.positions), ("outlines", self.outlines)):
            if len(set(values)) < len(values) or not values:
                raise NumProError(f"{name}: give at least one value, and each of them once; got {' '.join(map(str, values)) or 'none'}")
        count = len(self.sizes) * len(self.colors) * len(self.positions) * len(self.outlines)
        if count > MOST_STYLES:
            raise NumProError(f"{count} styles are too many to try; at most {MOST_STYLES}: leave out sizes, colors, positions or outlines")
        return [
            outlined(NumberStyle(position, size, color), outline)
            for position, outline, size, color in itertools.product(self.positions, self.outlines, self.sizes, self.colors)
        ]


def outlined(style: NumberStyle, width: float) -> NumberStyle:
    """The style with an outline of this width, black or white: the one that differs more from the letters' colour."""
    farther = max(("black", "white"), key=lambda name: float(np.linalg.norm(color_of(name) - color_of(style.color))))
    return NumberStyle(style.position, style.font_size, style.color, width, farther if width else style.stroke_color)


def named(style: NumberStyle) -> str:
    """A style in a few words: ``red 40, bottom right``."""
    outline = f", {style.stroke_color} outline {style.stroke_width:g}" if style.stroke_width else ""
    return f"{style.color} {style.font_size:g}, {style.position.replace('_', ' ')}{outline}"


def variables(style: NumberStyle) -> str:
    """The ``NUMPRO_*`` variables that give the tasks this style; empty for the paper's."""
    usual = NumberStyle()
    fields = ("position", "font_size", "color", "stroke_width", "stroke_color")
    changed = {name: value for name in fields if (value := getattr(style, name)) != getattr(usual, name)}
    return " ".join(f"NUMPRO_{name.upper()}={_quoted(value)}" for name, value in changed.items())


def _quoted(value: float | str) -> str:
    import shlex

    return f"{value:g}" if isinstance(value, float) else shlex.quote(value)
