"""Sampled frames -> the pictures and texts that a model gets, by the settings' time encoding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from numpro_plugin.encoding import drawn_kind
from numpro_plugin.numbering import check_fit, draw_marks, draw_numbers
from numpro_plugin.progress_bar import check_room, draw_bars
from numpro_plugin.timeline import Timeline, kept_numbers
from numpro_plugin.video.sampling import Frames, sample_frames

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from numpro_plugin.settings import NumProSettings
    from numpro_plugin.video.packets import PacketIndex


@dataclass(frozen=True, eq=False)
class ShownVideo:
    """What a model gets of a video."""

    pictures: Frames
    """Frames with their marks, or grids of them, in the settings' ``frame_size``. A grid has the number of its first frame."""

    texts: tuple[str, ...] | None
    """What is written before each picture; None leaves it to the family's own processor."""

    numbers: NDArray[np.int64]
    """Numbers of all frames that are shown, (N,)."""

    def __len__(self) -> int:
        return len(self.pictures)


def sampled_frames(
    video: str | os.PathLike[str] | PacketIndex, settings: NumProSettings, *, start_s: float = 0.0, end_s: float | None = None
) -> Frames:
    """The frames that the settings show, in the size that `show` wants, before anything is drawn. See `sample_frames` for the arguments."""
    return sample_frames(
        video, fps=settings.fps, frame_size=settings.tile_size, max_frames=settings.max_frames, start_s=start_s, end_s=end_s
    )


def show(frames: Frames, settings: NumProSettings, *, numbers: NDArray[np.int64] | None = None) -> ShownVideo:
    """Frames as the model gets them. Letters are drawn in place; bars and grids are new pictures.

    Args:
        frames: as `sampled_frames` gives them; frames of another size are resized (a grid's or bar's share of stored ones).
        settings: what is drawn and written, and how.
        numbers: to show in place of the frames' own, (N,); training shows shifted ones.

    Raises:
        NumProError: a mark is wider than its frame.
    """
    encoding = settings.encoding
    pixels = marked_frames(frames, settings, numbers=numbers)
    texts = encoding.texts((frames.numbers if numbers is None else numbers).tolist(), frames.timeline.fps)
    # Times that are drawn and those that a family writes by itself must agree; with frame numbers the latter stay as they always were.
    own = frames.numbers if encoding.answer == "frames" or numbers is None else numbers
    if grid := encoding.grid:
        parts = grid.parts(len(pixels))
        pixels = np.stack([_composed(pixels[part.start : part.stop], grid.columns, grid.rows) for part in parts])
        own = frames.numbers[[part.start for part in parts]]
    return ShownVideo(Frames(pixels, own, frames.timeline), texts, frames.numbers)


def marked_frames(frames: Frames, settings: NumProSettings, *, numbers: NDArray[np.int64] | None = None) -> NDArray[np.uint8]:
    """Each frame by itself with what is drawn on it, uint8 (N, H, W, 3); those of a grid before they are put together.

    Arguments and errors as of `show`.
    """
    encoding, fps = settings.encoding, frames.timeline.fps
    marked = frames.numbers if numbers is None else numbers
    pixels = _resized(frames.pixels, settings.tile_size) if encoding.grid or encoding.drawn == "bar" else frames.pixels
    kind = drawn_kind(encoding)
    if kind == "number":
        draw_numbers(pixels, marked, settings.style)
    elif kind is not None:
        marks = encoding.marks(kind, marked.tolist(), fps)
        check_fit(marks, (pixels.shape[2], pixels.shape[1]), settings.style)
        draw_marks(pixels, marks, settings.style)
    elif encoding.drawn == "bar":
        labels = encoding.marks("seconds", marked.tolist(), fps)
        times_s = (marked / fps).tolist()
        duration_s = max(frames.timeline.duration_s, times_s[-1])
        pixels = draw_bars(pixels, times_s, labels, duration_s=duration_s, height=settings.frame_size[1], color=settings.style.color)
    return pixels


def check_marks(settings: NumProSettings, duration_s: float) -> None:
    """Check, before a video of some length is read, that the times which are drawn on its frames can be read.

    Raises:
        NumProError: one is wider than its frame, or leaves a bar no room.
    """
    encoding, fps = settings.encoding, settings.fps
    numbers: list[int] = kept_numbers(Timeline(duration_s, fps).count, settings.max_frames).tolist()
    if encoding.drawn == "bar":
        check_room(encoding.marks("seconds", numbers, fps), settings.frame_size)
    elif encoding.drawn in ("seconds", "clock"):
        check_fit(encoding.marks(encoding.drawn, numbers, fps), settings.tile_size, settings.style)


def show_video(
    video: str | os.PathLike[str] | PacketIndex, settings: NumProSettings, *, start_s: float = 0.0, end_s: float | None = None
) -> ShownVideo:
    """A video as the model gets it: `sampled_frames`, then `show`."""
    return show(sampled_frames(video, settings, start_s=start_s, end_s=end_s), settings)


def picture_count(frames: int, settings: NumProSettings) -> int:
    """How many pictures stand for ``frames`` frames: as many, or their grids."""
    grid = settings.encoding.grid
    return frames if grid is None else len(grid.parts(frames))


def _resized(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    if (pixels.shape[2], pixels.shape[1]) == size:
        return pixels
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in pixels])


def _composed(tiles: NDArray[np.uint8], columns: int, rows: int) -> NDArray[np.uint8]:
    """Tiles (n, h, w, 3) in reading order as one picture (rows * h, columns * w, 3); places without a tile are black."""
    height, width = tiles.shape[1:3]
    whole = np.zeros((rows * columns, height, width, 3), dtype=np.uint8)
    whole[: len(tiles)] = tiles
    return whole.reshape(rows, columns, height, width, 3).swapaxes(1, 2).reshape(rows * height, columns * width, 3)
