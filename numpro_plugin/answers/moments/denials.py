"""What an answer denies: a span, or that the video shows at all what was asked for."""

from __future__ import annotations

import re
from typing import Literal

_NEGATED = re.compile(
    r"(?<!who )(?<!that )(?<!which )\b(?:does|do|did|is|are|was|were|has|have|had|can|could|will|would|am)(?:n.?t\b| not\b"
    r"| never\b)"
    r"(?! (?:sure|certain|only|just|entirely|completely|\w+ sure|\w+ certain)\b)"
    r"|\bcannot\b|\bcan.?t\b"
    r"|\b(?:none|nothing|nobody|nowhere|neither|nor|unable|absent|invisible)\b|\bno one\b|(?<!who )(?<!that )(?<!which )\bnever\b"
    r"|(?<!with )\bno (?!doubt\b|later\b|earlier\b|more\b|longer\b)\w+"
    r"|\bnot (?:\w+ ){0,2}(?:visible|seen|shown|present|there|found|happening|occurring|appear\w*|open\w*|in|from|between|during|within)\b"
)
_DIRECT_NOT = re.compile(
    r"\b(?:(?:is|are|was|were)n.?t|rul(?:e|ed|ing) out|exclud(?:e|ed)|discard(?:ed|ing)?|ignor(?:e|ed|ing)|not|nor|neither"
    r"|rather than|instead of|except(?: for)?|excluding|other than|than|any of|none of"
    r"|none|no|any)"
    r"(?: in| from| between| during| at| of| the| frames?| visible| seen| shown){0,4} ?$"
)
_NOT_AFTER = re.compile(
    r",? (?:(?!after|before|but|until|and|when|where|which|who|that|because|since|as|although|though|even|with|while|then)[\w']+,? ){0,6}?"
    r"(?:(?:is|are|was|were|does|do|did|has|have|can)(?:n.?t| not| never)\b|cannot\b)"
    r"|,? (?:(?:there (?:is|are) )?no (?!longer|doubt)\w+|nothing|nobody)\b"
)
_ABSENT = re.compile(
    r"\b(?:visible|seen|shown|present|there|found|happen\w*|occur\w*|appear\w*|take place|see|find|identify|locate|show|match\w*|depict\w*"
    r"|contain|no(?:thing|body)?|relevant)\b|,? ?(?:(?:is|are|was|were|does|do|did)(?:n.?t| not)) ?(?:[.,;!]|$)"
)
"""What a negation after a range speaks of when it says that what was asked for is not in those frames."""
_PREDICATE = re.compile(r"(?:is|are|was|were|does|do|did|has|have)(?:n.?t| not)")
_ONLY_SHOW = re.compile(r" (?:only|just|merely) (?:shows?|contains?|depicts?)\b")
_NO_AFTER = re.compile(r" ?[:=-] ?(?:no|not|none|nothing|n/a|false|absent|irrelevant)\b| (?:no|false)(?= ?(?:[\n.,;]|$))")
_NO_BEFORE = re.compile(r"(?:^|[.;\n] ?)(?:not|no) [^.:\n\d]{1,30}: ?[\d, -]{0,80}$")
"""Answers by yes and no: "0-5: not eating", "Not eating: 0-5, 10-14"."""
_INSTEAD = re.compile(r"[^.!?;\n]{0,30}\b(?:only|just|merely|simply) \w+s\b| shows?\b")
"""After a denial: "He never opens it. From frame 0 to frame 14 he only sits"."""
_NEVER = re.compile(r"\bnever\b|\bcontrary to\b")
_TELLS_ON = re.compile(r",? (?:it|he|she|they|the \w+|an? \w+) (?:\w+s|is|was|are|were)\b")
"""After "he never opens it": "from frame 6 to frame 9 he sits"."""
_OVERALL = re.compile(
    r"\b(?:event|action|query|moment|scene|activity|description|described \w+) (?:is not|isn.?t|does not|doesn.?t|never"
    r"|cannot|is never|was not)\b"
    r"(?! (?:fully|clearly|entirely|completely))"
    r"|\b(?:video|frames?|clip|footage) (?:does not|doesn.?t|do not|don.?t|never) (?:show|contain|depict|include|feature)"
    r"|\bnone of the (?:\d+ )?frames\b|\bthere is no (?:frame|moment|part|scene|evidence|indication|such)\b"
    r"|\bnot in (?:the|this) (?:\w+ )?(?:video|clip|footage)\b|\bthere (?:is|are|was|were) no (?:\w+ ){1,4}in (?:this"
    r"|the) (?:\w+ )?(?:video|clip|footage)\b"
    r"|\bno such (?:event|action|moment)\b"
    r"|\b(?:does|do|did|is|are|was|were)(?:n.?t| not| never) (?:\w+ ){1,4}in (?:this|the|these|any)(?: \w+)? (?:clip|video|footage)\b"
    r"|\bnot (?:visible|shown|present|seen|depicted|found) (?:in|anywhere in) (?:the|this|any)\b(?! (?:other|remaining|rest)\b)"
)
_TAKEN_BACK = re.compile(
    r"\b(?:but|however|except|instead|although|closest|nearest|until|at first)\b"
    r"|\b(?:it|(?<=[.;] )the \w+) (?:only |actually |instead )?"
    r"(?:(?:is|was) (?:(?!(?!happening|occurring)\w+ing\b)\w+ )?(?:from|in|between|at|during)\b|occurs|happens|starts|begins"
    r"|appears|takes place)"
)
_ASKS = re.compile(
    r"\b(?:could|can|would) you (?:please )?(?:clarify|specify)\b|\bplease (?:clarify|specify)\b|\bwhich \w+ (?:do|did) you mean\b"
)


