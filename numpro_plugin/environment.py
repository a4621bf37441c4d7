"""The ``NUMPRO_*`` environment variables: the only module that reads them."""

from __future__ import annotations

import difflib
import math
import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpro_plugin.encoding import TimeEncoding
    from numpro_plugin.settings import NumProSettings

DecoderName = Literal["pyav", "decord"]

DEFAULT_CACHE_GB = 50.0
DEFAULT_UNPACKED_GB = 1.0


def _frame_size(text: str) -> tuple[int, int]:
    from numpro_plugin.settings import parse_frame_size

    return parse_frame_size(text, name="NUMPRO_FRAME_SIZE")


def _encoding(text: str) -> TimeEncoding:
    from numpro_plugin.encoding import parse_encoding

    return parse_encoding(text, name="NUMPRO_ENCODING")


def _fps(text: str) -> float:
    from numpro_plugin.settings import FPS_LADDER

    return FPS_LADDER[-1] if text == "auto" else float(text)


_SETTINGS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "NUMPRO_FPS": ("fps", _fps),
    "NUMPRO_FRAME_SIZE": ("frame_size", _frame_size),
    "NUMPRO_MAX_FRAMES": ("max_frames", int),
    "NUMPRO_PROMPT": ("prompt", str),
    "NUMPRO_ENCODING": ("encoding", _encoding),
    "NUMPRO_POSITION": ("position", str),
    "NUMPRO_FONT_SIZE": ("font_size", float),
    "NUMPRO_COLOR": ("color", str),
    "NUMPRO_STROKE_WIDTH": ("stroke_width", float),
    "NUMPRO_STROKE_COLOR": ("stroke_color", str),
}
# Which rows are asked about, how long answers may be, where things are stored and how they are read.
_OTHERS = (
    *("NUMPRO_DATA", "NUMPRO_SPLIT", "NUMPRO_CUSTOM", "NUMPRO_CACHE", "NUMPRO_CACHE_GB", "NUMPRO_DECODER", "NUMPRO_SHARED"),
    *("NUMPRO_MAX_NEW_TOKENS", "NUMPRO_UNPACKED_GB", "NUMPRO_KEEP_FRAMES"),
)
TOKEN_LIMIT_NAMES = ("max_new_tokens", "max_gen_toks", "max_tokens", "max_completion_tokens", "max_output_tokens")
"""What lmms-eval, its models and servers call the token limit of an answer."""


def settings_from_environment(
    environ: Mapping[str, str] | None = None,
    *,
    encoding: TimeEncoding | None = None,
    fixed: Mapping[str, Any] | None = None,
    source: str = "",
) -> NumProSettings:
    """The default settings, with the ``fixed`` ones and those of ``NUMPRO_*`` variables applied.

    With ``NUMPRO_FPS=auto`` the rate is the finest that a video can have (see `fps_is_automatic`).

    Args:
        environ: the process's environment if None.
        encoding: how a task that has its own shows time (``_plain``, ``_native``), whatever the environment or the model says.
        fixed: fields of NumProSettings that a model decides, such as its ``frame_size``.
        source: who fixed them, for errors.

    Raises:
        NumProError: a value out of range, an unknown ``NUMPRO_*`` variable (a misspelt one must not be ignored), or one that differs
            from a fixed setting.
    """
    # Imported here: the command's parser needs this module, but neither Pillow nor numpy.
    from numpro_plugin.numbering import NumberStyle
    from numpro_plugin.settings import NumProSettings

    environ = os.environ if environ is None else environ
    fixed = fixed or {}
    _check_names(environ)
    settings: dict[str, Any] = dict(fixed)
    style: dict[str, Any] = {}
    for variable, (name, convert) in _SETTINGS.items():
        if variable not in environ:
            continue
        try:
            value = convert(environ[variable])
        except NumProError:
            raise
        except ValueError as error:
            raise NumProError(f"{variable}={environ[variable]!r} cannot be read: {error}") from error
        if (decided := fixed.get(name, value)) != value:
            raise NumProError(
                f"{variable}={environ[variable]} differs from {name}={getattr(decided, 'name', repr(decided))} of {source}: "
                "change one of them, or unset the variable"
            )
        (settings if name in {f.name for f in fields(NumProSettings)} else style)[name] = value
    try:
        if encoding is not None:
            settings["encoding"] = encoding
        if environ.get("NUMPRO_FPS") == "auto" and "encoding" in settings:
            settings["encoding"].check_rate(settings["fps"], automatic=True)
        return NumProSettings(**settings, style=NumberStyle(**style))
    except NumProError as error:
        raise NumProError(f"{error} (from NUMPRO_* environment variables)") from error


def setting_names() -> set[str]:
    """Names of the variables that decide what is shown, asked and evaluated."""
    return {*_SETTINGS, "NUMPRO_SPLIT", "NUMPRO_CUSTOM", "NUMPRO_DECODER", "NUMPRO_MAX_NEW_TOKENS"}


def _check_names(environ: Mapping[str, str]) -> None:
    unknown = [name for name in environ if name.startswith("NUMPRO_") and name not in _SETTINGS and name not in _OTHERS]
    if unknown:
        allowed = sorted({*_SETTINGS, *_OTHERS})
        close = difflib.get_close_matches(unknown[0], allowed, n=1)
        hint = f"; did you mean {close[0]}?" if close else "."
        raise NumProError(f"environment variable {unknown[0]} is unknown{hint} Allowed: {', '.join(allowed)}")


