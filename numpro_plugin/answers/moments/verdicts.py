"""What the words around a range say against it: a denial, the numbering itself, a count, something withdrawn or placed before."""

from __future__ import annotations

import re
from typing import Literal

from numpro_plugin.answers.moments.asides import is_aside
from numpro_plugin.answers.moments.denials import denial, from_the_first

Verdict = Literal["denied", "numbering", "count", "aside"]
"""``denied``, ``numbering`` and ``count`` are no answers; ``aside`` (withdrawn, placed before, or followed by a negation that may be part
of what was asked for: "the door is not closed") counts only if nothing else is left."""
_BREAK = re.compile(
    r"[.!?;](?=\s|$)|\n|\b(?:but|however|although|though|(?<=[,.;] )yet|instead|i think|i would say|only)\b"
    r"|(?<=\d), (?=(?:it|he|she|they|we|i)\b|(?!(?:nor|from|frames|when|where|which|that|with)\b)[a-z]{4,} )"
)
_SUBORDINATE = re.compile(r"(?:^|[.!?;:,]) ?(?:even )?(?:although|though|while|since|because|as|if|when)\b [^,]{0,100}, ?")
_LOOKED_AT = re.compile(
    r"\b(?:looking (?:at|through)|looked (?:at|through)|(?:after |by |in )?(?:examining|examined|reviewing|analy[sz]ing"
    r"|inspecting|considering"
    r"|watching|checking|scanning|observing)|going through|go through|based on|among(?:st)?|out of|given|provided|(?<!terms )of)"
    r"(?: all| the| these| video| provided| given| red| numbered| \d+){0,4} ?(?:frames?)? ?(?:from )?[(,:]? ?(?:from )?$"
)
_NUMBERING = re.compile(
    r"(?<!red-)(?<!red )\b(?:numbered|labell?ed|numbering|indexed|marked|named)(?: as| with)?(?: from)? ?(?:frames? )?$"
    r"|\b(?:video|clip|footage)(?:'s)? (?:\w+ )?(?:has|contains|consists of|is made of|comprises|includes)\b"
    r"(?:[^.\n]{0,25}\bframes?\b[^.\n]{0,15}| ?(?:\d+ (?:\w+ )?)?)$"
    r"|\b(?:video|clip|footage)(?: \w+)? (?:spans|runs|goes|covers)(?: from| frames?){0,2} ?$"
    r"|\bthere are (?:\w+ ){0,2}\d* ?frames?\b(?:[^.\n]{0,20}|(?: in total| altogether)?,? (?:starting|beginning|ranging"
    r"|going) (?:from|at|with) )$|\b(?:there are|total of) (?:\w+ ){0,2}\d+ $"
    r"|\b(?:numbers?|frames?|numbering)(?: on (?:the|each) frames?)? (?:go|goes|run|runs|range|ranges|ranging|are numbered"
    r"|are labell?ed|are given|are)"
    r" ?(?:in order )?(?:from)? ?$"
    r"|\b(?:video|provided|given|available|sampled|total|all|the \d+) frames ?[(,:] ?(?:from )?(?:frames? )?$"
    r"|\bshow the numbers? ?(?:from )?$"
    r"|\bframes? (?:checked|provided|given|analy[sz]ed|reviewed|examined|sampled|shown|available)[:,]? ?(?:are |were )?(?:from )?$"
    r"|\b(?:video|clip|footage)(?: \w+)? (?:lasts?|is)(?: for| about)? \d+ [^.\n]{0,30}$"
    r"|\bplease (?:provide|share|send|upload|show|check|give)\b[^.\n]{0,30}$"
    r"|\b(?:has|have|are|of|the|all|with|contains|total) \d+ (?:\w+ )?frames ?[,(:] ?(?:numbered |labell?ed |from |i\.e\.,? |frames? )*$"
)
_IN_ALL = re.compile(r"\bin all (?:of )?(?:the )?(?:\d+ )?(?:frames ?[,(:] ?(?:from )?)?$")
""" "He is seen in all frames (0-59)" is an answer where no other is given."""
_FIRST_NUMBER = re.compile(r"\D*0*[01]\D")
_HOW_MANY = re.compile(r"(?:\d (?:\w+ )?|\b(?:the|these|all|your|given|provided) )$")
_FRAMES_OPEN = re.compile(r"frames? ?[(,:]")
_COUNT_BEFORE = re.compile(
    r"\b(?:last(?:s|ing|ed)?|take[sn]?|taking|took|for|about|around|approximately|roughly|another|within|every|additional"
    r"|duration(?: of| is|:)?"
    r"|at least|at most|up to|some|only|over|spans?|spanning|there are|has|have|contains?|show|shows|is|are|of)(?: for| of| about| only"
    r"| approximately| around)? ?$"
)
_LASTS = re.compile(
    r"\b(?:last(?:s|ing|ed)?|take[sn]?|took|taking)(?: (?:for|about|around|approximately|roughly|only|her|him|them|it)){0,2} $"
)
_COUNTS_ALOUD = re.compile(r"\bcount(?:s|ing|ed)?(?: up| down)?(?: from)? $")
_PLACE_BEFORE = re.compile(r"\b(?:in|from|between|during|the|at|across|throughout|frames?|answer:?|through)(?: the)? ?[(\[]?$")
_NOUN_AFTER = re.compile(
    r"(?:-| )(?!(?:and|or|to|is|are|was|were|in|on|at|as|of|for|where|when|which|that|because|since|while|respectively|the|a"
    r"|an|it|he|she|they|we"
    r"|you|this|these|there|by|from|with|so|if|but|then|during|inclusive|approximately|only|i|can|show\w*|contain\w*"
    r"|depict\w*|seems?|would|could"
    r"|may|might|has|have|his|her|their|its|after|before|frames?|final|answer|exactly|not|no|\w+ly|(?:some|any)\w+|start|end"
    r"|person|begin|yes|true|match\w*|fit\w*|it)\b)[^\W\d]{2,}"
)
_COUNT_AFTER = re.compile(
    r" (?:may|might|could|can|later|earlier|before|after|long|in (?:total|length|all)|per|apart|ago|are (?:un|not))\b"
)


