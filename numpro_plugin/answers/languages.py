"""Number words, and answers in other languages than English, in the words that the parser reads."""

from __future__ import annotations

import re

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
    (re.compile(r"(?<=[帧幀])([^。,\d\n]{0,6})(?:没有|没能|未能?|看不到|看不见|无法)"), r"\1 cannot see "),
    (re.compile(r"不是|不在|没有|看不到"), " not from "),
    (
        re.compile(r"第? ?(\d+) ?[帧幀](?:开始|起)([^。\n\d]{0,30})第? ?(\d+) ?[帧幀](?:时)?(?:结束|停止|为止)"),
        r" from frame \1 to frame \3 ",
    ),
    (re.compile(r"(?:开始|起始)[帧幀] ?[:是为]? ?(?=第? ?\d)"), " starts at frame "),
    (re.compile(r"(?:结束|终止)[帧幀] ?[:是为]? ?(?=第? ?\d)"), " ends at frame "),
    (re.compile(r"(?<=[帧幀])(?:开始|起)"), " "),
    (re.compile(r"开始于|始于|起始于?"), " starts at "),
    (re.compile(r"结束于|终止于|止于"), " ends at "),
    (re.compile(r"(?:共有?|总共有?|一共有?|有|持续了?|长达|约) ?\d{1,9} ?(?:(?:到|至|-) ?\d{1,9} ?)?[帧幀]"), " "),
    (re.compile(r"第? ?(?<!\d)(\d+) ?(?=到|至|-)(?=[^。\n秒]{0,12}[帧幀])"), r" frame \1 "),
    (re.compile(r"第? ?(\d+) ?[帧幀]"), r" frame \1 "),
    (re.compile(r"[帧幀](?= ?\d)|(?:フレーム|프레임)(?= ?\d)"), " frame "),
    (re.compile(r"(\d+) ?(?:フレーム目?|프레임)"), r" frame \1 "),
    (re.compile(r"第? ?(\d+(?:\.\d+)?) ?秒"), r" \1 seconds "),
    (re.compile(r"到|至|から|부터"), " to "),
    (re.compile(r"、"), ", "),
    (re.compile(r"。"), ". "),
    (
        re.compile(
            r"\b(?:images?|imagen|imágenes|pictures?|photos?|screenshots?|bilder|bild|bildern|trames?|fotogramm?as?|fotogrammi|quadros?|cuadros?"
            r"|кадр(?:а|ы|ов|у|е|ом|ах)?|khung hình|red numbers?|numbers?)(?=(?: is| are)?[ :#=([\]\"'-]{0,4}\d)"
        ),
        "frame",
    ),
    (re.compile(r"(?<=\d)-(?:го|й|ого|ый|ой|му|м|е|я)\b"), ""),
    (re.compile(r"(?<=\d) кадр(?:а|ы|ов|у|е|ом|ах)?\b"), " frames"),
    (re.compile(r"\b(?:с|от) (?=\d)"), "from "),
    (re.compile(r"\b(?:de l'|à l'|l')(?=frame)"), lambda m: "to " if m[0].startswith("à") else " "),
    (re.compile(r"(?<=\d) (?:bis|hasta|à|al?|até|ao|tot|по|до|đến)(?: (?:la|el|zu|le|o))? (?=frame|\d)"), " to "),
    (re.compile(r"\b(?:von|desde(?: el| la)?|de la|del|dal|do|с|от|từ) (?=frame)"), "from "),
    (re.compile(r"(?<=\d) ?(?:sekunden|sek|segundos?|secondes?|secondi|секунд[аы]?)\b"), " seconds"),
)


def in_english(text: str) -> str:
    """What goes with a frame number, in English: frames, from, to, starts, ends, not, seconds."""
    for pattern, replacement in _FOREIGN:
        text = pattern.sub(replacement, text)
    return text


def number_words(text: str) -> str:
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
