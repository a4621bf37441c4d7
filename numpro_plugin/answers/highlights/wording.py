"""A highlight answer made plain before it is read: no decoration, no echo of the question, no numbers that count something else."""

from __future__ import annotations

import re
from itertools import islice

from numpro_plugin.answers.highlights.layouts import one_layout
from numpro_plugin.answers.highlights.tables import without_tables
from numpro_plugin.answers.wording import fold, join_thousands, unify_dashes

ECHO = re.compile(r"output format should be like\s*:?\s*(?:\"[^\"]*\"?|'[^']*'?|[^\n]*)")
_QUOTED = re.compile(r"(?<!\w)(?:\"[^\"\n]{1,300}\"|'[^'\n]{1,300}')(?!\w)")
_BULLET = re.compile(r"(?m)^[ >+•·-]*(?:\(?\d{1,3}[.)](?= (?!their\b)\S))?[ >+•·-]*|(?<=[.;] )\d{1,3}[.)] (?=frame)")
_OUT_OF = re.compile(
    r"(?<=\d) ?(?:/|out of) ?(?:5|10|100)(?:\.0+)?(?!\.?\w)|\bscale(?: of| from| is|:)*[ (]*\d[\d.]* ?(?:to|-|and) ?\d[\d.]*"
    r"|(?:(?<=score)|(?<=scores)|(?<=saliency)) \((?:[01] ?(?:-|to) ?|out of |/ ?)(?:5|10)\)"
)
_NOUN = (
    r" (?!(?:and|or|to|is|are|was|were|has|have|had|with|at|in|on|as|for|where|when|which|that|because|since|while|respectively|each|all"
    r"|both|frames?|points?|stars?|scor\w+|salien\w+|rat\w+|but|gets?|receives?|shows?|out|of|if|so|also|the|they|their|it|its|this|by|from"
    r"|\w{1,20}ing)\b)[a-z]+"
)
_N = r"\d++(?:\.\d+)?+"
# What would otherwise have to be told apart at every step. The words stay; "sec" or "x" stands in the number's place.
_OTHER_NUMBERS = re.compile(
    "|".join(
        (
            r"(?P<time>(?<![\w.:])\d{1,2}:[0-5]\d(?::[0-5]\d)?(?:\.\d+)?(?!\w|:\d)"  # 01:02
            rf"|(?<![\w.])(?<!\d,)(?<!\d, ){_N}(?:, ?{_N})*+(?:(?: ?- ?| to |,? and ){_N})?+"  # 3, 4 s
            r" ?(?:m?s|secs?|(?:milli)?seconds?|mins?|minutes?)\b)",
            r"(?P<before>\b(?:there (?:are|is|were|was)|total of|found|identified|detected|selected|chose|see|top|first|last|only|all|these"
            r"|has|have|contains?)(?: about| only| the)? )\d+(?= (?:[a-z]+ )?(?:frames?|highlights?|moments?)\b)",  # there are 3 frames
            r"(?P<total>\b(?:total|(?<!frame )number of) (?:[a-z]+ ){0,3}(?:frames|highlights|moments)(?: is|:)? )\d+",  # total frames: 3
            r"(?<![\w.#-])(?<!frame )(?<!frames )(?<!number )(?<!score )(?<!score of )(?<!score is )(?<!score: )"
            rf"(?<!\d,)(?<!\d, )(?<!\d and )(?<!, and )(?<!\d to )\d++(?!\.\d)(?={_NOUN}|%)",  # 2 men
        )
    )
)


def normalise(text: str, query: str) -> str:
    """One case, one kind of dash, no decoration, nothing that only repeats the question, and no numbers that count something else."""
    text = one_layout(ECHO.sub(" ", folded(text)))
    text = _plain(_QUOTED.sub(_quoted, text))
    if " " in (query := _plain(folded(query)).strip(" .")):
        text = text.replace(query, " ")
        for counted in islice(re.finditer(rf"(?<![\w.]){_N}{_NOUN}", query), 8):  # a query told in other words still has its "2 men"
            text = re.sub(rf"(?<![\w.]){re.escape(counted[0])}(?!\w)", " ", text)
    text = join_thousands(text)
    text = _OTHER_NUMBERS.sub(lambda m: "sec" if m["time"] else (m["before"] or m["total"] or "") + "x", _OUT_OF.sub("", text))
    return without_tables(_BULLET.sub("", re.sub(r" ?\([^()\d\n]{0,200}\)", "", text)))


def folded(text: str) -> str:
    """The text in one case, with one kind of quotes."""
    text = fold(text)
    return re.sub("[“”„«»]", '"', re.sub("[‘’‚´]", "'", text))


def _plain(text: str) -> str:
    text = re.sub(r"[*`\"'\\]+|'s\b", "", text).replace("_", " ").replace("、", ",")
    text = unify_dashes(text)
    return re.sub(r" ?\n ?", "\n", re.sub(r"[^\S\n]+", " ", text.replace("\r", "\n"))).strip()


def _quoted(match: re.Match[str]) -> str:
    """Words with a number in quotes are the query or a description; a quoted answer names frames or scores."""
    words = re.sub(r"\b(?:and|to|through|until)\b", "", match[0])
    return " " if re.search(r"\d", words) and re.search(r"[a-z]{3}", words) and not re.search("frame|score|salien", words) else match[0]
