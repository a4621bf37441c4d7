"""Draw frame numbers on frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Position = Literal["bottom_right", "bottom_left", "top_right", "top_left", "center"]
POSITIONS: tuple[Position, ...] = get_args(Position)

REFERENCE_HEIGHT = 336
"""The frame height in pixels that `NumberStyle.font_size` refers to."""


@dataclass(frozen=True)
class NumberStyle:
    """How the number looks. The defaults are the paper's."""

    position: Position = "bottom_right"
    """Which corner, or the centre."""

    font_size: float = 40
    """Size of DejaVu Sans Bold for a frame 336 pixels high; it scales with the frame's height. 4 to 336."""

    color: str = "red"
    """Any CSS colour that Pillow knows: a name, ``#rgb``, ``rgb(...)``, ``hsl(...)``. Drawn opaque."""

    stroke_width: float = 0
    """Width of an outline in pixels of a 336-pixel-high frame; 0 draws none. 0 to 40."""

    stroke_color: str = "black"
    """Colour of the outline."""

    def __post_init__(self) -> None:
        if self.position not in POSITIONS:
            raise NumProError(f"position={self.position!r} is unknown; allowed: {', '.join(POSITIONS)}")
        if not 4 <= self.font_size <= REFERENCE_HEIGHT:
            raise NumProError(f"font_size={self.font_size!r} must be 4 to {REFERENCE_HEIGHT} (for a frame {REFERENCE_HEIGHT} pixels high)")
        if not 0 <= self.stroke_width <= 40:
            raise NumProError(f"stroke_width={self.stroke_width!r} must be 0 to 40 pixels")
        for name in ("font_size", "stroke_width"):
            object.__setattr__(self, name, float(getattr(self, name)))  # 40 and 40.0 are one style, in hashes too
        for name in ("color", "stroke_color"):
            try:
                ImageColor.getrgb(getattr(self, name))
            except (ValueError, AttributeError, TypeError):
                raise NumProError(f"{name}={getattr(self, name)!r} is not a CSS colour; try 'red', '#ff0000' or 'rgb(255,0,0)'") from None


