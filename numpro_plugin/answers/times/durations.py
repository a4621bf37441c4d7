"""How long something takes is no time: "lasting 12 seconds", "the video is 60 s long"."""

from __future__ import annotations

import re

_OF_LENGTH = (
    r"\b(?:last(?:s|ed|ing)?|take[sn]?|took|taking|durations?|length|runtime|spans? (?:of|about)|within|every|another|additional"
    r"|total(?:ly|ing)?|in total)"
)
_FILL = r"(?: (?:of|is|was|for|about|around|approximately|roughly|only|just|over|under|nearly|almost|exactly|a|total|the|it|him|her))*"
_LENGTH_BEFORE = re.compile(rf"{_OF_LENGTH}(?: of the \w+)?{_FILL} ?[:=(]? ?$")
_BEFORE = re.compile(rf"(?:\bfor|\b(?:video|clip|footage)(?:'s)? (?:is|has|contains)|\bthe first|\bthe last|\bof (?:the|a|this)){_FILL} ?$")
_AFTER = re.compile(
    r"[ -]?(?:long\b|later\b|earlier\b|ago\b|apart\b|each\b|in (?:total|length|duration|all)\b|(?:video|clip|footage|segment|duration)\b"
    r"|of (?:video|footage|the (?:video|clip)|(?!the\b)\w+ing\b))"
)


def is_duration(text: str, start: int, end: int, *, joined: bool) -> bool:
    """Whether the number with a unit ``text[start:end]`` says how long something takes.

    Args:
        text: the folded answer.
        start: where the number begins.
        end: where its unit ends.
        joined: it is an end of a range.
    """
    before = text[max(0, start - 60) : start]
    if _LENGTH_BEFORE.search(before):
        return True
    return not joined and bool(_BEFORE.search(before) or _AFTER.match(text, end, end + 30))
