"""The strip below a frame that shows how much of the video has passed: a track, a dot and the time in seconds."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def bar_height(height: int) -> int:
    """Height in pixels of the strip within a picture of ``height`` pixels: an eighth."""
    return max(1, height // 8)


def check_room(labels: Sequence[str], size: tuple[int, int]) -> int:
    """How wide the widest label is on pictures of ``size`` (width, height), strip included, in pixels.

    Raises:
        NumProError: it leaves no room for the track.
    """
    width, height = size
    room = max((_label_width(label, bar_height(height)) for label in labels), default=0)
    if room > width * 0.6:
        raise NumProError(f"frames of {width} x {height} pixels are too narrow for a bar with times such as {max(labels, key=len)!r}")
    return room


def draw_bars(
    pixels: NDArray[np.uint8], times_s: Sequence[float], labels: Sequence[str], *, duration_s: float, height: int, color: str
) -> NDArray[np.uint8]:
    """Frames with a strip below each.

    Args:
        pixels: uint8 RGB frames, (N, H - `bar_height`, W, 3).
        times_s: of the frames, (N,).
        labels: what is written at the right end of each strip.
        duration_s: of the video: the length of the track.
        height: H, of the pictures with their strip, in pixels.
        color: of the part of the track that has passed; any that Pillow knows.

    Returns:
        uint8, (N, H, W, 3).

    Raises:
        NumProError: the labels leave no room for the track.
    """
    above, width = pixels.shape[1:3]
    room = check_room(labels, (width, height))
    out = np.empty((len(pixels), height, width, 3), dtype=np.uint8)
    out[:, :above] = pixels
    for frame, time_s, label in zip(out, times_s, labels, strict=True):
        passed = min(1.0, max(0.0, time_s / duration_s)) if duration_s > 0 else 0.0
        frame[above:] = _strip(width, height - above, room, passed, label, color)
    return out


@lru_cache(maxsize=1024)
def _strip(width: int, height: int, room: int, passed: float, label: str, color: str) -> NDArray[np.uint8]:
    picture = Image.new("RGB", (width, height), "black")
    draw = ImageDraw.Draw(picture)
    radius = max(1.0, height / 5)
    left, right, middle = radius, width - room - 2 * radius, height / 2
    here = left + (right - left) * passed
    thick = max(1, round(height / 8))
    draw.line([(left, middle), (right, middle)], fill="gray", width=thick)
    draw.line([(left, middle), (here, middle)], fill=color, width=thick)
    draw.ellipse([here - radius, middle - radius, here + radius, middle + radius], fill=color)
    draw.text((width - radius / 2, middle), label, fill="white", font=_font(height), anchor="rm")
    return np.asarray(picture)


def _label_width(label: str, height: int) -> int:
    left, _, right, _ = _font(height).getbbox(label)
    return int(right - left) + 1


@lru_cache(maxsize=32)
def _font(height: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(files("numpro_plugin") / "data" / "DejaVuSans-Bold.ttf"), max(4, height * 0.7))
