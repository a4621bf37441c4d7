"""Plain text for both parsers: one kind of letters, digits and dashes, one spelling of what goes with a frame number, no decoration."""

from __future__ import annotations

import re
import unicodedata

from numpro_plugin.answers.languages import in_english, number_words

_DASH = re.compile(r"[\u2010-\u2015\u2212~∼～〜〰→⟶➜➔⇒➡]|[-=]{1,2}>|-{2,}")
_THOUSANDS = re.compile(r"(?<![\d,.])(\d{1,3}),(\d{3})(?!\d|,\d)")


def fold(text: str) -> str:
    """The text in one case, with ASCII letters and digits where Unicode knows them for equivalent."""
    return unicodedata.normalize("NFKC", text).casefold()


def unify_dashes(text: str) -> str:
    """Every dash, tilde and arrow is "-"."""
    return _DASH.sub("-", text)


def join_thousands(text: str) -> str:
    """1,007 is one number; 99,100 are two neighbours of a list."""
    return _THOUSANDS.sub(lambda m: m[0] if int(m[2]) == int(m[1]) + 1 else m[1] + m[2], text)


_LONG_NUMBER = re.compile(r"(?P<point>(?<=\.))?(?<!\d)\d{16,}")
_BLANKS = re.compile(r"[^\S\n]+")
_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")
_RULER = re.compile(r"([#*_=~`-])\1{3,}")


def compact(text: str) -> str:
    """No long runs of blanks, empty lines, rulers or digits: what a pattern must step over is short, so that time grows with the length."""
    text = _RULER.sub(r"\1\1\1", _LINES.sub("\n\n", _BLANKS.sub(" ", text.replace("\r", "\n"))))
    return _LONG_NUMBER.sub(_short_number, text)


def _short_number(match: re.Match[str]) -> str:
    if match["point"] is not None:
        return match[0][:15]
    digits = match[0].lstrip("0") or "0"
    return digits if len(digits) < 16 else "9" * 16


# ---- moments: everything below makes one spelling out of many ----

_MISSPELT_FRAME = re.compile(r"\b(?!farm|fare|fear|frames?\b)f[rame]{3,5}s?(?= ?\d)|\bfrm?s?\.? ?(?=\d)")  # "fame 3", "frme 3", "fr. 3"
_MISSPELT_TO = re.compile(r"(?<=\d )(?:too|tp|ot|t)(?= (?:frame )?\d)")
_ABOUT = re.compile(r"(?:(?<=frame )|(?<=frames )|(?<=from )|(?<=to )|(?<=between )|(?<=and ))[~∼～≈] ?(?=\d)|(?<=\d)-?ish\b|\b(?:approx|ca)\.(?= )")
_SHORT_CLOCK = re.compile(r"(?:(?<=from )|(?<= to )|(?<= - )|(?<= at )):(?=\d\d(?![\d:]))")  # ":40" is 0:40
_AND_LATER = re.compile(r"\b(frames? \d{1,9})\+(?! ?\d)")
_HOW_MANY = re.compile(r"\( ?(?:a total of |about |in total )?\d{1,9} (?:\w+ )?frames?(?: in total)? ?\)")
_SHORT_LABEL = re.compile(r"\bno\.(?= ?\d)|№")
_FILE_NAME = re.compile(r"(?<=\d)\.(?:jpe?g|png|webp|bmp)\b")
_SLICE = re.compile(r"\b(frames?) ?\[ ?(\d{1,9}) ?(?::|\.\.) ?(\d{1,9}) ?\]")
_LASTING = re.compile(
    r"\b(?:last(?:s|ing|ed)?|takes?|taking|for|duration(?: of|:)?) (?:(?:about|around|roughly|only) )?\d{1,9} (?:consecutive )?frames?\b(?! ?\d)"
)
_TIME = r"(?<![\d.:])(?:\d{1,2}:\d\d(?::\d\d)?(?:\.\d{1,9})?|\d{1,9}(?:\.\d{1,9})? ?s(?:ec(?:ond)?s?)?)(?![\w:])"
_TIME_OF_FRAME = re.compile(rf"{_TIME} ?\((?:at |i\.e\.,? )?(frame ?#?\d{{1,9}})\)|((?:frames? ?)?#?\d{{1,9}}) ?@ ?{_TIME}")
_TWICE = re.compile(r"\b(from|to|frames?) \1\b")
_SLASHED = re.compile(r"(?<![\d/])\d{1,6}(?: ?/ ?\d{1,6}){2,}+(?![\d/])")  # "30/31/32" is a list, "30/31" may be "30 of 31"
_CLOCK_COMMAS = re.compile(r"(?<=:\d\d),(?=\d{3}\b)")
_PERCENTAGES = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d{1,3})?)(?= ?(?:to|-|and) ?\d{1,3}(?:\.\d{1,3})? ?(?:%|percent))")
_NOT_UNTIL = re.compile(
    r"\b(?:is|are|was|were|does|do|did)(?:n.?t| not) (?:\w+ ){0,2}(?:until|till)\b|\bnot until\b|\b(?:nothing|nobody|no one)\b[^.,;\d\n]{0,40} until\b"
)
_DECIMAL_COMMAS = re.compile(r"(?<![\d,.])(\d{1,6}),(\d{1,2}) ?(-|to|bis|à) ?(\d{1,6}),(\d{1,2})(?= ?(?:s|sec|sek|seg)\w{0,8}\b)")

