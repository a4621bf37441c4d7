"""NumProSettings: the one record of how frames are sampled, numbered and asked about."""

from __future__ import annotations

import difflib
import math
import os
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from numpro_plugin.errors import NumProError
from numpro_plugin.numbering import NumberStyle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PromptKind = Literal["zeroshot", "ft"]


@dataclass(frozen=True)
class NumProSettings:
    """Everything that decides which pixels a model sees and which question it is asked. The defaults are the paper's protocol."""

    fps: float = 0.5
    """Numbers per second."""

    frame_size: tuple[int, int] = (336, 336)
    """(width, height) in pixels that frames are resized to before the number is drawn; each 16 to 4096."""

    max_frames: int = 240
    """At most so many frames are shown; longer videos are thinned evenly and numbers keep their values. 1 or more."""

    numbers: bool = True
    """Whether the numbers are drawn. False is the ablation: same frames, no numbers."""

    style: NumberStyle = field(default_factory=NumberStyle)
    """How the numbers look."""

    prompt: PromptKind = "zeroshot"
    """Which wording is used where the paper has two: that for untrained models or that for NumPro-FT."""

    def __post_init__(self) -> None:
        if not (isinstance(self.fps, (int, float)) and math.isfinite(self.fps) and 0 < self.fps <= 240):
            raise NumProError(f"fps={self.fps!r} must be above 0 and at most 240 numbers per second (the paper uses 0.5)")
        object.__setattr__(self, "fps", float(self.fps))  # 1 and 1.0 are one setting, in hashes too
        size = self.frame_size
        if not (isinstance(size, tuple) and len(size) == 2 and all(isinstance(n, int) and 16 <= n <= 4096 for n in size)):
            raise NumProError(f"frame_size={size!r} must be (width, height), each 16 to 4096 pixels")
        if not (isinstance(self.max_frames, int) and self.max_frames >= 1):
            raise NumProError(f"max_frames={self.max_frames!r} must be an integer, 1 or more")
        if not isinstance(self.style, NumberStyle):
            raise NumProError(f"style={self.style!r} must be a NumberStyle")
        if self.prompt not in get_args(PromptKind):
            raise NumProError(f"prompt={self.prompt!r} is unknown; allowed: {', '.join(get_args(PromptKind))}")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; `from_dict` is the inverse."""
        return {**asdict(self), "frame_size": list(self.frame_size)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NumProSettings:
        """Read what `to_dict` wrote. Raises NumProError for keys that do not exist."""
        known = {f.name for f in fields(cls)}
        if unknown := set(values) - known:
            raise NumProError(f"unknown setting(s) {', '.join(sorted(unknown))}; allowed: {', '.join(sorted(known))}")
        values = dict(values)
        if "frame_size" in values:
            values["frame_size"] = tuple(values["frame_size"])
        if "style" in values:
            styles = {f.name for f in fields(NumberStyle)}
            if unknown := set(values["style"]) - styles:
                raise NumProError(f"unknown setting(s) of style {', '.join(sorted(unknown))}; allowed: {', '.join(sorted(styles))}")
            values["style"] = NumberStyle(**values["style"])
        return cls(**values)

    def pixel_dict(self) -> dict[str, Any]:
        """The part of `to_dict` that decides the pixels: two settings that agree here give the same clip."""
        values = self.to_dict()
        del values["prompt"]
        if not self.numbers:
            del values["style"]
        return values

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, *, numbers: bool = True) -> NumProSettings:
        """The settings of the tasks: the defaults, or what the model ``announced``, changed by ``NUMPRO_*`` environment variables.

        Raises:
            NumProError: a value out of range, a ``NUMPRO_*`` variable that does not exist (a misspelt one changes nothing
                silently), or one that differs from what the model announced.
        """
        environ = os.environ if environ is None else environ
        unknown = [name for name in environ if name.startswith("NUMPRO_") and name not in _ENV and name not in _OTHER_ENV]
        if unknown:
            allowed = sorted({*_ENV, *_OTHER_ENV})
            close = difflib.get_close_matches(unknown[0], allowed, n=1)
            hint = f"; did you mean {close[0]}?" if close else "."
            raise NumProError(f"environment variable {unknown[0]} is unknown{hint} Allowed: {', '.join(allowed)}")
        settings: dict[str, Any] = dict(_announced.values)
        style: dict[str, Any] = {}
        for variable, (name, convert) in _ENV.items():
            if variable in environ:
                try:
                    value = convert(environ[variable])
                except ValueError as error:
                    raise NumProError(f"{variable}={environ[variable]!r} cannot be read: {error}") from error
                if (said := _announced.values.get(name, value)) != value:
                    raise NumProError(
                        f"{variable}={environ[variable]} differs from {name}={said!r} of {_announced.source}: change one of them, "
                        "or leave the variable away"
                    )
                (settings if name in {f.name for f in fields(cls)} else style)[name] = value
        try:
            return replace(cls(**settings, numbers=numbers), style=NumberStyle(**style))
        except NumProError as error:
            raise NumProError(f"{error} (from NUMPRO_* environment variables)") from error


@dataclass(frozen=True)
class Announcement:
    """What a model that takes part in sampling says before the tasks are made."""

    source: str = ""
    """Who says so, for errors."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``NumProSettings`` that follow from the model, such as its ``frame_size``."""

    identity: Mapping[str, Any] = field(default_factory=dict)
    """What makes its answers what they are (contents of an adapter, precision, ...): goes into the protocol of results."""


_announced = Announcement()


def announce(announcement: Announcement) -> None:
    """Let the tasks of this process follow a model. lmms-eval makes the model first; the latest one counts."""
    global _announced  # noqa: PLW0603 (one model answers in a process of lmms-eval, and tasks have no other way to ask it)
    _announced = announcement


def announced() -> Announcement:
    """What the latest model announced."""
    return _announced


def parse_frame_size(text: str) -> tuple[int, int]:
    """``"336"`` or ``"448x336"`` (width x height) -> (width, height)."""
    width, _, height = text.lower().partition("x")
    return int(width), int(height or width)


_ENV: dict[str, tuple[str, Callable[[str], Any]]] = {
    "NUMPRO_FPS": ("fps", float),
    "NUMPRO_FRAME_SIZE": ("frame_size", parse_frame_size),
    "NUMPRO_MAX_FRAMES": ("max_frames", int),
    "NUMPRO_PROMPT": ("prompt", str),
    "NUMPRO_POSITION": ("position", str),
    "NUMPRO_FONT_SIZE": ("font_size", float),
    "NUMPRO_COLOR": ("color", str),
    "NUMPRO_STROKE_WIDTH": ("stroke_width", float),
    "NUMPRO_STROKE_COLOR": ("stroke_color", str),
}
# Where things are kept and how they are read: these change no answer.
_OTHER_ENV = ("NUMPRO_DATA", "NUMPRO_SPLIT", "NUMPRO_CACHE", "NUMPRO_CACHE_GB", "NUMPRO_DECODER", "NUMPRO_SHARED")
