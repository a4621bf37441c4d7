"""A conversation of a shard in the words of an encoding: questions and answers in frame numbers, seconds or clock times.

Shards hold NumPro's own words: questions that explain red numbers, and answers that name frames. Every answer also says in seconds what it
means, so that it can be written in another unit.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from numpro_plugin.encoding import NUMBER, PLAIN, mark_of
from numpro_plugin.errors import NumProError
from numpro_plugin.prompts import NUMBERS_SENTENCE, moment_prompt
from numpro_plugin.prompts.questions import moment_question, shown_sentences

from ..shard_format import renumbered, rewritten
from ..shards.index import each_conversation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from numpro_plugin.settings import NumProSettings
    from numpro_plugin.timeline import Timeline

    from ..shard_format import Turn
    from ..shards.index import ShardIndex

_MOMENT = re.compile(re.escape(moment_prompt("QUERY", numbers=False)).replace("QUERY", "(?P<query>.+)"), re.DOTALL)
_FRAMES = re.compile(r"\bframes?\b", re.IGNORECASE)


@dataclass(frozen=True)
class Shown:
    """What of a video is shown in one sample."""

    timeline: Timeline
    numbers: NDArray[np.int64]
    """Of the frames, by their times: not the ones that may be drawn in their place."""
    change: Callable[[int], int] | None = None
    """What is drawn and answered in place of a frame's number; None: the number itself."""
    shift_s: float = 0.0
    """By how much later the shown times are."""


def conversation_in(turns: Sequence[Turn], settings: NumProSettings, shown: Shown, *, snap: bool = False) -> list[dict[str, str]]:
    """The turns to train on, ``{"role": ..., "content": ...}``.

    Args:
        turns: of a shard.
        settings: how time is shown and asked for.
        shown: what is shown.
        snap: whether spans in seconds or clock times are widened to times that are shown: the start to the last one before it, the end to
            the first one after it, as TimeLens does.

    Raises:
        NumProError: an answer cannot be put into the unit (see `why_not`).
    """
    encoding = settings.encoding
    if encoding.answer != "frames":
        if reason := why_not(turns, settings):
            raise NumProError(reason)
        return [_timed(turn, settings, shown, snap, first=k == _first_question(turns)) for k, turn in enumerate(turns)]
    if shown.change is not None:
        turns = renumbered([{**turn, "numbers": turn["numbers"] or ()} for turn in turns], shown.change)
    made = [{"role": turn["role"], "content": turn["content"]} for turn in turns]
    if encoding == NUMBER:
        return made
    for k, turn in enumerate(made):
        if turn["role"] == "user":
            turn["content"] = _without_sentence(turn["content"])
            if k == _first_question(turns) and encoding != PLAIN:
                turn["content"] = _asked(turn["content"], settings, shown.timeline)
    return made


def why_not(turns: Sequence[Turn], settings: NumProSettings) -> str | None:
    """Why a conversation cannot be put into the unit of the settings' encoding; None if it can.

    A question that speaks of frames in other words than NumPro's cannot, nor an answer that does so without being a span.
    """
    unit = settings.encoding.answer
    if unit == "frames":
        return None
    for turn in turns:
        text = _without_sentence(turn["content"])
        if turn["role"] == "user":
            if _FRAMES.search(text) and not _MOMENT.fullmatch(text):
                return f"a question asks for frames in other words than NumPro's, so it cannot ask for {unit}: {text[:80]!r}"
        elif turn["role"] == "assistant" and turn["numbers"] and turn.get("spans_s") is None:
            if any(place.get("time_s") is None for place in turn["numbers"]):
                return f"an answer does not say for which times its frame numbers stand: {text[:80]!r}; make the shards again"
            if _FRAMES.search(text):
                return f"an answer names frames that are no span, so it cannot be put into {unit}: {text[:80]!r}"
    return None


