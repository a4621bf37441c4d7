"""Which of several spans is meant: what is withdrawn, placed before the moment, or called the right one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpro_plugin.answers.moments.spans import Range

_ASIDE = re.compile(
    r"\b(?:(?:before|prior to|after) (?:that|this|then|the (?:event|action|moment|scene|activity))|previously|earlier|beforehand"
    r"|afterwards?"
    r"|(?:\w+ly )?(?:thought|believed|assumed|guessed|suspected)|would have (?:said|thought|guessed)|(?:someone|somebody) else"
    r"|i (?:said|wrote|answered)|i (?:had )?(?:initially|originally|first|previously) \w+|my (?:first|initial|original) \w+"
    r"|in the beginning"
    r"|(?:was|were) (?:going|about|tempted) to (?:say|answer)|(?:could|might|would) argue|(?:previous|earlier|first|initial"
    r"|old) (?:answer|guess|estimate)"
    r"|at first glance|first guess|might (?:seem|appear|think)|may (?:seem|appear)|seems? at first|could (?:seem|be mistaken)"
    r"|not to be confused)\b"
    r"[^.!?;\n\d]{0,40}$"
    r"|\b(?:wrong|incorrect|rejected|discarded) ?: ?$|\bwithin (?:the )?$|\b(?:earlier|later|remaining|other|previous|preceding"
    r"|subsequent)(?: frames?)? ?[(,:]? ?$"
    r"|\b(?:compared (?:to|with)|unlike|as opposed to|in contrast to)(?: the)? ?$"
    r"|\b(?:video|clip|footage|scene) (?:starts|begins|opens) with\b[^.!?;\n]{0,80}$"
    r"|\b(?:initially|at first|first|it) (?:\w+ ){0,3}?(?:looked like|seemed|appeared to be|looked as)\b[^.!?;\n]{0,40}$"
    r"|\bat the (?:very )?(?:beginning|start) of the (?:video|clip)\b[^.!?;\n]{0,40}$"
)
_CONCESSIVE = re.compile(r"(?:^|[.!?\n] ?)(?:even )?(?:although|though|while|whereas|despite)\b[^.!?,;\n]{0,100}$")
_BUT_ONLY = re.compile(
    r"[^.;\n\d]{0,40}\b(?:but|yet|however)\b[^.;\n\d]{0,40}\b(?:only|itself|actually|really|more likely)\b[^.;\n\d]{0,40}\d"
    r"|,[^.;\n\d]{0,40}\bonly\b[^.;\n\d]{0,40}\bframes? \d"
)
_REJECTED = re.compile(r"\)? ?[?❌✗✘]| ?[(:,)-]? ?(?:(?:is|was|that is|that's) )?(?:incorrect|wrong|not right|not correct)\b")
_ASIDE_CLAUSE = re.compile(r"(?:^|[.!?\n]) ?(?:after|before|when|having|once|following|until|prior to) [^.!?;,\n]{0,80}$")
_CLAUSE_ENDS = re.compile(r"[)\] ]{0,2}(?:,| and [^.,;\n]{1,50},)")
"""A clause before the main one: "After sitting from frame 0 to frame 5, he ..."."""
_WITHDRAWAL = re.compile(
    r"(?:(?<=[.,!?;\n-] )|(?<=\n)|(?<=[.…]))(?:oh,? |no,? |hmm+,? )?(?:hold on\b|nope\b|wait\b(?=[ ,.!-])(?! (?:for|until|from"
    r"|in)\b)|actually,"
    r"|correction\b|on second thought"
    r"|on closer inspection|let me (?:(?:re|double)[- ]?check|check|verify|re-?read|look|re-?consider|correct|re-?think)"
    r"|scratch that|apologies\b|my (?:bad|mistake)\b|i meant\b|sorry,|i mean\b"
    r"|or rather\b|no, (?!from frame))"
)
_CALLED_ANSWER = re.compile(
    r"[\"')]? ?(?:(?:is|are) (?:(?:my|the) (?:final |correct |right )?(?:answer|ones?)\b|(?:correct|right)\b)"
    r"|(?:fit|match)(?:es|s)? (?:[^.;,\n\d]{1,30} )?better\b)"
)
_ANSWER_CALLED = re.compile(
    r"\b(?:(?:correct|right|actual|true|proper|best|final) (?:\w+ )?(?:span|range|answer|frames?|interval|segment|ones?|moment|window)"
    r"|(?:span|range|answer|frames?|interval|segment|ones?|moment|window) (?:that )?you (?:want|need|asked|are|were))\b[^.;\n\d]{0,40}$"
)
"""After or before a range that is said to be the one that was asked for."""
_THE_LATTER = re.compile(r"\bthe latter\b|\bsecond (?:one )?(?:fits|matches|is (?:the )?(?:right|correct|better|answer))")


def is_aside(text: str, end: int, *, before: str, clause: str) -> bool:
    """Whether the range that ends at ``end`` is withdrawn or placed before the moment.

    Args:
        text: the plain text.
        end: where the range ends.
        before: the text before it.
        clause: the part of ``before`` that belongs to the same clause.
    """
    if _ASIDE.search(clause) or _CONCESSIVE.search(before) or _REJECTED.match(text, end) or _BUT_ONLY.match(text, end, end + 130):
        return True
    return bool(_ASIDE_CLAUSE.search(before) and _CLAUSE_ENDS.match(text, end, end + 80))


def not_withdrawn(text: str, ranges: list[Range]) -> list[Range]:
    """The ranges after the last "wait" or "actually" that has one after it."""
    if len(ranges) < 2:
        return ranges
    for match in reversed(list(_WITHDRAWAL.finditer(text))):
        after = [one for one in ranges if one.start >= match.start()]
        if after:
            return after
    return ranges


def called_the_answer(text: str, ranges: list[Range]) -> list[Range]:
    """The ranges that are said to be the ones that were asked for."""
    if len(ranges) < 2:
        return ranges
    if _THE_LATTER.search(text, ranges[1].end, ranges[1].end + 100):
        return ranges[1:2]
    return [one for one in ranges if _CALLED_ANSWER.match(text, one.end) or _ANSWER_CALLED.search(text[max(0, one.start - 80) : one.start])]
