"""A model's answer -> spans in seconds, in the unit that the question asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from numpro_plugin.answers.moments import parse_moment
from numpro_plugin.answers.sets import parse_set
from numpro_plugin.answers.times import parse_times

if TYPE_CHECKING:
    from numpro_plugin.encoding import AnswerUnit
    from numpro_plugin.timeline import Timeline

Span = tuple[float, float]


@dataclass(frozen=True)
class Reading:
    """One span that an answer names, or why it names none."""

    span: Span | None
    """As written, in ``unit``."""

    span_s: Span | None
    """In seconds, ordered, not clamped to the video; None if the answer does not name a span in a unit that can be converted."""

    unit: str | None
    """``frames``, ``seconds`` or ``clock``: what the answer counts; None if there is no span."""

    reason: str
    """How the answer was understood, or why it was not."""


@dataclass(frozen=True)
class SetReading:
    """All spans that an answer names."""

    spans: tuple[Span, ...] | None
    """As written; empty if the answer says that there are none, None if it was not understood."""

    spans_s: tuple[Span, ...]
    """In seconds."""

    reason: str


def read_moment(text: str, unit: AnswerUnit, timeline: Timeline) -> Reading:
    """The span that an answer names.

    An answer in another unit than asked counts only where it says which unit that is: seconds are seconds; frame numbers, which the
    question did not ask for, have the timeline's times.

    Args:
        text: the model's words.
        unit: what the question asked for.
        timeline: of the video; its duration is 0 where it is not known, so that "to the end" says nothing.
    """
    if unit == "frames":
        answer = parse_moment(text, last_number=_last_number(timeline))
        span_s = timeline.span_seconds(*answer.numbers) if answer.numbers else None
        return Reading(answer.span, span_s, answer.unit if answer.span is not None else None, answer.reason)
    times = parse_times(text, unit=unit, timeline=timeline)
    first = times.spans[0] if times.spans else None
    return Reading(first, times.spans_s[0] if times.spans_s else None, times.unit, times.reason)


def read_set(text: str, unit: AnswerUnit, timeline: Timeline) -> SetReading:
    """All spans that an answer names; arguments as for `read_moment`."""
    if unit == "frames":
        answer = parse_set(text, last_number=_last_number(timeline))
        return SetReading(answer.spans, tuple(timeline.span_seconds(*span) for span in answer.spans or ()), answer.reason)
    times = parse_times(text, unit=unit, timeline=timeline)
    return SetReading(times.spans, times.spans_s, times.reason)


def _last_number(timeline: Timeline) -> int | None:
    return timeline.count - 1 if timeline.duration_s > 0 else None
