"""Times in the texts of instructions, in seconds or as clocks -> frame numbers.

Only what is certainly a time of the video is replaced: a range with a unit ("from 3.2 to 8 seconds"), a clock, a time after "at" or
"start:", whatever stands between ``<timestep>`` tags. A duration ("for 5 seconds") is none. Other numbers with a unit are reported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from .conversations import Part, TimePoint
from .frame_numbers import SCORES

if TYPE_CHECKING:
    from collections.abc import Sequence

MARK, END_MARK = "\x01", "\x02"
"""What stands between them is a time, whatever is around it. They do not appear in the result."""

_TAGS = re.compile(r"<\s*(/?)\s*(?:timestep|timestamp|time_?span|time)s?\s*>", re.IGNORECASE)
_ANSWER_TAG = re.compile(r"(?<=<answer>)([^<>]*)(?=</answer>)", re.IGNORECASE)
_DIGIT_TOKENS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
_VTG_TOKENS = re.compile(r"(?:<TIME_(?:" + "|".join((*_DIGIT_TOKENS, "DOT")) + r")>)+")

_NUMBER = r"\d+(?:\.\d+)?"
_THOUSANDS = r"\d{1,3}(?:,\d{3})+"
_WIDE = str.maketrans("０１２３４５６７８９．：－", "0123456789.:-")
_SECONDS = r"(?:secs?\.(?=\s*(?:to\b|and\b|[-–—,]))|(?:seconds?|seonds?|secs?|s)(?![\w'’])|秒钟?)"
_MINUTES = r"(?:minutes?|mins?|m|分钟?)"
_TIME = re.compile(
    rf"""
    (?<![A-Za-z0-9_.:/$#]) (?: (?<![-–—]) | (?<=[\s\d\w][-–—]) | (?<=[\s(\[\x01][-–—]) )
    (?:
        (?P<minutes>{_NUMBER}) \s*-?{_MINUTES} \s*(?:and\s+|,\s*)? (?P<rest>{_NUMBER}) \s*{_SECONDS}
      | (?P<clock> (?:\d{{1,3}}:)? \d{{1,3}}:[0-5]\d (?:[.,]\d+)? ) (?!\d|:\d) (?P<day>\s*(?:[ap]\.?m\b|o.?clock))?
      | (?P<only_minutes>{_NUMBER}) \s*{_MINUTES}(?!\w)
      | (?P<number>{_THOUSANDS}(?:\.\d+|(?=\s*{_SECONDS}))|{_NUMBER}) (?P<unit> (?P<hyphen>-)? \s*{_SECONDS} )?
        (?![\d/%]|:\d|[A-Za-z_]|\.\d)
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_TO = re.compile(r"\s*(?:[-–—~～→]+|,?\s*to|until|till|through|到|至)\s*(?:about\s+|around\s+)?(?:the\s+)?(?:seconds?\s+)?", re.IGNORECASE)
_TO_IN_WORDS = re.compile(r"[\s\x01\x02]*,?\s*(?:to|until|till|through)\s.*", re.IGNORECASE)
_AND = re.compile(r"\s*and\s*", re.IGNORECASE)
_COMMA_IN_BRACKETS = re.compile(r"\s*[,;]\s*")
_LIST = re.compile(r"\s*(?:[,;、/]|,?\s*(?:and|or)\b|&)\s*(?:from\s+|at\s+|between\s+)?", re.IGNORECASE)
_BETWEEN = re.compile(r"\bbetween\s+(?:seconds?\s+)?$", re.IGNORECASE)
_LABEL = re.compile(
    r"\b(?:start|end|begin|stop)\w*(?:[\s_-]+(?:time|timestamp|second|at)s?)*[\"'”’]?\s*(?:is|at|:|=)?\s*[\"'“‘]?$", re.IGNORECASE
)
_UNIT_BEFORE = re.compile(
    r"(?:(?<=at )|(?<=to )|(?<=from )|(?<=between )|(?<=in )|(?<=during )|(?<=the ))seconds?\s+$|\btimestamps?\s*[:=]?\s*$", re.IGNORECASE
)
_AT = re.compile(
    r"(?:\b(?:at(?:\s+(?:about|around|approximately|roughly|exactly))?|from|until|till|since|before|near|(?:in|at|during)\s+the)|@|[(\[（【])"
    r"\s*(?:the\s+)?$",
    re.IGNORECASE,
)
_DURATION_BEFORE = re.compile(
    r"\b(?:for|lasts?|lasted|lasting|takes?|took|taking|another|every|each|within|after|over|under|total(?:ing)?|(?<!time )spans?|only|just"
    r"|nearly|almost|length\s+of|duration(?:\s+of|\s+is|:)?|wait(?:s|ed|ing)?|least|most|less\s+than|more\s+than)(?:\s+(?:about|around|roughly|the))*\s*$",
    re.IGNORECASE,
)
_DURATION_AFTER = re.compile(
    r"[\s-]*(?:long|later|ago|earlier|apart|more|left|clip|video|in\s+(?:length|duration)|of\b|duration|timer?\b|each)", re.IGNORECASE
)
_SENTENCE_START = re.compile(r"(?:^|[.!?;。]\s*|\n\s*(?:[-*•]\s*|\d+[.)]\s+)?)[\"'“‘(\[]*\s*$")
_NAMED = re.compile(r"(?:\bframes?\s|[\"']\s*:\s*[\"']?)$", re.IGNORECASE)  # a word, or a key of JSON
_THEN_CAPTION = re.compile(r"\s*[)\]]?\s*(?:[,:;–—-]|$)")
_ONLY_NUMBERS = re.compile(
    r"(?:[\s\d.,:;~～\-–—→\[\](){}\"']|\bto\b|\band\b|\b(?:from|between)\b|seconds?|secs?|\bs\b|(?<=\d)s\b|秒)+", re.IGNORECASE
)


@dataclass(frozen=True)
class FrameText:
    """A text in which frame numbers took the place of times."""

    parts: tuple[Part, ...]
    unsure: tuple[str, ...] = ()
    """Times that may be of the video or not, with what is around them; they stay as they are."""
    turned_round: int = 0
    """Ranges whose start was after their end."""


@dataclass
class _Time:
    """A number in a text that may be a time."""

    start: int
    end: int
    time_s: float
    has_unit: bool
    is_sure: bool = False
    is_end: bool = False
    partner: _Time | None = field(default=None, repr=False)
    link: str = ""
    is_listed: bool = False
    """Whether it is joined to the one before by a comma or "and"."""


def only_numbers(text: str) -> bool:
    """Whether a text is numbers and what joins them, and nothing else: ``1.7 - 12.1``, ``[[3, 9]]``, ``00:12``."""
    return any(letter.isdigit() for letter in text) and _ONLY_NUMBERS.fullmatch(text) is not None


def times_to_frames(text: str, *, bare: bool = False) -> FrameText:
    """Put frame numbers in the place of the times of a text.

    Args:
        text: of a question or an answer.
        bare: whether a text of nothing but numbers names times: the answer to a question about time.
    """
    text = _marked(text.translate(_WIDE), bare=bare)
    hidden = SCORES.sub(lambda match: re.sub(r"\d", "\0", match[0]), text)  # at the same length, so that positions stay valid
    times = [_time(match) for match in _TIME.finditer(hidden) if not match["day"]]
    _pair(hidden, times)
    _decide(hidden, times)
    unsure = tuple(_around(text, one) for one in times if one.has_unit and not one.is_sure and not _is_duration(hidden, one))
    return replace(_written(text, [one for one in times if one.is_sure]), unsure=unsure)


def _marked(text: str, *, bare: bool) -> str:
    text = _TAGS.sub(lambda match: END_MARK if match[1] else MARK, text)
    text = _VTG_TOKENS.sub(lambda match: f"{MARK}{_vtg_number(match[0])}{END_MARK}", text)
    text = _ANSWER_TAG.sub(lambda match: f"{MARK}{match[0]}{END_MARK}" if only_numbers(match[0]) else match[0], text)
    return f"{MARK}{text}{END_MARK}" if bare and only_numbers(text) else text


def _vtg_number(tokens: str) -> str:
    """VTG-LLM writes each digit of a time as a token of its own."""
    names = re.findall(r"TIME_(\w+)", tokens)
    return "".join("." if name == "DOT" else str(_DIGIT_TOKENS.index(name)) for name in names)


def _time(match: re.Match[str]) -> _Time:
    if match["minutes"] is not None:
        return _Time(*match.span(), 60 * float(match["minutes"]) + float(match["rest"]), has_unit=True)
    if match["only_minutes"] is not None:
        return _Time(*match.span(), 60 * float(match["only_minutes"]), has_unit=True)
    if match["clock"] is not None:
        return _Time(*match.span(), clock_s(match["clock"]), has_unit=True)
    return _Time(*match.span(), float(match["number"].replace(",", "")), has_unit=match["unit"] is not None and match["hyphen"] is None)


def clock_s(clock: str) -> float:
    """Seconds of ``1:05``, ``00:12.5`` or ``01:02:03.250``. Raises ValueError for anything else."""
    parts = clock.strip().replace(",", ".").split(":")
    if not 2 <= len(parts) <= 3 or not all(re.fullmatch(r"\d+(\.\d+)?", part) for part in parts):
        raise ValueError(f"{clock!r} is not a clock time such as 00:12 or 00:00:12.500")
    seconds = 0.0
    for part in parts:
        seconds = 60 * seconds + float(part)
    return seconds


def _pair(text: str, times: Sequence[_Time]) -> None:
    """Join times that are a range; a unit after a range or a list counts for all that stands before it."""
    for one, other in pairwise(times):
        if one.partner is not None:
            continue
        link = text[one.end : other.start].replace(MARK, "").replace(END_MARK, "")
        joined = _TO.fullmatch(link) or _is_and(text, one, link) or _is_pair(text, one, other, link) or _is_labelled(text, one, other)
        if joined:
            one.partner, other.partner, other.is_end, other.link = other, one, True, link
    for one, other in pairwise(times):
        other.is_listed = other.partner is not one and _LIST.fullmatch(text[one.end : other.start]) is not None
    for one, before in zip(times[::-1], times[-2::-1], strict=False):
        if one.has_unit and (one.partner is before or one.is_listed or (one.partner and one.partner.is_listed)):
            before.has_unit = True
        if one.partner and not one.is_end and one.partner.has_unit:
            one.has_unit = True


def _is_and(text: str, one: _Time, link: str) -> bool:
    return _AND.fullmatch(link) is not None and _BETWEEN.search(text[max(0, one.start - 20) : one.start]) is not None


def _is_pair(text: str, one: _Time, other: _Time, link: str) -> bool:
    """[3.5, 9], also where quotation marks are around the numbers."""
    before, after = text[: one.start].rstrip("\"' \n")[-1:], text[other.end :].lstrip("\"' \n")[:1]
    return (before, after) in {("[", "]"), ("(", ")")} and _COMMA_IN_BRACKETS.fullmatch(link.replace('"', "").replace("'", "")) is not None


def _is_labelled(text: str, one: _Time, other: _Time) -> bool:
    """Start: 3, end: 9."""
    before, between = text[max(0, one.start - 40) : one.start], text[one.end : other.start]
    first, last = _LABEL.search(before), _LABEL.search(between)
    return bool(first and last and first[0].lower().startswith(("start", "begin")) and last[0].lower().startswith(("end", "stop")))


def _decide(text: str, times: Sequence[_Time]) -> None:
    depth = 0
    position = 0
    in_brackets = _json_pairs(text)
    for one in times:
        depth += text.count(MARK, position, one.start) - text.count(END_MARK, position, one.start)
        position = one.start
        before = text[max(0, one.start - 60) : one.start]
        if depth > 0 or one.is_sure or (_LABEL.search(before) and (one.has_unit or one.partner)) or _UNIT_BEFORE.search(before):
            one.is_sure = True
        elif not one.has_unit:
            one.is_sure = in_brackets and one.partner is not None
        elif one.partner is not None:
            one.is_sure = one.is_end or not _is_duration(text, one)
        else:
            after = text[one.end : one.end + 30]
            opens = _SENTENCE_START.search(before) is not None and _THEN_CAPTION.match(after) is not None
            one.is_sure = (_AT.search(before) is not None or opens) and not _DURATION_AFTER.match(after)
        if one.is_end and one.partner is not None:  # both or none
            one.is_sure = one.partner.is_sure = one.is_sure and one.partner.is_sure
        elif one.partner is not None and one.is_sure:
            one.partner.is_sure = True
    for other, one in pairwise(times):
        if one.is_listed and other.is_sure and one.has_unit and one.partner is None:
            one.is_sure = True


def _json_pairs(text: str) -> bool:
    """Whether a text is a list of pairs, as in [[3.5, 9], [10, 12]]."""
    return re.search(r"\[\s*\[\s*[\d\"']", text) is not None


def _is_duration(text: str, one: _Time) -> bool:
    last = one.partner if one.partner is not None and not one.is_end else one
    before = text[max(0, one.start - 40) : one.start]
    return _DURATION_BEFORE.search(before) is not None or _DURATION_AFTER.match(text[last.end : last.end + 20]) is not None


def _around(text: str, one: _Time) -> str:
    return text[max(0, one.start - 30) : one.end + 30].replace(MARK, "").replace(END_MARK, "")


def _written(text: str, times: Sequence[_Time]) -> FrameText:
    parts: list[Part] = []
    position, turned_round = 0, 0
    for k, one in enumerate(times):
        before = text[position : one.start]
        unit_before = _UNIT_BEFORE.search(text[: one.start])
        if unit_before is not None and "second" in unit_before[0].lower() and unit_before.start() >= position:
            before = text[position : unit_before.start()]
        value = one.time_s
        if one.partner is not None:
            low, high = sorted((one.time_s, one.partner.time_s))
            turned_round += one.is_end and one.partner.time_s > one.time_s
            value = high if one.is_end else low
        parts += [before + _word(text, times, k, before), TimePoint(value, is_start=not one.is_end)]
        position = one.end
        if _ends_named_list(text, times, k):
            parts.append(" frames")
    parts.append(text[position:])
    cleaned = [part.replace(MARK, "").replace(END_MARK, "") if isinstance(part, str) else part for part in parts]
    return FrameText(tuple(part for part in cleaned if part != ""), turned_round=turned_round)


def _word(text: str, times: Sequence[_Time], k: int, before: str) -> str:
    """ "frame " or "frames " where it belongs before a number."""
    one = times[k]
    if _is_json(text, one) or _list_of(text, times, k) is not None or _NAMED.search(before):
        return ""
    if one.partner is not None and one.is_end and not _TO_IN_WORDS.fullmatch(before):
        return "" if not _LABEL.search(before) else "frame "
    if one.is_listed and k and one.partner is None and times[k - 1].partner is None:
        return ""
    in_words = (
        one.partner is not None
        and not one.is_end
        and re.fullmatch(r"[\s\x01\x02]*,?\s*(?:to|until|till|through)\b.*", one.partner.link, re.IGNORECASE)
    )
    opens_list = one.partner is None and k + 1 < len(times) and times[k + 1].is_listed and times[k + 1].partner is None
    several = (one.partner is not None and not one.is_end and not in_words and not _LABEL.search(before)) or opens_list
    word = "frames " if several else "frame "
    return word.capitalize() if _SENTENCE_START.search((text[: one.start])[-20:].replace(MARK, "").replace(END_MARK, "")) else word


def _is_json(text: str, one: _Time) -> bool:
    if one.partner is None:
        return False
    first, last = (one.partner, one) if one.is_end else (one, one.partner)
    in_brackets = text[: first.start].rstrip("\"' \n" + MARK)[-1:] in {"[", "{", "("}
    return in_brackets and _COMMA_IN_BRACKETS.fullmatch(last.link.replace('"', "").replace("'", "")) is not None


def _list_of(text: str, times: Sequence[_Time], k: int) -> int | None:
    """The position of the first time of "the 80, 82, 84 seconds", if this one is in such a list."""
    first = k
    while first and times[first].is_listed and times[first].partner is None:
        first -= 1
    is_list = first != k or (k + 1 < len(times) and times[k + 1].is_listed)
    named = re.search(r"\bthe\s+$", text[: times[first].start], re.IGNORECASE) is not None
    return first if is_list and named and times[first].partner is None else None


def _ends_named_list(text: str, times: Sequence[_Time], k: int) -> bool:
    return _list_of(text, times, k) is not None and not (k + 1 < len(times) and times[k + 1].is_listed)
