"""Videos with known events: coloured shapes that come and go on a moving background."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
import numpy as np
from PIL import Image, ImageDraw

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from av.video.stream import VideoStream
    from numpy.typing import NDArray

COLORS = {"red": "#e02020", "green": "#20c040", "blue": "#3050f0", "yellow": "#f0e020", "white": "#ffffff", "purple": "#a030d0"}
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


def random_events(
    rng: np.random.Generator, duration_s: float, count: int, *, least: float = 0.0, colors: Sequence[str] = tuple(COLORS)
) -> list[Event]:
    """``count`` events that do not overlap, each a different shape and colour, with ends in tenths of a second.

    Args:
        rng: source of randomness.
        duration_s: length of the video in seconds.
        count: how many events.
        least: smallest share of the video, 0 to 1, for which each event is visible.
        colors: to choose from, of `COLORS`.

    Raises:
        NumProError: that many events of this length do not fit.
    """
    tenths = int(duration_s * 10)
    each = math.ceil(least * tenths)
    free = tenths - count * each
    if free <= 2 * count or count > len(SHAPES) * len(colors):
        raise NumProError(
            f"{count} events of at least {least:.0%} each do not fit into {duration_s} s with {len(colors)} colours: ask for less"
        )
    # Ends are drawn in the time that the minimum lengths leave free; then every event is stretched by its minimum length.
    cuts = np.sort(rng.choice(np.arange(1, free), size=2 * count, replace=False)) + each * (np.arange(1, 2 * count + 1) // 2)
    ends = (cuts / 10).tolist()
    kinds = rng.choice(len(SHAPES) * len(colors), size=count, replace=False)
    return [
        Event(SHAPES[kind % len(SHAPES)], colors[kind // len(SHAPES)], ends[2 * k], ends[2 * k + 1])
        for k, kind in enumerate(kinds.tolist())
    ]


class Scene:
    """What is visible at any time: a drifting background, and events that swing slowly above its middle.

    The lower edge, where numbers are drawn, stays free of shapes.
    """

    def __init__(
        self,
        events: Sequence[Event],
        rng: np.random.Generator,
        *,
        size: tuple[int, int] = (320, 240),
        drift: float = 10.0,
        greys: tuple[int, int] = (30, 120),
    ) -> None:
        """``size`` is (width, height) in pixels; the background has ``greys`` in this range and moves down by ``drift`` pixels a second and
        right by twice that.
        """
        self.events = list(events)
        self.size = size
        self.drift = drift
        self._background = _texture(rng, size, greys)
        self._phases = rng.uniform(0, 2 * math.pi, size=(len(self.events), 2))

    def picture(self, time_s: float) -> NDArray[np.uint8]:
        """The frame at a time in seconds: RGB, (H, W, 3)."""
        shift = round(time_s * self.drift)
        picture = Image.fromarray(np.roll(self._background, (shift, 2 * shift), axis=(0, 1)))
        for event, phase in zip(self.events, self._phases, strict=True):
            if event.start_s <= time_s < event.end_s:
                _draw(ImageDraw.Draw(picture), event, _place(time_s, phase, self.size), min(self.size) / 6)
        return np.asarray(picture)


def render_video(
    path: str | os.PathLike[str],
    events: Sequence[Event],
    *,
    duration_s: float,
    fps: int | Fraction = 10,
    size: tuple[int, int] = (320, 240),
    greys: tuple[int, int] = (30, 120),
    seed: int = 0,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: Mapping[str, str] | None = None,
) -> None:
    """Write a video file of ``round(duration_s * fps)`` frames; the container follows the file name's extension.

    Args:
        path: file to write.
        events: what is visible when.
        duration_s: length in seconds.
        fps: frames per second.
        size: (width, height) in pixels.
        greys: darkest and lightest grey of the background, 0 to 255.
        seed: for background and paths.
        codec: FFmpeg's name of an encoder.
        pix_fmt: pixel format to encode.
        options: for the encoder; by default x264 with B-frames and a key frame every 50 frames.
    """
    rate = Fraction(fps)
    # The background moves in every frame, so that there is motion to code.
    scene = Scene(events, np.random.default_rng(seed), size=size, drift=float(rate), greys=greys)
    with av.open(os.fspath(path), "w") as container:
        stream = cast("VideoStream", container.add_stream(codec, rate=rate))
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.options = dict(options) if options is not None else {"g": "50", "bf": "2", "preset": "veryfast"}
        for k in range(max(1, round(duration_s * rate))):
            frame = av.VideoFrame.from_ndarray(scene.picture(float(k / rate)), format="rgb24")
            frame.pts, frame.time_base = k, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _texture(rng: np.random.Generator, size: tuple[int, int], greys: tuple[int, int]) -> NDArray[np.uint8]:
    """Smooth grey blotches, (H, W, 3), dim enough for shapes and numbers to stand out."""
    small = Image.fromarray(np.repeat(rng.integers(*greys, (6, 8, 1), dtype=np.uint8), 3, axis=2))
    return np.asarray(small.resize(size, Image.Resampling.BICUBIC))


def _place(time_s: float, phase: NDArray[np.float64], size: tuple[int, int]) -> tuple[float, float]:
    """Where a shape's centre is."""
    return size[0] * (0.42 + 0.22 * math.sin(time_s / 2 + phase[0])), size[1] * (0.34 + 0.14 * math.cos(time_s / 3 + phase[1]))


def _draw(draw: ImageDraw.ImageDraw, event: Event, place: tuple[float, float], r: float) -> None:
    x, y = place
    color = COLORS[event.color]
    if event.shape == "circle":
        draw.ellipse((x - r, y - r, x + r, y + r), fill=color)
    elif event.shape == "square":
        draw.rectangle((x - r, y - r, x + r, y + r), fill=color)
    else:
        draw.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=color)
