"""The reading of a moment answer: what is believed first, and why nothing was understood."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from numpro_plugin.answers.languages import marks_in_english
from numpro_plugin.answers.marks import Mark, final_mark, without_explanation, word_marks
from numpro_plugin.answers.moments.asides import called_the_answer, not_withdrawn
from numpro_plugin.answers.moments.denials import asks_back, negated, overall_denial, sentence_denial
from numpro_plugin.answers.moments.fields import drop_side_notes
from numpro_plugin.answers.moments.mentions import LARGEST, find_mentions
from numpro_plugin.answers.moments.narration import without_story
from numpro_plugin.answers.moments.ranges import find_ranges
from numpro_plugin.answers.moments.spans import TIERS, Range, Tier
from numpro_plugin.answers.moments.wording import plain_moment
from numpro_plugin.answers.thoughts import UNCLOSED, answer_part
from numpro_plugin.answers.wording import compact, fold

if TYPE_CHECKING:
    from collections.abc import Callable

Unit = Literal["frames", "seconds"]


@dataclass(frozen=True)
class MomentAnswer:
    """What was understood of a moment answer."""

    span: tuple[float, float] | None
    """The two ends in the order they were written, or None when nothing was understood."""

    unit: Unit | None
    """What ``span`` counts: ``"frames"`` (numbers drawn on the frames) or ``"seconds"``; None without a span."""

    reason: str
    """How it was understood, or why it was not."""

    spans: tuple[tuple[float, float], ...] = ()
    """Every different span that is believed as much as ``span``, which is the first of them; in the order they were written."""

    @property
    def numbers(self) -> tuple[float, float] | None:
        """The span as frame numbers; None unless the answer speaks of frames."""
        return self.span if self.unit == "frames" else None


def parse_moment(text: str, *, last_number: float | None = None) -> MomentAnswer:
    """Read the span of frames (or seconds) from an answer such as ``From Frame 3 to Frame 9.``

    How much is believed is told at the top of this package. Negative numbers were never drawn on a frame and are not understood. Never
    raises, and takes time that grows with the length of the text and no faster.

    Args:
        text: the answer.
        last_number: the last number of the video. With it "from Frame 3 to the end" is a span; without it there is nothing to read.
    """
    return read_moment_words(text, str, last_number=last_number)


def read_moment_words(text: str, respelled: Callable[[str], str], *, last_number: float | None = None) -> MomentAnswer:
    """Read a span as `parse_moment` does, of words that another parser puts in those of frames.

    Args:
        text: the answer.
        respelled: gets the folded answer without thoughts and side notes, and gives it in the words of frames.
        last_number: as for `parse_moment`.
    """
    if not isinstance(text, str) or not text.strip():
        return _nothing("the answer is empty")
    own = answer_part(text)
    if own.unclosed and not re.search(r"\d", own.text):
        return _nothing(UNCLOSED)
    answer = _answer(respelled(marks_in_english(drop_side_notes(compact(fold(own.text))))), last_number)
    if answer.span is None and own.unclosed:
        return _nothing(UNCLOSED)
    if answer.span is None and not own.text.strip():
        return _nothing("nothing follows the thought of the answer")
    return answer


_REFERENCE_PATTERN = re.compile(r"from\s*+(?:frame\s*+)?(\d++)\s*+to\s*+(?:frame\s*+)?(\d+)", re.IGNORECASE)
_LONGEST_INTEGER = 15  # digits; a longer number is read as LARGEST, far behind the end of any video


def parse_moment_reference(text: str) -> MomentAnswer:
    """Read an answer as far as NumPro's own script does: two integers after "from" and "to", whatever they count.

    Raises:
        TypeError: ``text`` is no string.
    """
    match = _REFERENCE_PATTERN.search(text)
    if match is None:
        return _nothing("no 'From Frame x to Frame y'")
    span = _integer(match[1]), _integer(match[2])
    return MomentAnswer(span, "frames", f"frames, from {_quote(match[0])}", (span,))


def _integer(digits: str) -> int:
    significant = digits.lstrip("0") or "0"
    return int(significant) if len(significant) <= _LONGEST_INTEGER else int(LARGEST)


def _nothing(reason: str) -> MomentAnswer:
    return MomentAnswer(None, None, reason)


def _answer(text: str, last_number: float | None) -> MomentAnswer:
    """The answer of a folded text without thoughts."""
    if mark := final_mark(text):
        return _in_final_mark(mark, last_number)
    unexplained = without_explanation(text)
    for mark in word_marks(text):
        # What explains an answer denies nothing of it: "Answer: ... Explanation: ... so she can't be seen before."
        if answer := _in_word_mark(mark, last_number, may_deny=mark.kind == "word" or mark.start <= len(unexplained)):
            return answer
    return _read(plain_moment(unexplained), last_number)


def _in_final_mark(mark: Mark, last_number: float | None) -> MomentAnswer:
    content = mark.text
    if mark.kind == "heading":
        head = content.lstrip().partition("\n")[0]
        answer = _read(plain_moment(head), last_number)
        if answer.unit == "frames" or sentence_denial(plain_moment(head)):
            return answer
        content = without_explanation(content)
    answer = _read(plain_moment(content), last_number)
    if answer.span is None and not re.search(r"\d", content):
        return _nothing(f"what is marked as the answer has no number ({_quote(content)})")
    return answer


_SENTENCE_END = re.compile(r"[.!?。](?=\s+(?!to\b)|\s*$)|\n(?=\s*\S)|;")


_MARKED_BARE = re.compile(r"\bframes?\b|^(?:[\W\d]|to\b|through\b)*$")
"""After "so" bare numbers are an answer only if frames are spoken of, or nothing but the numbers stands there."""


def _in_word_mark(mark: Mark, last_number: float | None, *, may_deny: bool) -> MomentAnswer | None:
    """What a word marks, if it marks something."""
    if mark.kind == "line":
        answer = _read(plain_moment(mark.text), last_number)
        return answer if answer.unit == "frames" else None
    content = mark.text.lstrip(" \n\t*:")
    end = _SENTENCE_END.search(content)
    sentence = plain_moment(content[: end.start()] if end else content)
    ranges = [one for one in find_ranges(sentence, last_number) if one.verdict is None]
    tiers = {"literal", "frames", "listed", "single"} | ({"bare"} if mark.kind == "word" or _MARKED_BARE.search(sentence) else set())
    if any(one.tier in tiers for one in ranges):
        answer = _read(sentence, last_number)
        return answer if answer.unit == "frames" else None
    rest = plain_moment(without_explanation(content))
    if mark.kind == "word" and any(one.tier == "seconds" for one in ranges):
        return _read(rest, last_number)
    if may_deny and sentence_denial(sentence) and _read(rest, last_number).span is None:
        return _nothing(f"the answer says that there is no such moment ({_quote(sentence)})")
    return None


def _read(text: str, last_number: float | None) -> MomentAnswer:
    """The best range of a plain text."""
    if overall_denial(text):
        return _nothing("the answer says that the video does not show it")
    ranges = find_ranges(text, last_number)
    usable = [one for one in ranges if one.verdict in (None, "aside")]
    if asks_back(text) and not any(one.tier == "literal" for one in usable):
        return _nothing("the answer asks which moment is meant")
    usable = not_withdrawn(text, usable)
    usable = [one for one in usable if one.verdict is None] or usable
    if last_number is not None:
        # All frames are the answer only where nothing else is.
        whole = [one for one in usable if one.first == 0 and one.last == last_number and one.tier in {"literal", "frames", "bare"}]
        rest = [one for one in usable if one not in whole]
        usable = rest if any(one.tier in {"literal", "frames"} for one in rest) else usable
        if usable and usable == whole and negated(text):
            return _nothing("the answer denies, and only tells what all frames show")
    usable = called_the_answer(text, usable) or usable
    usable, problem = without_story(usable)
    if problem:
        return _nothing(problem)
    if not usable:
        return _unread(text, ranges)
    tier = min((one.tier for one in usable), key=TIERS.index)
    return _believed(text, [one for one in usable if one.tier == tier], tier)


_HOW: dict[Tier, str] = {
    "literal": "frames, from {}",
    "frames": "frames, from {}",
    "listed": "frames, from the list {}",
    "seconds": "seconds, from {}",
    "bare": "frames, from {}, where nothing says what the numbers count",
    "single": "one frame, from {}",
}


def _believed(text: str, ranges: list[Range], tier: Tier) -> MomentAnswer:
    best = ranges[0]
    quoted = _quote(text[best.start : best.end])
    if tier == "mixed":
        return _nothing(f"{quoted} mixes frames and seconds")
    if best.last is None:
        return _nothing(f"{quoted} goes to the end, and the last number of the video is not known")
    if min(best.first, best.last) < 0:
        return _nothing(f"{quoted} has a negative number; frame numbers start at 0")
    spans = dict.fromkeys((one.first, one.last) for one in ranges if one.last is not None and min(one.first, one.last) >= 0)
    unit: Unit = "seconds" if tier == "seconds" else "frames"
    more = f"; {len(spans)} spans, the first counts" if len(spans) > 1 else ""
    return MomentAnswer((best.first, best.last), unit, _HOW[tier].format(quoted) + more, tuple(spans))


_AGAINST = {
    "denied": "the answer denies {}",
    "numbering": "{} only tells which frames there are",
    "count": "{} is a count",
    "aside": "{} is withdrawn or stands before the moment",
}


def _unread(text: str, ranges: list[Range]) -> MomentAnswer:
    for one in ranges:
        if one.verdict:
            return _nothing(_AGAINST[one.verdict].format(_quote(text[one.start : one.end])))
    as_reference = parse_moment_reference(text)  # "from3to9": what the reference reads is never lost
    if as_reference.span:
        return as_reference
    if re.search(r"\bframe ?\[?x\b", text):
        return _nothing("the answer repeats the format ('Frame x to Frame y')")
    mentions = find_mentions(text)
    if not mentions:
        return _nothing("the answer has no number")
    shown = ", ".join(text[m.start : m.end].strip() for m in mentions[:4])
    return _nothing(f"no range between the numbers of the answer ({shown[:120]})")


def _quote(text: str) -> str:
    line = " ".join(text[:200].split())
    return repr(line if len(line) <= 80 else f"{line[:80]}...")
