"""What a numbered clip says about itself in its file, and whether the file agrees with it."""

from __future__ import annotations

import json
import logging
import math
import os
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from numpro_plugin.clips.checksum import verify_checksum
from numpro_plugin.encoding import TimeEncoding
from numpro_plugin.errors import NumProError
from numpro_plugin.timeline import Timeline, kept_numbers
from numpro_plugin.video.packets import open_video

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClipInfo:
    """What a clip says about itself in its file's metadata."""

    numbers: tuple[int, ...]
    """Number of each frame, or of a grid's first. A last frame repeated to make the count even is not listed. Empty for a blank clip."""

    times_s: tuple[float, ...]
    """Time of each frame in the source video, seconds; empty for pictures that came without a clock."""

    duration_s: float
    """Length of the source video (or of the part that was used), seconds."""

    settings: dict[str, Any]
    """`NumProSettings.pixel_dict` of the clip."""

    @property
    def is_blank(self) -> bool:
        """Whether the clip stands for a video that could not be read. Whatever a model says about it is not an answer."""
        return not self.numbers

    @property
    def drawn(self) -> str:
        """What is drawn on the frames, as in `TimeEncoding`."""
        usual = "number" if self.settings["numbers"] else "none"
        return str(self.settings.get("encoding", {}).get("drawn", usual))

    @property
    def layout(self) -> str:
        """How frames are arranged, as in `TimeEncoding`."""
        return str(self.settings.get("encoding", {}).get("layout", "frames"))

    @property
    def frame_numbers(self) -> list[int]:
        """Numbers of all frames that are shown; a picture may hold several."""
        if self.layout == "frames":
            return list(self.numbers)
        count = Timeline(self.duration_s, self.settings["fps"]).count
        return [int(number) for number in kept_numbers(count, self.settings["max_frames"])]

    def comment(self) -> str:
        """The text that the file's metadata holds under ``comment``."""
        return json.dumps({"numpro": vars(self)})


def read_clip_info(path: str | os.PathLike[str]) -> ClipInfo | None:
    """What a numbered clip says about itself; None for any other video.

    The metadata is believed only where the file agrees: as many frames, of that size, each a lossless key frame. A video whose
    comment is a clip's but whose frames are not (trimmed, scaled, encoded again, or only pretending) is an ordinary video, and a
    warning says so.

    Raises:
        NumProError: the file cannot be opened as a video, or is a clip whose bytes are damaged.
    """
    container, stream = open_video(path)
    with container:
        metadata = {key.lower(): value for key, value in container.metadata.items()}  # Matroska writes COMMENT
        info = _parsed(metadata.get("comment", ""))
        if info is None:
            return None
        difference = _difference(info, container, stream)
    if verify_checksum(path) == "damaged":
        raise NumProError(
            f"{os.fspath(path)}: is a numbered clip whose bytes are not those that were written (its checksum differs); "
            "make it again from the original video"
        )
    if difference:
        log.warning("%s: its comment is that of a numbered clip, but %s; it is taken for an ordinary video", os.fspath(path), difference)
        return None
    return info


def is_blank_clip(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a blank clip, which stands for a video that could not be read.

    Raises:
        NumProError: see `read_clip_info`.
    """
    info = read_clip_info(path)
    return info is not None and info.is_blank


def _parsed(comment: str) -> ClipInfo | None:
    """The record in a comment, or None if the comment is something else. Comments are anybody's text: nothing is taken for granted."""
    try:
        record = json.loads(comment)["numpro"]
        numbers, times_s, duration_s, settings = (record[key] for key in ("numbers", "times_s", "duration_s", "settings"))
        good = (
            isinstance(numbers, list)
            and all(type(number) is int for number in numbers)
            and all(a < b for a, b in pairwise([-1, *numbers]))
            and isinstance(times_s, list)
            and len(times_s) in {0, len(numbers)}
            and all(map(_is_number, [*times_s, duration_s, settings["fps"], *settings["frame_size"]]))
            and len(settings["frame_size"]) == 2
            and isinstance(settings["numbers"], bool)
            and (not settings["numbers"] or isinstance(settings["style"]["color"], str))
            and _is_encoding(settings, duration_s, len(numbers))
        )
        return ClipInfo(tuple(numbers), tuple(times_s), duration_s, dict(settings)) if good else None
    except (NumProError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None


def _is_encoding(settings: dict[str, Any], duration_s: float, pictures: int) -> bool:
    """Whether what settings say of an encoding exists, and whether grids may hold all frames. Raises NumProError where it does not."""
    value = settings.get("encoding", {})
    if not set(value) <= {"drawn", "layout"}:
        return False
    shown = TimeEncoding(drawn=value.get("drawn", "none"), text="none", answer="seconds", layout=value.get("layout", "frames"))
    grid = shown.grid
    return grid is None or min(Timeline(duration_s, settings["fps"]).count, settings["max_frames"]) <= grid.frames * pictures


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _difference(info: ClipInfo, container: InputContainer, stream: VideoStream) -> str | None:
    """What of a file contradicts its metadata, in words; None if nothing does."""
    context = stream.codec_context
    wide, high = info.settings["frame_size"]
    if (context.width, context.height) != (wide, high):
        return f"its frames are {context.width} x {context.height} pixels, not {wide} x {high}"
    if (context.name, context.pix_fmt) != ("h264", "gbrp"):
        return f"its frames were encoded again ({context.name}, {context.pix_fmt}), so the numbers are not as they were drawn"
    packets = [packet for packet in container.demux(stream) if packet.size]
    count = len(info.numbers) or 2
    # An odd count was made even by one repeated frame. A clip for a reader that drops the last frame has one more than an even count.
    if len(packets) not in ({count + 1} if count % 2 else {count, count + 1}):
        return f"the file has {len(packets)} frames, and the comment lists {count}"
    if not all(packet.is_keyframe for packet in packets):
        return "not every frame is a key frame"
    return None