def verdict(text: str, start: int, end: int, *, named: bool, bare: bool) -> Verdict | None:
    """What is said against the range ``text[start:end]``.

    Args:
        text: the plain text.
        start: where the range begins, with the label of its first number.
        end: where it ends.
        named: the word frame stands before the first number.
        bare: nothing says what the numbers count, or "frames" comes after them.
    """
    before = text[max(0, start - 140) : start]
    clause = _clause(before)
    denied = denial(text, start, end, before=before, clause=clause)
    if denied == "denied":
        return denied
    seen = _looked_at(before)
    if _is_numbering(text, start, before) or (seen and from_the_first(text, start, end)):
        return "aside" if _IN_ALL.search(before[-40:]) else "numbering"
    if not named and _is_count(text, start, end, before=before, bare=bare):
        return "count"
    return "aside" if denied or seen or is_aside(text, end, before=before, clause=clause) else None


def _clause(before: str) -> str:
    """The part of the text before a range that belongs to the same clause."""
    breaks = [match.end() for match in _BREAK.finditer(before)]
    clause = before[breaks[-1] :] if breaks else before
    if subordinate := _SUBORDINATE.match(before, breaks[-2] if len(breaks) > 1 else 0) or _SUBORDINATE.search(clause):
        clause = before[max(subordinate.end(), breaks[-1] if breaks else 0) :]
    return clause


def _looked_at(before: str) -> bool:
    """ "Looking at frames 0 to 14": ``before`` is the text before a range."""
    return _LOOKED_AT.search(before[-100:]) is not None


def _is_numbering(text: str, start: int, before: str) -> bool:
    """ "The video has 15 frames (0-14)": ``before`` is the text before the range at ``start``. A numbering begins with 0 or 1."""
    if not _FIRST_NUMBER.match(text, start):
        return False
    return bool(_NUMBERING.search(before[-100:]) or (_HOW_MANY.search(before[-30:]) and _FRAMES_OPEN.match(text, start)))


def _is_count(text: str, start: int, end: int, *, before: str, bare: bool) -> bool:
    """Whether the range ``text[start:end]``, which the word frame does not precede, counts something or lasts some time.

    Args:
        text: the plain text.
        start: where the range begins.
        end: where it ends.
        before: the text before it.
        bare: nothing says what the numbers count, or "frames" comes after them.
    """
    tail = before[-40:]
    if _LASTS.search(tail):
        return True
    if not bare:
        return False
    counted = text[start:end].rstrip().endswith(("frames", "frame"))
    if _COUNTS_ALOUD.search(tail) or (not counted and _NOUN_AFTER.match(text, end, end + 40)):
        return True
    return bool(counted and ((_COUNT_BEFORE.search(tail) and not _PLACE_BEFORE.search(tail)) or _COUNT_AFTER.match(text, end)))
