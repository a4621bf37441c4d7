"""The marks on the frames that people look at: the one place of the views where they are drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from numpro_plugin.numbering import draw_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from numpro_plugin.numbering import NumberStyle
    from numpro_plugin.settings import NumProSettings


def draw_marks(pixels: NDArray[np.uint8], numbers: Sequence[int] | NDArray[np.int64], settings: NumProSettings) -> NDArray[np.uint8]:
    """Draw on the frames what these settings show to a model, in place; nothing where they show no numbers.

    Args:
        pixels: uint8 RGB frames, (N, H, W, 3), already of the model's size.
        numbers: N frame numbers.
        settings: of the task or the run.

    Returns:
        ``pixels``.
    """
    return draw_numbers(pixels, numbers, settings.style) if settings.numbers else pixels


def marked_pixels(
    numbers: Sequence[int] | NDArray[np.int64], frame_size: tuple[int, int], style: NumberStyle, *, outline: bool = True
) -> NDArray[np.bool_]:
    """Which pixels of each frame a mark changes, (N, H, W).

    Args:
        numbers: N frame numbers.
        frame_size: (width, height) in pixels.
        style: the look of the marks; colours do not matter.
        outline: False: of the letters alone.
    """
    white = replace(style, color="white", stroke_color="white", **({} if outline else {"stroke_width": 0}))
    black = np.zeros((len(numbers), frame_size[1], frame_size[0], 3), np.uint8)
    return np.asarray(draw_numbers(black, numbers, white)[..., 0] > 0)