def fps_is_automatic() -> bool:
    """Whether ``NUMPRO_FPS`` is ``auto``: each video has the finest rate of a ladder whose frames it may show."""
    return os.environ.get("NUMPRO_FPS") == "auto"


def setting_in_environment(name: str) -> str | None:
    """The value of a setting's variable (``fps`` -> ``$NUMPRO_FPS``) as text; None if it is unset."""
    return os.environ.get(variable_of(name))


def variable_of(name: str) -> str:
    """Name of a setting's variable."""
    return f"NUMPRO_{name.upper()}"


def answer_token_limit(given: Mapping[str, Any] | None = None, *, source: str = "") -> int | None:
    """``$NUMPRO_MAX_NEW_TOKENS``: the token limit of answers in NumPro's tasks, in place of the tasks' own; None if it is unset.

    Args:
        given: arguments among which there may be a limit as well.
        source: where they come from, for errors.

    Raises:
        NumProError: it is not an integer of 1 or more, or differs from the limit in ``given``.
    """
    text = os.environ.get("NUMPRO_MAX_NEW_TOKENS")
    if text is None:
        return None
    try:
        limit = int(text)
    except ValueError:
        limit = 0
    if limit < 1:
        raise NumProError(f"NUMPRO_MAX_NEW_TOKENS={text[:80]!r} must be a whole number of tokens, 1 or more")
    check_token_limit(limit, given or {}, source=source)
    return limit


def check_token_limit(limit: int, given: Mapping[str, Any], *, source: str) -> None:
    """Raise NumProError if ``given``, the arguments of ``source``, have another limit than ``NUMPRO_MAX_NEW_TOKENS``."""
    for name in TOKEN_LIMIT_NAMES:
        if (value := given.get(name)) is not None and str(value) != str(limit):
            raise NumProError(
                f"NUMPRO_MAX_NEW_TOKENS={limit} differs from {name}={value} of {source}: change one of them, or unset the variable"
            )


def user_folder() -> Path:
    """The default folder for clips, answers and tables."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("numpro", appauthor=False))


def data_folder() -> Path:
    """Folder of prepared tables: ``$NUMPRO_DATA``, else in the user's cache folder."""
    return Path(os.environ.get("NUMPRO_DATA") or user_folder() / "data")


def data_folder_is_default() -> bool:
    """Whether ``$NUMPRO_DATA`` is unset."""
    return not os.environ.get("NUMPRO_DATA")


def chosen_split() -> str | None:
    """``$NUMPRO_SPLIT``: the prepared split to evaluate instead of the benchmark's own; None if it is unset."""
    return os.environ.get("NUMPRO_SPLIT") or None


def chosen_custom_set() -> str | None:
    """``$NUMPRO_CUSTOM``: which of the user's own sets ``numpro_custom`` evaluates; None (the unnamed set) if it is unset."""
    return os.environ.get("NUMPRO_CUSTOM") or None


def clips_folder() -> Path:
    """Folder of the clips: ``$NUMPRO_CACHE/clips``, else in the user's cache folder."""
    return Path(os.environ.get("NUMPRO_CACHE") or user_folder()) / "clips"


def answers_folder() -> Path:
    """Folder of the answers: ``$NUMPRO_CACHE/answers``, else in the user's cache folder."""
    return Path(os.environ.get("NUMPRO_CACHE") or user_folder()) / "answers"


def keeps_frames() -> bool:
    """``$NUMPRO_KEEP_FRAMES`` (1 or 0): whether sampled frames are kept in the clips folder for other encodings of the same video."""
    text = os.environ.get("NUMPRO_KEEP_FRAMES", "0")
    if text not in ("0", "1"):
        raise NumProError(f"NUMPRO_KEEP_FRAMES={text!r} must be 1 or 0")
    return text == "1"


def cache_limit_gb() -> float:
    """``$NUMPRO_CACHE_GB``, the size limit of the clips folder in gigabytes; 0 or less means no limit.

    Raises:
        NumProError: it is not a finite number.
    """
    return _gigabytes("NUMPRO_CACHE_GB", DEFAULT_CACHE_GB)


def unpacked_limit_gb() -> float:
    """``$NUMPRO_UNPACKED_GB``: how many gigabytes a gzip-compressed text file may unpack to; 0 or less means no limit.

    Raises:
        NumProError: it is not a finite number.
    """
    return _gigabytes("NUMPRO_UNPACKED_GB", DEFAULT_UNPACKED_GB)


def _gigabytes(variable: str, default_gb: float) -> float:
    text = os.environ.get(variable, str(default_gb))
    try:
        limit_gb = float(text)
        if not math.isfinite(limit_gb):
            raise ValueError
    except ValueError:
        raise NumProError(f"{variable}={text!r} must be a number of gigabytes (0: no limit)") from None
    return limit_gb


def decoder_name() -> DecoderName:
    """``$NUMPRO_DECODER``; ``pyav`` if it is unset.

    Raises:
        NumProError: an unknown name.
    """
    name = os.environ.get("NUMPRO_DECODER", "pyav")
    if name not in get_args(DecoderName):
        raise NumProError(f"NUMPRO_DECODER={name!r} is not a decoder; allowed: {', '.join(get_args(DecoderName))}")
    return cast("DecoderName", name)