def draw_numbers(
    pixels: NDArray[np.uint8],
    numbers: Sequence[int] | NDArray[np.int64],
    style: NumberStyle | None = None,
    *,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Draw each frame's number on it, in place or into ``out``; pixel for pixel what Pillow's ``ImageDraw.text`` draws.

    Args:
        pixels: uint8 RGB frames, (N, H, W, 3), writable unless ``out`` is given. Resize before drawing, never after.
        numbers: N integers, 0 or more.
        style: the paper's style if None.
        out: array to draw into instead, of the same shape and type; ``pixels`` then stays unchanged.

    Returns:
        The array that was drawn on.
    """
    return draw_marks(pixels, [_digits(number) for number in np.asarray(numbers).tolist()], style, out=out)


def draw_marks(
    pixels: NDArray[np.uint8], marks: Sequence[str], style: NumberStyle | None = None, *, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Draw a word (a number, seconds, a clock time) on each frame, as `draw_numbers` does.

    Args:
        pixels: uint8 RGB frames, (N, H, W, 3), writable unless ``out`` is given.
        marks: N words.
        style: the paper's style if None.
        out: array to draw into instead, of the same shape and type.

    Returns:
        The array that was drawn on.
    """
    style = style or NumberStyle()
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3:
        raise NumProError(
            f"pixels must be a uint8 array of shape (N, H, W, 3), got {getattr(pixels, 'dtype', type(pixels))} {np.shape(pixels)}"
        )
    if len(marks) != len(pixels):
        raise NumProError(f"{len(pixels)} frames but {len(marks)} numbers; there must be one number per frame")
    target = pixels if out is None else out
    if out is not None:
        if out.shape != pixels.shape or out.dtype != np.uint8:
            raise NumProError(f"out must be uint8 of shape {pixels.shape}, got {out.dtype} {out.shape}")
        np.copyto(out, pixels)
    height, width = target.shape[1:3]
    for frame, mark in zip(target, marks, strict=True):
        for top, left, keep, ink in _glyph_run(mark, width, height, style):
            _blend(frame[top : top + keep.shape[0], left : left + keep.shape[1]], keep, ink)
    return target


def check_fit(marks: Sequence[str], size: tuple[int, int], style: NumberStyle) -> None:
    """Check that each mark is drawn whole.

    Args:
        marks: words to draw.
        size: (width, height) of the frame in pixels.
        style: how they look.

    Raises:
        NumProError: a mark is wider than the frame; the message names the font size that fits.
    """
    width, height = size
    widest = max(marks, key=lambda mark: _width(mark, height, style), default="")
    if (needed := _width(widest, height, style)) > width:
        fits = int(style.font_size * width / needed)
        raise NumProError(
            f"{widest!r} in font size {style.font_size:g} is {needed} pixels wide on frames of {width} x {height}, so it cannot be read: "
            f"use a font size of at most {fits}"
        )


def _width(mark: str, height: int, style: NumberStyle) -> int:
    scale = height / REFERENCE_HEIGHT
    left, _, right, _ = _font(style.font_size * scale).getbbox(mark, stroke_width=style.stroke_width * scale)
    return math.ceil(right - left)


def _digits(number: object) -> str:
    if not isinstance(number, int) or number < 0:
        raise NumProError(f"a frame number must be an integer, 0 or more, got {number!r}")
    return str(number)


def _blend(region: NDArray[np.uint8], keep: NDArray[np.uint16], ink: NDArray[np.uint16]) -> None:
    """Pillow's blend, (region * (255 - mask) + colour * mask) / 255 rounded: x / 255 is (x + 128 + ((x + 128) >> 8)) >> 8.

    ``keep`` is 255 - mask and ``ink`` is colour * mask + 128, both made once per glyph run. Every intermediate value fits 16 bits.
    """
    mixed = np.multiply(region, keep, dtype=np.uint16)
    mixed += ink
    mixed += mixed >> 8
    mixed >>= 8
    np.copyto(region, mixed, casting="unsafe")


_Run = tuple[int, int, "NDArray[np.uint16]", "NDArray[np.uint16]"]


@lru_cache(maxsize=1024)  # about 36 kB each at 336 pixels; training draws in up to nine sizes
def _glyph_run(text: str, width: int, height: int, style: NumberStyle) -> tuple[_Run, ...]:
    """What drawing ``text`` does to a frame: (top, left, keep, ink) for each pass (the outline if there is one, then the letters)."""
    scale = height / REFERENCE_HEIGHT
    font = _font(style.font_size * scale)
    xy = _corner(text, font, width, height, style.position)
    stroke = style.stroke_width * scale
    passes = [(0.0, style.color)]
    if stroke:
        # Pillow draws the letters a second time only if their colour differs from the outline's.
        same = ImageColor.getcolor(style.color, "RGB") == ImageColor.getcolor(style.stroke_color, "RGB")
        passes = [(stroke, style.stroke_color)] + ([] if same else passes)
    return tuple(run for width_, color in passes if (run := _one_pass(text, font, xy, (width, height), width_, color)))


def _one_pass(
    text: str, font: ImageFont.FreeTypeFont, xy: tuple[float, float], size: tuple[int, int], stroke: float, color: str
) -> _Run | None:
    # White on black leaves the mask itself, clipped to the frame and placed where Pillow places it.
    canvas = Image.new("L", size)
    ImageDraw.Draw(canvas).text(xy, text, fill=255, font=font, stroke_width=stroke, stroke_fill=255)
    box = canvas.getbbox()
    if box is None:
        return None
    mask = np.repeat(np.asarray(canvas.crop(box), dtype=np.uint16)[:, :, None], 3, axis=2)
    ink = mask * np.array(ImageColor.getrgb(color)[:3], dtype=np.uint16) + np.uint16(128)
    return box[1], box[0], 255 - mask, ink


def _corner(text: str, font: ImageFont.FreeTypeFont, width: int, height: int, position: Position) -> tuple[float, float]:
    """Where the text's origin goes. The reference's rule; at the bottom it lifts the text by a third of its height."""
    left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).textbbox((0, 0), text, font=font)
    w, h = right - left, bottom - top
    if position == "center":
        return math.floor((width - w) / 2), math.floor((height - h) / 2)
    x = width - w if position.endswith("right") else 0
    y = height - h - h / 3 if position.startswith("bottom") else 0
    return x, y


@lru_cache(maxsize=32)
def _font(size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(files("numpro_plugin") / "data" / "DejaVuSans-Bold.ttf"), size)
