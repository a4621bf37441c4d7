"""Neighbouring numbers and the words between them -> ranges, each with the tier of belief that its wording earns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Literal

from numpro_plugin.answers.mentions import Mention, find_mentions
from numpro_plugin.answers.verdicts import Verdict, label, told, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

Tier = Literal["literal", "frames", "listed", "seconds", "mixed", "bare", "single"]
TIERS: tuple[Tier, ...] = ("literal", "frames", "listed", "seconds", "mixed", "bare", "single")
"""From the most believed to the least: "From Frame x to Frame y"; other ranges that name frames; lists that name frames; seconds; a
frame to a second, which is no span; numbers that nothing names; one frame."""

_MOST_RANGES = 400
"""Of more ranges the first and the last half are looked at."""


@dataclass(frozen=True)
class Range:
    """Two numbers that belong together."""

    first: float
    last: float | None
    """None for "to the end" as long as the last number is not known."""
    tier: Tier
    start: int
    end: int
    verdict: Verdict | None = None
    words: frozenset[str] | None = None
    """What it tells, where it stands at the head of a clause that does ("Frames 0-5: he sits")."""
    label: frozenset[str] | None = None
    """What stands before it as its label ("Sitting: frames 0-5")."""


def find_ranges(text: str, last_number: int | None = None) -> list[Range]:
    """All ranges of a plain text in the order of their beginnings; lists and single frames only where there is no other."""
    mentions = find_mentions(text)
    # A model that writes "Frame 3 (6 s) to Frame 9 (18 s)" explains its frames in brackets; the range is what stands outside.
    depth = list(accumulate((letter == "(") - (letter == ")") for letter in text))
    outside = [m for m in mentions if not m.start or depth[m.start - 1] <= 0]
    found = _pairs(text, mentions, last_number)
    if len(outside) < len(mentions):
        found += [one for one in _pairs(text, outside, last_number) if one not in found]
        found = _without_inner(found)
    if not any(one.verdict is None and one.tier in {"literal", "frames"} for one in found):
        found += _lists(text, mentions, found)
    if not found:
        found = _only_numbers(text, mentions)
    if not any(one.tier in {"literal", "frames", "listed"} for one in found):
        found += _start_and_end(text, mentions)
    return sorted(found, key=lambda one: one.start)


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


_FILL = (
    r"(?:the|a|an|about|approximately|around|roughly|at|in|on|by|with|it|event|action|up|frames?|number|mark|of|last|least"
    r"|most|including|and"
    r"|(?:start|beginning|end) of|somewhere|exactly|maybe|labell?ed|numbered|marked|one)"
)
_TO = re.compile(
    r"(?: (?:second )?mark| point| onwards?)?[ \n,;.:)\]]*+(?:-(?: ?to\b)?|(?:(?:and|which|it) )*"
    r"(?:(?:continu(?:es|ing)|go(?:es|ing) on|lasts?|runs?|extends?) )?(?:all the way )?"
    rf"(?:up )?(?:through )?(?:to|until|till|through|thru)\b|\.{{2,3}})(?:[ \n]|{_FILL}\b|[:,(\[#])*"
)
_AND = re.compile(rf" ?(?:and|&)(?:[ \n]|{_FILL}\b)*")
_END = re.compile(
    r"[ \n,;.:)\]}-]*+(?:and |then |it |is |the )*"
    r"(?:end(?:s|ed|ing)?|stop(?:s|ping)?|finish(?:es|ing)?|last(?: seen| visible| appears)?|conclud(?:es|ing)|disappear(?:s|ing)?)"
    rf"(?:[ \n]|{_FILL}\b|is|[:=,(\[#-])*"
)
_BETWEEN = re.compile(rf"\bbetween(?:[ \n]|{_FILL}\b|[:(\[])*$")
_STARTS = re.compile(
    r"\b(?:start(?:s|ing|ed)?|begin(?:s|ning)?|began|first|earliest|minimum|min|onset|initial|appears?|enters?|as early as)\b"
)
_ENDS = re.compile(
    r"\b(?:end(?:s|ing|ed)?|finish(?:es|ed)?|stop(?:s|ped)?|conclud(?:es|ing)|last|final|disappears?|maximum|max|latest"
    r"|over by|closed|complete[sd]?"
    r"|done|leaves|exits|as late as)\b"
)
_STRICT_START = re.compile(r"\b(?:start(?:s|ing|ed)?|begin(?:s|ning)?|began|onset)\b")
_STRICT_END = re.compile(r"\b(?:end(?:s|ing|ed)?|finish(?:es|ed)?|stop(?:s|ped)?|conclud(?:es|ed))\b")
_AND_AT = re.compile(r"\band\b[^.;\n]{1,60} (?:at|in|by|until) (?:the |about |around )?$")
""" "starting at frame 6 and puts it down at frame 9" """
_INSERTED = re.compile(r"\([^()]*+\)|\[[^\[\]]*+\]|, ?(?:where|when|as|in which|at which)\b[^,.;\n]{0,70},")
"""What stands between the two ends of a range and belongs to the first: "frame 6, where he comes in, to frame 9"."""
_IN_SECONDS = re.compile(r" ?\((?:in )?(?:s|secs?|seconds)\)")
_OPEN = re.compile(
    r"[ ,]*(?:and )?(?:it )?(?:(?:continu(?:es|ing)|go(?:es|ing) on|lasts?|runs?|extends?) )?(?:all the way )?(?:(?:right )?(?:up )?"
    r"(?:to|until|till|through|-) ?(?:the )?(?:very )?(?:end|(?:last|final)(?: frame)?|finish)\b"
    r"(?! ?[,(]? ?(?:of )?(?:the )?(?:frame )?\d)|onwards?\b(?! (?:up )?(?:to|until|till)\b)|(?:until|till) (?:the|its) (?:\w+ )?ends?\b|for the (?:rest|remainder)\b"
    r"|(?:and )?(?:after|beyond)\b)"
)
_GOES_ON = re.compile(
    r" ?(?:to|until|till|through)\b|[^.;\n]{0,40}\b(?:continu(?:es|ing)|last(?:s|ing)|until|till) ?[^.;\n]{0,30}$| ?- ?(?:frames?)? ?$"
)
"""A range whose end is cut off or no number: "frame 6 to frame", "frame 6, and continues until"."""
_BOUND = re.compile(r"(?<!at the )(?<!near the )(?<!at the very )\b(?:finish|end|stop|start|begin)\w*\b[^.;\n]{0,25}$")
"""Before a frame that is one end of a span: "he starts to run at frame 6"."""
_OPEN_START = re.compile(
    r"\b(?:from )?(?:the )?(?:very )?(?:beginning|start|outset)(?: of the \w+)?,? (?:(?:up )?to|until|till|through) (?:the )?$"
)
_BETWEEN_LIST = re.compile(r"[)\]]?(?: ?, ?(?:and |& ?)?| ?and | ?& ?| ?; ?|[ \n]+)[(\[]?")
_COMMA = re.compile(r" ?,? ?")
_FROM = re.compile(r"\bfrom(?: the)? ?$|\bfrom$")


def _pairs(text: str, mentions: Sequence[Mention], last_number: int | None) -> list[Range]:
    """Every pair of neighbouring mentions with the words of a range between them, and frames with "to the end" after them."""
    found: list[Range] = []
    pairs: list[tuple[Mention, Mention]] = []
    end_of_pair: Mention | None = None
    for k, first in enumerate(mentions):
        last = mentions[k + 1] if k + 1 < len(mentions) else None
        if first is end_of_pair:  # of "5 to 9 to 12" the first pair counts
            continue
        before = text[max(mentions[k - 1].end if k else 0, first.start - 60) : first.start]
        if last is not None and _is_pair(text, before, first, last, mentions[k + 2] if k + 2 < len(mentions) else None):
            pairs.append((first, last))
            end_of_pair = last
        elif first.kind != "second" and not first.counted and _OPEN.match(text, first.end, first.end + 80):
            tier: Tier = "literal" if first.kind == "frame" and _FROM.search(text[max(0, first.start - 12) : first.start]) else "frames"
            against = verdict(text, first.start, first.end, named=first.kind == "frame", bare=first.kind is None)
            if first.kind == "frame" or not first.start or _FROM.search(text[max(0, first.start - 12) : first.start]):
                found.append(Range(first.value, last_number, tier, first.start, first.end, against))
        elif last_number is not None and first.kind == "frame" and _OPEN_START.search(text[max(0, first.start - 60) : first.start]):
            found.append(
                Range(0.0, first.value, "frames", first.start, first.end, verdict(text, first.start, first.end, named=True, bare=False))
            )
    if len(pairs) > _MOST_RANGES:
        pairs = pairs[: _MOST_RANGES // 2] + pairs[-_MOST_RANGES // 2 :]
    return found + [_range(text, first, last) for first, last in pairs]


def _is_pair(text: str, before: str, first: Mention, last: Mention, after: Mention | None) -> bool:
    """Whether two neighbours are a range; ``before`` is the text between the number before them and the first."""
    gap = text[first.end : last.start]
    if len(gap) > 160:
        return False
    between = _INSERTED.sub(" ", gap)
    if len(between) <= 90:
        if _TO.fullmatch(between) or _END.fullmatch(between) or (_AND.fullmatch(between) and _BETWEEN.search(before)):
            return True
        if _is_bracketed(text, first, last, gap):
            return True
    if "\n\n" in gap or last.counted or first.counted:
        return False
    behind = text[last.end : min(last.end + 40, after.start if after else last.end + 40)]
    behind = re.split(r"[.;\n]", behind)[0]
    cue = re.split(r"[.!?\n]", before)[-1]
    if sentence_end := re.search(r"[.!?] ", gap):
        return _in_two_sentences(cue, gap, sentence_end, behind)
    if _STRICT_START.search(cue[-25:]) and _AND_AT.search(gap):
        return True
    starts = _STARTS.search(re.split(r"[;]", cue)[-1]) or _STARTS.search(gap[: gap.rfind(" and ")] if " and " in gap else "")
    if not starts:
        return False
    middle = gap[starts.end() :] if starts.string == gap else gap
    return bool(_ENDS.search(middle) or (re.search(r"\b(?:and|,)\b", gap) and _ENDS.search(behind)))


def _in_two_sentences(cue: str, gap: str, sentence_end: re.Match[str], behind: str) -> bool:
    """ "It starts at frame 6. It ends at frame 9", where nothing but a beginning and an end is told."""
    rest, after = gap[: sentence_end.start()], gap[sentence_end.end() :]
    starts = _STRICT_START.search(cue) or _STRICT_START.search(rest)
    ends = _STRICT_END.search(after) or (not after.strip(" (") and _STRICT_END.search(behind)) or _STRICT_END.search(behind[:16])
    return bool(starts and ends and len(after) <= 40 and not re.search(r"[.!?] ", after))


def _is_bracketed(text: str, first: Mention, last: Mention, gap: str) -> bool:
    """[6, 9]"""
    opened = text[max(0, first.digits - 2) : first.digits].strip()[-1:]
    closed = text[last.end : last.end + 2].strip()[:1]
    return bool(_COMMA.fullmatch(gap) and gap and opened + closed in {"[]", "()"})


def _range(text: str, first: Mention, last: Mention) -> Range:
    kinds = {first.kind, last.kind} - {None}
    named = first.kind == "frame" and not first.counted
    # "3 to 9 frames" may count frames.
    counted = not named and last.counted and not re.search(r"\d(?:st|nd|rd|th)\b", text[first.start : last.end])
    if len(kinds) == 2:
        tier: Tier = "mixed"
    elif kinds == {"second"} or (not kinds and _IN_SECONDS.match(text, last.end)):
        tier = "seconds"
    elif not kinds:
        tier = "seconds" if not first.whole and not last.whole and (first.value % 1 or last.value % 1) else "bare"
    elif named and _FROM.search(text[max(0, first.start - 12) : first.start]):
        tier = "literal"
    else:
        tier = "frames"
    against = verdict(text, first.start, last.end, named=named, bare=tier == "bare" or counted)
    return Range(first.value, last.value, tier, first.start, last.end, against, told(text, first.start, last.end), label(text, first.start))


def _lists(text: str, mentions: Sequence[Mention], pairs: Sequence[Range]) -> list[Range]:
    """Frames in a list ("frames 3, 4 and 5"), bare numbers one after the other, and a frame that stands alone."""
    taken = {position for one in pairs for position in (one.start, one.end)}
    found: list[Range] = []
    singles: list[Range] = []
    run: list[Mention] = []
    for mention in [*mentions, None]:
        joins = run and mention and mention.kind != "second" and _BETWEEN_LIST.fullmatch(text[run[-1].end : mention.start])
        if joins and mention:
            run.append(mention)
            continue
        for one in _as_list(text, run, taken) if len(found) + len(singles) < _MOST_RANGES else ():
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
    if _OPEN.match(text, end, end + 80) or _OPEN_START.search(before) or (len(run) < 3 and not named):
        return []
    against = verdict(text, start, end, named=named, bare=not named)
    values = [mention.value for mention in run]
    steps = {b - a for a, b in pairwise(values)}
    if len(run) == 1:
        outside = re.search(r"\b(?:after|before|by|until|since|till|to|from|of)(?: the)? ?$", before[-12:])
        if not named:
            return []
        bound = outside or _GOES_ON.match(text, end) or _BOUND.search(before)
        return [Range(values[0], None if bound else values[0], "single", start, end, against)]
    if _GOES_ON.match(text, end):
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


_START_CUE = re.compile(
    r"\b(?:start(?:s|ing|ed)?|begin(?:s|ning)?|began|onset|first (?:\w+ )?(?:seen|visible|appears?|shown)|not until|first [^.\d]{1,20}:)\b[^.;\n]{0,30}$"
    r"|\bfrom (?:the )?$|\bfrom (?:the (?:moment|time|point)|when|where)\b[^.\n\d]{0,60}$|\bfirst [^.\d]{1,20}: $"
)
_END_CUE = re.compile(
    r"\b(?:end(?:s|ing|ed)?|finish(?:es|ing|ed)?|stop(?:s|ped)?|conclud(?:es|ed)|last (?:\w+ )?(?:seen|visible|appears?|shown)|leaves?|disappears?)\b[^.;\n]{0,30}$"
    r"|\b(?:un)?till? (?:the )?$|\b(?:to|until|till) (?:the (?:moment|time|point)|when|where)\b[^.\n\d]{0,60}$|(?:^|[.,;\n] ?)to (?:the )?$|\blast [^.\d]{1,20}: $"
)


_START_AFTER = re.compile(r" ?[(-] ?(?:start|begin)")
_END_AFTER = re.compile(r" ?[(-] ?(?:end|stop|finish)")


def _start_and_end(text: str, mentions: Sequence[Mention]) -> list[Range]:
    """The one frame that something starts at and the one that it ends at, whatever is told between them."""
    starts: list[Mention] = []
    ends: list[Mention] = []
    before = 0
    for mention in mentions:
        cue = text[max(before, mention.start - 90) : mention.start]
        before = mention.end
        if mention.kind != "frame" or mention.counted:
            continue
        if _END_CUE.search(cue) or _END_AFTER.match(text, mention.end):
            ends.append(mention)
        elif _START_CUE.search(cue) or _START_AFTER.match(text, mention.end):
            starts.append(mention)
    if len(starts) != 1 or len(ends) != 1:
        return []
    first, last = starts[0], ends[0]
    start, end = min(first.start, last.start), max(first.end, last.end)
    return [Range(first.value, last.value, "frames", start, end, verdict(text, start, end, named=True, bare=False))]


def _only_numbers(text: str, mentions: Sequence[Mention]) -> list[Range]:
    """A text that is nothing but one or two numbers."""
    if not 1 <= len(mentions) <= 2 or not re.fullmatch(r"[\s\[\](){},;.:-]*", text[: mentions[0].start] + text[mentions[-1].end :]):
        return []
    first, last = mentions[0], mentions[-1]
    if first is last:
        found = first.whole and first.value >= 0 and first.kind is None
        return [Range(first.value, first.value, "single", first.start, first.end)] if found else []
    gap = text[first.end : last.start]
    if first.kind == last.kind != "frame" and (_BETWEEN_LIST.fullmatch(gap) or gap.isspace()):
        return [Range(first.value, last.value, "seconds" if first.kind else "bare", first.start, last.end)]
    return []
