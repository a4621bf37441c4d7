"""What a model wrote -> frame numbers.

A moment answer is read in three steps: normalise the text, find the number mentions and what each one is (a frame, seconds, or not
said), and look at the words between neighbouring mentions. Nothing is guessed: an answer in seconds is reported as seconds, and when
nothing can be read the reason says why.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal

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

    @property
    def numbers(self) -> tuple[float, float] | None:
        """The span as frame numbers; None unless the answer speaks of frames."""
        return self.span if self.unit == "frames" else None


def parse_moment(text: str) -> MomentAnswer:
    """Read the span of frames (or seconds) from an answer such as ``From Frame 3 to Frame 9.``

    Ranges that name frames come before ranges in seconds, those before bare ones, and among equals the first counts. Negative
    numbers were never drawn on a frame and are not understood. Never raises.
    """
    if not isinstance(text, str) or not text.strip():
        return MomentAnswer(None, None, "the answer is empty")
    clean = _normalise(text)
    # What follows "answer:" is meant; what comes before is how the model got there.
    for answered in (clean[at.end() :] for at in [*_ANSWER.finditer(clean)][-1:]):
        if (answer := _understand(answered)).span:
            return answer
    return _understand(clean)


_ANSWER = re.compile(r"\banswer(?: is)?\s*[:\-]|<answer>")


def _understand(clean: str) -> MomentAnswer:
    mentions = _mentions(clean)
    # A model that writes "Frame 3 (6 s) to Frame 9 (18 s)" explains its frames in brackets; the range is what stands outside.
    depths = list(accumulate((c == "(") - (c == ")") for c in clean))
    outside = [m for m in mentions if not depths[m.start - 1 : m.start] or depths[m.start - 1] <= 0]
    found = _ranges(clean, outside) + _ranges(clean, mentions) or _listed(clean, mentions)
    if not found:
        as_reference = parse_moment_reference(clean)  # "from3to9": what the reference reads is never lost
        return as_reference if as_reference.span else MomentAnswer(None, None, _why_not(clean, mentions))
    best = min(found, key=lambda r: _RANK[r.kind])
    if best.kind == "mixed":
        return MomentAnswer(None, None, f"{best.said!r} mixes frames and seconds")
    if min(best.span) < 0:
        return MomentAnswer(None, None, f"{best.said!r} has a negative number; frame numbers start at 0")
    unit: Unit = "seconds" if best.kind == "second" else "frames"
    return MomentAnswer(best.span, unit, f"read {unit} from {best.said!r}")


_REFERENCE_PATTERN = re.compile(r"from\s*(?:frame)?\s*(\d+)\s*to\s*(?:frame)?\s*(\d+)", re.IGNORECASE)


def parse_moment_reference(text: str) -> MomentAnswer:
    """Read an answer as far as NumPro's own script does: two integers after "from" and "to", whatever they count.

    Raises:
        TypeError: ``text`` is no string.
    """
    match = _REFERENCE_PATTERN.search(text)
    if match is None:
        return MomentAnswer(None, None, "no 'From Frame x to Frame y'")
    return MomentAnswer((int(match[1]), int(match[2])), "frames", f"read frames from {match[0]!r}")


_Kind = Literal["frame", "bare", "second", "mixed"]
_RANK: dict[_Kind, int] = {"frame": 0, "second": 1, "mixed": 2, "bare": 3}


@dataclass(frozen=True)
class _Mention:
    """One number in the text: where it stands with its label and unit, its value, and what it counts if that is said."""

    start: int
    end: int
    value: float
    kind: Literal["frame", "second"] | None


@dataclass(frozen=True)
class _Range:
    span: tuple[float, float]
    kind: _Kind
    said: str


def _normalise(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).casefold()
    text = re.sub(r"<think(?:ing)?>.*?</think(?:ing)?>", " ", text, flags=re.DOTALL)
    text = text.rpartition("</think>")[2]  # its opening tag may have been part of the prompt
    text = re.sub(r"[\u2010-\u2015\u2212~→⟶]|[-=]{1,2}>|-{2,}", "-", text)
    text = re.sub(r"</?(?!answer)[a-z]\w*>|[*_`\"“”‘’'{}$\\]+|<(?!answer)|(?<!answer)>", "", text)
    text = re.sub(r"(?<=\d) ?/ ?\d+", "", text)  # "frame 4/16" is the 4th of 16
    text = re.sub(r"(?<![\d,.])(\d{1,3}),(\d{3})(?![\d,])", _thousands, text)
    return re.sub(r"\s+", " ", text).strip()


def _thousands(match: re.Match[str]) -> str:
    """1,007 is one number; 99,100 are two neighbours of a list."""
    return match[0] if int(match[2]) == int(match[1]) + 1 else match[1] + match[2]


_MENTION = re.compile(
    r"""
    (?P<label> (?: \bframes? (?:\s+(?:numbers?|nos?\.?|ids?|indices|index))? | (?<!\#)\# | \bf(?=\d) ) \s*[:=]? \s*\#{0,3}\s*\[?\(?
        | (?P<time> (?:time(?:stamp)?s? | \bsecs? | \bseconds?) \s*[:=]? \s* ) )?
    (?P<number> (?P<clock> \d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)? ) | (?<![\d.\w])-?\d+(?:\.\d+)? | (?<=frame)\d+(?:\.\d+)? | (?<=[#f])\d+ )
    (?P<ordinal> (?:st|nd|rd|th)\b )?
    \s* (?P<unit>
        (?:seconds?|secs?|s|milliseconds?|ms|minutes?|mins?|m|hours?|%|o.?clock) (?![\w%])
        | (?:red\s+)?frames?\b(?!\s*(?:numbers?\s*)?[:=\#]?\s*\d)
    )?
    """,
    re.VERBOSE,
)
_NEITHER = object()


def _mentions(text: str) -> list[_Mention]:
    mentions = []
    for match in _MENTION.finditer(text):
        value, kind = _value(match)
        if kind is _NEITHER:
            continue
        start = match.start("label") if match["label"] else match.start("number")
        end = match.end("unit") if match["unit"] else match.end("ordinal") if match["ordinal"] else match.end("number")
        mentions.append(_Mention(start, end, value, kind))  # type: ignore[arg-type]
    return mentions


def _value(match: re.Match[str]) -> tuple[float, object]:
    if match["clock"]:
        seconds = 0.0
        for part in match["clock"].split(":"):
            seconds = seconds * 60 + float(part)
        return seconds, "second"
    value, unit = float(match["number"]), match["unit"] or ""
    if match["time"] and not unit:
        return value, "second"
    if unit.startswith(("sec", "s")):
        return value, "second"
    if unit.startswith(("milli", "ms")):
        return value / 1000, "second"
    if unit.startswith("m"):
        return value * 60, "second"
    if unit.startswith("h"):
        return value * 3600, "second"
    if unit and "frame" not in unit:
        return value, _NEITHER  # o'clock, per cent: no place in the video
    return value, "frame" if match["label"] or unit else None


_FILLER = (
    r"(?:the|a|an|about|approximately|around|roughly|at|in|on|by|with|it|event|action|up|frames?|number|mark|of|last|least|most"
    r"|somewhere|exactly|maybe)"
)
_TO = re.compile(
    rf"[\s,;.:)\]]*(?:-|(?:(?:and|which|it)\s+)*(?:(?:continu(?:es|ing)|go(?:es|ing) on|lasts?|runs?|extends?)\s+)?(?:all the way\s+)?"
    rf"(?:up\s+)?(?:through\s+)?(?:to|until|till|through|thru)|\.{{2,3}}|到|至)(?:\s|{_FILLER}\b|[:(\[#])*"
)
_AND = re.compile(rf"\s*(?:and|&)(?:\s|{_FILLER}\b)*")
_END = re.compile(
    r"[\s,;.:)\]}-]*(?:and\s+|then\s+|it\s+|is\s+|the\s+)*"
    r"(?:end(?:s|ed|ing)?|stop(?:s|ping)?|finish(?:es|ing)?|last(?: seen| visible| appears)?|conclud(?:es|ing)|disappear(?:s|ing)?)"
    rf"(?:[\s_]|{_FILLER}\b|is|[:=,(\[#-])*"
)
_BETWEEN = re.compile(rf"\bbetween(?:\s|{_FILLER}\b|[:(\[#])*$")
_OPEN_START = re.compile(r"\b(?:beginning|start|outset)(?: of the \w+)?,? (?:(?:up )?to|until|till|through) (?:the )?$")
_DENIED = re.compile(r"\b(?:none|not (?:\w+ )?in|neither|nor|any)(?: of)?(?: the)? ?(?:frames? )?$")
_IN_SECONDS = re.compile(r"\s*\((?:in )?(?:s|secs?|seconds)\)")
_OPEN = re.compile(
    r"[\s,]*(?:(?:up\s+)?(?:to|until|till|through)\s+(?:the\s+)?(?:very\s+)?(?:end|last|finish)|onwards?\b"
    r"|(?:to|-)(?:\s+frames?)?\s*$|and\s+(?:after|beyond))"
)
_LIST = re.compile(r"\s*(?:,\s*(?:and\s+|&\s*)?|and\s+|&\s*|;\s*)")


def _ranges(text: str, mentions: list[_Mention]) -> list[_Range]:
    """Every pair of neighbouring mentions with the words of a range between them."""
    found: list[_Range] = []
    previous_end: _Mention | None = None
    for first, last in pairwise(mentions):
        between = _without_brackets(text[first.end : last.start])
        is_range = (
            _TO.fullmatch(between)
            or _END.fullmatch(between)
            or (_AND.fullmatch(between) and _BETWEEN.search(text[max(0, first.start - 60) : first.start]))
        )
        if is_range and first is not previous_end:  # of "5 to 9 to 12" the first pair counts
            kind = _kind(first, last)
            if kind == "bare" and _IN_SECONDS.match(text, last.end):
                kind = "second"
            if not _DENIED.search(text[max(0, first.start - 30) : first.start]):
                found.append(_Range((first.value, last.value), kind, text[first.start : last.end]))
            previous_end = last
        else:
            previous_end = None
    return found


def _listed(text: str, mentions: list[_Mention]) -> list[_Range]:
    """Without a range: frames in a list ("frames 3, 4 and 5"), one frame, or an answer that is nothing but two numbers."""
    found: list[_Range] = []
    run: list[_Mention] = []
    for mention in mentions:
        if run and _LIST.fullmatch(text[run[-1].end : mention.start]):
            run.append(mention)
            continue
        found += _as_list(text, run)
        run = [mention]
    found += _as_list(text, run)
    if len(found) > 1:
        return []  # several frames, and nothing says that they are the ends of one span
    if not found and len(mentions) == 2 and re.fullmatch(r"[\s\[\](){},;.]*", text[: mentions[0].start] + text[mentions[1].end :]):
        first, last = mentions
        if _LIST.fullmatch(text[first.end : last.start]) or text[first.end : last.start].isspace():
            found.append(_Range((first.value, last.value), _kind(first, last), text[first.start : last.end]))
    return found


def _as_list(text: str, run: list[_Mention]) -> list[_Range]:
    kinds = {m.kind for m in run}
    if "frame" not in kinds or "second" in kinds:
        return []
    if len(run) == 1 and re.search(r"\d\s*frames?$", text[run[0].start : run[0].end]):
        return []  # "the video has 16 frames" is a count
    before = text[max(0, run[0].start - 60) : run[0].start]
    if _OPEN.match(text, run[-1].end) or _OPEN_START.search(before) or _DENIED.search(before[-30:]):
        return []
    values = [m.value for m in run]
    return [_Range((min(values), max(values)), "frame", text[run[0].start : run[-1].end])]


def _kind(first: _Mention, last: _Mention) -> _Kind:
    kinds = {first.kind, last.kind} - {None}
    if len(kinds) == 2:
        return "mixed"
    return kinds.pop() if kinds else "bare"  # type: ignore[return-value]


def _without_brackets(text: str) -> str:
    return re.sub(r"\([^()]*\)|\[[^\[\]]*\]", " ", text)


def _why_not(text: str, mentions: list[_Mention]) -> str:
    if re.search(r"\bframe\s+x\b", text):
        return "the answer repeats the format ('Frame x to Frame y')"
    if not mentions:
        return "the answer has no number"
    said = ", ".join(text[m.start : m.end] for m in mentions[:4])
    return f"no range between the numbers of the answer ({said})"
