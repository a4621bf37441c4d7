"""Frames that are no range in words: lists of them, one alone, a start and an end apart, and texts that are nothing but numbers."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from numpro_plugin.answers.moments.pairs import BETWEEN_LIST, GOES_ON, OPEN, OPEN_START
from numpro_plugin.answers.moments.spans import MOST_RANGES, Range
from numpro_plugin.answers.moments.verdicts import verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpro_plugin.answers.moments.mentions import Mention

_OUTSIDE = re.compile(r"\b(?:after|before|by|until|since|till|to|from|of)(?: the)? ?$")
_BOUND = re.compile(r"(?<!at the )(?<!near the )(?<!at the very )\b(?:finish|end|stop|start|begin)\w*\b[^.;\n]{0,25}$")
"""Before a frame that is one end of a span: "he starts to run at frame 6"."""
_START_CUE = re.compile(
    r"\b(?:start(?:s|ing|ed)?|begin(?:s|ning)?|began|onset|first (?:\w+ )?(?:seen|visible|appears?|shown)|not until|first [^.\d]{1,20}:"
    r"|first time)\b[^.;\n]{0,30}$"
    r"|\b(?:from|as of) (?:the )?$|\b(?:first|initial) $|\bfrom (?:the (?:moment|time|point)|when|where)\b[^.\n\d]{0,60}$"
    r"|\bfirst [^.\d]{1,20}: $"
)
_END_CUE = re.compile(
    r"\b(?:end(?:s|ing|ed)?|finish(?:es|ing|ed)?|stop(?:s|ped)?|conclud(?:es|ed)|last (?:\w+ )?(?:seen|visible|appears?|shown)"
    r"|last time)\b[^.;\n]{0,30}$"
    r"|\b(?:un)?till? (?:the )?$|\b(?:final|last) $|\bup to (?:the )?$|\b(?:to|until|till) (?:the (?:moment|time|point)|when"
    r"|where)\b[^.\n\d]{0,60}$"
    r"|(?:^"
    r"|[.,;\n] ?)to (?:the )?$|\blast [^.\d]{1,20}: $"
)
_COMES = re.compile(r"\b(?:appears?|enters?|comes? into (?:view|the \w+)|shows? up)\b[^.;\n]{0,30}$")
_GOES = re.compile(r"\b(?:leaves?|disappears?|exits?|goes? out of (?:view|the \w+)|is gone)\b[^.;\n]{0,30}$")
"""Starts and ends only where no other frame is told of."""
_LABELLED = re.compile(r"\b(?:first|last) [^.\d]{1,20}: $")
_START_AFTER = re.compile(r" ?[(-] ?(?:start|begin)| (?:is )?when [^.,;\d]{0,20}\b(?:start|begin)")
_END_AFTER = re.compile(r" ?[(-] ?(?:end|stop|finish)| (?:is )?when [^.,;\d]{0,20}\b(?:end|stop|finish)")


def find_lists(text: str, mentions: Sequence[Mention], pairs: Sequence[Range]) -> list[Range]:
    """Frames in a list ("frames 3, 4 and 5"), bare numbers one after the other, and a frame that stands alone."""
    taken = {position for one in pairs for position in (one.start, one.end)}
    found: list[Range] = []
    singles: list[Range] = []
    run: list[Mention] = []
    for mention in [*mentions, None]:
        joins = run and mention and mention.kind != "second" and BETWEEN_LIST.fullmatch(text[run[-1].end : mention.start])
        if joins and mention:
            run.append(mention)
            continue
        for one in _as_list(text, run, taken) if len(found) + len(singles) < MOST_RANGES else ():
            (singles if one.tier == "single" else found).append(one)
        run = [mention] if mention and mention.kind != "second" else []
    # Of several frames in different places none is said to be the first or the last, and one that something starts with is no span.
    return found + (singles if len(singles) == 1 and singles[0].last is not None else [])


def _as_list(text: str, run: Sequence[Mention], taken: set[int]) -> list[Range]:
    if not run or run[0].start in taken or run[-1].end in taken or any(not m.whole or m.value < 0 for m in run):
        return []
    named = (run[0].kind == "frame" and not run[0].counted) or (run[-1].counted and len(run) > 1)
    start, end = run[0].start, run[-1].end
    before = text[max(0, start - 60) : start]
    if OPEN.match(text, end, end + 80) or OPEN_START.search(before) or (len(run) < 3 and not named):
        return []
    against = verdict(text, start, end, named=named, bare=not named)
    values = [mention.value for mention in run]
    steps = {b - a for a, b in pairwise(values)}
    if len(run) == 1:
        outside = _OUTSIDE.search(before[-12:])
        if not named:
            return []
        bound = outside or GOES_ON.match(text, end) or _BOUND.search(before)
        return [Range(values[0], None if bound else values[0], "single", start, end, against)]
    if GOES_ON.match(text, end):
        return []
    if len(run) == 2 and named:
        return [Range(min(values), max(values), "listed", start, end, against)]
    if len(steps) == 1 and min(steps) > 0 and (named or steps == {1.0}) and len(run) > 2:
        return [Range(values[0], values[-1], "listed" if named else "bare", start, end, against)]
    if not named or min(steps) <= 0:
        return []
    pieces: list[list[Mention]] = [[run[0]]]
    for previous, mention in pairwise(run):
        if mention.value - previous.value > 1:
            pieces.append([])
        pieces[-1].append(mention)
    return [Range(piece[0].value, piece[-1].value, "listed", piece[0].start, piece[-1].end, against) for piece in pieces]


def start_and_end(text: str, mentions: Sequence[Mention]) -> list[Range]:
    """The one frame that something starts at and the one that it ends at, whatever is told between them."""
    two = sum(mention.kind == "frame" and not mention.counted for mention in mentions) == 2
    starts: list[Mention] = []
    ends: list[Mention] = []
    before = 0
    for mention in mentions:
        cue = text[max(before, mention.start - 90) : mention.start]
        before = mention.end
        if mention.counted or (mention.kind != "frame" and not _LABELLED.search(cue)):
            continue
        if _END_CUE.search(cue) or _END_AFTER.match(text, mention.end) or (two and _GOES.search(cue)):
            ends.append(mention)
        elif _START_CUE.search(cue) or _START_AFTER.match(text, mention.end) or (two and _COMES.search(cue)):
            starts.append(mention)
    if len(starts) != 1 or len(ends) != 1:
        return []
    first, last = starts[0], ends[0]
    start, end = min(first.start, last.start), max(first.end, last.end)
    return [Range(first.value, last.value, "frames", start, end, verdict(text, start, end, named=True, bare=False))]


def only_numbers(text: str, mentions: Sequence[Mention]) -> list[Range]:
    """A text that is nothing but one or two numbers."""
    if not 1 <= len(mentions) <= 2 or not re.fullmatch(r"[\s\[\](){},;.:-]*", text[: mentions[0].start] + text[mentions[-1].end :]):
        return []
    first, last = mentions[0], mentions[-1]
    if first is last:
        found = first.whole and first.value >= 0 and first.kind is None
        return [Range(first.value, first.value, "single", first.start, first.end)] if found else []
    gap = text[first.end : last.start]
    if first.kind == last.kind != "frame" and (BETWEEN_LIST.fullmatch(gap) or gap.isspace()):
        return [Range(first.value, last.value, "seconds" if first.kind else "bare", first.start, last.end)]
    return []
