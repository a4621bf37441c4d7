"""What tasks hand to models as "visuals", or as parts of messages: which of them are videos, and what kind of video."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.error import FFmpegError
from PIL import Image

from numpro_plugin.clips.stills import IMAGE_EXTENSIONS
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

AUDIO_EXTENSIONS = frozenset({".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus", ".webm"})
"""Files that lmms-eval takes for sound. Some of them hold videos all the same."""

KINDS = "a video file, a folder or list of frames, a dict with one of them under url, path or video, an image, or audio"


@dataclass(frozen=True)
class VideoFile:
    """A video file, or the part of it from ``start_s`` to ``end_s``."""

    path: str
    start_s: float = 0.0
    end_s: float | None = None

    @property
    def name(self) -> str:
        """For messages, and to know it again."""
        part = f" ({self.start_s:g} s to {'its end' if self.end_s is None else f'{self.end_s:g} s'})"
        return self.path + (part if self.start_s or self.end_s is not None else "")


@dataclass(frozen=True, eq=False)
class Stills:
    """A video given as pictures."""

    pictures: tuple[Any, ...]
    """Paths, PIL images or arrays, in order; empty for a folder, whose pictures are looked up when they are needed."""

    name: str
    """The folder, or words for messages."""


Source = VideoFile | Stills


def recognise(visual: Any) -> Source | None:
    """Which video a visual is, or None for images, audio and nothing at all, which are handed on as they are.

    Raises:
        NumProError: it is of no known kind, or cannot be read from here (a URL).
    """
    if visual is None or isinstance(visual, Image.Image):
        return None
    if isinstance(visual, (str, os.PathLike)):
        return _from_path(os.fspath(visual))
    if isinstance(visual, dict):
        return _from_dict(visual)
    if isinstance(visual, np.ndarray) and visual.ndim == 4:
        return Stills(tuple(visual), f"array of {len(visual)} frames")
    if isinstance(visual, np.ndarray) and visual.ndim in {2, 3}:
        return None
    if isinstance(visual, (list, tuple)) and visual:
        if len(visual) == 1 and isinstance(visual[0], (str, os.PathLike, dict)):
            return recognise(visual[0])
        if all(_is_picture(frame) for frame in visual):
            return Stills(tuple(visual), f"list of {len(visual)} frames")
    raise NumProError(f"a visual of type {_kind(visual)} is unknown to NumPro; it may be {KINDS}")


def _from_path(name: str) -> Source | None:
    if name.startswith("file://"):
        name = name.removeprefix("file://")
    if "://" in name or name.startswith("data:"):
        raise NumProError(f"{name[:80]}: NumPro numbers videos on this machine; download it and give the path of the file")
    suffix = os.path.splitext(name)[1].lower()
    if os.path.isdir(name):
        return Stills((), name)
    if suffix in IMAGE_EXTENSIONS or (suffix in AUDIO_EXTENSIONS and not _shows_something(name)):
        return None
    return VideoFile(name)


def _from_dict(visual: dict[str, Any]) -> Source | None:
    if "array" in visual or visual.get("type") in {"image", "audio", "text"}:
        return None
    source = next((visual[key] for key in ("url", "path", "video") if visual.get(key) is not None), None)
    if source is None and visual.get("bytes") is not None and visual.get("type") != "video":
        return None  # an image of the datasets library
    if source is None or isinstance(source, dict):
        raise NumProError(f"a visual with the keys {', '.join(map(repr, visual))} is unknown to NumPro; it may be {KINDS}")
    found = recognise(source)
    start_s, end_s = (visual.get(f"video_{end}", visual.get(f"{end}_time")) for end in ("start", "end"))
    return part_of(found, start_s, end_s)


def part_of(found: Source | None, start_s: float | None, end_s: float | None) -> Source | None:
    """The segment of a video file; pictures have no clock, so there it is an error."""
    if start_s is None and end_s is None:
        return found
    if isinstance(found, Stills):
        raise NumProError(f"{found.name}: pictures have no clock, so seconds {start_s} to {end_s} of them cannot be chosen")
    return found and replace(found, start_s=float(start_s or 0), end_s=None if end_s is None else float(end_s))


def sources_of(visuals: Any) -> list[Source]:
    """The videos in a simple model's list of visuals."""
    return [s for s in map(recognise, visuals) if s is not None] if isinstance(visuals, (list, tuple)) else []


def message_sources(messages: Iterable[Mapping[str, Any]]) -> list[Source]:
    """The videos in a chat model's messages."""
    contents = [c for message in messages if not isinstance(message["content"], str) for c in message["content"]]
    return [source for source in map(content_source, contents) if source is not None]


def content_source(content: Mapping[str, Any]) -> Source | None:
    """The video of one part of a message. ``.webm`` comes as audio from lmms-eval, and so do dicts with segments."""
    if content.get("type") not in {"video", "audio"}:
        return None
    return part_of(recognise(content.get("url")), content.get("start_time"), content.get("end_time"))


def _is_picture(frame: Any) -> bool:
    if isinstance(frame, (str, os.PathLike)):
        return os.path.splitext(os.fspath(frame))[1].lower() in IMAGE_EXTENSIONS
    return isinstance(frame, Image.Image) or (isinstance(frame, np.ndarray) and frame.ndim == 3)


def _shows_something(name: str) -> bool:
    """Whether a file with an audio file's name has a video stream (cover art is none)."""
    try:
        with av.open(os.path.abspath(name), metadata_errors="replace") as container:
            shows = [not s.disposition & av.stream.Disposition.attached_pic for s in container.streams.video]
    except (FFmpegError, OSError):
        return name.lower().endswith(".webm")  # is then reported as a video that cannot be read
    return any(shows)


def _kind(visual: Any) -> str:
    inside = f" of {', '.join(sorted({type(x).__name__ for x in visual})) or 'nothing'}" if isinstance(visual, (list, tuple)) else ""
    return type(visual).__name__ + inside