def denial(text: str, start: int, end: int, *, before: str, clause: str) -> Literal["denied", "aside"] | None:
    """Whether the words around the range ``text[start:end]`` deny it, or may negate what was asked for ("the door is not closed").

    Args:
        text: the plain text.
        start: where the range begins.
        end: where it ends.
        before: the text before it, as far as it matters.
        clause: the part of ``before`` that belongs to the same clause.
    """
    if _DIRECT_NOT.search(before[-40:]) or _NO_AFTER.match(text, end, end + 20) or _NO_BEFORE.search(before):
        return "denied"
    # A partial range with a negation answers a query such as "the door is not closed", unless it says that something is not to be seen.
    whole = from_the_first(text, start, end)
    negation = _NEGATED.search(clause)
    if negation and (whole or not _PREDICATE.match(negation[0]) or not clause.endswith("from ") or _ABSENT.search(clause)):
        return "denied"
    negation_after = _NOT_AFTER.match(text, end, end + 80)
    if negation_after and (whole or _ABSENT.search(_clause_after(text, *negation_after.span()))):
        return "denied"
    if (whole and _ONLY_SHOW.match(text, end, end + 50)) or (_INSTEAD.match(text, end, end + 50) and _follows_denial(before)):
        return "denied"
    last_sentence = re.split(r"[.!?;\n] ?", before)[-2:-1]
    if last_sentence and _NEVER.search(last_sentence[0]) and sentence_denial(last_sentence[0]) and _TELLS_ON.match(text, end, end + 50):
        return "denied"
    return "aside" if negation or negation_after else None


def from_the_first(text: str, start: int, end: int) -> bool:
    """The range begins at number 0, as the numbering of the frames does."""
    return re.match(r"\D*0\D", text[start:end]) is not None


def _follows_denial(before: str) -> bool:
    """The sentence before the one that has just begun denies something and has no number."""
    sentences = re.split(r"[.!?;\n] ?", before)
    return len(sentences) > 1 and len(sentences[-1]) < 20 and sentence_denial(sentences[-2])


def _clause_after(text: str, start: int, end: int) -> str:
    """The negation ``text[start:end]`` with what follows it in its clause."""
    return text[start:end] + re.split(r"[.!?;,\n]|\b(?:but|while|because|since|and|as|when)\b", text[end : end + 60])[0]


def overall_denial(text: str) -> bool:
    """The text says of the whole video that it does not show what was asked for, and does not take it back."""
    match = _OVERALL.search(text)
    return match is not None and not _TAKEN_BACK.search(text, match.end(), match.end() + 200)


def asks_back(text: str) -> bool:
    """The text asks what was meant."""
    return _ASKS.search(text) is not None


def negated(text: str) -> bool:
    """Something in the text is denied."""
    return _NEGATED.search(text) is not None


def sentence_denial(sentence: str) -> bool:
    """A sentence without a number that denies: "so no door is opened"."""
    return not re.search(r"\d", sentence) and _NEGATED.search(sentence) is not None
