"""All ranges of a plain text, each with the tier of belief that its wording earns."""

from __future__ import annotations

from itertools import accumulate

from numpro_plugin.answers.moments.lists import find_lists, only_numbers, start_and_end
from numpro_plugin.answers.moments.mentions import find_mentions
from numpro_plugin.answers.moments.pairs import find_pairs
from numpro_plugin.answers.moments.spans import TIERS, Range


def find_ranges(text: str, last_number: float | None = None) -> list[Range]:
    """All ranges of a plain text in the order of their beginnings; lists and single frames only where there is no other."""
    mentions = find_mentions(text)
    # A model that writes "Frame 3 (6 s) to Frame 9 (18 s)" explains its frames in brackets; the range is what stands outside.
    depth = list(accumulate((letter == "(") - (letter == ")") for letter in text))
    outside = [m for m in mentions if not m.start or depth[m.start - 1] <= 0]
    found = find_pairs(text, mentions, last_number)
    if len(outside) < len(mentions):
        found += [one for one in find_pairs(text, outside, last_number) if one not in found]
        found = _without_inner(found)
    if not any(one.verdict is None and one.tier in {"literal", "frames"} for one in found):
        found += find_lists(text, mentions, found)
    if not found:
        found = only_numbers(text, mentions)
    outer = start_and_end(text, mentions)
    if not any(one.tier in {"literal", "frames", "listed"} for one in found):
        found += outer
    elif outer and all(_encloses(outer[0], one) for one in found):  # "begins (frame 6), continues (frames 7-8) and ends (frame 9)"
        found = outer
    return sorted(found, key=lambda one: one.start)


def _encloses(outer: Range, inner: Range) -> bool:
    """In the text and in numbers, so that the inner range is a part of what is told of the outer one."""
    in_text = outer.start < inner.start and inner.end < outer.end
    return in_text and inner.last is not None and outer.last is not None and outer.first <= inner.first and inner.last <= outer.last


def _without_inner(ranges: list[Range]) -> list[Range]:
    """Ranges that cross another one which is longer and of a better tier are its explanation."""
    ordered = sorted(ranges, key=lambda one: (TIERS.index(one.tier), one.start - one.end))
    kept: list[Range] = []
    taken: list[tuple[int, int]] = []
    for one in ordered[:2000]:
        if not any(one.start < end and start < one.end for start, end in taken[-50:]):
            kept.append(one)
            taken.append((one.start, one.end))
    return kept
