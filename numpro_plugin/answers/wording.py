"""Plain text for both parsers: one kind of letters, digits and dashes, one spelling of what goes with a frame number, no decoration."""

from __future__ import annotations

import re
import unicodedata

_DASH = re.compile(r"[\u2010-\u2015\u2212~∼～→⟶➜➔⇒➡]|[-=]{1,2}>|-{2,}")
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

_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_ORDINALS = (
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth "
    "seventeenth eighteenth nineteenth twentieth"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_VALUES = {word: k for k, word in enumerate(_ONES.split())} | {word: 10 * k for k, word in enumerate(_TENS.split(), 2)}
_ORDINAL_VALUES = {word: k for k, word in enumerate(_ORDINALS.split()) if k > 1}  # "the first frame" is no number
_WORD = rf"(?:(?:{'|'.join(_TENS.split())})(?:[ -](?:{'|'.join(_ONES.split()[1:10])}))?|{'|'.join(_ONES.split()[::-1])})"
_ORDINAL = rf"(?:{'|'.join(_ORDINAL_VALUES)})"
_NAMED_WORD = re.compile(rf"\b(frames? (?:number )?)({_WORD})\b")
_NEXT_WORD = re.compile(rf"(\bframes? (?:number )?\d{{1,6}} ?(?:to|through|until|till|and|-) ?(?:frames? )?)({_WORD})\b")
_ORDINAL_FRAME = re.compile(rf"\b({_ORDINAL})(?= frames?\b)")
_ORDINAL_BEFORE = re.compile(rf"\b({_ORDINAL})(?= (?:frame )?(?:to|through|until|till|and|-) (?:the )?\d{{1,3}}th\b)")

_CHINESE_DIGITS = "零一二三四五六七八九"
_CHINESE_NUMBER = re.compile(r"(?<=第)([一二三四五六七八九]?百?[零一二三四五六七八九]?十?[一二三四五六七八九]?)(?=[帧幀到至秒-])")
_TO_FRAMES = "frame "
_FOREIGN = (  # applied in this order
    (re.compile(r"(?:答案|回答) ?(?:是|为|:)"), "\nanswer: "),
    (re.compile(r"因此|所以"), "\ntherefore "),
    (re.compile(r"而[是在]"), " but "),
    (re.compile(r"不是|不在|没有|看不到"), " not from "),
    (re.compile(r"(?:开始|起始)[帧幀] ?[:是为]? ?(?=第? ?\d)"), " starts at frame "),
    (re.compile(r"(?:结束|终止)[帧幀] ?[:是为]? ?(?=第? ?\d)"), " ends at frame "),
    (re.compile(r"(?<=[帧幀])(?:开始|起)"), " "),
    (re.compile(r"开始于|始于|起始于?"), " starts at "),
    (re.compile(r"结束于|终止于|止于"), " ends at "),
    (re.compile(r"(?:共有?|总共有?|一共有?|有) ?\d{1,9} ?[帧幀]"), " "),
    (re.compile(r"第 ?(\d+) ?(?=到|至|-)(?=[^。\n秒]{0,12}[帧幀])"), r" frame \1 "),
    (re.compile(r"第? ?(\d+) ?[帧幀]"), r" frame \1 "),
    (re.compile(r"[帧幀](?= ?\d)|(?:フレーム|프레임)(?= ?\d)"), " frame "),
    (re.compile(r"(\d+) ?(?:フレーム目?|프레임)"), r" frame \1 "),
    (re.compile(r"第? ?(\d+(?:\.\d+)?) ?秒"), r" \1 seconds "),
    (re.compile(r"到|至|から|부터"), " to "),
    (re.compile(r"、"), ", "),
    (re.compile(r"。"), ". "),
    (
        re.compile(
            r"\b(?:images?|imagen|imágenes|pictures?|photos?|screenshots?|bilder|bild|trames?|fotogramm?as?|fotogrammi|quadros?|cuadros?"
            r"|кадр(?:а|ы|ов|у|е|ом)?|khung hình|red numbers?|numbers?)(?=(?: is| are)?[ :#=([\]\"'-]{0,4}\d)"
        ),
        "frame",
    ),
    (re.compile(r"\b(?:de l'|à l'|l')(?=frame)"), lambda m: "to " if m[0].startswith("à") else " "),
    (re.compile(r"(?<=\d) (?:bis|hasta|à|al?|até|ao|tot|по|до|đến)(?: (?:la|el|zu|le|o))? (?=frame|\d)"), " to "),
    (re.compile(r"\b(?:von|desde(?: el| la)?|de la|del|dal|do|с|từ) (?=frame)"), "from "),
    (re.compile(r"(?<=\d) ?(?:sekunden|sek|segundos?|secondes?|secondi|секунд[аы]?)\b"), " seconds"),
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
_X_EQUALS = re.compile(r"\b[xy] ?= ?(?=\d)")


def drop_side_notes(text: str) -> str:
    """JSON fields that are no answer (reasons, descriptions, scores) are left out; the field "answer" becomes an answer mark."""
    if '"' not in text and "'" not in text:
        return text
    return _JSON_ANSWER.sub("\nanswer: ", _JSON_COUNT.sub(" ", _JSON_NOTE.sub(" ", text)))


def plain_moment(text: str) -> str:
    """One spelling of a folded moment answer: no markup, bullets, table borders or totals ("6 of 15"); lines stay lines."""
    text = _rows(text)
    text = re.sub(r"[*`]++", "", text)
    text = _BULLET.sub("", text)
    text = _TAG.sub(_tag_word, _TEX.sub(" ", text))
    text = unify_dashes(text)
    text = _CAMEL.sub(r"\1 ", _DASHED_FRAME.sub(r"\1 ", text))
    text = text.replace("_", " ")
    text = re.sub(r"[<>\"“”‘’{}$\\|]++|'(?!s\b|t\b|m\b|image|frame|oclock|clock)|(?<=\W)'", " ", text)
    text = re.sub(r"[^\S\n]++", " ", text)
    for pattern, replacement in _FOREIGN:
        text = pattern.sub(replacement, text)
    text = _ELLIPSIS.sub(r"\1 - ", text)
    text = _X_EQUALS.sub("", _GLUE.sub(" ", text))
    text = re.sub(r"(?<![#\w])#{1,3} ?(?=\d)|\bf(?=\d)", "frame ", text)
    text = _number_words(re.sub(r"[^\S\n]++", " ", text))
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
    first = name.partition("_")[0]
    if first in _TAG_CUES:
        return f" {_TAG_CUES[first]} {match['number']} "
    return f" {match['number']} "


def _number_words(text: str) -> str:
    """Number words are numbers where they name a frame."""
    if "frame" not in text:
        return text
    text = _NAMED_WORD.sub(lambda m: f"{m[1]}{_value(m[2])}", text)
    text = _NEXT_WORD.sub(lambda m: f"{m[1]}{_value(m[2])}", text)
    text = _ORDINAL_FRAME.sub(lambda m: f"{_ORDINAL_VALUES[m[1]]}th", text)
    return _ORDINAL_BEFORE.sub(lambda m: f"{_ORDINAL_VALUES[m[1]]}th", text)


def _value(word: str) -> int:
    return sum(_VALUES[part] for part in re.split("[ -]", word))


def chinese_numerals(text: str) -> str:
    """第六帧 is 第6帧."""
    return _CHINESE_NUMBER.sub(_chinese_value, text) if "第" in text else text


def _chinese_value(match: re.Match[str]) -> str:
    total, digit = 0, 0
    for letter in match[1]:
        if letter in "十百":
            total, digit = total + (digit or 1) * (10 if letter == "十" else 100), 0
        else:
            digit = _CHINESE_DIGITS.index(letter)
    return str(total + digit) if match[1] else ""


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
