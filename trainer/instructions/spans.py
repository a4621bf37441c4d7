"""Which answers are nothing but spans, and which spans these are."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..shard_format import Turn

_FRAME = r"(?:the\s+)?(?:frames?\s*)?(?:(?:numbers?|no\.?)\s*)?[:#]?\s*"
_TO = re.compile(rf"\s*(?:,?\s*to|through|until|till|[-–—~])\s*{_FRAME}", re.IGNORECASE)
_AND = re.compile(rf"\s*and\s*{_FRAME}", re.IGNORECASE)
_STARTS_AND_ENDS = re.compile(r"[\s,;.]*(?:and\s+)?(?:it\s+)?(?:ends?|stops?|finish(?:es)?)\b[^\d]{0,20}", re.IGNORECASE)
_BETWEEN = re.compile(rf"\bbetween\s+{_FRAME}$", re.IGNORECASE)
_PAIR_OPENS, _PAIR_GOES_ON, _PAIR_CLOSES = re.compile(r"\[\s*\[\s*$"), re.compile(r"\s*,\s*"), re.compile(r"\s*\]")
_NEXT = re.compile(
    r"(?:[\s,;.&()\[\]/|]"
    r"|\b(?:and|then|also|again|or|from|between|in|frames?|numbers?|the|at|during|as well as|once more|finally|later)\b)*",
    re.IGNORECASE,
)
_CAPTION = re.compile(r"\s*(?:frames?\s*)?[,:;]\s*\w", re.IGNORECASE)


def answer_spans(turn: Turn, *, paired: bool = False) -> list[list[float]] | None:
    """The (start, end) in seconds of every span of an answer, in its order, or None if it is anything but spans.

    An answer is spans if its frame numbers come in pairs that are joined as ranges ("3 to 9", "between 3 and 9", "[[3, 9]]"), with nothing
    but conjunctions between the pairs, no other digit, and no caption after them ("From 3 to 9, a man runs.").

    Args:
        turn: an answer.
        paired: whether the numbers are known to be starts and ends in turn; then a comma joins them, too ("[3, 9]").
    """
    places, text = turn["numbers"], turn["content"]
    if not places or len(places) % 2 or any(place["time_s"] is None for place in places):
        return None
    bounds = [0, *(at for place in places for at in (place["start"], place["end"])), len(text)]
    around = [text[start:end] for start, end in zip(bounds[::2], bounds[1::2], strict=True)]  # before, between and after the numbers
    if any(letter.isdigit() for piece in around for letter in piece) or _CAPTION.match(around[-1]):
        return None
    for k in range(0, len(places), 2):
        before, link, after = around[k : k + 3]
        joined = _is_range(before, link, after) or (paired and _PAIR_GOES_ON.fullmatch(link))
        if not joined or (k and not _NEXT.fullmatch(before)):
            return None
    times = [float(place["time_s"]) for place in places]
    return [sorted(pair) for pair in list(pairwise(times))[::2]]


def _is_range(before: str, link: str, after: str) -> bool:
    if _TO.fullmatch(link) or _STARTS_AND_ENDS.fullmatch(link):
        return True
    if _AND.fullmatch(link):
        return _BETWEEN.search(before) is not None
    opens = _PAIR_OPENS.search(before) or re.search(r"\]\s*,\s*\[\s*$", before)
    return bool(opens and _PAIR_GOES_ON.fullmatch(link) and _PAIR_CLOSES.match(after))
