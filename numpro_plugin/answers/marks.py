"""Where a folded text marks its answer: tags, boxes and headings (final), or words such as "so" (only if a span or a denial follows)."""

from __future__ import annotations

import re
from collections import deque
from typing import NamedTuple

_ANSWER_TAG = re.compile(
    r"(?P<open>[<\[](?:answer|final_?answer|conclusion|solution|response|output|\|begin_of_(?:box|solution|answer)\|)[>\]])"
    r"|(?P<close>[<\[](?:/(?:answer|final_?answer|conclusion|solution|response|output)|\|end_of_(?:box|solution|answer)\|)[>\]])"
)
_BOX = re.compile(r"\\boxed\s{0,3}\{")
_LONGEST_BOX = 400  # characters
_HEADING = re.compile(
    r"(?:^|\n)[ \t>]*+(?:#|\*\*)[#* \t]*+(?:\d[.)] ?)?(?:the |my )?(?:final )?answer[ \t]*:?[ \t]*\*{0,3}[ \t]*:?"
    r"|\b(?:final answer)\b[ \t]*\*{0,3}[ \t]*(?::|\bis\b:?|would be\b:?|\n|-|=)[ \t]*\*{0,3}"
)
_ANSWER_WORD = re.compile(
    r"\b(?:answer|conclusion|result|edit|update|correction|revised|a)\b[ \t]*\*{0,3}[ \t]*(?:(?<!\ba)(?<!\ba )(?:(?:is|are|would be"
    r"|should be|will be|must be)(?!\w)|="
    r"|- )[ \t]*:?|:)[ \t]*\*{0,3}"
)
_CONNECTIVE = re.compile(
    r"(?:(?:^|[.!?;:,)\n])[\s*#>-]*|\band )(?:so|thus|therefore|hence|consequently|accordingly|overall|conclusion|summary"
    r"|final(?= ?\*{0,2} ?[:,-])"
    r"|in (?:conclusion|summary|short)|to (?:conclude|summari[sz]e|sum up)|as a result|putting (?:it|this) together)\b[ \t*]*[,:]?[ \t*]*"
)
_SPAN_LINE = r"(?:from )?(?:the )?frame ?#?\[?\d+(?:\.\d+)?\]?,? ?to (?:the )?(?:frame ?)?#?\[?\d+(?:\.\d+)?\]?[.!]?"
_OWN_LINE = re.compile(rf"(?:^|\n)[ \t*_`\"']*{_SPAN_LINE}[ \t*_`\"']*(?=\n|$)")
_BARE_LINE = r"[ \t*_`\"']*(?:frames? ?)?[\[(]?\[?[\[(]?\d+ ?(?:,|-|to) ?\d+[\])]?\]?[.]?[ \t*_`\"']*"
_FIRST_BARE_LINE = re.compile(rf"{_BARE_LINE}(?=\n)")
_LAST_BARE_LINE = re.compile(rf"\n({_BARE_LINE})\Z")
_EXPLANATION = re.compile(
    r"\n[ \t#*>]*(?:reasoning|reason|explanation|rationale|justification|analysis|note|details?|evidence)[ \t*]*:"
    r"|\n#+ *(?:explanation|reasoning)"
)


_MOST_MARKS = 10
"""Of so many words from the end of the text it is looked at what they mark; the time must not grow with their number."""
_REACH = 3_000
"""Characters after a word that it can mark."""


class Mark(NamedTuple):
    """Something that marks the answer."""

    start: int
    text: str
    """What is marked: the content of a tag or a box, or everything after the words."""
    kind: str
    """``tag``: nothing else is believed; ``heading``: the same, over all that follows; ``word`` or ``connective``: see ``find_marks``."""


def final_mark(text: str) -> Mark | None:
    """The last tag, box or heading of an answer, or None. A tag around the format that was asked for ("Frame x") marks nothing."""
    marks = [mark for mark in (*_tags(text), *_boxes(text)) if not re.fullmatch(r"[^\d]*\bframe ?\[?x\b[^\d]*", mark.text)]
    for heading in deque(_HEADING.finditer(text), maxlen=1):
        marks.append(Mark(heading.start(), text[heading.end() :], "heading"))
    return max(marks, key=lambda mark: mark.start, default=None)


def word_marks(text: str) -> list[Mark]:
    """Words and lines that may mark an answer, the last first."""
    marks = [
        Mark(match.end(), text[match.end() : match.end() + _REACH], kind)
        for kind, pattern in (("word", _ANSWER_WORD), ("connective", _CONNECTIVE))
        for match in deque(pattern.finditer(text), maxlen=_MOST_MARKS)
    ]
    lines = list(_OWN_LINE.finditer(text.replace("**", "  ")))
    if lines:
        first = len(lines) - 1  # lines of the format that stand together are one answer of several spans
        while first and not text[lines[first - 1].end() : lines[first].start()].strip():
            first -= 1
        marks.append(Mark(lines[first].start(), text[lines[first].start() : lines[-1].end()], "line"))
    elif last := _LAST_BARE_LINE.search(text, max(0, len(text) - 80)):
        marks.append(Mark(last.start(), last[1], "line"))
    elif (line := _FIRST_BARE_LINE.match(text)) and not _FIRST_BARE_LINE.match(text, line.end() + 1):
        marks.append(Mark(0, line[0], "line"))
    return sorted(marks, key=lambda mark: mark.start, reverse=True)[:_MOST_MARKS]


def without_explanation(text: str) -> str:
    """The text before a paragraph that explains the answer ("Reasoning: ..."), if something with a digit stands before it."""
    match = _EXPLANATION.search(text)
    return text[: match.start()] if match and re.search(r"\d", text[: match.start()]) else text


def _tags(text: str) -> list[Mark]:
    marks: list[Mark] = []
    opened: int | None = None
    before = 0
    for tag in _ANSWER_TAG.finditer(text):
        if tag["open"]:
            opened = tag.end()
        else:
            start = before if opened is None else opened
            if opened is not None or text[start : tag.start()].strip():  # a box in a tag is closed twice
                marks.append(Mark(start, text[start : tag.start()], "tag"))
            opened, before = None, tag.end()
    if opened is not None and (text[opened:].strip() or not marks):
        marks.append(Mark(opened, text[opened:], "tag"))
    return marks


def _boxes(text: str) -> list[Mark]:
    marks = []
    for box in deque(_BOX.finditer(text), maxlen=_MOST_MARKS):
        depth, at, end = 1, box.end(), min(len(text), box.end() + _LONGEST_BOX)
        while at < end and depth:
            depth += (text[at] == "{") - (text[at] == "}")
            at += 1
        marks.append(Mark(box.start(), text[box.end() : at - (depth == 0)], "tag"))
    return marks
