"""An answer about times in the words of an answer about frames: "6 - 18.5 seconds" is "frame 6000 - frame 18500"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

from numpro_plugin.answers.languages import in_english, number_words
from numpro_plugin.answers.times.durations import is_duration
from numpro_plugin.answers.times.units import AFTER_UNIT, CLOCK, COUNTED, JOINER, NUMBER, as_numerals, factor_of
from numpro_plugin.answers.wording import join_thousands, respell, steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpro_plugin.encoding import AnswerUnit

MILLISECONDS = 1000
"""In a second. Times are counted in them, so that every one is a whole number, as a frame's."""
_LARGEST = 10**15
_Kind = Literal["clock", "seconds", "frames"]


@dataclass(frozen=True)
class Spelled:
    """An answer in the words of frames."""

    text: str
    unit: AnswerUnit | None
    """What its numbers count by what is written; None if no number has a unit."""


class _Number(NamedTuple):
    start: int
    end: int
    kind: _Kind | None
    value: float
    """In seconds; of a frame its number."""
    factor: float
    """Seconds in its unit, which a number that is joined to it shares."""
    negative: bool


_TIDY = steps(
    (r"(?<=\d)[*`]+|[*`]+(?=-?\d)", ""),  # **6**
    (r"<(\d[\d:.]*) ?(s|sec|seconds?)?>", r" \1 \2 "),  # <6.0>
    (r"\b[xyt] ?= ?(?=\d)", ""),
    (r"(?<=:\d\d),(?=\d{3}\b)", "."),  # 00:00:06,500
    (r"(?<![\d:.])\d{1,3}(?::\d{1,3}){3,}(?![\d:])", " ? "),  # 00:00:06:00 is no clock time, and its parts are none
    (r"(?<![\d:.])\d{1,3}(?::\d{1,2})*:\d{3,}(?![\d])", " ? "),  # 00:06:500
    (r"(?<![\d:.])\d{1,3}:[6-9]\d(?![\d:])", " ? "),  # 1:65
    (rf"(?<![\d.:])(\d{{1,6}}) ?(?:frames? ?)?{JOINER} ?(\d{{1,6}}) ?frames?\b", r"frame \1 - frame \2"),  # 3-9 frames
    (r"\[ ?(\d{1,6}) ?, ?(\d{3}) ?\]", r"[\1 , \2]"),  # two ends, not thousands
    (
        rf"(?<![\d,.])(\d{{1,6}}),(\d{{1,2}})(?P<unit> ?[^\W\d]{{1,9}})? ?{JOINER} ?(\d{{1,6}}),(\d{{1,2}})(?=\s?[^\W\d])",
        r"\1.\2\g<unit> - \4.\5",
    ),  # 6,5 bis 18,2 Sekunden
    (
        r"(?m)^([\s>]{0,9})\(?\d{1,2}[.)]\s{1,3}(?=[\[(\"']?\d{1,7}(?:[.:]\d{1,9}){0,3} ?(?:[a-z]{1,7} ?)?(?:-|–|—|~|to\b|,))",
        r"\1- ",
    ),  # "1. 5 - 7 s"
    (r"(?:timestamps?|times?|spans?|moments?|segments?|intervals?) ?\d{1,2} ?:(?=\s?\d)", ": "),  # "Segment 1: 5 - 7 s"
)
_ANSWER_TAGS = re.compile(
    r"<(?P<tag>timesteps?|time_?stamps?|times?|time_?spans?|time_?ranges?|spans?|intervals?|segments?|moments?|windows?)>"
    r"(?P<text>[^<]{0,400}\d[^<]{0,40}\d[^<]{0,200})</(?P=tag)>"
)
_MINUS = r"(?:(?:(?<=^)|(?<=from )|(?<=to )|(?<=at )|(?<=between )|(?<=[\[(:=,\n])|(?<=[\[(:=,] ))(?P<minus>-))?"
_FRAME = (
    rf"(?P<frame>\bframes? ?(?:numbers?|nos?\.?|ids?)? ?[:=#]{{0,2}} ?[\[(]{{0,2}}(?P<number>{NUMBER})(?![\d:]|\.\d))"
    r"|(?P<ordinal>\b\d{1,6}(?:st|nd|rd|th) frames?\b)"
)
_BARE = rf"(?P<bare>(?<![a-z_.\d]){NUMBER}(?![a-z_%\d]|\.\d|:\d| ?%| ?percent))"
_TOKEN = re.compile(rf"{_FRAME}|{_MINUS}(?:{CLOCK}|{COUNTED}|{AFTER_UNIT}|{_BARE})")
_BLANKS = re.compile(r"[^\S\n]{2,}")
_ABOUT = r"(?:about |around |approximately |roughly |the |at |second )?"
_RANGE_GAP = re.compile(rf"[\s\"')\]}}]{{0,3}}{JOINER}\s{{0,2}}{_ABOUT}[\s\"'(\[]{{0,3}}")
_LIST_GAP = re.compile(r"[\s\"')\]}]{0,3}(?:,|;|\n|(?:, ?)?and\b|&)[\s\"'(\[]{0,3}(?:from |between )?")


