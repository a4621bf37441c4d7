"""Which scores belong to which frames."""

from __future__ import annotations

from itertools import chain, islice, repeat

from numpro_plugin.answers.highlights.lists import RoleList
from numpro_plugin.answers.highlights.numbers import NumberRange

Group = tuple[list[NumberRange], RoleList]
"""Frames and the scores that belong to them."""


def paired(lists: list[RoleList]) -> list[Group]:
    """Every list of scores with the frames before it."""
    groups: list[Group] = []
    frames: list[RoleList] = []
    answered = False
    for this in lists:
        if this.role == "frame":
            if answered:
                frames, answered = [], False
            frames.append(this)
        elif frames and not answered:
            groups.append((frames[0].ranges if len(frames) == 1 else _nearest(frames, this), this))
            answered = True
    return groups


def _nearest(frames: list[RoleList], scores: RoleList) -> list[NumberRange]:
    """Of several lists of frames before the scores the last with as many numbers, else all."""
    for each in frames[::-1]:
        if len(scores.ranges) in {len(each.ranges), sum(one.size for one in each.ranges)}:
            return each.ranges
    every = {(one.first, one.last): one for each in frames for one in each.ranges}
    return sorted(every.values(), key=lambda one: one.start)


def paired_without_names(lists: list[RoleList]) -> list[Group]:
    """No list is said to be scores: "(3, 4.5), (4, 2.0)", or two lists of the same length."""
    ranges = [one.ranges for one in lists if one.role == "frame"]
    pairs = ranges[:-1] if ranges and len(ranges[-1]) == 1 else ranges  # the answer may end within a pair
    if all(len(pair) == 2 and pair[1].decimal > pair[0].decimal and pair[1].first <= 10 for pair in pairs):
        return [([frame], RoleList("score", [score])) for frame, score in pairs]
    if len(ranges) == 2 and len(ranges[0]) == len(ranges[1]) and all(one.decimal and one.first <= 10 for one in ranges[1]):
        return [(ranges[0], RoleList("score", ranges[1]))]
    return []


def scores_for(ranges: list[NumberRange], scores: RoleList, frames: int) -> list[float]:
    """The scores of ``frames`` frames in their order: one for each, one for each range, or one for all; fewer where some have none."""
    values = [(one.first + one.last) / 2 for one in scores.ranges]  # of a score "3-4" the middle
    if len(values) == len(ranges) != frames:  # one for each range
        return list(islice(chain.from_iterable(repeat(value, one.size) for value, one in zip(values, ranges, strict=True)), frames))
    return values * frames if len(values) == 1 and not scores.plural else values
