"""The numbers of a highlight answer, and ranges of them."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_FRAMES = 5_000  # almost three hours of video; "frames 0 to 99999999" must not fill the memory


class NumberRange(NamedTuple):
    """A range in the text and where it stands; a number is a range of one."""

    first: float
    last: float
    start: int
    end: int
    decimal: bool
    """Written with a decimal point, as most scores are."""

    @property
    def size(self) -> int:
        """How many frames there are in it, at most `MOST_FRAMES`."""
        return int(min(abs(self.last - self.first), MOST_FRAMES)) + 1

    def numbers(self) -> Iterator[float]:
        """Every frame in it, in the order in which it was written."""
        return (self.first + (k if self.last > self.first else -k) for k in range(self.size))


_NUMBER = re.compile(  # a minus counts after a separator or a word: "30 -4.5" is no negative score
    r"(?:(?:(?<=[,(\[{:=])|(?<=[,(\[{:=a-z] ))-)?(?:(?<![\w.])|(?<=frame)|(?<=frames)|(?<=\bf))(?:\d+(?:\.\d+)?|\.\d+)"
    r"(?:(?=frames?\b)|(?:(?:st|nd|rd|th))?(?!\w))"
)
_TO = re.compile(
    r" ?(?:(?P<dash>-)|(?:up )?to|through|thru|until|till|,? ?\.{2,} ?,?|,?(?: and)? ?end(?:s|ing)?(?: at)?(?: frame)? ?:?|(?P<and>and))"
    r" ?(?:the )?(?:frames? ?(?:number )?)?[#\[]? ?"
)


def find_ranges(text: str, *, dash_pairs: bool) -> list[NumberRange]:
    """The numbers of the text; two with a "to" between them are one range."""
    ranges: list[NumberRange] = []
    for match in islice(_NUMBER.finditer(text), 2 * MOST_FRAMES):
        value = min(float(match[0].rstrip("stndrh")), 1e15)  # none is infinite
        this = NumberRange(value, value, match.start(), match.end(), "." in match[0])
        if ranges and _is_range(text, ranges[-1], this, dash_pairs=dash_pairs):
            this = ranges.pop()._replace(last=value, end=this.end)
        ranges.append(this)
    return ranges


_PLURAL_BEFORE = re.compile(r"\bframes ?[(\[]?$")


def _is_range(text: str, first: NumberRange, last: NumberRange, *, dash_pairs: bool) -> bool:
    if first.last != first.first or first.decimal != last.decimal or not 1 <= last.start - first.end <= 30:
        return False
    to = _TO.fullmatch(text, first.end, last.start)
    if to is None or (to["and"] and not re.search(r"between (?:the )?(?:frames? )?#?$", text[max(first.start - 30, 0) : first.start])):
        return False
    if _PLURAL_BEFORE.search(text[max(first.start - 12, 0) : first.start]) and last.last > first.first:
        return True
    return not to["dash"] or not (dash_pairs or last.last < min(first.last, 11))  # "30 - 4" is a frame and its score
