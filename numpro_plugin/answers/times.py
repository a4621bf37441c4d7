"""Answers in seconds or clock times: a model's words -> spans."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from numpro_plugin.answers.moments import parse_moment

if TYPE_CHECKING:
    from numpro_plugin.encoding import AnswerUnit
    from numpro_plugin.timeline import Timeline

Span = tuple[float, float]


@dataclass(frozen=True)
class TimesAnswer:
    """What an answer about times says."""

    spans: tuple[Span, ...] | None
    """As written, in ``unit`` (clock times in seconds); empty if the answer says that there are none; None if it was not understood."""

    spans_s: tuple[Span, ...]
    """In seconds, each ordered."""

    unit: str | None
    """``seconds``, ``clock`` or ``frames``: what the answer counts."""

    reason: str
    """How it was understood, or why it was not."""


_CLOCK = re.compile(r"(?<![\d:.])(?:(\d{1,3}):)?(\d{1,3}):(\d{2}(?:\.\d+)?)(?![\d:])")


def parse_times(text: str, *, unit: AnswerUnit, timeline: Timeline) -> TimesAnswer:
    """Read all spans of time from an answer such as ``The event happens in 6 - 18.5 seconds.`` or ``00:06 to 00:18``.

    Args:
        text: the model's words.
        unit: what the question asked for, ``seconds`` or ``clock``: bare numbers are seconds.
        timeline: of the video, for answers that speak of frames.
    """
    plain, clocks = _CLOCK.subn(lambda found: f"{_clock_s(found):g}", text)
    answer = parse_moment(plain)
    if answer.span is None:
        return TimesAnswer(None, (), None, answer.reason)
    spans = answer.spans or (answer.span,)
    if answer.unit == "frames" and re.search(r"\bframes?\b", plain, re.IGNORECASE):
        reason = f"{answer.reason}; the question asks for {unit}, the answer names frames, which were converted"
        return TimesAnswer(spans, tuple(timeline.span_seconds(*span) for span in spans), "frames", reason)
    written = "clock" if clocks else "seconds"
    return TimesAnswer(spans, tuple((min(span), max(span)) for span in spans), written, answer.reason)


def _clock_s(found: re.Match[str]) -> float:
    hours, minutes, seconds = found.groups()
    return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)
