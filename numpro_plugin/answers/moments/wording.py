"""One spelling of a moment answer: no decoration, and one word for a frame, from, to, a start and an end."""

from __future__ import annotations

import re

from numpro_plugin.answers.languages import in_english, number_words
from numpro_plugin.answers.moments.fields import rows, without_tags
from numpro_plugin.answers.wording import join_thousands, respell, steps, unify_dashes

_BLANKS = re.compile(r"[^\S\n]++")
_MARKUP = steps(
    (r"~~[^~\n]{1,300}~~", " "),  # struck out
    (r"[*`]++", ""),
    (r"\\(?:(?:long)?rightarrow|to|sim)(?![a-z])", " - "),
    (r"\\[lc]?dots(?![a-z])", "..."),
    (r"(?m)^[ \t>]*+(?:[-*•·–—+][ \t]++)?+(?:\(?\d{1,2}[.)][ \t]++(?=[^\d\s]))?+", ""),  # bullets
    (r"\\(?:text(?:bf|it|rm)?|mathrm|mathbf|quad|left|right|fbox|,|;|!| )", " "),
    # About: "frame ~6", "6ish", "approx. 6"
    (
        r"(?:(?<=frame )|(?<=frames )|(?<=from )|(?<=to )|(?<=between )|(?<=and ))[~∼～≈] ?(?=\d)",
        "",
    ),
    (r"(?<=\d)-?ish\b|\b(?:approx|ca)\.(?= )", ""),
)
_DASHES = steps(
    (r" - ?to ?- ", " to "),
    (r"\b(frames?)[-_](?=\d)", r"\1 "),
    (r"\b(start|end|begin)(?=frame|time|sec)", r"\1 "),  # startFrame
)
_SIGNS = steps((r"[<>\"“”‘’{}$\\|]++|'(?!s\b|t\b|m\b|image|frame|oclock|clock)|(?<=\W)'", " "))
_TIME = r"(?<![\d.:])(?:\d{1,2}:\d\d(?::\d\d)?(?:\.\d{1,9})?|\d{1,9}(?:\.\d{1,9})? ?s(?:ec(?:ond)?s?)?)(?![\w:])"
_SPELLINGS = steps(
    (r"(?<=\d)([ ,}\]]*)units?[ :]*(?:seconds?|secs?|s)\b", r" seconds \1"),  # a field "unit"
    (r"(?<![\d.])(\d{1,9})(?:, ?\d{1,9}){0,8}+ ?,? ?\.{2,3} ?,? ?(?=\d|frame)", r"\1 - "),  # "6, 7, ..., 9" and "6...9"
    (  # "x = 6 and y = 9", "s: 6, e: 9": the two ends under the names that the format or a program gives them
        r"\b(?:frame )?(?:(?P<x>x)|(?P<s>s)|in) ?(?:=|:|is) ?(?:frame )?(?P<first>\d+(?:\.\d+)?)"
        r"[ ,;\n]{1,3}(?:and )?(?:frame )?(?(x)y|(?(s)e|out)) ?(?:=|:|is) ?(?:frame )?(?P<last>\d+(?:\.\d+)?)",
        r"frame \g<first> to frame \g<last>",
    ),
    # Words that are glued to their numbers
    (
        r"(?<=from)(?=frame|\d)|(?<=to)(?=frames?\d)|(?<=\dto)(?=\d)|(?<=frame)(?=\d)|(?<=frames)(?=\d)|(?<=\d)(?=to\W?(?:frame|\d))",
        " ",
    ),
    (r"\b[xyt] ?= ?(?=\d)", ""),
    (r"\bno\.(?= ?\d)|\bno(?=\d)|\bred (?=\d)", "frame "),
    (r"\b(?:it|counter|numbers?) (?:reads?|shows?|says?) (?=\d)", "frame "),
    (r"\b(?:time|t|secs?|seconds?) (start|end|begin)\b(?= ?[:=])", r"\1 time"),
    (r"\bframe (start|end|begin|from|to)\b(?= ?[:=])", r"\1 frame"),
    (r"(?<![\w.])(\d{1,2})m(\d{1,2})s\b", r"\1 minutes \2 seconds"),
    (r"(?<![\d.])0?\.\d{1,4} ?(?:to|-) ?(?:0?\.\d{1,4}|1\.0+)(?![\d.%]| ?(?:s|sec\w{0,4})\b)", " "),  # fractions of the video
    (r"(?<=\d)\.(?:jpe?g|png|webp|bmp)\b", ""),
    (r"\b(frames?) ?\[ ?(\d{1,9}) ?(?::|\.\.) ?(\d{1,9}) ?\]", r"\1 \2 to \3"),
    (r"(?:(?<=from )|(?<= to )|(?<= - )|(?<= at )):(?=\d\d(?![\d:]))", "0:"),  # ":40"
    (r"\b(frames? \d{1,9})\+(?! ?\d)", r"\1 onwards"),
    # How many frames: "(6 frames)", "lasting 6 frames"
    (r"\( ?(?:a total of |about |in total )?\d{1,9} (?:\w+ )?frames?(?: in total)? ?\)", ""),
    (
        r"\b(?:last(?:s|ing|ed)?|takes?|taking|for|duration(?: of|:)?) (?:(?:about|around|roughly"
        r"|only) )?\d{1,9} (?:consecutive )?frames?\b"
        r"(?! ?\d)",
        " ",
    ),
    # The time of a frame: "0:12 (frame 6)", "frame 6 @ 12 s"
    (rf"{_TIME} ?\((?:at |i\.e\.,? )?(frame ?#?\d{{1,9}})\)", r"\1"),
    (rf"((?:frames? ?)?#?\d{{1,9}}) ?@ ?{_TIME}", r"\1"),
    (rf"(frame ?#?\d{{1,9}}) ?\[{_TIME}\]", r"\1"),
    (rf"(frame ?#?\d{{1,9}}),? at (?:about )?{_TIME}", r"\1"),
    (r"\b\d{1,9} (frames ?: ?)(?=\d{1,9} ?(?:,|-|to\b))", r"\1"),  # "5 frames: 6, 7, 8, 9, 10"
    # Slips: "fame 3", "frme 3", "fr. 3", "3 too frame 9", "to to"
    (r"\b(?!farms?\b|fares?\b|fears?\b|frames?\b)f[rame]{3,5}s?(?= ?\d)|\bfrm?s?\.? ?(?=\d)", "frame "),
    (r"(?<=\d )(?:too|tp|ot|t)(?= (?:frame )?\d)", "to"),
    (r"\b(from|to|frames?) \1\b", r"\1"),
    (
        r"\b(?:is|are|was|were|does|do|did)(?:n.?t| not) (?:\w+ ){0,2}(?:until|till)\b|\bnot until\b"
        r"|\b(?:nothing|nobody|no one)\b[^.,;\d\n]{0,40} until\b",
        "starts at",
    ),
    (r"(?<=:\d\d),(?=\d{3}\b)", "."),  # 00:01:05,000
    (r"(?<![\d.])(\d{1,3}(?:\.\d{1,3})?)(?= ?(?:to|-|and) ?\d{1,3}(?:\.\d{1,3})? ?(?:%|percent))", r"\1%"),
)
_SLASHED = re.compile(r"(?<![\d/])\d{1,6}(?: ?/ ?\d{1,6}){2,40}+(?! ?[\d/])")  # "30/31/32" is a list, "30/31" may be "30 of 31"
_MARKED_FRAMES = steps((r"(?<![#\w])#{1,3} ?(?=\d)|\bf(?=\d)", "frame "))
_NUMBERS = steps(
    (r"(?<![\d,.])(\d{1,6}),(\d{1,2}) ?(-|to|bis|à) ?(\d{1,6}),(\d{1,2})(?= ?(?:s|sec|sek|seg)\w{0,8}\b)", r"\1.\2 \3 \4.\5"),
    (r"(?<=\d) ?\(? ?(?:of|out of) (?:the )?\d+(?: frames)?\)?|(?<=\d) ?/ ?\d+", ""),  # "6 of 15"
)


def plain_moment(text: str) -> str:
    """One spelling of a folded moment answer: no markup, bullets, table borders or totals ("6 of 15"); lines stay lines."""
    text = without_tags(respell(rows(text), _MARKUP))
    text = respell(unify_dashes(text), _DASHES).replace("_", " ")
    text = _BLANKS.sub(" ", respell(text, _SIGNS))
    text = respell(in_english(text), _SPELLINGS)
    text = _SLASHED.sub(lambda m: m[0].replace("/", ", "), text)
    text = number_words(_BLANKS.sub(" ", respell(text, _MARKED_FRAMES)))
    text = respell(join_thousands(text), _NUMBERS)
    return re.sub(r" ?\n\s*+", "\n", _BLANKS.sub(" ", text)).strip()
