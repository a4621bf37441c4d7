"""One video -> one row of a shard: frames sampled, resized and packed as JPEG, conversations with the numbers of its frames."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import cv2

from numpro_plugin.errors import NumProError
from numpro_plugin.settings import NumProSettings
from numpro_plugin.video.sampling import sample_frames

from ..instructions.conversations import NumberingNotes, RowError, numbered_turns
from ..shard_format import ShardInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from ..instructions.conversations import TrainingVideo

Chroma = Literal["420", "444"]
_CHROMA: dict[Chroma, int] = {"420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, "444": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444}


@dataclass(frozen=True)
class FrameOptions:
    """What determines the content of a row. Shards made with different values are never mixed in one folder."""

    fps: float = 0.5
    """Numbers per second."""

    frame_size: tuple[int, int] = (336, 336)
    """(width, height) in pixels."""

    max_frames: int = 240
    """Longer videos are thinned to this many frames, numbers unchanged."""

    quality: int = 95
    """JPEG quality, 1 to 100. Numbers are drawn after decoding, so it affects the video's content only."""

    chroma: Chroma = "420"
    """``420`` halves the resolution of colours, as nearly every video does already, and decodes a quarter faster; ``444`` keeps it."""

    past_last: int = 0
    """A frame number up to this far after the last one is replaced by the last; a conversation with a larger one is left out."""

    def __post_init__(self) -> None:
        NumProSettings(fps=self.fps, frame_size=self.frame_size, max_frames=self.max_frames)  # checks all three
        if not 1 <= self.quality <= 100:
            raise NumProError(f"JPEG quality must be 1 to 100; got {self.quality!r}")
        if self.chroma not in get_args(Chroma):
            raise NumProError(f"chroma must be {' or '.join(get_args(Chroma))}; got {self.chroma!r}")
        if self.past_last < 0:
            raise NumProError(f"past_last must be 0 or more; got {self.past_last!r}")

    @property
    def info(self) -> ShardInfo:
        """The record in the shards' metadata."""
        return ShardInfo(fps=self.fps, frame_size=self.frame_size, max_frames=self.max_frames, times=True)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "frame_size": list(self.frame_size)}


@dataclass
class MadeRow:
    """The result of making a row from a video."""

    row: dict[str, Any] | None = None
    """The shard's row, or None if the video is left out."""

    skipped: str | None = None
    """The reason if it is left out."""

    notes: NumberingNotes = field(default_factory=NumberingNotes)
    """Counts, and the conversations that were left out."""

    warnings: list[str] = field(default_factory=list)
    """Warnings while reading the file: damaged frames, a truncated file."""

    thinned: bool = False
    """Whether it has more numbers than frames."""

    other_length: str | None = None
    """Both lengths, if the file's differs from the annotated one by more than a second and 2 %."""


def make_row(video: TrainingVideo, options: FrameOptions) -> MadeRow:
    """Sample a video and put the numbers of its frames into its conversations. Never raises for a fault of the video."""
    made = MadeRow()
    if video.left_out is not None:
        made.skipped = video.left_out
        return made
    if video.path is None:
        made.skipped = "no file of this name in its folder"
        return made
    with _collect_warnings(made):
        try:
            _reject_pictures(video.path)
            frames = sample_frames(
                video.path,
                fps=options.fps,
                frame_size=options.frame_size,
                max_frames=options.max_frames,
                start_s=video.start_s,
                end_s=video.end_s,
            )
        except NumProError as error:
            made.skipped = str(error)
            return made
        except Exception as error:  # one odd file among a million must not stop all others: it is listed by name
            made.skipped = f"{video.path}: {type(error).__name__}: {error}"
            return made
    timeline = frames.timeline
    shown = set(frames.numbers.tolist())
    conversations = []
    for conversation in video.conversations:
        try:
            conversations.append(numbered_turns(conversation, timeline, shown, made.notes, past_last=options.past_last))
        except RowError as error:
            made.notes.skipped_rows.append({"row": conversation.row, "video": video.name, "reason": str(error)})
    made.thinned = len(frames) < timeline.count
    if video.annotated_s is not None and abs(timeline.duration_s - video.annotated_s) > max(1.0, 0.02 * video.annotated_s):
        made.other_length = f"is {timeline.duration_s:.2f} s, annotated {video.annotated_s:.2f} s"
    if not conversations:
        made.skipped = "none of its conversations can be used"
        return made
    made.row = {
        "video": video.name,
        "source": video.source,
        "duration_s": timeline.duration_s,
        "fps": timeline.fps,
        "frames": [encode_jpeg(frame, options) for frame in frames.pixels],
        "conversations": conversations,
    }
    return made


def encode_jpeg(frame: NDArray[np.uint8], options: FrameOptions) -> bytes:
    """An RGB frame (H, W, 3) as the bytes of a JPEG file."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, options.quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _CHROMA[options.chroma]]
    done, data = cv2.imencode(".jpg", frame[..., ::-1], flags)
    if not done:
        raise NumProError(f"OpenCV cannot encode a frame of shape {frame.shape} as JPEG")
    return data.tobytes()


_PICTURES = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"BM": "BMP"}


def _reject_pictures(path: str) -> None:
    """Raise NumProError for a picture, which FFmpeg would open as a video of one frame."""
    try:
        with open(path, "rb") as file:
            head = file.read(4)
    except OSError:
        return  # opening it as a video gives a better message
    for magic, kind in _PICTURES.items():
        if head.startswith(magic):
            raise NumProError(f"{path}: is a picture ({kind}), not a video")


@contextmanager
def _collect_warnings(made: MadeRow) -> Iterator[None]:
    """The library's warnings go into the manifest, by video, and not between the lines of a progress bar."""
    handler = _Collector(made.warnings)
    log = logging.getLogger("numpro_plugin")
    propagate, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = propagate


class _Collector(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())
