"""Which digits of a sentence are frame numbers. Only certain ones count as such; possible ones are reported."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from numpro_plugin.answers.highlights.wording import ECHO

TextRange = tuple[int, int]
"""(start, end) of a number in a text, as in a slice."""


@dataclass(frozen=True)
class FrameNumbers:
    """Where the frame numbers of a text are."""

    numbers: tuple[TextRange, ...]
    """Frame numbers, in order."""

    unsure: tuple[TextRange, ...]
    """Whole numbers that may be frame numbers or anything else ("at 5", "2 men"), in order."""


def find_frame_numbers(text: str, *, about_frames: bool = False) -> FrameNumbers:
    """Find the frame numbers of a question or an answer in English.

    Numbers count as frame numbers if they belong to the word "frame" ("frame 3", "frames 3, 4 and 5", "frame 3 to 9", "in the 80, 81, 82
    frames"), or in "from 3 to 9" (not 9 to 3) if the clause ends there or continues with a word that cannot be counted. Saliency scores,
    times with a unit, fractions, ordinals, digits inside words and the example answer in a question are neither certain nor unsure.

    Args:
        text: a question or an answer.
        about_frames: whether the text answers a question about frames; then an answer of bare numbers ("3 - 9") names frames.
    """
    numbers: list[TextRange] = []
    # Whatever is certainly not a frame number is blanked out at the same length, so that positions stay valid.
    remaining = SCORES.sub(_blank, text)
    remaining = _WITH_UNIT.sub(lambda m: _blank(m) if m["unit"] else m[0], remaining)
    remaining = _NOT_WHOLE.sub(_blank, remaining)
    unsure = [match.span() for match in _THOUSANDS.finditer(remaining) if not _are_consecutive(match)]
    remaining = _THOUSANDS.sub(lambda m: m[0] if _are_consecutive(m) else _blank(m), remaining)
    bare = about_frames and not _WORD.search(remaining)
    for run in _runs(remaining):
        if bare or _are_frames(remaining, run):
            numbers += run
        else:
            unsure += run
    return FrameNumbers(tuple(numbers), tuple(sorted(unsure)))


def _blank(match: re.Match[str]) -> str:
    return "\0" * len(match[0])


_N = r"\d++(?:[.:/]\d++)*+"
_MORE = rf"(?:\s*(?:,(?:\s*and)?|and|&|to|[-–])\s*{_N})*+"
SCORES = re.compile(
    "|".join(
        (
            ECHO.pattern,
            rf"\bscale\s+(?:of|from)\s+{_N}\s*(?:to|[-–])\s*{_N}",
            rf"\b(?:scores?|rat(?:ed|ings?)|salienc(?:y|ies))(?:\s+(?:is|are|of|was|were))?\s*:?\s*{_N}{_MORE}",
        )
    ),
    re.IGNORECASE,
)
# A list is stepped over as a whole, with a unit or without: to try again from each of its numbers takes quadratic time.
_WITH_UNIT = re.compile(
    rf"{_N}{_MORE}(?P<unit>\s*(?:%|(?:m?s|secs?|(?:milli)?seconds?|mins?|minutes?|h|hours?|fps|percent|o.?clock|am|pm)\b))?", re.IGNORECASE
)
_NOT_WHOLE = re.compile(
    "|".join(
        (
            r"(?<!\d)\d++(?:[.:/]\d++)++",  # 1.5, 01:02, 3/4
            r"\b(?!frames?\d++\b)\w*(?:[^\W\d]\d|\d[^\W\d])\w*",  # 1st, 3D, v2
        )
    ),
    re.IGNORECASE,
)
_CONTEXT = 100  # characters around a number that are searched for what it counts
_THOUSANDS = re.compile(r"(?<![\d,])(\d{1,3}),(\d{3})(?![\d,])")
_WORD = re.compile(r"(?!(?:to|and|from)\b)\b[^\W\d]+", re.IGNORECASE)
_NUMBER_OF = r"(?:\s+(?:numbers?|nos?\.?|ids?|index|indices))?(?:\s+(?:are|is))?\s*[:=]?\s*[\[(#]?\s*"
_FRAME = rf"(?:red\s+)?frames?{_NUMBER_OF}"
_LABEL = re.compile(rf"\b{_FRAME}$", re.IGNORECASE)
_ONE_FRAME = re.compile(r"\bframe(?:\s+(?:number|no\.?|id|index))?(?:\s+is)?\s*[:=]?\s*[\[(#]?\s*$", re.IGNORECASE)
_LINK = re.compile(
    rf"\s*(?:[\])]\s*)?(?:,\s*(?:(?:and|or|to)\b\s*)?|;|and\b|or\b|&|to\b|through\b|thru\b|until\b|till\b|[-–—~])\s*(?:the\s+)?(?:{_FRAME})?",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\s*(?:to|through|thru|until|till|[-–—~])\s*", re.IGNORECASE)
_BEFORE_LIST = re.compile(r"(?:\b(?:in|at|on|are|is|of|from|between|during|within)(?:\s+the)?|[:(\[])\s*$", re.IGNORECASE)
_AFTER_LIST = re.compile(r"\s*[\])]?\s*frames?\b", re.IGNORECASE)
_COUNTABLE = re.compile(
    r"\s+(?!(?:frames?|and|or|is|are|was|were|in|of|the|an?|when|where|while|as|we|you|i|he|she|they|there|it|show\w*|that|which|with|for"
    r"|on|at|you|can|has|have|contain\w*|depict\w*|featur\w*|respectively)\b)[a-z]"
)
_FROM = re.compile(r"\bfrom\s*$", re.IGNORECASE)
_CLAUSE_ENDS = re.compile(
    r"\s*(?:$|[.,;:!?)\]\"'’”\n]|(?:and|while|when|as|where|which|that|the|an?|this|we|you|i|he|she|they|there|it|his|her|their|is|are|was"
    r"|were|in|of|on|at|during|show(?:s|ing)?|with|after|before|then|but|so|because|also|another|someone)\b)",
    re.IGNORECASE,
)
# "He counts from 1 to 10": ranges of something else in the same clause.
_OTHER_RANGE = re.compile(
    r"\b(?:count(?:s|ed|ing)?|number(?:s|ed)?|scales?|rat(?:e[sd]?|ing)|score[sd]?|levels?|age[sd]?|grades?|rang(?:es?|ed|ing)|var(?:y|ies)"
    r"|increas\w+|decreas\w+|temperatures?|prices?|chang\w+|goes|went)(?:[^\w.,;:!?]+\w+){0,2}[^\w.,;:!?]+$",
    re.IGNORECASE,
)


def _are_consecutive(match: re.Match[str]) -> bool:
    """99,100 are two numbers of a list; 1,007 is one number, and 99,150 may be either."""
    return int(match[2]) == int(match[1]) + 1


def _runs(text: str) -> list[list[TextRange]]:
    """Whole numbers, grouped where the words of a list or a range join them."""
    runs: list[list[TextRange]] = []
    for match in re.finditer(r"\d+", text):
        link = _LINK.fullmatch(text, runs[-1][-1][1], match.start()) if runs else None
        if link and (_RANGE.fullmatch(link[0]) or "frame" in link[0].lower() or not _is_complete(text, runs[-1])):
            runs[-1].append(match.span())
        else:
            runs.append([match.span()])
    return runs


def _is_complete(text: str, run: list[TextRange]) -> bool:
    """In "from 3 to 9, 2 men" and "in frame 3, 2 men" the comma ends the frame numbers; "in frames 3, 2" is a list."""
    before = _before(text, run)
    return _ONE_FRAME.search(before) is not None or (len(run) == 2 and _FROM.search(before) is not None)


def _before(text: str, run: list[TextRange]) -> str:
    return text[max(0, run[0][0] - _CONTEXT) : run[0][0]]


def _are_frames(text: str, run: list[TextRange]) -> bool:
    before, after = _before(text, run), text[run[-1][1] : run[-1][1] + _CONTEXT]
    links = [text[a[1] : b[0]] for a, b in pairwise(run)]
    if _LABEL.search(before) or any("frame" in link.lower() for link in links):
        # "in frames 3 and 4 men": the last may count something; "frames 3 to 9 men" does not.
        return not (links and not _RANGE.fullmatch(links[-1]) and "frame" not in links[-1].lower() and _COUNTABLE.match(after))
    if links and _AFTER_LIST.match(after):
        return _BEFORE_LIST.search(before) is not None
    if len(links) != 1 or not _RANGE.fullmatch(links[0]) or not _CLAUSE_ENDS.match(after):
        return False
    at = _FROM.search(before)
    first, last = (text[slice(*number)].lstrip("0") for number in run)
    ascends = (len(first), first) <= (len(last), last)  # as integers, of whatever length
    return at is not None and ascends and not _OTHER_RANGE.search(before[: at.start()])
