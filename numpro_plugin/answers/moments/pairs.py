"""Two neighbouring numbers with the words of a range between them, and frames with "to the end" after them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from numpro_plugin.answers.moments.narration import label, told
from numpro_plugin.answers.moments.spans import MOST_RANGES, Range, Tier
from numpro_plugin.answers.moments.verdicts import verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpro_plugin.answers.moments.mentions import Mention

_FILL = (
    r"(?:the|a|an|about|approximately|around|roughly|at|in|on|by|with|it|event|action|up|frames?|number|mark|of|last|least"
    r"|most|including|and"
    r"|when|(?:start|beginning|end) of|somewhere|exactly|maybe|labell?ed|numbered|marked|one)"
)
_TO = re.compile(
    r"(?: (?:second )?mark| point| onwards?)?[ \n,;.:)\]]*+(?:-(?: ?to\b)?|(?:(?:and|which|it) )*"
    r"(?:(?:continu(?:es|ing)|go(?:es|ing) on|lasts?|runs?|extends?|(?:remains?|stays?) (?:visible|there|in view|on screen)) )?"
    r"(?:all the way )?"
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
    r"\b(?:start(?:s|ing|ed)?|begin(?:s|ning)?|began|first|earliest|smallest|lowest|lower bound|minimum|min"
    r"|onset|initial|appears?|enters?|as early as)\b"
)
_ENDS = re.compile(
    r"\b(?:end(?:s|ing|ed)?|finish(?:es|ed)?|stop(?:s|ped)?|conclud(?:es|ing)|last|final|disappears?|maximum|max|latest|largest|highest"
    r"|over by|closed|complete[sd]?"
    r"|done|leaves|exits|upper bound|offset|as late as)\b"
)
_STRICT_START = re.compile(r"\b(?:start(?:s|ing|ed)?|begin(?:s|ning)?|began|onset)\b")
_STRICT_END = re.compile(r"\b(?:end(?:s|ing|ed)?|finish(?:es|ed)?|stop(?:s|ped)?|conclud(?:es|ed))\b")
_AND_AT = re.compile(r"\band\b[^.;\n]{1,60} (?:at|in|by|until) (?:the |about |around )?$")
""" "starting at frame 6 and puts it down at frame 9" """
_INSERTED = re.compile(r"\([^()]*+\)|\[[^\[\]]*+\]|, ?(?:where|when|as|in which|at which)\b[^,.;\n]{0,70},")
"""What stands between the two ends of a range and belongs to the first: "frame 6, where he comes in, to frame 9"."""
_IN_SECONDS = re.compile(r" ?\((?:in )?(?:s|secs?|seconds)\)")
OPEN = re.compile(
    r"[ ,]*(?:and )?(?:it )?(?:(?:continu(?:es|ing)|go(?:es|ing) on|lasts?|runs?|extends?) )?(?:all the way )?(?:(?:right )?(?:up )?"
    r"(?:to|until|till|through|-) ?(?:the )?(?:very )?(?:end|(?:last|final)(?: frame)?|finish)\b"
    r"(?! ?[,(]? ?(?:of )?(?:the )?(?:frame )?\d)|onwards?\b(?! (?:up )?(?:to|until|till)\b)|(?:until|till) (?:the"
    r"|its) (?:\w+ )?ends?\b|for the (?:rest|remainder)\b"
    r"|(?:and )?(?:after|beyond)\b)"
)
_ONWARDS = re.compile(r"[ ,]*(?:and )?onwards?\b")
GOES_ON = re.compile(
    r" ?(?:to|until|till|through)\b|[^.;\n]{0,40}\b(?:continu(?:es|ing)|last(?:s|ing)|until|till) ?[^.;\n]{0,30}$| ?- ?(?:frames?)? ?$"
)
"""A range whose end is cut off or no number: "frame 6 to frame", "frame 6, and continues until"."""
OPEN_START = re.compile(
    r"\b(?:from )?(?:the )?(?:very )?(?:beginning|start|outset)(?: of the \w+)?,? (?:(?:up )?to|until|till|through) (?:the )?$"
)
BETWEEN_LIST = re.compile(r"[)\]]?(?: ?, ?(?:and |& ?)?| ?and | ?& ?| ?; ?|[ \n]+)[(\[]?")
_COMMA = re.compile(r" ?,? ?")
_FROM = re.compile(r"\bfrom(?: the)? ?$|\bfrom$")


def find_pairs(text: str, mentions: Sequence[Mention], last_number: float | None) -> list[Range]:
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
        elif first.kind != "second" and not first.counted and OPEN.match(text, first.end, first.end + 80):
            comes_from = _FROM.search(text[max(0, first.start - 12) : first.start])
            # "From frame 6 onwards" is less than "from frame 6 to the end".
            literal = comes_from and first.kind == "frame" and not _ONWARDS.match(text, first.end)
            against = verdict(text, first.start, first.end, named=first.kind == "frame", bare=first.kind is None)
            if first.kind == "frame" or comes_from or not first.start:
                found.append(Range(first.value, last_number, "literal" if literal else "frames", first.start, first.end, against))
        elif last_number is not None and first.kind == "frame" and OPEN_START.search(text[max(0, first.start - 60) : first.start]):
            found.append(
                Range(0.0, first.value, "frames", first.start, first.end, verdict(text, first.start, first.end, named=True, bare=False))
            )
    if len(pairs) > MOST_RANGES:
        pairs = pairs[: MOST_RANGES // 2] + pairs[-MOST_RANGES // 2 :]
    return found + _in_one_list(text, [_range(text, first, last) for first, last in pairs])


def _in_one_list(text: str, ranges: list[Range]) -> list[Range]:
    """Of "frames 3-5, 9-12" the second range counts frames, too."""
    listed = ranges[:1]
    for one in ranges[1:]:
        before = listed[-1]
        same = one.tier == "bare" and before.tier in {"literal", "frames"} and BETWEEN_LIST.fullmatch(text, before.end, one.start)
        listed.append(replace(one, tier=before.tier, verdict=before.verdict) if same else one)
    return listed


def _is_pair(text: str, before: str, first: Mention, last: Mention, after: Mention | None) -> bool:
    """Whether two neighbours are a range; ``before`` is the text between the number before them and the first."""
    gap = text[first.end : last.start]
    if len(gap) > 160:
        return False
    between = re.sub(" {2,}", " ", _INSERTED.sub(" ", gap))
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
