"""NumProSettings: the one record of how frames are sampled, numbered and asked about."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from numpro_plugin.encoding import NUMBER, PLAIN, TimeEncoding, encoding_of
from numpro_plugin.errors import NumProError
from numpro_plugin.numbering import NumberStyle
from numpro_plugin.progress_bar import bar_height
from numpro_plugin.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Mapping

SMALLEST_SIDE = 16
"""Of a picture, in pixels."""

PromptKind = Literal["zeroshot", "ft"]

_FRAME_SIZE = re.compile(r"\s*(?P<width>[0-9]{1,6})\s*(?:[xX]\s*(?P<height>[0-9]{1,6})\s*)?")


@dataclass(frozen=True, init=False)
class NumProSettings:
    """Everything that decides what a model sees and which question it is asked. The defaults are the paper's protocol.

    ``numbers`` is a short word for the encoding: ``NumProSettings(numbers=False)`` draws nothing and is otherwise the same.
    """

    fps: float = 0.5
    """Numbers per second."""

    frame_size: tuple[int, int] = (336, 336)
    """(width, height) in pixels of the pictures that the model gets, each 16 to 4096: of a frame, resized before anything is drawn on it,
    or of a grid of frames."""

    max_frames: int = 240
    """The most frames to show, 1 or more; longer videos are thinned evenly and numbers keep their values."""

    style: NumberStyle = field(default_factory=NumberStyle)
    """How drawn marks look."""

    prompt: PromptKind = "zeroshot"
    """Which of the paper's two wordings to use: ``zeroshot`` for untrained models or ``ft`` for NumPro-FT."""

    encoding: TimeEncoding = NUMBER
    """How time is shown and asked for."""

    def __init__(
        self,
        fps: float = 0.5,
        frame_size: tuple[int, int] = (336, 336),
        max_frames: int = 240,
        numbers: bool | None = None,
        style: NumberStyle | None = None,
        prompt: PromptKind = "zeroshot",
        encoding: TimeEncoding = NUMBER,
    ) -> None:
        if numbers is not None and isinstance(encoding, TimeEncoding):
            encoding = encoding_with(encoding, numbers=numbers)
        values = {"fps": fps, "frame_size": frame_size, "max_frames": max_frames, "prompt": prompt, "encoding": encoding}
        for name, value in {**values, "style": NumberStyle() if style is None else style}.items():
            object.__setattr__(self, name, value)
        self.__post_init__()

    @property
    def numbers(self) -> bool:
        """Whether anything is drawn on the frames."""
        return self.encoding.draws

    def __post_init__(self) -> None:
        if not (isinstance(self.fps, (int, float)) and math.isfinite(self.fps) and 0 < self.fps <= 240):
            raise NumProError(f"fps={self.fps!r} must be above 0 and at most 240 numbers per second (the paper uses 0.5)")
        object.__setattr__(self, "fps", float(self.fps))  # 1 and 1.0 are one setting, in hashes too
        size = self.frame_size
        if not (isinstance(size, tuple) and len(size) == 2 and all(isinstance(n, int) and SMALLEST_SIDE <= n <= 4096 for n in size)):
            raise NumProError(f"frame_size={size!r} must be (width, height), each 16 to 4096 pixels")
        if not (isinstance(self.max_frames, int) and self.max_frames >= 1):
            raise NumProError(f"max_frames={self.max_frames!r} must be an integer, 1 or more")
        if not isinstance(self.style, NumberStyle):
            raise NumProError(f"style={self.style!r} must be a NumberStyle")
        if self.prompt not in get_args(PromptKind):
            raise NumProError(f"prompt={self.prompt!r} is unknown; allowed: {', '.join(get_args(PromptKind))}")
        if not isinstance(self.encoding, TimeEncoding):
            raise NumProError(f"encoding={self.encoding!r} must be a TimeEncoding; parse_encoding reads names")
        self.encoding.check_rate(self.fps)
        if (grid := self.encoding.grid) and (size[0] % grid.columns or size[1] % grid.rows):
            raise NumProError(
                f"a grid of {grid.columns} x {grid.rows} frames does not fit frame_size={size[0]}x{size[1]}: the width must be a multiple "
                f"of {grid.columns}, the height of {grid.rows}; a grid of such frames is frame_size={size[0] * grid.columns}x"
                f"{size[1] * grid.rows}"
            )

    @property
    def tile_size(self) -> tuple[int, int]:
        """(width, height) in pixels that a frame is resized to: ``frame_size``, or its part in a grid or above a bar."""
        width, height = self.frame_size
        if grid := self.encoding.grid:
            return width // grid.columns, height // grid.rows
        return width, height - bar_height(height) if self.encoding.drawn == "bar" else height

    @property
    def stored_size(self) -> tuple[int, int]:
        """(width, height) in pixels of frames that are stored for training, before anything is drawn on them."""
        return self.tile_size if self.encoding.grid else self.frame_size

    def to_dict(self) -> dict[str, Any]:
        """The record as plain JSON values; `from_dict` is the inverse. ``encoding`` is there where ``numbers`` does not say all of it."""
        values = {
            "fps": self.fps,
            "frame_size": list(self.frame_size),
            "max_frames": self.max_frames,
            "numbers": self.numbers,
            "style": asdict(self.style),
            "prompt": self.prompt,
        }
        return values if self.encoding in (NUMBER, PLAIN) else {**values, "encoding": self.encoding.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NumProSettings:
        """Read what `to_dict` wrote. Raises NumProError for keys that do not exist."""
        known = {*(f.name for f in fields(cls)), "numbers"}
        if unknown := set(values) - known:
            raise NumProError(f"unknown setting(s) {', '.join(sorted(unknown))}; allowed: {', '.join(sorted(known))}")
        values = dict(values)
        if "frame_size" in values:
            values["frame_size"] = tuple(values["frame_size"])
        if "style" in values:
            styles = {f.name for f in fields(NumberStyle)}
            if unknown := set(values["style"]) - styles:
                raise NumProError(f"unknown style setting(s) {', '.join(sorted(unknown))}; allowed: {', '.join(sorted(styles))}")
            values["style"] = NumberStyle(**values["style"])
        if "encoding" in values:
            values["encoding"] = encoding_of(values["encoding"])
        return cls(**values)

    def pixel_dict(self) -> dict[str, Any]:
        """The part of `to_dict` that decides the pixels: two settings that agree here give the same clip."""
        values = self.to_dict()
        del values["prompt"]
        if not self.numbers:
            del values["style"]
        if "encoding" in values:
            values["encoding"] = {"drawn": self.encoding.drawn, "layout": self.encoding.layout}
            if values["encoding"] in ({"drawn": "number", "layout": "frames"}, {"drawn": "none", "layout": "frames"}):
                del values["encoding"]  # the same pixels as with the encodings that need no word
        return values

    def shown_dict(self) -> dict[str, Any]:
        """All that decides what a model is shown of a video: `pixel_dict`, and the text before its frames where that is not its own."""
        text = self.encoding.text
        return self.pixel_dict() if text == "native" else {**self.pixel_dict(), "text": text}


def encoding_with(encoding: TimeEncoding, *, numbers: bool) -> TimeEncoding:
    """What the short word ``numbers`` makes of an encoding: ``number`` or ``plain``.

    Raises:
        NumProError: it is not True or False, or contradicts another encoding than these two.
    """
    if not isinstance(numbers, bool):
        raise NumProError(f"numbers={numbers!r} must be True or False")
    if numbers == encoding.draws:
        return encoding
    if encoding not in (NUMBER, PLAIN):
        raise NumProError(f"numbers={numbers} contradicts encoding {encoding.name}; leave numbers out")
    return NUMBER if numbers else PLAIN


Rate = float | Literal["auto"]
"""Numbers per second, or a rate for each video by its length (`auto_fps`)."""

FPS_LADDER = (0.5, 1.0, 2.0, 4.0)
"""The rates among which ``fps`` "auto" chooses."""


def auto_fps(duration_s: float, max_frames: int) -> float:
    """The finest rate of `FPS_LADDER` at which all frames of a video may be shown; the coarsest if there is none."""
    return max((fps for fps in FPS_LADDER if Timeline(duration_s, fps).count <= max_frames), default=FPS_LADDER[0])


@dataclass(frozen=True)
class SettingsByVideo:
    """The settings of a task: one record for all videos, unless the rate follows each video's length."""

    base: NumProSettings
    """Of every video; where the rate is automatic, its ``fps`` is the finest there can be."""

    auto: bool = False
    """Whether each video has the rate that `auto_fps` gives it."""

    def of(self, duration_s: float) -> NumProSettings:
        """The settings of a video that lasts (or whose part lasts) so many seconds."""
        return replace(self.base, fps=auto_fps(duration_s, self.base.max_frames)) if self.auto else self.base

    def to_dict(self) -> dict[str, Any]:
        """As `NumProSettings.to_dict`, with ``fps`` "auto" where it is; `from_dict` is the inverse."""
        return {**self.base.to_dict(), **({"fps": "auto"} if self.auto else {})}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SettingsByVideo:
        """Read what `to_dict` wrote. Raises NumProError for keys that do not exist."""
        auto = values.get("fps") == "auto"
        return cls(NumProSettings.from_dict({**values, "fps": FPS_LADDER[-1]} if auto else values), auto)


def parse_frame_size(value: object, *, name: str = "frame_size") -> tuple[int, int]:
    """``336``, ``"336"``, ``"448x336"`` or ``[448, 336]`` -> (width, height) in pixels.

    Args:
        value: a number, a string or a pair, as the user wrote it. `NumProSettings` checks whether the size is in range.
        name: of the option, variable or key, for the error.

    Raises:
        NumProError: the value has another form.
    """
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(type(side) is int for side in value):
        return value[0], value[1]
    if match := _FRAME_SIZE.fullmatch(str(value)):
        return int(match["width"]), int(match["height"] or match["width"])
    raise NumProError(f"{name}={value!r} must be pixels as N or WIDTHxHEIGHT, for example 336 or 448x336")
