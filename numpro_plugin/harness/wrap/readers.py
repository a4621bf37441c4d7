"""What each base model of lmms-eval does to a clip's frames, and the arguments with which it keeps every one of them."""

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from numpro_plugin.encoding import PRESETS
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpro_plugin.encoding import TimeEncoding

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reader:
    """How a base model reads a video file (by its source in lmms-eval 0.7.3)."""

    limit: str | None = None
    """Argument (and attribute of the same name) for how many frames it takes."""

    exact: bool = False
    """It always takes as many as ``limit`` says, repeating or dropping frames: the attribute is set to each clip's count."""

    fps: str | None = None
    """Argument for frames per second; a clip read at its own rate is read whole, whatever other clips are in the batch."""

    most_fps: float | None = None
    """It reads at most this many frames a second; no argument changes that, except ``fps`` of a chat model."""

    least_rate: float = 0.0
    """It fails on files of fewer frames a second."""

    spare: bool = False
    """It never gets to a file's last frame: the clip must end in a repeated one."""

    pictures: bool = False
    """It takes pictures in any number; frames are handed to it as pictures."""

    in_turn: bool = False
    """As a chat model it also takes texts and pictures in turn, each picture in its own size."""

    one_call: bool = False
    """It must be asked everything in one call, because it ends its server after the first, or makes a job of each that takes hours."""

    fixed: int | None = None
    """It takes exactly this many frames; no argument changes that."""

    multiple: int = 1
    """It resizes frames to multiples of this many pixels."""

    arguments: Mapping[str, str] = field(default_factory=dict)
    """Without these it does not take videos."""

    fails: str | None = None
    """Why lmms-eval 0.7.3 itself failed on videos when this base was tried."""


_PICTURES = Reader(pictures=True)
_QWEN2_5 = Reader("max_num_frames", fps="fps", most_fps=2.0, multiple=28, in_turn=True)
_QWEN3 = Reader("max_num_frames", fps="fps", multiple=32, in_turn=True)
_LINSPACE = Reader("max_frames_num", exact=True)
_INTERNVL = Reader("num_frame", exact=True, spare=True, arguments={"modality": "video"})
_SOUND = "its processor gets an argument audios, which transformers 5 refuses"

READERS: dict[str, Reader] = {
    "aria": _LINSPACE,
    "async_hf_model": Reader(fails=_SOUND),
    "async_openai": _PICTURES,
    "batch_gpt4": Reader(pictures=True, one_call=True),
    "claude": _PICTURES,
    "gemini": _PICTURES,
    "gemma3": Reader("max_num_frames"),
    "gemma4": Reader("max_num_frames"),
    "gpt4v": _PICTURES,
    "huggingface": Reader(fails=_SOUND),
    "internvideo2_5": Reader("max_frames_num", exact=True, spare=True),
    "internvl2": _INTERNVL,
    "internvl3": _INTERNVL,
    "internvl3_5": _INTERNVL,
    "internvl_hf": Reader("num_frames", exact=True),
    "litellm": _PICTURES,
    "llava_hf": Reader("max_frames_num", exact=True, fails="its processor got no images, or a prompt without a place for the video"),
    "llava_onevision": _LINSPACE,
    "llava_onevision1_5": Reader("max_num_frames", exact=True, multiple=28, in_turn=True),
    "llava_vid": Reader("max_frames_num", exact=True, least_rate=1.0, most_fps=1.0),
    "longva": _LINSPACE,
    "minicpm_o": Reader("max_num_frames", least_rate=1.0, most_fps=1.0),
    "numpro_oracle": Reader(in_turn=True),
    "openai": _PICTURES,
    "oryx": _LINSPACE,
    "phi4_multimodal": _LINSPACE,
    "qwen2_5_omni": Reader("max_num_frames"),
    "qwen2_5_vl": _QWEN2_5,
    "qwen2_5_vl_interleave": _QWEN2_5,
    "qwen2_vl": Reader("max_num_frames", most_fps=2.0, multiple=28),
    "qwen3_5": _QWEN3,
    "qwen3_omni": Reader(),
    "qwen3_vl": _QWEN3,
    "sglang": _PICTURES,
    "srt_api": Reader("max_frames_num", least_rate=1.0, most_fps=1.0, one_call=True),
    "video_llava": Reader(fixed=8),
    "videollama3": Reader("max_num_frames", least_rate=1.0, most_fps=1.0),
    "vila": Reader("max_frames_num", exact=True, spare=True),
    "vllm": _PICTURES,
    "vllm_generate": _PICTURES,
}

_LIMITS = ("max_num_frames", "max_frames_num", "max_frame_num", "max_frames", "video_max_frames", "num_video_frames")
"""Names under which a base that is not in the table may have its limit (``num_frames`` is what generators of videos make). They are
raised, but as nobody has looked whether the base heeds them, nothing is said about what it takes."""


@dataclass(frozen=True)
class FrameArguments:
    """What the wrapper gives a base and knows of it."""

    reader: Reader
    values: dict[str, Any] = field(default_factory=dict)
    """Arguments to construct the base with."""

    limit: int | None = None
    """How many frames it then takes at most; None if nothing limits them."""

    attributes: dict[str, Any] = field(default_factory=dict)
    """What no argument reaches and is set on the base itself."""


def needs_pictures(encoding: TimeEncoding) -> bool:
    """Whether an encoding cannot be shown in a video file: text stands before frames, or frames stand in grids."""
    return encoding.text != "native" or encoding.grid is not None


