"""Videos whose events are known because we made them: coloured shapes that come and go on a moving background."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from av.video.stream import VideoStream
    from numpy.typing import NDArray

COLORS = {"red": "#e02020", "green": "#20c040", "blue": "#3050f0", "yellow": "#f0e020", "white": "#ffffff", "purple": "#9030c0"}
SHAPES = ("circle", "square", "triangle")


@dataclass(frozen=True)
class Event:
    """A shape that is visible from ``start_s`` (inclusive) to ``end_s`` (exclusive)."""

    shape: str
    """One of `SHAPES`."""
    color: str
    """One of `COLORS`."""
    start_s: float
    end_s: float

    @property
    def query(self) -> str:
        """The event in words."""
        return f"a {self.color} {self.shape}"


def random_events(rng: np.random.Generator, duration_s: float, count: int) -> list[Event]:
    """``count`` events that do not overlap, each a different shape and colour, with ends in tenths of a second."""
    cuts = np.sort(rng.choice(np.arange(1, int(duration_s * 10)), size=2 * count, replace=False)) / 10
    kinds = rng.choice(len(SHAPES) * len(COLORS), size=count, replace=False)
    colors = list(COLORS)
    return [
        Event(SHAPES[kind % len(SHAPES)], colors[kind // len(SHAPES)], float(cuts[2 * k]), float(cuts[2 * k + 1]))
        for k, kind in enumerate(kinds.tolist())
    ]


def render_video(
    path: str | os.PathLike[str],
    events: Sequence[Event],
    *,
    duration_s: float,
    fps: int | Fraction = 10,
    size: tuple[int, int] = (320, 240),
    seed: int = 0,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: Mapping[str, str] | None = None,
) -> None:
    """Write a video file of ``round(duration_s * fps)`` frames; the container follows the file name's extension.

    Args:
        path: file to write.
        events: what is to be seen when.
        duration_s: length in seconds.
        fps: frames per second.
        size: (width, height) in pixels.
        seed: for background and paths.
        codec: FFmpeg's name of an encoder.
        pix_fmt: pixel format to encode.
        options: for the encoder; by default x264 with B-frames and a key frame every 50 frames.
    """
    rate = Fraction(fps)
    rng = np.random.default_rng(seed)
    background = _texture(rng, size)
    paths = rng.uniform(0, 2 * math.pi, size=(len(events), 2))
    with av.open(os.fspath(path), "w") as container:
        stream = cast("VideoStream", container.add_stream(codec, rate=rate))
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.options = dict(options) if options is not None else {"g": "50", "bf": "2", "preset": "veryfast"}
        for k in range(max(1, round(duration_s * rate))):
            time_s = float(k / rate)
            picture = Image.fromarray(np.roll(background, (k, 2 * k), axis=(0, 1)))
            for event, phase in zip(events, paths, strict=True):
                if event.start_s <= time_s < event.end_s:
                    _draw(ImageDraw.Draw(picture), event, _place(time_s, phase, size), min(size) / 6)
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            frame.pts, frame.time_base = k, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _texture(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Smooth grey blotches, (H, W, 3), dim enough for shapes and numbers to stand out."""
    small = Image.fromarray(np.repeat(rng.integers(30, 120, (6, 8, 1), dtype=np.uint8), 3, axis=2))
    return np.asarray(small.resize(size, Image.Resampling.BICUBIC))


def _place(time_s: float, phase: NDArray[np.float64], size: tuple[int, int]) -> tuple[float, float]:
    """Where a shape's centre is: it swings slowly within the middle half of the frame."""
    return size[0] * (0.5 + 0.25 * math.sin(time_s / 2 + phase[0])), size[1] * (0.5 + 0.2 * math.cos(time_s / 3 + phase[1]))


def _draw(draw: ImageDraw.ImageDraw, event: Event, place: tuple[float, float], r: float) -> None:
    x, y = place
    color = COLORS[event.color]
    if event.shape == "circle":
        draw.ellipse((x - r, y - r, x + r, y + r), fill=color)
    elif event.shape == "square":
        draw.rectangle((x - r, y - r, x + r, y + r), fill=color)
    else:
        draw.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=color)