_SIDE_NOTES = (
    "reasoning|reason|thoughts?|thinking|explanation|rationale|analysis|description|desc|query|event|caption|label|action|activity|text"
)
_COUNTS = (
    "confidence|scores?|probability|saliency(?: ?_?score)?|fps|duration|num_?frames|total_?frames|frame_?count|num_?segments|count|id|rank"
)
_JSON_NOTE = re.compile(rf"([\"'])(?:{_SIDE_NOTES})\1\s*+:\s*+(?:\"(?:[^\"\\]|\\.)*+\"?|'(?:[^'\\]|\\.)*+'?)\s*+,?", re.DOTALL)
_JSON_COUNT = re.compile(rf"([\"'])(?:{_COUNTS})\1\s*+:\s*+[\"']?-?[\d.]++%?[\"']?\s*+,?")
_JSON_ANSWER = re.compile(r"([\"'])(?:final_?)?answers?\1\s*+:")

_BULLET = re.compile(r"(?m)^[ \t>]*+(?:[-*•·–—+][ \t]++)?+(?:\(?\d{1,2}[.)][ \t]++(?=[^\d\s]))?+")
_STRUCK_OUT = re.compile(r"~~[^~\n]{1,300}~~")
_TEX_SIGNS = ((re.compile(r"\\(?:(?:long)?rightarrow|to|sim|text-?endash)(?![a-z])"), " - "), (re.compile(r"\\[lc]?dots(?![a-z])"), "..."))
_UNIT_FIELD = re.compile(r"(?<=\d)([ ,}\]]*)units?[ :]*(?:seconds?|secs?|s)\b")
_TEX = re.compile(r"\\(?:text(?:bf|it|rm)?|mathrm|mathbf|quad|left|right|fbox|,|;|!| )")
_TAG_CUES = {"begin": "start", "start": "start", "end": "end", "stop": "end", "from": "from", "to": "to"}
_TAG = re.compile(r"<(?P<close>/?)(?P<name>[a-z][a-z_]{0,20}?)[ _]?(?P<number>\d{0,9})/?>")
_OF_ALL = re.compile(r"(?<=\d) ?\(? ?(?:of|out of) (?:the )?\d+(?: frames)?\)?|(?<=\d) ?/ ?\d+")
_GLUE = re.compile(
    r"(?<=from)(?=frame|\d)|(?<=to)(?=frames?\d)|(?<=\dto)(?=\d)|(?<=frame)(?=\d)|(?<=frames)(?=\d)|(?<=\d)(?=to\W?(?:frame|\d))"
)
_CAMEL = re.compile(r"\b(start|end|begin)(?=frame|time|sec)")
_DASHED_FRAME = re.compile(r"\b(frames?)[-_](?=\d)")
_ELLIPSIS = re.compile(r"(?<![\d.])(\d{1,9})(?:(?:, ?\d{1,9}){0,8}, ?)?+ ?\.{2,3} ?,? ?(?=\d|frame)")  # "6, 7, ..., 9" and "6...9"
_X_EQUALS = re.compile(r"\b[xyt] ?= ?(?=\d)")
_NAMED_ENDS = re.compile(  # "x = 6 and y = 9", "s: 6, e: 9": the two ends under the names that the format or a program gives them
    r"\b(?:frame )?(?:(?P<x>x)|(?P<s>s)|in) ?(?:=|:|is) ?(?:frame )?(?P<first>\d+(?:\.\d+)?)[ ,;\n]{1,3}(?:and )?(?:frame )?(?(x)y|(?(s)e|out))"
    r" ?(?:=|:|is) ?(?:frame )?(?P<last>\d+(?:\.\d+)?)"
)


def drop_side_notes(text: str) -> str:
    """JSON fields that are no answer (reasons, descriptions, scores) are left out; the field "answer" becomes an answer mark."""
    if '"' not in text and "'" not in text:
        return text
    return _JSON_ANSWER.sub("\nanswer: ", _JSON_COUNT.sub(" ", _JSON_NOTE.sub(" ", text)))


