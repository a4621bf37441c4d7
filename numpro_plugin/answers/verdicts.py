"""What the words around a range say against it: a denial, the numbering itself, a count, something withdrawn or placed before."""

from __future__ import annotations

import re
from typing import Literal

Verdict = Literal["denied", "numbering", "count", "aside"]
"""``denied``, ``numbering`` and ``count`` are no answers; ``aside`` (withdrawn, placed before, or followed by a negation that may be part
of what was asked for: "the door is not closed") counts only if nothing else is left."""

_BREAK = re.compile(
    r"[.!?;](?=\s|$)|\n|\b(?:but|however|although|though|(?<=[,.;] )yet|instead|i think|i would say|only)\b|(?<=\d), (?=(?:it|he|she|they|we|i)\b)"
)
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
    r"\b(?:(?:is|are|was|were)n.?t|not|nor|neither|rather than|instead of|except(?: for)?|excluding|other than|than|any of|none of|none|no|any)"
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
_SUBORDINATE = re.compile(r"(?:^|[.!?;:,]) ?(?:even )?(?:although|though|while|since|because|as|if|when)\b [^,]{0,100}, ?")
_LOOKED_AT = re.compile(
    r"\b(?:looking (?:at|through)|looked (?:at|through)|(?:after |by |in )?(?:examining|examined|reviewing|analy[sz]ing"
    r"|inspecting|considering"
    r"|watching|checking|scanning|observing)|going through|go through|based on|among(?:st)?|out of|given|provided|of)"
    r"(?: all| the| these| video| provided| given| red| numbered| \d+){0,4} ?(?:frames?)? ?(?:from )?[(,:]? ?(?:from )?$"
)
_NUMBERING = re.compile(
    r"(?<!red-)(?<!red )\b(?:numbered|labell?ed|numbering|indexed|marked|named)(?: as| with)?(?: from)? ?(?:frames? )?$"
    r"|\b(?:video|clip|footage)(?:'s)? (?:\w+ )?(?:has|contains|consists of|is made of|comprises|includes)\b"
    r"(?:[^.\n]{0,25}\bframes?\b[^.\n]{0,15}| ?(?:\d+ (?:\w+ )?)?)$"
    r"|\b(?:video|clip|footage)(?: \w+)? (?:spans|runs|goes|covers)(?: from| frames?){0,2} ?$"
    r"|\bthere are (?:\w+ ){0,2}\d* ?frames?\b(?:[^.\n]{0,20}|(?: in total| altogether)?,? (?:starting|beginning|ranging|going) (?:from|at|with) )$|\b(?:there are|total of) (?:\w+ ){0,2}\d+ $"
    r"|\b(?:numbers?|frames?|numbering)(?: on (?:the|each) frames?)? (?:go|goes|run|runs|range|ranges|ranging|are numbered"
    r"|are labell?ed|are given|are)"
    r" ?(?:in order )?(?:from)? ?$"
    r"|\b(?:video|provided|given|available|sampled|total|all|the \d+) frames ?[(,:] ?(?:from )?(?:frames? )?$"
    r"|\bshow the numbers? ?(?:from )?$"
    r"|\b(?:video|clip|footage)(?: \w+)? (?:lasts?|is)(?: for| about)? \d+ [^.\n]{0,30}$"
    r"|\bplease (?:provide|share|send|upload|show|check|give)\b[^.\n]{0,30}$"
    r"|\b(?:has|have|are|of|the|all|with|contains|total) \d+ (?:\w+ )?frames ?[,(:] ?(?:numbered |labell?ed |from |i\.e\.,? |frames? )*$"
)
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
    r"|person|begin)\b)[^\W\d]{2,}"
)
_COUNT_AFTER = re.compile(
    r" (?:may|might|could|can|later|earlier|before|after|long|in (?:total|length|all)|per|apart|ago|are (?:un|not))\b"
)
_ASIDE = re.compile(
    r"\b(?:(?:before|prior to|after) (?:that|this|then|the (?:event|action|moment|scene|activity))|previously|earlier|beforehand|afterwards?"
    r"|(?:\w+ly )?(?:thought|believed|assumed|guessed|suspected)|would have (?:said|thought|guessed)|(?:someone|somebody) else"
    r"|i (?:had )?(?:initially|originally|first|previously) \w+|my (?:first|initial|original) \w+|in the beginning"
    r"|(?:was|were) (?:going|about|tempted) to (?:say|answer)|(?:could|might|would) argue|(?:previous|earlier|first|initial|old) (?:answer|guess|estimate)"
    r"|at first glance|first guess|might (?:seem|appear|think)|may (?:seem|appear)|seems? at first|could (?:seem|be mistaken)"
    r"|not to be confused)\b"
    r"[^.!?;\n\d]{0,40}$"
    r"|\b(?:earlier|later|remaining|other|previous|preceding|subsequent)(?: frames?)? ?[(,:]? ?$"
    r"|\b(?:compared (?:to|with)|unlike|as opposed to|in contrast to)(?: the)? ?$"
    r"|\b(?:video|clip|footage|scene) (?:starts|begins|opens) with\b[^.!?;\n]{0,80}$"
    r"|\b(?:initially|at first|first|it) (?:\w+ ){0,3}?(?:looked like|seemed|appeared to be|looked as)\b[^.!?;\n]{0,40}$"
    r"|\bat the (?:very )?(?:beginning|start) of the (?:video|clip)\b[^.!?;\n]{0,40}$"
)
_ONLY_SHOW = re.compile(r" (?:only|just|merely) (?:shows?|contains?|depicts?)\b")
_CONCESSIVE = re.compile(r"(?:^|[.!?\n] ?)(?:even )?(?:although|though|while|whereas|despite)\b[^.!?,;\n]{0,100}$")
_BUT_ONLY = re.compile(r"[^.;\n\d]{0,40}\b(?:but|yet|however)\b[^.;\n\d]{0,40}\bonly\b[^.;\n\d]{0,40}\d")
_NO_AFTER = re.compile(r" ?[:=-] ?(?:no|not|none|nothing|n/a|false|absent|irrelevant)\b")
_NO_BEFORE = re.compile(r"(?:^|[.;\n] ?)(?:not|no) [^.:\n\d]{1,30}: ?[\d, -]{0,80}$")
"""Answers by yes and no: "0-5: not eating", "Not eating: 0-5, 10-14"."""
_INSTEAD = re.compile(r"[^.!?;\n]{0,30}\b(?:only|just|merely|simply) \w+s\b| shows?\b")
"""After a denial: "He never opens it. From frame 0 to frame 14 he only sits"."""
_REJECTED = re.compile(r"\)? ?\?| ?[(:,)-]? ?(?:(?:is|was|that is|that's) )?(?:incorrect|wrong|not right|not correct)\b")
_ASIDE_CLAUSE = re.compile(r"(?:^|[.!?\n]) ?(?:after|before|when|having|once|following|until|prior to) [^.!?;,\n]{0,80}$")
"""A clause before the main one: "After sitting from frame 0 to frame 5, he ..."."""
WITHDRAWAL = re.compile(
    r"(?:(?<=[.,!?;\n-] )|(?<=\n)|(?<=[.…]))(?:oh,? |no,? |hmm+,? )?(?:hold on\b|nope\b|wait\b(?=[ ,.!-])(?! (?:for|until|from|in)\b)|actually,"
    r"|correction\b|on second thought"
    r"|on closer inspection|let me (?:(?:re|double)[- ]?check|check|verify|re-?read|look|re-?consider|correct|re-?think)|scratch that|sorry,|i mean\b"
    r"|or rather\b|no, (?!from frame))"
)
_OVERALL = re.compile(
    r"\b(?:event|action|query|moment|scene|activity|description|described \w+) (?:is not|isn.?t|does not|doesn.?t|never"
    r"|cannot|is never|was not)\b"
    r"(?! (?:fully|clearly|entirely|completely))"
    r"|\b(?:video|frames?|clip|footage) (?:does not|doesn.?t|do not|don.?t|never) (?:show|contain|depict|include|feature)"
    r"|\bnone of the (?:\d+ )?frames\b|\bthere is no (?:frame|moment|part|scene|evidence|indication|such)\b"
    r"|\bno such (?:event|action|moment)\b"
    r"|\b(?:does|do|did|is|are|was|were)(?:n.?t| not| never) (?:\w+ ){1,4}in (?:this|the|these|any)(?: \w+)? (?:clip|video|footage)\b"
    r"|\bnot (?:visible|shown|present|seen|depicted|found) (?:in|anywhere in) (?:the|this|any)\b"
)
_TAKEN_BACK = re.compile(
    r"\b(?:but|however|except|instead|although|closest|nearest|until|at first)\b"
    r"|\b(?:it|(?<=[.;] )the \w+) (?:only |actually |instead )?"
    r"(?:(?:is|was) (?:\w+ )?(?:from|in|between|at|during)\b|occurs|happens|starts|begins|appears|takes place)"
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
    breaks = [match.end() for match in _BREAK.finditer(before)]
    clause = before[breaks[-1] :] if breaks else before
    if subordinate := _SUBORDINATE.match(before, breaks[-2] if len(breaks) > 1 else 0) or _SUBORDINATE.search(clause):
        clause = before[max(subordinate.end(), breaks[-1] if breaks else 0) :]
    if _DIRECT_NOT.search(before[-40:]) or _NO_AFTER.match(text, end, end + 20) or _NO_BEFORE.search(before):
        return "denied"
    # A partial range with a negation answers a query such as "the door is not closed", unless it says that something is not to be seen.
    from_the_first = re.match(r"\D*0\D", text[start:end]) is not None
    negation = _NEGATED.search(clause)
    if negation and (from_the_first or not _PREDICATE.match(negation[0]) or not clause.endswith("from ") or _ABSENT.search(clause)):
        return "denied"
    negation_after = _NOT_AFTER.match(text, end, end + 80)
    if negation_after and (from_the_first or _ABSENT.search(_clause_after(text, *negation_after.span()))):
        return "denied"
    if (from_the_first and _ONLY_SHOW.match(text, end, end + 50)) or (_INSTEAD.match(text, end, end + 50) and _follows_denial(before)):
        return "denied"
    looked_at = _LOOKED_AT.search(before[-100:])
    if _NUMBERING.search(before[-100:]) or (looked_at and from_the_first):
        return "numbering"
    if not named and _LASTS.search(before[-40:]):
        return "count"
    if bare and not named:
        tail = before[-40:]
        counted = text[start:end].rstrip().endswith(("frames", "frame"))
        if (
            _COUNTS_ALOUD.search(tail)
            or (not counted and _NOUN_AFTER.match(text, end, end + 40))
            or (counted and _COUNT_BEFORE.search(tail) and not _PLACE_BEFORE.search(tail))
        ):
            return "count"
        if counted and _COUNT_AFTER.match(text, end):
            return "count"
    aside_clause = _ASIDE_CLAUSE.search(before) and text[end : end + 2].lstrip(")] ").startswith(",")
    placed_before = (
        _CONCESSIVE.search(before)
        or _BUT_ONLY.match(text, end, end + 130)
        or looked_at
        or _REJECTED.match(text, end)
        or _ASIDE.search(clause)
        or aside_clause
    )
    return "aside" if negation or negation_after or placed_before else None


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


_ASKS = re.compile(
    r"\b(?:could|can|would) you (?:please )?(?:clarify|specify)\b|\bplease (?:clarify|specify)\b|\bwhich \w+ (?:do|did) you mean\b"
)


def asks_back(text: str) -> bool:
    """The text asks what was meant."""
    return _ASKS.search(text) is not None


def negated(text: str) -> bool:
    """Something in the text is denied."""
    return _NEGATED.search(text) is not None


def sentence_denial(sentence: str) -> bool:
    """A sentence without a number that denies: "so no door is opened"."""
    return not re.search(r"\d", sentence) and _NEGATED.search(sentence) is not None


_SUBJECT_START = re.compile(r"(?:^|[.!?;:,)\n] ?|\[|\band |\bin |\bduring )(?:in |from |the |during )?$")
_TELLS = re.compile(
    r"\]? ?(?!(?:,|and|or|then|&| )+(?:again )?(?:in |from |at |between )?(?:the )?frames?\b)(?::|- )? ?"
    r"(?P<words>(?:[^\W\d][\w'-]*[ ,]*){2,12})"
)
_STEP = re.compile(r"(?:^|[.,;:)\n] ?)(?:and )?(?P<words>[^.,;:()\d\n]{4,70})$")
_LABEL = re.compile(
    r"(?:^|[\n;] ?)(?!(?:the )?(?:final |correct )?(?:answer|result|frames?|span|range|segment|moment|event|interval|time|output|response)\b)"
    r"(?P<words>[a-z][^:;\n\d.]{2,40}): ?\[?(?:from )?$"
)
_STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "the",
        "is",
        "are",
        "of",
        "in",
        "on",
        "at",
        "to",
        "and",
        "he",
        "she",
        "it",
        "they",
        "his",
        "her",
        "their",
        "i",
        "we",
        "you",
        "can",
        "see",
        "show",
        "shows",
        "where",
        "when",
        "as",
        "again",
        "first",
        "second",
        "third",
        "then",
        "finally",
    ]
)


def label(text: str, start: int) -> frozenset[str] | None:
    """The words of the label before a range ("Preparation: frames 0-5"), or None. One alone says nothing; several tell a story."""
    words = _LABEL.search(text[max(0, start - 60) : start])
    return frozenset(words["words"].split()) - _STOP_WORDS if words else None


def told(text: str, start: int, end: int) -> frozenset[str] | None:
    """The words of what a range tells, or None: "Frames 0-5: he sits", "frames 6 to 9 show ...", "then he sits (frames 0-5)"."""
    if text[max(0, start - 1) : start] == "(" and (words := _STEP.search(text[max(0, start - 100) : start - 1])):
        return frozenset(words["words"].split()) - _STOP_WORDS
    if not _SUBJECT_START.search(text[max(0, start - 12) : start]):
        return None
    words = _TELLS.match(text, end, end + 120)
    return frozenset(words["words"].replace(",", " ").split()) - _STOP_WORDS if words else None
