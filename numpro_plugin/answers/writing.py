"""Answers in words, as the questions ask for them: what the oracle says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from numpro_plugin.encoding import mark_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpro_plugin.encoding import AnswerUnit

Span = tuple[float, float]


def moment_words(span_s: Span, unit: AnswerUnit, fps: float) -> str:
    """One span: ``From Frame 3 to Frame 9.``, ``The event happens in 6 - 18 seconds.`` or ``The event happens in 00:06 - 00:18.``

    Args:
        span_s: start and end in seconds; of ``frames`` those of two numbers.
        unit: what the question asks for.
        fps: numbers per second.
    """
    first, last = (_mark(time_s, unit, fps) for time_s in span_s)
    if unit == "frames":
        return f"From Frame {first} to Frame {last}."
    return f"The event happens in {first} - {last}{' seconds' if unit == 'seconds' else ''}."


def set_words(spans_s: Sequence[Span], unit: AnswerUnit, fps: float) -> str:
    """All spans: ``[[3, 9], [12, 15]]``, in seconds ``[[6, 18.5]]``, as clock times ``[["00:06", "00:18"]]``; arguments as above."""
    marks = [[_mark(time_s, unit, fps) for time_s in span] for span in spans_s]
    return json.dumps(marks) if unit == "clock" else str(marks).replace("'", "")


def _mark(time_s: float, unit: AnswerUnit, fps: float) -> str:
    return str(round(time_s * fps)) if unit == "frames" else mark_of(unit, time_s)
