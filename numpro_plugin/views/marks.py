"""The marks on the frames that people look at: the one place of the views where they are drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from numpro_plugin import showing
from numpro_plugin.numbering import draw_numbers
from numpro_plugin.video.sampling import Frames, frames_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from numpro_plugin.numbering import NumberStyle
    from numpro_plugin.settings import NumProSettings
    from numpro_plugin.timeline import Timeline
    from numpro_plugin.video.packets import PacketIndex


def marked_frames(
    index: PacketIndex, numbers: NDArray[np.int64], timeline: Timeline, settings: NumProSettings, *, start_s: float = 0.0
) -> NDArray[np.uint8]:
    """Frames of a video with what these settings draw on them for a model, uint8 RGB (N, H, W, 3).

    Each frame stands alone, also where a model gets several of them in a grid.

    Args:
        index: the video.
        numbers: N frame numbers, ascending.
        timeline: their grid.
        settings: of the task or the run.
        start_s: where in the file the timeline begins.

    Raises:
        NumProError: none of the frames can be decoded.
    """
    pixels = frames_at(index, start_s + timeline.seconds(numbers), frame_size=settings.tile_size)
    return showing.marked_frames(Frames(pixels, numbers, timeline), settings)


def marked_pixels(
    numbers: Sequence[int] | NDArray[np.int64], frame_size: tuple[int, int], style: NumberStyle, *, outline: bool = True
) -> NDArray[np.bool_]:
    """Which pixels of each frame a drawn number changes, (N, H, W).

    Args:
        numbers: N frame numbers.
        frame_size: (width, height) in pixels.
        style: the look of the marks; colours do not matter.
        outline: False: of the letters alone.
    """
    width = style.stroke_width if outline else 0.0
    white = replace(style, color="white", stroke_color="white", stroke_width=width)
    black = np.zeros((len(numbers), frame_size[1], frame_size[0], 3), np.uint8)
    return np.asarray(draw_numbers(black, numbers, white)[..., 0] > 0)
