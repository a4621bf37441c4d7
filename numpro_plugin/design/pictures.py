"""Pictures of a search: how often each style is read back, and the best and worst styles on their frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from numpro_plugin.design.styles import named
from numpro_plugin.files import written_whole
from numpro_plugin.numbering import draw_numbers
from numpro_plugin.views.lettering import Lettering
from numpro_plugin.views.plots import plot_heat_maps

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpro_plugin.design.frames import Chosen
    from numpro_plugin.design.search import StyleResult

SHOWN_STYLES = 3
"""Of the best and of the worst styles, each a row of the sheet."""

_FRAMES = 6
_WIDE, _GAP, _MARGIN = 196, 10, 30
_PAPER, _INK, _SOFT, _MISSED = "#ffffff", "#16191d", "#5b6470", "#b0124f"


def plot_search(path: Path, results: Sequence[StyleResult], title: str) -> None:
    """A heat map for each position: font sizes down, colours across, in each cell the frames whose number was read back, in percent.

    Without a reader: the frames whose number has enough contrast. The rows' names say how much of a frame a size covers.

    Args:
        path: .png or .svg.
        results: of every style of a grid.
        title: above the maps.
    """
    covered: dict[float, list[float]] = {}
    for one in results:
        covered.setdefault(one.style.font_size, []).append(one.covered)
    panels: dict[str, dict[str, dict[str, float]]] = {}
    for one in results:
        style = one.style
        panel = style.position.replace("_", " ") + (f", outline {style.stroke_width:g}" if style.stroke_width else "")
        row = f"{style.font_size:g} (covers {np.mean(covered[style.font_size]):.2f} %)"
        value = one.read_percent if one.read_percent is not None else 100 - one.low_contrast_percent
        panels.setdefault(panel, {}).setdefault(row, {})[style.color] = value
    plot_heat_maps(path, title, panels)


def write_style_sheet(path: Path, order: Sequence[StyleResult], chosen: Chosen) -> None:
    """A page with the best and the worst styles, a row of frames each; a frame whose number was not read back says so.

    Args:
        path: .png.
        order: all styles, best first.
        chosen: the frames of the search.
    """
    title, small = Lettering(19), Lettering(14)
    count = min(SHOWN_STYLES, len(order))
    rows = [*(("best", one) for one in order[:count]), *(("worst", one) for one in order[max(count, len(order) - count) :])]
    at = _telling_frames(order, len(chosen.places))
    numbers = chosen.numbers[at]
    high = max(1, round(_WIDE * chosen.pixels.shape[1] / chosen.pixels.shape[2]))
    cell = 54 + high + 24 + _GAP
    page = Image.new("RGB", (2 * _MARGIN + len(at) * (_WIDE + _GAP) - _GAP, 2 * _MARGIN + len(rows) * cell), _PAPER)
    draw = ImageDraw.Draw(page)
    for row, (rank, one) in enumerate(rows):
        top = _MARGIN + row * cell
        title.draw(draw, _MARGIN, top, f"{rank}: {named(one.style)}", _INK)
        read = "" if one.read_percent is None else f"read back {one.read_percent:.0f} %  ·  "
        line = f"{read}covers {one.covered:.1f} %  ·  contrast {np.median(one.contrast):.0f} (median)"
        small.draw(draw, _MARGIN, top + 26, line, _SOFT)
        pixels = draw_numbers(chosen.pixels[at].copy(), numbers, one.style)
        for k, frame in enumerate(pixels):
            left = _MARGIN + k * (_WIDE + _GAP)
            page.paste(Image.fromarray(frame).resize((_WIDE, high), Image.Resampling.LANCZOS), (left, top + 50))
            is_read = one.read is None or bool(one.read[at[k]])
            words = f"{numbers[k]}" + ("" if one.read is None else "  read" if is_read else "  not read")
            small.draw(draw, left, top + 54 + high, words, _SOFT if is_read else _MISSED)
    with written_whole(path) as part:
        page.save(part, "PNG")


def _telling_frames(results: Sequence[StyleResult], count: int) -> list[int]:
    """Frames on which styles differ most, in the order of the search: half of them those that most styles failed on, the rest evenly."""
    if count <= _FRAMES:
        return list(range(count))
    reads = [one.read for one in results if one.read is not None]
    missed = (~np.array(reads)).sum(axis=0) if reads else -np.median([one.contrast for one in results], axis=0)
    hardest = np.argsort(-missed, kind="stable")[: _FRAMES // 2].tolist()
    others = [k for k in np.linspace(0, count - 1, count).round().astype(int).tolist() if k not in hardest]
    evenly = np.linspace(0, len(others) - 1, _FRAMES - len(hardest)).round().astype(int)
    return sorted([*hardest, *(others[k] for k in evenly)])