def plain_moment(text: str) -> str:
    """One spelling of a folded moment answer: no markup, bullets, table borders or totals ("6 of 15"); lines stay lines."""
    text = _rows(text)
    text = re.sub(r"[*`]++", "", _STRUCK_OUT.sub(" ", text))
    for pattern, replacement in _TEX_SIGNS:
        text = pattern.sub(replacement, text)
    text = _BULLET.sub("", text)
    text = _TAG.sub(_tag_word, _TEX.sub(" ", text))
    text = re.sub(r" - ?to ?- ", " to ", unify_dashes(_ABOUT.sub("", text)))
    text = _CAMEL.sub(r"\1 ", _DASHED_FRAME.sub(r"\1 ", text))
    text = text.replace("_", " ")
    text = re.sub(r"[<>\"“”‘’{}$\\|]++|'(?!s\b|t\b|m\b|image|frame|oclock|clock)|(?<=\W)'", " ", text)
    text = re.sub(r"[^\S\n]++", " ", text)
    text = _UNIT_FIELD.sub(r" seconds \1", in_english(text))
    text = _NAMED_ENDS.sub(r"frame \g<first> to frame \g<last>", _ELLIPSIS.sub(r"\1 - ", text))
    text = _X_EQUALS.sub("", _GLUE.sub(" ", text))
    text = _SLICE.sub(r"\1 \2 to \3", _FILE_NAME.sub("", _SHORT_LABEL.sub("frame ", text)))
    text = _HOW_MANY.sub("", _AND_LATER.sub(r"\1 onwards", _SHORT_CLOCK.sub("0:", text)))
    text = _LASTING.sub(" ", _TIME_OF_FRAME.sub(lambda m: m[1] or m[2], text))
    text = _TWICE.sub(r"\1", _MISSPELT_TO.sub("to", _MISSPELT_FRAME.sub("frame ", text)))
    text = _PERCENTAGES.sub(r"\1%", _CLOCK_COMMAS.sub(".", _NOT_UNTIL.sub("starts at", text)))
    text = _SLASHED.sub(lambda m: m[0].replace("/", ", "), text)
    text = re.sub(r"(?<![#\w])#{1,3} ?(?=\d)|\bf(?=\d)", "frame ", text)
    text = number_words(re.sub(r"[^\S\n]++", " ", text))
    text = _DECIMAL_COMMAS.sub(r"\1.\2 \3 \4.\5", join_thousands(text))
    text = _OF_ALL.sub("", text)
    return re.sub(r" ?\n\s*+", "\n", re.sub(r"[^\S\n]++", " ", text)).strip()


def _tag_word(match: re.Match[str]) -> str:
    """<frame6> and <start> say what a number is; other tags say nothing."""
    name = match["name"]
    if match["close"]:
        return " "
    if name.startswith("frame"):
        return f" {name} {match['number']} "
    words = name.split("_")
    cue = next((_TAG_CUES[word] for word in words if word in _TAG_CUES), "")
    unit = next((word for word in words if word in {"frame", "time", "second", "seconds"}), "") if cue else ""
    return f" {cue} {unit} {match['number']} "


_START_HEAD = re.compile(r"\b(?:start|begin|from)")
_END_HEAD = re.compile(r"\b(?:end|stop|to)\b|\bend[_ ]?(?:frame|time)")


def _rows(text: str) -> str:
    """The rows under a heading "| Start | End |" (or "start,end") as "start 6, end 9"."""
    if not (_START_HEAD.search(text) and _END_HEAD.search(text) and ("|" in text or "," in text)):
        return text
    lines: list[str] = []
    heads: dict[int, str] = {}
    for line in text.split("\n"):
        cells = [cell.strip() for cell in re.split(r"[|,\t]", line.strip().strip("|"))]
        starts = [k for k, cell in enumerate(cells) if _START_HEAD.match(cell) and len(cell) < 20]
        ends = [k for k, cell in enumerate(cells) if _END_HEAD.match(cell) and len(cell) < 20]
        if starts and ends and not re.search(r"\d", line):
            heads = {starts[0]: cells[starts[0]], ends[0]: cells[ends[0]]}
        elif heads and len(cells) > max(heads) and re.search(r"\d", line):
            lines.append(", ".join(f"{name.replace('_', ' ')} {cells[k]}" for k, name in heads.items()))
        elif not re.fullmatch(r"[|:\s-]*", line):
            lines.append(line)
            heads = {}
    return "\n".join(lines)
