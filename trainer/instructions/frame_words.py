"""Which digits of a sentence are frame numbers. Only what is surely one is called one; what may be one is reported."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from numpro_plugin.answers.highlight_wording import ECHO

Place = tuple[int, int]
"""Start and end of a number in a text, as for slicing."""


@dataclass(frozen=True)
class FrameWords:
    """Where a text speaks of frames."""

    numbers: tuple[Place, ...]
    """Frame numbers, in order."""

    unsure: tuple[Place, ...]
    """Whole numbers that may be frame numbers or anything else ("at 5", "2 men"), in order."""


def find_frame_numbers(text: str, *, about_frames: bool = False) -> FrameWords:
    """Find the frame numbers of a question or an answer in English.

    Sure are numbers that the word frame goes with ("frame 3", "frames 3, 4 and 5", "frame 3 to 9", "in the 80, 81, 82 frames"), and
    "from 3 to 9" (not 9 to 3) where the clause ends there or goes on with a word that cannot be counted. Neither sure nor unsure are
    saliency scores, times with a unit, fractions, ordinals, digits within words, and the example of an answer that a question gives.

    Args:
        text: what was said.
        about_frames: the text answers a question about frames: in an answer of nothing but numbers ("3 - 9") they are frames.
    """
    numbers: list[Place] = []
    unsure = [match.span() for match in _THOUSANDS.finditer(text) if not _neighbours(match)]
    # What is no frame number goes, at the same length, so that places stay what they are.
    left = _SCORES.sub(_blank, text)
    left = _WITH_UNIT.sub(lambda m: _blank(m) if m["unit"] else m[0], left)
    left = _NOT_WHOLE.sub(_blank, left)
    left = _THOUSANDS.sub(lambda m: m[0] if _neighbours(m) else _blank(m), left)
    bare = about_frames and not _WORD.search(left)
    for run in _runs(left):
        if bare or _are_frames(left, run):
            numbers += run
        else:
            unsure += run
    return FrameWords(tuple(numbers), tuple(sorted(unsure)))


def _blank(match: re.Match[str]) -> str:
    return "\0" * len(match[0])


_N = r"\d++(?:[.:/]\d++)*+"
_MORE = rf"(?:\s*(?:,(?:\s*and)?|and|&|to|[-–])\s*{_N})*+"
_SCORES = re.compile(
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
_NEAR = 100  # characters around a number that say what it is
_THOUSANDS = re.compile(r"(?<![\d,])(\d{1,3}),(\d{3})(?![\d,])")
_WORD = re.compile(r"(?!(?:to|and|from)\b)\b[^\W\d]+", re.IGNORECASE)
_NUMBER_OF = r"(?:\s+(?:numbers?|nos?\.?|ids?|index|indices))?(?:\s+(?:are|is))?\s*[:=]?\s*[\[(#]?\s*"
_FRAME = rf"(?:red\s+)?frames?{_NUMBER_OF}"
_LABEL = re.compile(rf"\b{_FRAME}$", re.IGNORECASE)
_ONE_FRAME = re.compile(r"\bframe(?:\s+(?:number|no\.?|id|index))?(?:\s+is)?\s*[:=]?\s*[\[(#]?\s*$", re.IGNORECASE)
_JOINT = re.compile(
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
# "He counts from 1 to 10": ranges of something else, said in the same clause.
_OTHER_RANGE = re.compile(
    r"\b(?:count(?:s|ed|ing)?|number(?:s|ed)?|scales?|rat(?:e[sd]?|ing)|score[sd]?|levels?|age[sd]?|grades?|rang(?:es?|ed|ing)|var(?:y|ies)"
    r"|increas\w+|decreas\w+|temperatures?|prices?|chang\w+|goes|went)(?:[^\w.,;:!?]+\w+){0,2}[^\w.,;:!?]+$",
    re.IGNORECASE,
)


def _neighbours(match: re.Match[str]) -> bool:
    """99,100 are two of a list; 1,007 is one number, and 99,150 may be either."""
    return int(match[2]) == int(match[1]) + 1


def _runs(text: str) -> list[list[Place]]:
    """Whole numbers, those that are joined by the words of a list or a range together."""
    runs: list[list[Place]] = []
    for match in re.finditer(r"\d+", text):
        joint = _JOINT.fullmatch(text, runs[-1][-1][1], match.start()) if runs else None
        if joint and (_RANGE.fullmatch(joint[0]) or "frame" in joint[0].lower() or not _is_complete(text, runs[-1])):
            runs[-1].append(match.span())
        else:
            runs.append([match.span()])
    return runs


def _is_complete(text: str, run: list[Place]) -> bool:
    """Of "from 3 to 9, 2 men" and "in frame 3, 2 men" the comma ends what speaks of frames; "in frames 3, 2" is a list."""
    before = _before(text, run)
    return _ONE_FRAME.search(before) is not None or (len(run) == 2 and _FROM.search(before) is not None)


def _before(text: str, run: list[Place]) -> str:
    return text[max(0, run[0][0] - _NEAR) : run[0][0]]


def _are_frames(text: str, run: list[Place]) -> bool:
    before, after = _before(text, run), text[run[-1][1] : run[-1][1] + _NEAR]
    joints = [text[a[1] : b[0]] for a, b in pairwise(run)]
    if _LABEL.search(before) or any("frame" in joint.lower() for joint in joints):
        # "in frames 3 and 4 men": the last may count something; "frames 3 to 9 men" says nothing of that kind.
        return not (joints and not _RANGE.fullmatch(joints[-1]) and "frame" not in joints[-1].lower() and _COUNTABLE.match(after))
    if joints and _AFTER_LIST.match(after):
        return _BEFORE_LIST.search(before) is not None
    if len(joints) != 1 or not _RANGE.fullmatch(joints[0]) or not _CLAUSE_ENDS.match(after):
        return False
    at = _FROM.search(before)
    first, last = (text[slice(*place)].lstrip("0") for place in run)
    ascends = (len(first), first) <= (len(last), last)  # as integers, of whatever length
    return at is not None and ascends and not _OTHER_RANGE.search(before[: at.start()])
