"""The search for a look of the numbers: every style on the same frames, who reads it back, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binomtest

from numpro_plugin.design.contrast import LOW_CONTRAST, ink_contrast
from numpro_plugin.design.readers import CaptionReader
from numpro_plugin.design.styles import variables
from numpro_plugin.errors import NumProError
from numpro_plugin.numbering import NumberStyle, draw_numbers
from numpro_plugin.views.marks import marked_pixels

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from numpro_plugin.design.frames import Chosen
    from numpro_plugin.design.readers import Reader


@dataclass(frozen=True, eq=False)
class StyleResult:
    """What a style does on the frames of a search."""

    style: NumberStyle
    read: NDArray[np.bool_] | None
    """Of each frame whether its number was read back, (N,); None without a reader."""
    covered: float
    """Pixels of a frame that the number changes, in percent, the mean over the frames."""
    contrast: NDArray[np.float64]
    """See `numpro_plugin.design.contrast.ink_contrast`, (N,)."""
    captions: float | None = None
    """Frames whose own caption is still the most similar, in percent; None without captions or a reader that compares them."""

    @property
    def read_percent(self) -> float | None:
        """Frames whose number was read back."""
        return None if self.read is None else 100 * float(self.read.mean())

    @property
    def low_contrast_percent(self) -> float:
        """Frames whose number has a contrast below `LOW_CONTRAST`."""
        return 100 * float((self.contrast < LOW_CONTRAST).mean())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "style": {name: getattr(self.style, name) for name in ("position", "font_size", "color", "stroke_width", "stroke_color")},
            "variables": variables(self.style),
            "read_percent": self.read_percent,
            "captions_percent": self.captions,
            "covered_percent": self.covered,
            "contrast_median": float(np.median(self.contrast)),
            "low_contrast_percent": self.low_contrast_percent,
        }


def search(chosen: Chosen, styles: Iterable[NumberStyle], reader: Reader | None) -> list[StyleResult]:
    """Try every style on the same frames.

    Args:
        chosen: the frames, without numbers.
        styles: to try; a wrapper may show how far it is.
        reader: reads the numbers back; None: contrast and covered pixels alone.
    """
    return [_tried(chosen, style, reader) for style in styles]


def _tried(chosen: Chosen, style: NumberStyle, reader: Reader | None) -> StyleResult:
    numbers = chosen.numbers
    drawn = draw_numbers(chosen.pixels.copy(), numbers, style)
    masks = marked_pixels(numbers, (drawn.shape[2], drawn.shape[1]), style)
    read = None if reader is None else reader.read(drawn, numbers, _boxes(masks))
    return StyleResult(style, read, 100 * float(masks.mean()), ink_contrast(drawn, numbers, style), caption_percent(drawn, chosen, reader))


def caption_percent(pixels: NDArray[np.uint8], chosen: Chosen, reader: Reader | None) -> float | None:
    """Frames whose own caption is the most similar of all, in percent; None without captions, or without a reader that compares them.

    Args:
        pixels: the frames, with or without numbers, (N, H, W, 3).
        chosen: where they are from.
        reader: of the search.
    """
    captions = [place.caption for place in chosen.places if place.caption is not None]
    if not isinstance(reader, CaptionReader) or len(captions) < len(pixels):
        return None
    known = list(dict.fromkeys(captions))
    own = np.array([known.index(caption) for caption in captions])
    return 100 * float((reader.most_similar(pixels, known) == own).mean())


def ranked(results: Sequence[StyleResult]) -> list[StyleResult]:
    """Best first: styles whose numbers are read back more often, then those that cover less, then those of higher contrast.

    With few frames one of them more or less is chance: styles within one frame of the best count as read equally often. Without a reader
    the share of numbers of low contrast takes the place of reading.
    """

    def key(result: StyleResult) -> tuple[float, float, float]:
        missed = (~result.read if result.read is not None else result.contrast < LOW_CONTRAST).sum()
        return max(float(missed), fewest + 1.0), round(result.covered, 6), -float(np.median(result.contrast))

    if not results:
        raise NumProError("there is no style to rank")
    fewest = min(float((~one.read if one.read is not None else one.contrast < LOW_CONTRAST).sum()) for one in results)
    return sorted(results, key=key)


@dataclass(frozen=True, eq=False)
class Recommended:
    """The style to use, and among how many it was chosen."""

    result: StyleResult
    most_percent: float
    """Frames on which the style that is read most often was read."""
    low_percent: float
    """The lower end of that rate's 95 % interval; styles down to here are read as often as far as one can tell."""
    alike: int
    """How many styles these are."""


def recommended(results: Sequence[StyleResult]) -> Recommended | None:
    """The style to use; None if nobody read, or no number was read back.

    With few frames one more or less is chance, so all styles count that are within the interval of the one that is read most often. Of
    these, a style no smaller than the paper's goes first: a video LLM needs larger numbers than text recognition (in the paper 40 did
    better than 20). Then the one that changes least of the paper's position, size, colour and outline; then the one that is read most
    often, is nearest in size, covers least, and has most contrast.
    """
    counts = [0 if one.read is None else int(one.read.sum()) for one in results]
    if not any(counts):
        return None
    frames, most = len(results[0].contrast), max(counts)
    low = float(binomtest(most, frames).proportion_ci(method="wilson").low)
    alike = [one for one, count in zip(results, counts, strict=True) if count >= low * frames]
    return Recommended(min(alike, key=_distance), 100 * most / frames, 100 * low, len(alike))


def _distance(result: StyleResult) -> tuple[float, ...]:
    """How far a style is from the paper's; see `recommended`."""
    style, usual = result.style, NumberStyle()
    changes = sum(getattr(style, name) != getattr(usual, name) for name in ("position", "font_size", "color", "stroke_width"))
    ratio = abs(float(np.log(style.font_size / usual.font_size)))
    missed, covered = 100 - (result.read_percent or 0), round(result.covered, 6)
    return style.font_size < usual.font_size, changes, missed, ratio, covered, -float(np.median(result.contrast))


def _boxes(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Left, top, right and bottom of what is set in each mask, (N, 4)."""
    boxes = np.zeros((len(masks), 4), np.int64)
    for k, mask in enumerate(masks):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows):
            boxes[k] = columns[0], rows[0], columns[-1], rows[-1]
    return boxes
