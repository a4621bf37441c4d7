"""One video -> one row of a shard: frames sampled, scaled and packed as JPEG, conversations in the numbers of its frames."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import cv2

from numpro_plugin.errors import NumProError
from numpro_plugin.settings import NumProSettings
from numpro_plugin.video.sampling import sample_frames

from ..instructions.conversations import Notes, RowError, numbered_turns
from ..shard_format import ShardInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from ..instructions.conversations import Video

Chroma = Literal["420", "444"]
_CHROMA: dict[Chroma, int] = {"420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, "444": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444}


@dataclass(frozen=True)
class FrameOptions:
    """What decides the content of a row. Shards made with other values do not mix in one folder."""

    fps: float = 0.5
    """Numbers per second."""

    frame_size: tuple[int, int] = (336, 336)
    """(width, height) in pixels."""

    max_frames: int = 240
    """Longer videos are thinned to so many frames, numbers unchanged."""

    quality: int = 95
    """Of the JPEGs, 1 to 100. Numbers are drawn after decoding, so it only touches what the video shows."""

    chroma: Chroma = "420"
    """``420`` halves the colours' resolution, as nearly every video has it already, and decodes a quarter faster; ``444`` keeps it."""

    past_last: int = 0
    """How far after the last number a frame number may be to be taken for it; beyond that its conversation is left out."""

    def __post_init__(self) -> None:
        NumProSettings(fps=self.fps, frame_size=self.frame_size, max_frames=self.max_frames)  # which checks them
        if not 1 <= self.quality <= 100:
            raise NumProError(f"JPEG quality must be 1 to 100, got {self.quality!r}")
        if self.chroma not in get_args(Chroma):
            raise NumProError(f"chroma must be {' or '.join(get_args(Chroma))}, got {self.chroma!r}")
        if self.past_last < 0:
            raise NumProError(f"past_last must be 0 or more, got {self.past_last!r}")

    @property
    def info(self) -> ShardInfo:
        """What the shards' files say of them."""
        return ShardInfo(fps=self.fps, frame_size=self.frame_size, max_frames=self.max_frames)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "frame_size": list(self.frame_size)}


@dataclass
class MadeRow:
    """What became of a video."""

    row: dict[str, Any] | None = None
    """The shard's row, or None if the video is left out."""

    skipped: str | None = None
    """Why it is left out."""

    notes: Notes = field(default_factory=Notes)
    """What was noticed, and the conversations that were left out."""

    warnings: list[str] = field(default_factory=list)
    """What reading the file complained of: damaged frames, a truncated file."""

    thinned: bool = False
    """Whether it has more numbers than frames."""

    other_length: str | None = None
    """How its length differs from what the annotation says, if it does by more than a second and 2 %."""


def make_row(video: Video, options: FrameOptions) -> MadeRow:
    """Sample a video and say in its numbers what is said about it. Never raises for what is wrong with the video."""
    made = MadeRow()
    if video.path is None:
        made.skipped = "no file of this name in its folder"
        return made
    with _warnings_of(made):
        try:
            _refuse_pictures(video.path)
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
        except Exception as error:  # one odd file among a million must not end the work on all others: it is listed by name
            made.skipped = f"{video.path}: {type(error).__name__}: {error}"
            return made
    timeline = frames.timeline
    drawn = set(frames.numbers.tolist())
    conversations = []
    for conversation in video.conversations:
        try:
            conversations.append(numbered_turns(conversation, timeline, drawn, made.notes, past_last=options.past_last))
        except RowError as error:
            made.notes.dropped.append({"row": conversation.row, "video": video.name, "reason": str(error)})
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
        "frames": [_jpeg(frame, options) for frame in frames.pixels],
        "conversations": conversations,
    }
    return made


def _jpeg(frame: NDArray[np.uint8], options: FrameOptions) -> bytes:
    flags = [cv2.IMWRITE_JPEG_QUALITY, options.quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _CHROMA[options.chroma]]
    done, data = cv2.imencode(".jpg", frame[..., ::-1], flags)
    if not done:
        raise NumProError(f"OpenCV cannot write a frame of shape {frame.shape} as JPEG")
    return data.tobytes()


_PICTURES = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"BM": "BMP"}


def _refuse_pictures(path: str) -> None:
    """FFmpeg takes a picture for a video of one frame."""
    try:
        with open(path, "rb") as file:
            begin = file.read(4)
    except OSError:
        return  # what is wrong with the file is said by who opens it as a video
    for magic, kind in _PICTURES.items():
        if begin.startswith(magic):
            raise NumProError(f"{path}: is a picture ({kind}), not a video")


@contextmanager
def _warnings_of(made: MadeRow) -> Iterator[None]:
    """What the library warns of goes into the manifest, by video, instead of between the lines of a progress bar."""
    handler = _Collect(made.warnings)
    log = logging.getLogger("numpro_plugin")
    propagate, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = propagate


class _Collect(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())