def check_encoding(base: str, encoding: TimeEncoding, *, chat: bool, source: str) -> None:
    """Refuse an encoding that a base cannot be shown.

    Args:
        base: canonical name of the base in lmms-eval.
        encoding: how time is to be shown.
        chat: whether the base takes messages.
        source: where the encoding was asked for, for the error.

    Raises:
        NumProError: the base is not known to take pictures, or text between them.
    """
    reader = READERS.get(base)
    if _can_show(reader, encoding, chat=chat):
        if reader is None and needs_pictures(encoding):
            log.warning("base=%s is not in NumPro's table of readers: check that it takes texts and pictures in turn", base)
        return
    possible = [name for name, preset in PRESETS.items() if _can_show(reader, preset.encoding, chat=chat)]
    takes = "pictures without text between them" if reader is not None and reader.pictures else "a video file"
    raise NumProError(
        f"encoding {encoding.name} ({source}) writes text before frames or shows grids, but base={base} takes {takes}; encodings that "
        f"it can be shown: {', '.join(possible)}. For the others use --model numpro_hf, or a base that takes text and pictures in turn, "
        "such as qwen2_5_vl, qwen3_vl, async_openai or vllm (without --force_simple)"
    )


def _can_show(reader: Reader | None, encoding: TimeEncoding, *, chat: bool) -> bool:
    if not needs_pictures(encoding):
        return True
    pictures = chat if reader is None else reader.pictures or (chat and reader.in_turn)
    return pictures and (chat or encoding.text == "none")


def frame_arguments(
    base: str, base_class: type, given: Mapping[str, Any], *, most_frames: int, fps: float, frame_size: tuple[int, int]
) -> FrameArguments:
    """The arguments with which a base keeps every frame, except those that the user gave.

    Args:
        base: canonical name of the base in lmms-eval.
        base_class: its class; arguments that it does not have are not given.
        given: the user's arguments for the base.
        most_frames: frames of the longest clip that may come.
        fps: most numbers per second of a clip.
        frame_size: (width, height) of the clips' frames, pixels.
    """
    defaults = constructor_defaults(base_class)
    most_frames += most_frames % 2
    reader = READERS.get(base)
    if reader is None:
        return FrameArguments(Reader(), _guessed(base, defaults, given, most_frames))
    if reader.fails:
        log.warning("base=%s: lmms-eval itself failed on videos with it when it was tried: %s", base, reader.fails)
    budget = getattr(base_class, "video_kwargs", None)  # the chat models of the omni family have theirs as an attribute
    if isinstance(budget, dict):
        attributes = {"video_kwargs": {**budget, "fps": fps, "max_frames": most_frames}}
        return FrameArguments(replace(reader, limit=None), attributes=attributes)
    values: dict[str, Any] = {name: value for name, value in reader.arguments.items() if name in defaults and name not in given}
    if reader.pictures:
        return FrameArguments(reader, values)
    if reader.limit in defaults and reader.limit not in given and not reader.exact and _count(defaults[reader.limit]) < most_frames:
        values[reader.limit] = most_frames
    if reader.fps in defaults and reader.fps not in given:
        values[reader.fps] = fps
    values.update(_pixel_arguments(reader, defaults, given, frame_size))
    limit = reader.fixed
    if reader.limit in defaults and not (reader.exact and reader.limit not in given):
        limit = _count({**defaults, **given, **values}[reader.limit]) or most_frames
    # A chat model follows its argument for frames per second.
    if reader.most_fps is not None and fps > reader.most_fps and (getattr(base_class, "is_simple", True) or reader.fps is None):
        log.warning("base=%s reads at most %g frames a second: of %g numbers a second it loses the rest", base, reader.most_fps, fps)
    return FrameArguments(reader, values, limit)


def _guessed(base: str, defaults: Mapping[str, Any], given: Mapping[str, Any], most_frames: int) -> dict[str, Any]:
    """For a base that is not in the table: what may be its limit is raised."""
    name = next((name for name in _LIMITS if name in defaults), None)
    guess = name is not None and name not in given and _count(defaults[name]) < most_frames
    log.warning(
        "base=%s is not in NumPro's table of readers: check that it takes every frame of a clip (%s)",
        base,
        f"it is given {name}={most_frames}" if guess else "NumPro gives it no argument for that",
    )
    return {str(name): most_frames} if guess else {}


def _count(value: Any) -> int:
    """A number of frames as bases have it, sometimes as a text; 0 for anything else."""
    return int(value) if isinstance(value, int) or (isinstance(value, str) and value.isdigit()) else 0


def _pixel_arguments(reader: Reader, defaults: Mapping[str, Any], given: Mapping[str, Any], frame_size: tuple[int, int]) -> dict[str, int]:
    """``min_pixels`` low enough for frames to be taken at their own size: numbers are drawn for that, and tokens cost time."""
    if reader.multiple == 1:
        return {}
    if any(side % reader.multiple for side in frame_size):
        log.warning(
            "frames of %dx%d pixels are resized by this base, which takes multiples of %d (frame_size=%s would not be)",
            *frame_size,
            reader.multiple,
            "x".join(str(max(1, side // reader.multiple) * reader.multiple) for side in frame_size),
        )
    width, height = (side // reader.multiple * reader.multiple for side in frame_size)
    least = defaults.get("min_pixels")
    if "min_pixels" in given or not isinstance(least, int) or least <= width * height:
        return {}
    return {"min_pixels": width * height}


def constructor_defaults(base_class: type) -> dict[str, Any]:
    """Arguments of a class's constructor with their defaults (None if they have none), also those it hands on to classes above."""
    found: dict[str, Any] = {}
    for cls in base_class.__mro__:
        if "__init__" in vars(cls):
            parameters = inspect.signature(vars(cls)["__init__"]).parameters.values()
            found = {p.name: None if p.default is p.empty else p.default for p in parameters} | found
    return found
