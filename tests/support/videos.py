"""Video files with a frame counter in their pixels, in every odd shape a container allows."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 12


def counter_frame(k: int, size: tuple[int, int] = (192, 96)) -> np.ndarray:
    """Frame k: its number in binary, as black and white bars over the whole height; size is (width, height)."""
    width, height = size
    edges = np.linspace(0, width, BITS + 1).astype(int)
    frame = np.zeros((height, width, 3), dtype=np.uint8)
    for bit in range(BITS):
        frame[:, edges[bit] : edges[bit + 1]] = 235 if k >> bit & 1 else 20
    return frame


def textured_counter_frame(k: int, size: tuple[int, int] = (192, 96)) -> np.ndarray:
    """`counter_frame` between two strips of noise that move, so that packets are of a usual size; `read_counter` reads it."""
    frame = counter_frame(k, size)
    noise = np.random.default_rng(0).integers(0, 256, (size[1] // 8 + 1, size[0] // 8 + 1, 3), dtype=np.uint8)
    strip = np.roll(noise.repeat(8, 0).repeat(8, 1), (k, 3 * k), (0, 1))[: size[1], : size[0]]
    height = size[1] // 4
    frame[:height], frame[-height:] = strip[:height], strip[-height:]
    return frame


def read_counter(frame: np.ndarray) -> int:
    """Which k `counter_frame` was drawn on an upright frame of any size."""
    edges = np.linspace(0, frame.shape[1], BITS + 1)
    middles = ((edges[:-1] + edges[1:]) / 2).astype(int)
    rows = slice(frame.shape[0] // 3, 2 * frame.shape[0] // 3)
    return sum(1 << bit for bit, x in enumerate(middles) if frame[rows, x].mean() > 128)


def write_counter_video(
    path: Path,
    pts: Sequence[int],
    *,
    time_base: Fraction = Fraction(1, 1000),
    rate: Fraction | int = 25,
    size: tuple[int, int] = (192, 96),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    picture: Callable[[int, tuple[int, int]], np.ndarray] = counter_frame,
) -> Path:
    """Frame k shown from ``pts[k] * time_base`` seconds; ``picture(k, size)`` draws it."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.time_base = time_base
        stream.options = options or {"g": "30", "bf": "3", "preset": "veryfast", "crf": "12"}
        for k, time in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(picture(k, size), format="rgb24")
            frame.pts, frame.time_base = time, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


MATRICES = {
    "upright": (1, 0, 0, 1),
    "90": (0, 1, -1, 0),
    "180": (-1, 0, 0, -1),
    "270": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1),
    "flipped": (1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "transverse": (0, -1, -1, 0),
}


def set_display_matrix(path: Path, name: str) -> None:
    """Write a display matrix (x' = a x + c y, y' = b x + d y) into an mp4's track header."""
    a, b, c, d = MATRICES[name]
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16
    one, unit = 1 << 16, 1 << 30
    data[at : at + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, unit)
    path.write_bytes(data)


def as_displayed(frame: np.ndarray, name: str) -> np.ndarray:
    """A stored frame as a player shows it under a matrix, by the matrix's own definition, pixel by pixel."""
    a, b, c, d = MATRICES[name]
    height, width = frame.shape[:2]
    y, x = np.mgrid[:height, :width]
    new_x, new_y = a * x + c * y, b * x + d * y
    new_x, new_y = new_x - new_x.min(), new_y - new_y.min()
    out = np.zeros((new_y.max() + 1, new_x.max() + 1, 3), dtype=frame.dtype)
    out[new_y, new_x] = frame
    return out