def usable_samples(index: ShardIndex, settings: NumProSettings) -> tuple[NDArray[np.bool_] | None, Counter[str]]:
    """Which samples can be put into the unit of the settings' encoding, (N,), and why the others cannot, with their numbers.

    None if all can, since answers are frame numbers. Otherwise the conversations of all shards are read, file by file.

    Raises:
        NumProError: none can.
    """
    unit = settings.encoding.answer
    if unit == "frames":
        return None, Counter()
    reasons = [why_not(conversation, settings) for conversation in each_conversation(index)]
    counted = Counter(reason.partition(":")[0] for reason in reasons if reason)
    if all(reasons):
        raise NumProError(f"no sample of the shards can be put into {unit}; for example, {reasons[0]}")
    return np.array([reason is None for reason in reasons]), counted


def query_of(question: str) -> str:
    """The query in a question in NumPro's words, or the whole question without the sentence about numbers."""
    text = _without_sentence(question)
    return match["query"] if (match := _MOMENT.fullmatch(text)) else text


def _first_question(turns: Sequence[Mapping[str, object]]) -> int:
    return next((k for k, turn in enumerate(turns) if turn["role"] == "user"), -1)


def _without_sentence(text: str) -> str:
    return text.replace(NUMBERS_SENTENCE + " ", "").replace(NUMBERS_SENTENCE, "")


def _asked(text: str, settings: NumProSettings, timeline: Timeline) -> str:
    """A first question without the sentence about numbers, in the encoding's words."""
    if match := _MOMENT.fullmatch(text):
        return moment_question(match["query"], settings, timeline)
    encoding = settings.encoding
    return " ".join([*shown_sentences(encoding, color=settings.style.color, fps=settings.fps, unit=encoding.answer), text])


def _timed(turn: Turn, settings: NumProSettings, shown: Shown, snap: bool, *, first: bool) -> dict[str, str]:
    unit = settings.encoding.answer
    if turn["role"] != "assistant":
        text = _without_sentence(
            rewritten(turn, lambda time_s: _written(time_s + shown.shift_s, unit)) if turn["numbers"] else turn["content"]
        )
        if turn["role"] == "user" and (first or _MOMENT.fullmatch(text)):
            text = _asked(text, settings, shown.timeline)
        return {"role": turn["role"], "content": text}
    if turn.get("spans_s"):
        spans = [_snapped(span, shown) if snap else _told(span, unit, shown) for span in turn["spans_s"]]
        return {"role": "assistant", "content": span_sentence([(a + shown.shift_s, b + shown.shift_s) for a, b in spans], unit)}
    content = turn["content"]
    if turn["numbers"]:
        content = rewritten(turn, lambda time_s: _written(time_s + shown.shift_s, unit) + (" seconds" if unit == "seconds" else ""))
    return {"role": "assistant", "content": content}


def span_sentence(spans_s: Sequence[tuple[float, float]], unit: str) -> str:
    """The answer that TimeLens trains: ``The event happens in 6.0 - 18.0 seconds.``; as clock times ``00:06 - 00:18``."""
    after = " seconds" if unit == "seconds" else ""
    return f"The event happens in {', '.join(f'{_written(a, unit)} - {_written(b, unit)}{after}' for a, b in spans_s)}."


def _written(time_s: float, unit: str) -> str:
    return f"{time_s:.1f}" if unit == "seconds" else mark_of("clock", max(0.0, time_s))


def _told(span: Sequence[float], unit: str, shown: Shown) -> tuple[float, float]:
    """A span as it is told: a clock has whole seconds, of which the end is the next one, so that no span is empty."""
    return (span[0], span[1]) if unit == "seconds" else (span[0], float(math.ceil(span[1] - 1e-9)))


def _snapped(span: Sequence[float], shown: Shown) -> tuple[float, float]:
    """The last shown time that is not after the start, and the first that is not before the end (else the last of all)."""
    times = shown.timeline.seconds(shown.numbers)
    before = times[times <= span[0] + 1e-9]
    after = times[times >= span[1] - 1e-9]
    start, end = float(before[-1] if len(before) else times[0]), float(after[0] if len(after) else times[-1])
    return start, end if end > start else max(start, shown.timeline.duration_s)  # an event behind the last shown time ends with the video
