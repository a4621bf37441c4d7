"""How many of the numbers that a task shows stand on a background that swallows them, and what an outline would change."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numpro_plugin.design.contrast import LOW_CONTRAST, ink_contrast
from numpro_plugin.design.frames import shown_frames
from numpro_plugin.design.styles import outlined
from numpro_plugin.errors import NumProError
from numpro_plugin.numbering import draw_numbers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpro_plugin.design.frames import Part
    from numpro_plugin.numbering import NumberStyle
    from numpro_plugin.settings import SettingsByVideo

log = logging.getLogger(__name__)

OUTLINE = 2.0
"""Width of the outline that is tried, in pixels of a frame 336 pixels high."""


class LowNumber(NamedTuple):
    """A shown number that is hard to tell from what is behind it."""

    video: str
    number: int
    time_s: float
    """Seconds of the file."""
    contrast: float


@dataclass(frozen=True)
class Swallowed:
    """The shown numbers of some videos."""

    style: NumberStyle
    outlined_style: NumberStyle
    videos: int
    numbers: int
    low: list[LowNumber]
    """Lowest contrast first."""
    low_outlined: int
    """How many would still be low with the outline."""
    unreadable: dict[str, str]
    """Videos that could not be read, and why; their numbers are not counted."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "videos": self.videos,
            "numbers": self.numbers,
            "low_contrast": len(self.low),
            "low_contrast_with_outline": self.low_outlined,
            "outline": {"width": self.outlined_style.stroke_width, "color": self.outlined_style.stroke_color},
            "low_below": LOW_CONTRAST,
            "lowest": [one._asdict() for one in self.low],
            "unreadable": self.unreadable,
        }


def swallowed_numbers(parts: Iterable[Part], settings: SettingsByVideo) -> Swallowed:
    """Look at every number that is shown of these videos, in the style of the settings and with an outline.

    Args:
        parts: videos or parts of them; a wrapper may show how far it is.
        settings: of the tasks.

    Raises:
        NumProError: none of the videos can be read.
    """
    style = settings.base.style
    other = outlined(style, max(OUTLINE, style.stroke_width))
    low: list[LowNumber] = []
    unreadable: dict[str, str] = {}
    videos = numbers = low_outlined = 0
    for part in parts:
        try:
            frames = shown_frames(part, settings)
        except NumProError as error:
            log.warning("%s", error)
            unreadable[part.video] = str(error)
            continue
        contrast, with_outline = (
            ink_contrast(draw_numbers(frames.pixels.copy(), frames.numbers, one), frames.numbers, one) for one in (style, other)
        )
        times_s = part.start_s + frames.timeline.seconds(frames.numbers)
        low += [
            LowNumber(part.video, int(frames.numbers[k]), float(times_s[k]), float(contrast[k]))
            for k in np.flatnonzero(contrast < LOW_CONTRAST)
        ]
        videos, numbers, low_outlined = videos + 1, numbers + len(frames), low_outlined + int((with_outline < LOW_CONTRAST).sum())
    if not videos:
        some = next(iter(unreadable.values()), "there is none")
        raise NumProError(f"none of the videos can be read: {some}")
    return Swallowed(style, other, videos, numbers, sorted(low, key=lambda one: one.contrast), low_outlined, unreadable)
