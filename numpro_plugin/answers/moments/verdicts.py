"""What the words around a range say against it: a denial, the numbering itself, a count, something withdrawn or placed before."""

from __future__ import annotations

import re
from typing import Literal

from numpro_plugin.answers.moments.asides import is_aside
from numpro_plugin.answers.moments.counts import is_count, is_numbering, looked_at
from numpro_plugin.answers.moments.denials import denial, from_the_first

Verdict = Literal["denied", "numbering", "count", "aside"]
"""``denied``, ``numbering`` and ``count`` are no answers; ``aside`` (withdrawn, placed before, or followed by a negation that may be part
of what was asked for: "the door is not closed") counts only if nothing else is left."""
_BREAK = re.compile(
    r"[.!?;](?=\s|$)|\n|\b(?:but|however|although|though|(?<=[,.;] )yet|instead|i think|i would say|only)\b|(?<=\d), (?=(?:it|he"
    r"|she|they|we|i)\b)"
)
_SUBORDINATE = re.compile(r"(?:^|[.!?;:,]) ?(?:even )?(?:although|though|while|since|because|as|if|when)\b [^,]{0,100}, ?")


def verdict(text: str, start: int, end: int, *, named: bool, bare: bool) -> Verdict | None:
    """What is said against the range ``text[start:end]``.

    Args:
        text: the plain text.
        start: where the range begins, with the label of its first number.
        end: where it ends.
        named: the word frame stands before the first number.
        bare: nothing says what the numbers count, or "frames" comes after them.
    """
    before = text[max(0, start - 140) : start]
    clause = _clause(before)
    denied = denial(text, start, end, before=before, clause=clause)
    if denied == "denied":
        return denied
    seen = looked_at(before)
    if is_numbering(before) or (seen and from_the_first(text, start, end)):
        return "numbering"
    if not named and is_count(text, start, end, before=before, bare=bare):
        return "count"
    return "aside" if denied or seen or is_aside(text, end, before=before, clause=clause) else None


def _clause(before: str) -> str:
    """The part of the text before a range that belongs to the same clause."""
    breaks = [match.end() for match in _BREAK.finditer(before)]
    clause = before[breaks[-1] :] if breaks else before
    if subordinate := _SUBORDINATE.match(before, breaks[-2] if len(breaks) > 1 else 0) or _SUBORDINATE.search(clause):
        clause = before[max(subordinate.end(), breaks[-1] if breaks else 0) :]
    return clause