_RANGE = r"frame \d{1,16} ?- ?frame \d{1,16}"
_FORMAT = re.compile(rf"(?<=happens in )\s?{_RANGE}(?: ?, ?{_RANGE})*")


def spell(text: str) -> Spelled:
    """A folded answer with every time as a frame of so many milliseconds.

    Frames that are named beside times only say which frames show them, and are left out. Durations ("lasting 12 seconds") are no times.
    """
    text = as_numerals(number_words(in_english(join_thousands(respell(text, _TIDY)))))
    text = _ANSWER_TAGS.sub(lambda found: f"<answer>{found['text']}</answer>", text)
    numbers = _shared(text, [_number(found) for found in _TOKEN.finditer(text)])
    kinds = {one.kind for one in numbers if one.kind and not is_duration(text, one.start, one.end, joined=False)}
    timed = kinds & {"clock", "seconds"}
    if kinds and not timed:
        return Spelled(text, "frames")
    unit: AnswerUnit | None = None if not kinds else "clock" if timed == {"clock"} else "seconds"
    return Spelled(_FORMAT.sub(_asked_format, _BLANKS.sub(" ", _written(text, numbers))), unit)


def _asked_format(found: re.Match[str]) -> str:
    """The format that was asked for is believed as much as "From Frame x to Frame y" is."""
    return re.sub(r"(frame \d+) ?- ?(frame \d+)", r"from \1 to \2", found[0])


def _number(found: re.Match[str]) -> _Number:
    start, end = found.span()
    if found["frame"] or found["ordinal"]:
        value = float(found["number"] or re.match(r"\d+", found["ordinal"])[0])  # type: ignore[index]
        return _Number(start, end, "frames", value, 1, False)
    negative = bool(found["minus"])
    if found["bare"]:
        return _Number(start, end, None, float(found["bare"]), 1, negative)
    if found["clock_m"]:
        seconds = float(found["clock_s"].replace(",", "."))
        return _Number(start, end, "clock", int(found["clock_h"] or 0) * 3600 + int(found["clock_m"]) * 60 + seconds, 1, negative)
    parts = {name: found[name] for name in ("h", "m", "s", "ms", "after") if found[name]}
    seconds = sum(float(value) * factor_of(name) for name, value in parts.items())
    return _Number(start, end, "seconds", seconds, factor_of(*parts) if len(parts) == 1 else 1, negative)


def _shared(text: str, numbers: list[_Number]) -> list[_Number]:
    """Of "5 - 7, 9 - 12 seconds" every number has the unit, and of "6 s - 18" both."""
    shared = list(numbers)
    for k in range(len(shared) - 2, -1, -1):
        one, after = shared[k], shared[k + 1]
        if one.kind is None and after.kind not in (None, "frames") and _joins(text, one, after, lists=True):
            shared[k] = _with_unit(one, after)
    for k in range(1, len(shared)):
        before, one = shared[k - 1], shared[k]
        if one.kind is None and before.kind is not None and _joins(text, before, one):
            shared[k] = _with_unit(one, before)
    return shared


def _with_unit(one: _Number, other: _Number) -> _Number:
    kind = "seconds" if other.kind == "clock" else other.kind
    return one._replace(kind=kind, value=one.value * other.factor, factor=other.factor)


def _written(text: str, numbers: Sequence[_Number]) -> str:
    timed = any(one.kind in ("clock", "seconds") for one in numbers)
    joins = [_joins(text, one, after) for one, after in pairwise(numbers)]
    parts: list[str] = []
    done = 0
    for one, joined in zip(numbers, map(max, [False, *joins], [*joins, False]), strict=False):
        parts += [text[done : one.start], _word(text, one, joined=joined, timed=timed)]
        done = one.end
    return "".join([*parts, text[done:]])


def _joins(text: str, one: _Number, after: _Number, *, lists: bool = False) -> bool:
    """Whether two neighbours are the ends of a range, or (``lists``) stand in one list."""
    gap = text[one.end : min(after.start, one.end + 41)]
    return len(gap) <= 40 and bool(_RANGE_GAP.fullmatch(gap) or (lists and _LIST_GAP.fullmatch(gap)))


def _word(text: str, one: _Number, *, joined: bool, timed: bool) -> str:
    if one.kind == "frames":
        return " " if timed else text[one.start : one.end]
    whole = min(round(one.value * MILLISECONDS), _LARGEST)
    sign = "-" if one.negative else ""
    if one.kind is None:
        return f"{sign}{whole}"
    if is_duration(text, one.start, one.end, joined=joined):
        return " "
    return f" frame {sign}{whole} "
