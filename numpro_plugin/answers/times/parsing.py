"""Answers in seconds or clock times: a model's words -> spans."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from numpro_plugin.answers.moments import MomentAnswer, read_moment_words
from numpro_plugin.answers.sets import says_none
from numpro_plugin.answers.times.spelling import MILLISECONDS, Spelled, spell

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

    unit: AnswerUnit | None
    """What the answer counts; None without a span."""

    reason: str
    """How it was understood, or why it was not."""


def parse_times(text: str, *, unit: AnswerUnit, timeline: Timeline) -> TimesAnswer:
    """Read all spans of time from an answer such as ``The event happens in 6 - 18.5 seconds.`` or ``00:06 to 00:18``.

    Never raises, and takes time that grows with the length of the text and no faster.

    Args:
        text: the model's words.
        unit: what the question asked for, ``seconds`` or ``clock``.
        timeline: of the video, for answers that speak of frames or go "to the end"; its duration is 0 where it is not known.
    """
    found: list[Spelled] = []

    def in_frame_words(folded: str) -> str:
        found.append(spell(folded))
        return found[-1].text

    known = timeline.duration_s > 0
    answer = _in_seconds(read_moment_words(text, in_frame_words, last_number=timeline.duration_s * MILLISECONDS if known else None))
    written = found[-1].unit if found else None
    if written == "frames":
        answer = read_moment_words(text, str, last_number=timeline.count - 1 if known else None)
    if answer.span is None:
        none = says_none(answer, text)
        return TimesAnswer(() if none else None, (), None, none or answer.reason)
    reason = answer.reason
    if written is None:
        reason += "; they are read as seconds"
    elif written != unit:
        reason += f"; the question asks for {_CALLED[unit]}, the answer names {_CALLED[written]}"
    if written == "frames":
        spans_s = tuple(timeline.span_seconds(*span) for span in answer.spans)
        return TimesAnswer(answer.spans, spans_s, "frames", f"{reason}, which were converted")
    return TimesAnswer(answer.spans, tuple((min(span), max(span)) for span in answer.spans), written or "seconds", reason)


_CALLED: dict[AnswerUnit, str] = {"frames": "frames", "seconds": "seconds", "clock": "clock times"}
_QUOTED = re.compile(r"'[^\n]*'|\([^\n]*\)")
_FRAME = re.compile(r"\bframe (-?\d+)")
_DIGITS = re.compile(r"(?<![\w.])\d+(?![\w.])")
_SAYS = (
    ("frames, from", "times, from"),
    ("one frame,", "one moment,"),
    ("the last number of the video is not known", "the length of the video is not known"),
    ("frame numbers start at 0", "times start at 0"),
)


def _in_seconds(answer: MomentAnswer) -> MomentAnswer:
    """An answer in milliseconds that are called frames, as what it was."""
    reason = answer.reason
    for frames, times in _SAYS:
        reason = reason.replace(frames, times)
    spans = tuple((first / MILLISECONDS, last / MILLISECONDS) for first, last in answer.spans)
    span = spans[0] if spans else None
    return replace(answer, span=span, spans=spans, reason=_QUOTED.sub(lambda quoted: _as_written(quoted[0]), reason))


def _as_written(quoted: str) -> str:
    named = _FRAME.sub(lambda found: f"{int(found[1]) / MILLISECONDS:.12g}s", quoted)
    return " ".join(_DIGITS.sub(lambda found: f"{int(found[0]) / MILLISECONDS:.12g}", named).split())
