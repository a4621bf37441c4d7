"""Spans that tell one by one what happens in the video. Where nothing says which of them is meant, none is the answer."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpro_plugin.answers.moments.spans import Range

_SUBJECT_START = re.compile(r"(?:^|[.!?;:,)\n] ?|\[|\band |\bin |\bduring )(?:in |from |the |during )?$")
_TELLS = re.compile(
    r"\]? ?(?!(?:,|and|or|then|&| )+(?:again )?(?:in |from |at |between )?(?:the )?frames?\b)(?::|- )? ?"
    r"(?P<words>(?:[^\W\d][\w'-]*[ ,]*){2,12})"
)
_STEP = re.compile(r"(?:^|[.,;:)\n] ?)(?:and )?(?P<words>[^.,;:()\d\n]{4,70})$")
_LABEL = re.compile(
    r"(?:^|[\n;] ?)(?!(?:the )?(?:final |correct )?(?:answer|result|frames?|span|range|segment|moment|event|interval|time|output"
    r"|response)\b)"
    r"(?P<words>[a-z][^:;\n\d.]{2,40}): ?\[?(?:from )?$"
)
_SKIPPED = re.compile(
    r"\b(?:an?|the|is|are|of|in|on|at|to|and|he|she|it|they|his|her|their|i|we|you|can|see|shows?|where|when|as|again|first|second|third|then"
    r"|finally)\b"
)


def _words(text: str) -> frozenset[str]:
    return frozenset(_SKIPPED.sub(" ", text.replace(",", " ")).split())


def label(text: str, start: int) -> frozenset[str] | None:
    """The words of the label before a range ("Preparation: frames 0-5"), or None. One alone says nothing; several tell a story."""
    words = _LABEL.search(text[max(0, start - 60) : start])
    return _words(words["words"]) if words else None


def told(text: str, start: int, end: int) -> frozenset[str] | None:
    """The words of what a range tells, or None: "Frames 0-5: he sits", "frames 6 to 9 show ...", "then he sits (frames 0-5)"."""
    if text[max(0, start - 1) : start] == "(" and (words := _STEP.search(text[max(0, start - 100) : start - 1])):
        return _words(words["words"])
    if not _SUBJECT_START.search(text[max(0, start - 12) : start]):
        return None
    words = _TELLS.match(text, end, end + 120)
    return _words(words["words"]) if words else None


def without_story(ranges: list[Range]) -> tuple[list[Range], str]:
    """Without ranges that tell one by one what happens in the video, if there are several and they tell different things."""
    labels = [one.label for one in ranges if one.label is not None]
    if any(not _same(one, labels[0]) for one in labels[1:]):
        ranges = [replace(one, words=one.label if one.words is None else one.words) for one in ranges]
    told = [one for one in ranges if one.words is not None and one.tier in {"literal", "frames", "bare"}]
    if not told or len({(one.first, one.last) for one in ranges}) == 1:
        return ranges, ""
    different = any(not _same(one.words, told[0].words) for one in told[1:])
    rest = [one for one in ranges if one.words is None and one.tier in {"literal", "frames", *({"bare"} & {one.tier for one in told})}]
    if rest and (different or (any(one.tier == "frames" for one in told) and not any(one.tier == "literal" for one in told))):
        return rest, ""
    literal = [one for one in told if one.tier == "literal"]
    if different and literal == told[-1:]:  # only the last is in the format that was asked for
        return literal, ""
    if different:
        return [], "the answer tells what several spans of frames show and does not say which of them it means"
    return ranges, ""


def _same(one: frozenset[str] | None, other: frozenset[str] | None) -> bool:
    one, other = one or frozenset(), other or frozenset()
    return 2 * len(one & other) >= len(one | other)
