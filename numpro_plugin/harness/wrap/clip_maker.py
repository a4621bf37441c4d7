"""The numbered clip that stands for whatever video a task shows, all under one record of settings."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from numpro_plugin.clips.cache import reading
from numpro_plugin.clips.clip import blank_clip, numbered_clip
from numpro_plugin.clips.metadata import ClipInfo, read_clip_info
from numpro_plugin.clips.stills import folder_pictures, stills_clip
from numpro_plugin.encoding import TimeEncoding
from numpro_plugin.environment import setting_in_environment, settings_from_environment, variable_of
from numpro_plugin.errors import NumProError
from numpro_plugin.files import file_identity
from numpro_plugin.harness.explain import Marks
from numpro_plugin.harness.sources import Source, Stills, VideoFile
from numpro_plugin.harness.task import OWN_ENCODINGS
from numpro_plugin.settings import SettingsByVideo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpro_plugin.settings import NumProSettings

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Shown:
    """The clip that stands for a video."""

    path: Path
    info: ClipInfo
    problem: str | None = None
    """Why the clip is blank instead, or None."""


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

    def shown(self, source: Source) -> Shown:
        """The clip of a video; a blank one with the reason, logged as an error, if it cannot be read.

        Raises:
            NumProError: the settings contradict those of a clip that is there already, or of the environment.
        """
        try:
            ready = _clip_info(source.path) if isinstance(source, VideoFile) else None
        except NumProError as error:
            return self._blank(source, error)
        if ready is not None and isinstance(source, VideoFile):
            if ready.is_blank:
                return self._blank(source, NumProError(f"{source.path}: is a blank clip, which stands for a video that cannot be read"))
            self._check_ready(source, ready)
            return Shown(Path(source.path), ready)
        if self._environment:
            raise NumProError(self._disagree(self._environment[0]))
        encoding = self.settings.encoding
        if isinstance(source, Stills) and {"seconds", "clock", "bar"} & {encoding.drawn, encoding.text}:
            raise NumProError(
                f"{source.name}: encoding {encoding.name} shows times, but a video given as pictures has none: use an encoding that "
                "shows numbers, such as number or text_number"
            )
        try:
            return reading(lambda: self._made(source), _shown)
        except NumProError as error:
            return self._blank(source, error)

    def read(self, source: Source, read: Callable[[Path], T]) -> T:
        """What ``read`` gets from the clip of a video. A clip that vanished before it was read is made again."""
        return reading(lambda: self.shown(source).path, read)

    def _made(self, source: Source) -> Path:
        if isinstance(source, Stills):
            return stills_clip(source.pictures or folder_pictures(source.name), self.settings)
        return numbered_clip(source.path, self.settings, start_s=source.start_s, end_s=source.end_s)

    def marks(self, source: Source) -> Marks | None:
        """How a video's clip shows time or will show it, without making it; None if it is blank."""
        ours = self.settings
        if isinstance(source, Stills):
            return Marks(ours.encoding, ours.style.color, None)
        try:
            ready = _clip_info(source.path)
        except NumProError:
            return None  # its clip is blank
        return Marks(ours.encoding, ours.style.color, ours.fps, source.start_s) if ready is None else self._marks_of(ready)

    def _marks_of(self, info: ClipInfo) -> Marks | None:
        if info.is_blank:
            return None
        encoding = self.settings.encoding
        if (info.drawn, info.layout) != (encoding.drawn, encoding.layout):
            encoding = TimeEncoding.from_dict(
                {
                    "drawn": info.drawn,
                    "text": "native" if info.layout == "frames" else "none",
                    "answer": "frames" if info.drawn in ("number", "none") else "seconds",
                    "layout": info.layout,
                }
            )
        color = info.settings.get("style", {}).get("color", self.settings.style.color)
        clock = bool(info.times_s)
        return Marks(encoding, color, info.settings["fps"] if clock else None, info.times_s[0] if clock else 0.0)

    def check_task(self, task: str, protocol: Mapping[str, Any]) -> None:
        """Refuse a task of NumPro's that shows time otherwise than model_args say; twins with an encoding of their own keep it."""
        ours, theirs = self.settings.encoding, SettingsByVideo.from_dict(protocol["settings"]).base.encoding
        if "encoding" in self.given and theirs not in (ours, *OWN_ENCODINGS.values()):
            raise NumProError(
                f"task {task} has encoding {theirs.name}, but model_args of numpro say encoding={ours.name}: set NUMPRO_ENCODING="
                f"{ours.name}, or leave encoding out of model_args"
            )

    def _blank(self, source: Source, error: NumProError) -> Shown:
        if source.name not in self.problems:
            log.error("%s; every question about it counts as a failed request", error)
        self.problems[source.name] = str(error)
        clip = blank_clip(self.settings)
        return Shown(clip, ClipInfo((), (), 0.0, self.settings.pixel_dict()), str(error))

    def _check_ready(self, source: VideoFile, info: ClipInfo) -> None:
        if source.start_s or source.end_s is not None:
            raise NumProError(f"{source.name}: is already a NumPro clip, which cannot be cut; start from the original video")
        if self.given.get("numbers") is False and info.settings["numbers"]:
            raise NumProError(f"{source.path}: model_args say numbers=false, but the task draws the numbers; run its _plain twin instead")
        encoding, plain = self.settings.encoding, (info.drawn, info.layout) == ("none", "frames")
        if "encoding" in self.given and not plain and (info.drawn, info.layout) != (encoding.drawn, encoding.layout):
            raise NumProError(
                f"{source.path}: model_args say encoding={encoding.name}, but the clip was made with drawn={info.drawn}, "
                f"layout={info.layout} (NUMPRO_ENCODING); make both the same, or leave encoding out of model_args"
            )
        there = {**info.settings, **info.settings.get("style", {}), "encoding": self.given.get("encoding")}
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
        value = f"{name}={flat_settings(self.settings)[name]!r} ({'as given' if name in self.given else 'its default'})"
        return f"{variable}={setting_in_environment(name)} is set for the tasks, but model_args of numpro have {value}; make both the same"


def flat_settings(settings: NumProSettings) -> dict[str, Any]:
    """The settings that decide what is shown, by the names of model_args."""
    style = {name: getattr(settings.style, name) for name in ("position", "font_size", "color", "stroke_width", "stroke_color")}
    return {
        "fps": settings.fps,
        "frame_size": settings.frame_size,
        "max_frames": settings.max_frames,
        "numbers": settings.numbers,
        "encoding": settings.encoding.name,
        **style,
    }


def _differing_environment(settings: NumProSettings) -> list[str]:
    """Names of settings for which a ``NUMPRO_*`` variable says something else."""
    ours, theirs = flat_settings(settings), flat_settings(settings_from_environment())
    decisive = [name for name in ours if settings.numbers or name in {"fps", "frame_size", "max_frames", "encoding"}]
    return [name for name in decisive if ours[name] != theirs[name] and setting_in_environment(name) is not None]


def _shown(clip: Path) -> Shown:
    info = _clip_info_of(str(clip), 0, 0)  # a clip in the cache never changes, only the time of its last use does
    if info is None:
        raise NumProError(f"{clip}: is in the cache of clips but is not a numbered clip; remove the file and run again")
    return Shown(clip, info)


def _clip_info(path: str) -> ClipInfo | None:
    return _clip_info_of(path, *file_identity(path)[1:])


@lru_cache(maxsize=4096)
def _clip_info_of(path: str, size: int, mtime_ns: int) -> ClipInfo | None:
    """Size and time of change tell a replaced file from the old one."""
    return read_clip_info(path)
