"""The record that every prediction file is read into, and the checks that its fields pass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from numpro_plugin.answers.failures import failure_reason
from numpro_plugin.encoding import encoding_of
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpro_plugin.benchmarks.annotations import Query
    from numpro_plugin.encoding import AnswerUnit

Task = Literal["moment", "highlight"]


@dataclass(frozen=True)
class Prediction:
    """What was predicted for one query; what a file does not have is None."""

    id: str
    query: str | None = None
    task: Task | None = None
    """What the row answers, where its layout says so."""
    response: str | None = None
    """A model's words, in ``unit``."""
    windows: list[list[float]] | None = None
    """[start, end] or [start, end, score] in seconds, best first; empty where the words were not understood."""
    percent: tuple[float, float] | None = None
    """A span in percent of the video's duration."""
    iou: float | None = None
    """The IoU in [0, 1] that the file itself states."""
    saliency: list[float] | None = None
    """One score per clip of two seconds."""
    highlights: list[tuple[float, float]] | None = None
    """(seconds, score) of each highlight."""
    fps: float | None = None
    """Numbers per second that the response speaks in, where the file says it."""
    unit: AnswerUnit | None = None
    """What the response was asked to count, where the file says it."""
    truth: Query | None = None
    """The truth as the file itself states it."""
    other_task: str | None = None
    """What the row answers instead, where that is no question about time: it is left out and counted."""
    failure: str | None = None
    """Why the row holds no answer at all: its request failed."""


def windows_of(value: Any, what: str) -> list[list[float]]:
    """A list of windows [start, end] or [start, end, score]. Raises ValueError for anything else, naming the window."""
    if not isinstance(value, list):
        raise ValueError(f"{what} must be a list of [start, end] or [start, end, score], got {_short(value)}")
    for window in value:
        if not isinstance(window, (list, tuple)) or len(window) not in (2, 3) or not all(map(_is_number, window)):
            raise ValueError(f"{what} must be a list of [start, end] or [start, end, score] in numbers, got {_short(window)} in it")
    return [[float(number) for number in window] for window in value]


def saliency_of(value: Any, what: str) -> list[float]:
    """A list of numbers. Raises ValueError for anything else."""
    if not isinstance(value, list) or not all(map(_is_number, value)):
        raise ValueError(f"{what} must be a list of numbers, one per clip of two seconds, got {_short(value)}")
    return [float(number) for number in value]


def fps_of(value: Any) -> float | None:
    """Numbers per second, None where the file does not say it. Raises ValueError unless it is a finite number above 0."""
    if value is None:
        return None
    if not _is_number(value) or not 0 < value < math.inf:
        raise ValueError(f"fps must be a number above 0, got {_short(value)}")
    return float(value)


def unit_of(settings: Any) -> AnswerUnit | None:
    """What the settings of a logged sample asked for, None where there are none. Raises ValueError for an encoding that does not exist."""
    if not isinstance(settings, dict):
        return None
    try:
        return encoding_of(settings.get("encoding") or {}).answer
    except (NumProError, TypeError) as error:
        raise ValueError(f"settings: {error}") from None


def text_of(row: Mapping[str, Any], key: str) -> str | None:
    """A text, None where the row has none. Raises ValueError for a value of another type."""
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key} must be a text, got {_short(value)}")
    return value


def id_of(value: Any) -> str:
    """An id, a text or an integer. Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(f"the id must be a text or an integer, got {_short(value)}")
    return str(value)


def first_text(value: Any, what: str) -> str | None:
    """A text, or the first of a list, however deep. Raises ValueError for anything else but None."""
    while isinstance(value, list):
        value = value[0] if value else ""
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{what} must be a text or a list that begins with one, got {_short(value)}")
    return value


def failure_of(text: str | None) -> str | None:
    """Why a text is not an answer (its request failed), or None. An empty text is an answer that was not understood."""
    return failure_reason(text, empty=False)


def failure_of_sample(row: Mapping[str, Any]) -> str | None:
    """Why a sample that lmms-eval logged has no answer, or None: its text says so, or its ``request_fail`` does (a blank clip)."""
    if "filtered_resps" not in row:
        return None  # logged without its answer
    if reason := failure_of(first_text(row["filtered_resps"], "filtered_resps")):
        return reason
    logged = row.get("numpro")
    return str(logged.get("reason") if isinstance(logged, dict) else "the request failed") if row.get("request_fail") == 100 else None


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return not isinstance(value, int) or abs(value) < 10**300  # a larger integer does not fit a float


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
