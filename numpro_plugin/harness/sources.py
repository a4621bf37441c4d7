"""What tasks hand to models as "visuals" -> numbered clips: which of them are videos, and the clip of each."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.error import FFmpegError
from PIL import Image

from numpro_plugin.clips.clip import ClipInfo, blank_clip, numbered_clip, read_clip_info
from numpro_plugin.clips.stills import IMAGE_EXTENSIONS, folder_pictures, stills_clip
from numpro_plugin.environment import setting_in_environment, variable_of
from numpro_plugin.errors import NumProError
from numpro_plugin.harness import session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpro_plugin.settings import NumProSettings

log = logging.getLogger(__name__)

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


def recognise(visual: Any) -> VideoFile | Stills | None:
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


def _from_path(name: str) -> VideoFile | Stills | None:
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


def _from_dict(visual: dict[str, Any]) -> VideoFile | Stills | None:
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


def part_of(found: VideoFile | Stills | None, start_s: float | None, end_s: float | None) -> VideoFile | Stills | None:
    """The segment of a video file; pictures have no clock, so there it is an error."""
    if start_s is None and end_s is None:
        return found
    if isinstance(found, Stills):
        raise NumProError(f"{found.name}: pictures have no clock, so seconds {start_s} to {end_s} of them cannot be chosen")
    return found and replace(found, start_s=float(start_s or 0), end_s=None if end_s is None else float(end_s))


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


@dataclass(frozen=True)
class Shown:
    """The clip that stands for a video."""

    path: Path
    info: ClipInfo
    problem: str | None = None
    """Why the clip is blank instead, or None."""

    @property
    def color(self) -> str | None:
        """Colour of the numbers on it; None if there are none."""
        return self.info.settings["style"]["color"] if self.info.numbers and self.info.settings["numbers"] else None


class ClipMaker:
    """Makes the clip of whatever a task shows, all under one record of settings.

    Args:
        settings: for videos that are no clips yet.
        given: those of the settings that the user wrote down, flat (see `flat_settings`). Clips that tasks have made
            already must agree with them.
    """

    def __init__(self, settings: NumProSettings, given: Mapping[str, Any]) -> None:
        self.settings = settings
        self.given = dict(given)
        self.problems: dict[str, str] = {}
        """By name of a video that could not be read: why."""
        self._environment = _differing_environment(settings)
        if both := [name for name in self._environment if name in self.given]:
            raise NumProError(self._disagree(both[0]))

    def shown(self, source: VideoFile | Stills) -> Shown:
        """The clip of a video; a blank one with the reason, logged as an error, if it cannot be read.

        Raises:
            NumProError: the settings contradict those of a clip that is there already, or of the environment.
        """
        try:
            ready = _clip_info(source.path) if isinstance(source, VideoFile) else None
        except NumProError as error:
            return self._blank(source, error)
        if ready is not None and isinstance(source, VideoFile):
            self._check_ready(source, ready)
            return Shown(Path(source.path), ready)
        if self._environment:
            raise NumProError(self._disagree(self._environment[0]))
        try:
            if isinstance(source, Stills):
                clip = stills_clip(source.pictures or folder_pictures(source.name), self.settings)
            else:
                clip = numbered_clip(source.path, self.settings, start_s=source.start_s, end_s=source.end_s)
        except NumProError as error:
            return self._blank(source, error)
        info = _clip_info_of(str(clip), 0, 0)  # a clip in the cache never changes, only the time of its last use does
        if info is None:
            raise NumProError(f"{clip}: is in the cache of clips but is none; run: numpro cache clear")
        return Shown(clip, info)

    def color(self, source: VideoFile | Stills) -> str | None:
        """Colour of the numbers that a video's clip has or will have, without making it; None if it has none."""
        try:
            ready = _clip_info(source.path) if isinstance(source, VideoFile) else None
        except NumProError:
            return None  # its clip is blank
        if ready is not None and isinstance(source, VideoFile):
            return Shown(Path(source.path), ready).color
        return self.settings.style.color if self.settings.numbers else None

    def _blank(self, source: VideoFile | Stills, error: NumProError) -> Shown:
        if source.name not in self.problems:
            log.error("%s; every question about it counts as a failed request", error)
        self.problems[source.name] = str(error)
        clip = blank_clip(self.settings)
        return Shown(clip, ClipInfo((), (), 0.0, self.settings.pixel_dict()), str(error))

    def _check_ready(self, source: VideoFile, info: ClipInfo) -> None:
        if not info.numbers:
            return  # blank: it stands for a video that cannot be read, whatever the settings
        if source.start_s or source.end_s is not None:
            raise NumProError(f"{source.name}: is already a NumPro clip, of which no part can be taken; start from the original video")
        if self.given.get("numbers") is False and info.settings["numbers"]:
            raise NumProError(f"{source.path}: model_args say numbers=false, but the task draws the numbers; run its _plain twin instead")
        there = {**info.settings, **info.settings.get("style", {})}
        del there["numbers"]  # a plain clip stays plain
        for name in self.given.keys() & there.keys():
            value = self.given[name]
            if (list(value) if isinstance(value, tuple) else value) != there[name]:
                raise NumProError(
                    f"{source.path}: model_args say {name}={value!r}, but the task's clip was made with {name}={there[name]!r} "
                    f"({variable_of(name)}); make both the same, or leave {name} out of model_args"
                )

    def _disagree(self, name: str) -> str:
        variable = variable_of(name)
        said = f"{name}={flat_settings(self.settings)[name]!r} ({'as given' if name in self.given else 'its default'})"
        return f"{variable}={setting_in_environment(name)} is set for the tasks, but model_args of numpro have {said}; make both the same"


def flat_settings(settings: NumProSettings) -> dict[str, Any]:
    """The settings that decide pixels, by the names of model_args."""
    style = {name: getattr(settings.style, name) for name in ("position", "font_size", "color", "stroke_width", "stroke_color")}
    return {"fps": settings.fps, "frame_size": settings.frame_size, "max_frames": settings.max_frames, "numbers": settings.numbers, **style}


def _differing_environment(settings: NumProSettings) -> list[str]:
    """Names of settings for which a ``NUMPRO_*`` variable says something else."""
    ours, theirs = flat_settings(settings), flat_settings(session.current().settings(numbers=settings.numbers))
    decisive = [name for name in ours if settings.numbers or name in {"fps", "frame_size", "max_frames"}]
    return [name for name in decisive if ours[name] != theirs[name] and setting_in_environment(name) is not None]


def _clip_info(path: str) -> ClipInfo | None:
    try:
        stat = os.stat(path)
    except OSError as error:
        raise NumProError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    return _clip_info_of(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _clip_info_of(path: str, size: int, mtime_ns: int) -> ClipInfo | None:
    """Size and time of change tell a replaced file from the old one."""
    return read_clip_info(path)
