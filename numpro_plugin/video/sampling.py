"""One video file -> the frames on the number grid."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from numpro_plugin.environment import decoder_name
from numpro_plugin.errors import NumProError
from numpro_plugin.timeline import Timeline, kept_numbers
from numpro_plugin.video.decoders import DECODERS, decode_everything
from numpro_plugin.video.packets import PacketIndex, read_packets

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Frames:
    """Sampled frames with their numbers and the grid that gives the numbers a time."""

    pixels: NDArray[np.uint8]
    """RGB, (N, H, W, 3)."""

    numbers: NDArray[np.int64]
    """The frames' numbers on the grid, (N,), ascending; with gaps where ``max_frames`` left frames out."""

    timeline: Timeline
    """The grid: number k is at ``k / timeline.fps`` seconds after the first frame."""

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or self.pixels.shape[3] != 3 or self.pixels.dtype != np.uint8:
            raise NumProError(f"pixels must be uint8 of shape (N, H, W, 3), got {self.pixels.dtype} {self.pixels.shape}")
        if self.numbers.shape != (len(self.pixels),):
            raise NumProError(f"numbers must have shape ({len(self.pixels)},), one per frame, got {self.numbers.shape}")

    def __len__(self) -> int:
        return len(self.pixels)


def sample_frames(
    video: str | os.PathLike[str] | PacketIndex,
    *,
    fps: float = 0.5,
    frame_size: tuple[int, int] | None = (336, 336),
    max_frames: int | None = 240,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> Frames:
    """The frames that are on screen at 0, 1/fps, 2/fps, ... seconds after the first frame (after ``start_s``, if given).

    Exact for constant and variable frame rate; rotated and mirrored videos come upright. Only the chosen frames are held in memory.

    Args:
        video: path of a video file, or its index, which saves reading its packets again.
        fps: numbers per second.
        frame_size: (width, height) to resize to, bilinear without smoothing (OpenCV's default, as the paper); None keeps the size.
        max_frames: keep at most this many frames, by the reference's linspace rule, numbers unchanged; None keeps all.
        start_s: skip everything before this time: number k is then shown at ``start_s + k / fps``, and the timeline counts from there.
        end_s: ignore everything after this time in the file, in seconds.

    Raises:
        NumProError: the file cannot be read as a video, or an option is out of range.
    """
    if frame_size is not None and not (isinstance(frame_size, tuple) and len(frame_size) == 2 and min(frame_size) > 0):
        raise NumProError(f"frame_size must be (width, height) in pixels or None, got {frame_size!r}")
    if max_frames is not None and max_frames < 1:
        raise NumProError(f"max_frames must be 1 or more, or None, got {max_frames!r}")
    if not 0 <= start_s < math.inf:
        raise NumProError(f"start_s must be 0 seconds or more, got {start_s!r}")
    if end_s is not None and not end_s > start_s:
        raise NumProError(f"end_s must be above {start_s:g} seconds, got {end_s!r}")
    index = video if isinstance(video, PacketIndex) else read_packets(video)
    if start_s and start_s >= index.duration_s:
        raise NumProError(f"{index.path}: lasts {index.duration_s:.2f} s, so start_s must be below that, got {start_s:g}")
    timeline = Timeline((index.duration_s if end_s is None else min(index.duration_s, end_s)) - start_s, fps)
    numbers = kept_numbers(timeline.count, max_frames or timeline.count)
    return Frames(frames_at(index, start_s + timeline.seconds(numbers), frame_size=frame_size), numbers, timeline)


def frames_at(index: PacketIndex, times_s: NDArray[np.float64], *, frame_size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """The frames that are on screen at these times, uint8 RGB (N, H, W, 3).

    Args:
        index: the video.
        times_s: seconds after the first frame, (N,), at least one; times beyond the last frame show the last one.
        frame_size: as in `sample_frames`.

    Raises:
        NumProError: none of the frames can be decoded.
    """
    shown = index.on_screen(times_s)
    # The times may be closer than the video's frames: the same frame is then decoded once and shown several times.
    wanted = np.unique(shown)
    pixels: NDArray[np.uint8] | None = None
    missing = set(wanted.tolist())
    for decode in (DECODERS[decoder_name()], decode_everything):
        with _one_opencv_thread:
            for position, picture in decode(index, np.array(sorted(missing), dtype=np.int64)):
                # A video may change its size; without frame_size, the first frame's size is used.
                size = frame_size or (pixels.shape[2:0:-1] if pixels is not None else picture.shape[1::-1])
                if picture.shape[1::-1] != size:
                    picture = cast("NDArray[np.uint8]", cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR))  # noqa: PLW2901
                if pixels is None:
                    pixels = np.empty((len(shown), *picture.shape), dtype=np.uint8)
                pixels[shown == position] = picture
                missing.discard(position)
        if not missing:
            break
    if pixels is None:
        raise NumProError(f"{index.path}: none of its frames can be decoded; the file is damaged")
    return pixels


class _OneOpenCVThread:
    """OpenCV resizes in one thread while frames are sampled: for frames this small a second one triples the CPU time.

    The setting is global in OpenCV, so the last sampler to finish restores what the first one found.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                cv2.setNumThreads(self._before)


_one_opencv_thread = _OneOpenCVThread()
