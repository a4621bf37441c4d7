"""Lists of numbers, and what the words around each say that it counts: frames, scores, or something else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from numpro_plugin.answers.highlights.numbers import NumberRange


class RoleList(NamedTuple):
    """Ranges with nothing but commas between them, and what they are."""

    role: Literal["frame", "score"]
    ranges: list[NumberRange]
    plural: bool = False
    """Several scores were announced ("their scores are"), so that a single one is not meant for all frames."""


def _neighbours(text: str, ranges: list[NumberRange]) -> list[list[NumberRange]]:
    """The ranges with nothing but list separators between them."""
    lists: list[list[NumberRange]] = []
    for this in ranges:
        gap = text[lists[-1][-1].end : this.start] if lists else ":"
        columns = ";" in gap and lists and lists[-1][-1].decimal != this.decimal  # "3, 4; 4.5, 2.0"
        if not columns and (
            gap == ", " or (re.fullmatch(r"[ ,;&#\n]*(?:(?:and|or|then)\b[ ,;&#]*)?", gap) and _same_layout(text, lists[-1], this, gap))
        ):
            lists[-1].append(this)
        else:
            lists.append([this])
    split: list[list[NumberRange]] = []
    for i, here in enumerate(lists):
        # In "3: 4.5, 4: 2.0" what stands before and after "4.5, 4" is the same, so the next pair begins within it.
        before = text[split[-1][-1].end : here[0].start].strip() if split else ""
        repeats = before and before[0] not in ")]}" and i + 1 < len(lists) and before == text[here[-1].end : lists[i + 1][0].start].strip()
        split += [here[:-1], here[-1:]] if repeats and len(here) > 1 else [here]
    return split


def _same_layout(text: str, before: list[NumberRange], this: NumberRange, gap: str) -> bool:
    """Whether a list goes on after a line break: its numbers stand one a line, or the line ended with a comma."""
    if "\n" not in gap or "," in gap:
        return True
    column = len(before) < 2 or "\n" in text[before[-2].end : before[-1].start]
    return column and gap.count("\n") == 1 and text[this.end : this.end + 1] in {"", "\n"}


_KEYWORD = re.compile(
    r"(?P<frame>(?:key)?frames?\b(?! (?:saliency|scores?\b|ratings?\b))|\#|\bf$|\b(?:highlights?|moments?)\b(?! (?:saliency"
    r"|scores?\b)| ?\()"
    r"|\b(?:start|from)(?=[ :=]*$))"
    r"|(?P<score>\b(?:scor(?:e[sd]?|ing)|salien(?:cy|ce)|ratings?|rated|relevanc[ey])\b)"
    r"|(?P<time>\b(?:timestamps?|seconds)\b|\bsecond(?=[ :]*$))|(?P<clause>[.;,\n]|\band\b)"
)
_NEAR_FRAME = re.compile(r"(?:frames?|\bf|\#) ?(?:(?:number|no\.?|id|index)s? ?)?[(\[#]*$")
_NEAR_SCORE = re.compile(r"(?:\bscore[sd]?|saliency|ratings?|rated) ?(?:of|at|as|:|=)?[ :=(\[{]*$")
_FRAMES_AFTER = re.compile(r"[)\]]? ?(?:(?:key|highlight(?:ed)?|red|video) ?){0,3}frames?\b(?! ?#?\d| (?:number|no|id|index)\b)")
_KEYED = re.compile(r" ?[:=|(-] ?\(?\.?\d")
_KEYED_DECIMAL = re.compile(r" ?[:(] ?\d\.\d")
_SUPERLATIVE = re.compile(r"\b(?:highest|lowest|max(?:imum)?|min(?:imum)?|peak|average)\b")
_SCORES = re.compile(r"\b(?:scores|ratings)\b")
_FOR_ALL = re.compile(r"\b(?:all|each|every|both|same)\b")


def find_lists(text: str, ranges: list[NumberRange]) -> list[RoleList]:
    """The lists that are frames or scores."""
    lists: list[RoleList] = []
    end, announced = 0, False
    for numbers in _neighbours(text, ranges):
        gap = text[end : numbers[0].start]
        keyed = len(numbers) == 1 and not numbers[0].decimal and _KEYED.match(text, numbers[0].end)  # "Scores: 3: 4.5, 4: 2.0"
        after = None if _NEAR_SCORE.search(gap[-40:]) else _FRAMES_AFTER.match(text, numbers[-1].end)
        label = _label(gap)
        next_pair = keyed and label is None and lists and lists[-1].role == "score" and _KEYED_DECIMAL.match(text, numbers[-1].end)
        role = "frame" if after or next_pair or (keyed and label == "score") else label or _implied(text, gap, numbers, lists)
        end = after.end() if after else numbers[-1].end
        # "The highest score is 4.9 in frame 3" does not change what a sentence with all scores said.
        if role not in {"frame", "score"} or (announced and _SUPERLATIVE.search(gap)):
            continue
        plural = role == "score" and bool(_SCORES.search(gap)) and not _FOR_ALL.search(gap)
        announced = announced or plural
        lists.append(RoleList(role, numbers, plural))  # type: ignore[arg-type]
    return lists


def _label(gap: str) -> str | None:
    """What the words before a list announce: the noun next to it, else the first of the last clause ("scores of these frames are")."""
    label, fresh = None, True
    for word in _KEYWORD.finditer(gap):
        if word.lastgroup == "clause":
            fresh = True
        elif fresh:
            label, fresh = word.lastgroup, False
    if label and _NEAR_FRAME.search(gap[-40:]):
        return "frame"
    return "score" if label and _NEAR_SCORE.search(gap[-40:]) else label


_PAIR = re.compile(r"(?:(?:is|are|was|has|have|gets?|got|receives?|with|at|it|being|an?|the|of|x|sec)\b|[] ,){}\n:=|(\[>-])+")
_PAIR_SIGN = re.compile(r"[:=|(>\[-]|\b(?:is|are|was|has|have|gets?|got|receives?|with|at)\b")
_NEXT_TUPLE = re.compile(r"[])}][ ,;\n]*[(\[{]")
_WORD = re.compile(r"\b(?!(?:and|or)\b)[^\W\d]")


def _implied(text: str, gap: str, numbers: list[NumberRange], lists: list[RoleList]) -> str | None:
    """The role of a list that no word announces, from its place and the lists before it."""
    last = lists[-1].role if lists else None
    pairs = len(gap) < 40 and _PAIR.fullmatch(gap) and _PAIR_SIGN.search(gap) and not _NEXT_TUPLE.search(gap)
    if pairs and last == "frame":
        return "score"
    if pairs and last and all(one.role == "score" for one in lists[:2]):
        return "frame"
    if last and not _WORD.search(gap):  # the next of "3 (4.5), 4 (2.0)"
        return lists[-2:][0].role
    if ("\n" in gap or numbers[0].start == len(gap)) and not _WORD.search(gap, gap.rfind("\n") + 1):
        return "frame"
    if last == "frame" and numbers[0].decimal and len(numbers) == 1 and gap.endswith("("):  # "Frame 3 is a strong one (4.5)"
        return "score"
    # "Frame 3: the door opens - 4.5"
    ends_line = re.match(r"\)?[.;]?(?:\n|$)", text[numbers[-1].end : numbers[-1].end + 3])
    return "score" if ends_line and last == "frame" and "\n" not in gap and re.search(r"[:=(-] ?$", gap) else None
