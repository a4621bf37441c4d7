"""The frames that a model saw, small: one JPEG per video with up to 16 numbered frames around truth and answers."""

from __future__ import annotations

import io
import itertools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from numpro_plugin.errors import NumProError
from numpro_plugin.timeline import Timeline, kept_numbers
from numpro_plugin.video.packets import read_packets
from numpro_plugin.views.marks import marked_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from numpro_plugin.settings import NumProSettings
    from numpro_plugin.views.runs import Span

log = logging.getLogger(__name__)

MOST_FRAMES = 16
FRAME_HEIGHT = 96
_COLUMNS = 4
_JPEG_QUALITY = 78


@dataclass(frozen=True)
class Sprite:
    """Several frames of one video in one picture, row by row, four in a row."""

    jpeg: bytes
    width: int
    """Of one frame, in pixels."""
    height: int
    numbers: list[int]
    times_s: list[float]
    shown: int
    """Frames that the model saw, these among them."""


def video_sprite(
    video: str, settings: NumProSettings, spans: Sequence[Span], *, start_s: float = 0.0, end_s: float | None = None
) -> Sprite:
    """The frames of a video that tell most about these spans, with the marks that the model saw but scaled down; those of grids singly.

    Of a part of the video (``start_s`` to ``end_s``, seconds of the file) all times count from its start.

    Raises:
        NumProError: the video cannot be read.
    """
    index = read_packets(video)
    timeline = Timeline(max(0.0, min(index.duration_s, end_s or index.duration_s) - start_s), settings.fps)
    shown = kept_numbers(timeline.count, settings.max_frames)
    numbers = telling_numbers(shown, timeline, spans)
    times_s = timeline.seconds(numbers)
    pixels = marked_frames(index, numbers, timeline, settings, start_s=start_s)
    small = [_scaled(frame) for frame in pixels]
    width, height = small[0].size
    columns = min(_COLUMNS, len(small))
    sheet = Image.new("RGB", (width * columns, height * -(-len(small) // columns)))
    for k, frame in enumerate(small):
        sheet.paste(frame, (width * (k % columns), height * (k // columns)))
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return Sprite(out.getvalue(), width, height, numbers.tolist(), [round(float(t), 3) for t in times_s], len(shown))


def telling_numbers(shown: NDArray[np.int64], timeline: Timeline, spans: Sequence[Span], most: int = MOST_FRAMES) -> NDArray[np.int64]:
    """At most ``most`` of the shown numbers: the ends of the spans first, then their neighbours outside, then what fills the gaps evenly.

    Args:
        shown: numbers of the frames that were shown, ascending, at least one.
        timeline: their grid.
        spans: in seconds; may end beyond the video or before they start.
        most: 1 or more.
    """
    if len(shown) <= most:
        return shown
    chosen: dict[int, None] = {}

    def nearest(time_s: float, step: int = 0) -> None:
        at = int(np.abs(timeline.seconds(shown) - time_s).argmin())
        chosen.setdefault(int(np.clip(at + step, 0, len(shown) - 1)))

    for start, end in spans:
        nearest(start)
        nearest(end)
    for start, end in spans:
        nearest(min(start, end), -1)
        nearest(max(start, end), +1)
    picked = list(chosen)[:most]
    while len(picked) < most:  # the middle of the widest gap, the video's ends included
        known = sorted({-1, *picked, len(shown)})
        low, high = max(itertools.pairwise(known), key=lambda gap: gap[1] - gap[0])
        picked.append((low + high) // 2)
    return shown[sorted(picked)]


def _scaled(frame: NDArray[np.uint8]) -> Image.Image:
    picture = Image.fromarray(frame)
    width = max(1, round(picture.width * FRAME_HEIGHT / picture.height))
    return picture.resize((width, FRAME_HEIGHT), Image.Resampling.LANCZOS)


def sprite_or_reason(
    video: str, settings: NumProSettings | None, spans: Sequence[Span], *, start_s: float = 0.0, end_s: float | None = None
) -> tuple[Sprite | None, str]:
    """The sprite, or None and why there is none: a report shows a placeholder then and does not fail."""
    if settings is None:
        return None, "the log does not say how the frames were made (another version wrote it)"
    try:
        return video_sprite(video, settings, spans, start_s=start_s, end_s=end_s), ""
    except (NumProError, OSError) as error:
        log.warning("no picture of %s: %s", video, error)
        return None, str(error)
