"""Frame number <-> seconds. No other module knows the mapping."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# 2.2 s at 25 numbers a second is 55.00000000000001 in floating point; without this slack a 56th number would be drawn for it.
_SLACK = 1e-9


@dataclass(frozen=True)
class Timeline:
    """A grid of numbers over a video: number ``k`` is at ``k / fps`` seconds.

    Numbers run from 0 to ``count - 1`` with ``count = max(1, ceil(duration_s * fps))``, so every number falls on a frame
    that exists. Wherever a scalar is accepted, so is an array, and an array is returned.
    """

    duration_s: float
    """Length of the video in seconds, at least 0."""

    fps: float = 0.5
    """Numbers per second, above 0. The paper's protocol is 0.5: one number every two seconds."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.duration_s) and self.duration_s >= 0):
            raise NumProError(f"duration_s must be a finite number of seconds, 0 or more, got {self.duration_s!r}")
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise NumProError(f"fps must be a finite number of numbers per second above 0, got {self.fps!r} (the paper uses 0.5)")

    @property
    def count(self) -> int:
        """How many numbers there are; at least 1."""
        return max(1, math.ceil(self.duration_s * self.fps - _SLACK))

    @overload
    def seconds(self, number: float) -> float: ...
    @overload
    def seconds(self, number: ArrayLike) -> NDArray[np.float64]: ...
    def seconds(self, number: ArrayLike) -> float | NDArray[np.float64]:
        """Time in seconds of a number. Not clamped; fractions of a number are fractions of its step."""
        times = np.asarray(number, dtype=np.float64) / self.fps
        return times if times.ndim else float(times)

    @overload
    def number(self, seconds: float) -> int: ...
    @overload
    def number(self, seconds: ArrayLike) -> NDArray[np.int64]: ...
    def number(self, seconds: ArrayLike) -> int | NDArray[np.int64]:
        """The number nearest to a time in seconds, halves upwards, clamped to 0..count-1."""
        exact = np.asarray(seconds, dtype=np.float64) * self.fps
        if np.isnan(exact).any():
            raise NumProError(f"seconds must not be NaN, got {seconds!r}")
        nearest = np.clip(np.floor(exact + 0.5), 0, self.count - 1).astype(np.int64)
        return nearest if nearest.ndim else int(nearest)

    def span_seconds(self, first: float, last: float) -> tuple[float, float]:
        """Seconds of a span of numbers, ordered (start <= end), not clamped to the video."""
        start, end = self.seconds(float(first)), self.seconds(float(last))
        return (start, end) if start <= end else (end, start)

    def span_numbers(self, start_s: float, end_s: float) -> tuple[int, int]:
        """The numbers nearest to both ends of a span in seconds, ordered and clamped to 0..count-1."""
        first, last = self.number(float(start_s)), self.number(float(end_s))
        return (first, last) if first <= last else (last, first)


def kept_numbers(count: int, max_frames: int) -> NDArray[np.int64]:
    """Which numbers are shown when at most ``max_frames`` frames may be: int64, ascending, shape ``(min(count, max_frames),)``.

    Numbers keep their values, so a thinned sequence has gaps; the first and the last always stay (with ``max_frames`` 1 only the
    first). The rule is the reference's: ``linspace(0, count - 1, max_frames)`` floored to int.

    Raises:
        NumProError: ``count`` or ``max_frames`` below 1.
    """
    if count < 1 or max_frames < 1:
        raise NumProError(f"count and max_frames must be at least 1, got count={count}, max_frames={max_frames}")
    if count <= max_frames:
        return np.arange(count, dtype=np.int64)
    return np.linspace(0, count - 1, max_frames).astype(np.int64)
