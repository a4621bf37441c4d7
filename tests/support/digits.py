"""Reads drawn numbers back from pixels: the oracle that knows nothing of how they were drawn but their colour and typeface."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_GRID = (24, 32)


def read_number(frame: np.ndarray, *, strength: int = 185) -> int | None:
    """The number written in pure red on an RGB frame (H, W, 3), or None if there is no red digit."""
    rgb = frame.astype(np.int16)
    red = rgb[..., 0] - np.maximum(rgb[..., 1], rgb[..., 2]) >= strength
    height = frame.shape[0]
    corner = red[int(height * 0.85) :, int(frame.shape[1] * 0.72) :]
    columns = np.flatnonzero(corner.any(axis=0))
    if not len(columns):
        return None
    digits = []
    for part in np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1):
        block = corner[:, part[0] : part[-1] + 1]
        rows = np.flatnonzero(block.any(axis=1))
        if rows[-1] - rows[0] + 1 >= height / 20:  # smaller spots are no digits
            digits.append(_closest(block[rows[0] : rows[-1] + 1]))
    return int("".join(map(str, digits))) if digits else None


def read_mark(ink: np.ndarray) -> str:
    """The digits, points and colons in a mask (H, W) that is true where something is written; "" if nothing is."""
    columns = np.flatnonzero(ink.any(axis=0))
    if not len(columns):
        return ""
    blocks = []
    for part in np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1):
        block = ink[:, part[0] : part[-1] + 1]
        rows = np.flatnonzero(block.any(axis=1))
        blocks.append(block[rows[0] : rows[-1] + 1])
    tall = max(map(len, blocks))
    return "".join("." if len(block) < tall / 2 else ":" if not block.any(axis=1).all() else str(_closest(block)) for block in blocks)


def _closest(block: np.ndarray) -> int:
    shape = _normal(Image.fromarray(block.astype(np.uint8) * 255), block.shape[1] / block.shape[0])
    return int(np.argmin([np.abs(shape - template).mean() for template in _templates()]))


@cache
def _templates() -> tuple[np.ndarray, ...]:
    font = ImageFont.truetype(str(files("numpro_plugin") / "data" / "DejaVuSans-Bold.ttf"), 120)
    shapes = []
    for digit in "0123456789":
        canvas = Image.new("L", (200, 200))
        ImageDraw.Draw(canvas).text((40, 20), digit, fill=255, font=font)
        glyph = canvas.crop(canvas.getbbox())
        shapes.append(_normal(glyph, glyph.width / glyph.height))
    return tuple(shapes)


def _normal(glyph: Image.Image, aspect: float) -> np.ndarray:
    """Glyph on a grid of its own, with its aspect as one more feature."""
    picture = np.asarray(glyph.convert("L").resize(_GRID, Image.Resampling.BOX), dtype=np.float64) / 255
    return np.concatenate([picture.ravel(), np.full(60, aspect)])
