"""Number words, and answers in other languages than English, in the words that the parser reads."""

from __future__ import annotations

import re

from numpro_plugin.answers.wording import respell, steps

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
_CJK_FRAME = "(?:[帧幀]|フレーム|コマ|프레임)"
_CJK = (  # applied in this order
    (r"(?:一直|直)?(?:持续|延续|直)?到", "到"),
    (r"而[是在]", " but "),
    (rf"(?<={_CJK_FRAME[3:7]})([^。,\d\n]{{0,6}})(?:没有|没能|未能?|看不到|看不见|无法)", r"\1 cannot see "),
    (r"(?:没有?|未能?|不|无法)(?=在?[^。,\d\n]{0,8}(?:出现|看到|看见|发生|显示|包含|存在))", " cannot see "),
    (r"不是|不在|没有|看不到", " not from "),
    (r"(?:ありません|いません|見えません|見られません|ていない|않습니다|없습니다|않는다|없다)", " is not visible "),
    (r"第? ?(\d+) ?[帧幀](?:开始|起)[^。\n\d]{0,30}到 ?第? ?(\d+) ?[帧幀]", r" from frame \1 to frame \2 "),
    (r"第? ?(\d+) ?[帧幀](?:开始|起)([^。\n\d]{0,30})第? ?(\d+) ?[帧幀](?:时)?(?:结束|停止|为止)", r" from frame \1 to frame \3 "),
    (r"(?:开始|起始)[帧幀] ?[:是为]? ?(?=第? ?\d)", " starts at frame "),
    (r"(?:结束|终止)[帧幀] ?[:是为]? ?(?=第? ?\d)", " ends at frame "),
    (r"(?<=[帧幀])(?:开始|起)", " "),
    (r"开始于|始于|起始于?", " starts at "),
    (r"结束于|终止于|止于", " ends at "),
    (  # how many frames there are, with their numbers
        r"(?:共有?|总共有?|一共有?|有|全) ?\d{1,9} ?[帧幀] ?[,:(]? ?(?:编号)?(?:是|为)?从? ?第? ?[01] ?[帧幀]?"
        r" ?(?:到|至|-) ?第? ?\d{1,9} ?[帧幀]?\)?",
        " ",
    ),
    (r"(?:共有?|总共有?|一共有?|有|持续了?|长达|约|全) ?\d{1,9} ?(?:(?:到|至|-) ?\d{1,9} ?)?(?:[帧幀]|フレーム|프레임)", " "),
    (rf"第? ?(?<!\d)(\d+) ?(?=到|至|-|から|~)(?=[^。\n秒\d]{{0,6}}\d{{1,9}} ?{_CJK_FRAME})", r" frame \1 "),
    (rf"第? ?(\d+) ?(?:번째? ?|番目?の? ?)?{_CJK_FRAME}目?", r" frame \1 "),
    (rf"{_CJK_FRAME}(?= ?\d)", " frame "),
    (r"第? ?(\d+(?:\.\d+)?) ?(?:秒|초)", r" \1 seconds "),
    (r"到|至|から|부터|에서", " to "),
    (r"、", ", "),
    (r"。", ". "),
)
FRAME_NOUNS = (
    "images?|imagen|imágenes|pictures?|photos?|screenshots?|bilde?r?n?|trames?|fotogramm?as?|fotogrammi|quadros?|cuadros?"
    "|кадр(?:а|ы|ов|у|е|ом|ах)?|khung hình|klatk[aieęą]|sním(?:ek|ku)|kare|beeld(?:en)?|فريم|(?:ال)?[إا]طار|फ्रेम|เฟรม|フレーム|프레임"
)
"""What other languages, and other pictures, call a frame."""
_TO = "bis(?: einschliesslich)?|hasta|jusqu.?(?:à|au)|à|aux?|al?|até|ao|tot(?: en met)?|по|до|do|đến|hingga|sampai|till?|إلى|الى|حتى|से|ถึง"
_OTHERS = (  # applied in this order
    (rf"(?<!\w)(?:{FRAME_NOUNS}|red numbers?|numbers?)(?=(?: is| are)?[ :#=([\]\"'-]{{0,4}}\d)", "frame"),
    (r"(?<=\d)-(?:го|й|ого|ый|ой|му|м|е|я)\b", ""),
    (r"(?<=\d) кадр(?:а|ы|ов|у|е|ом|ах)?\b", " frames"),
    (r"\b(?:с|от) (?=\d)", "from "),
    (r"\bà l'(?=frame)", "to "),
    (r"\b(?:de l'|l')(?=frame)", ""),
    (r"\b(?:entre|zwischen|tussen|между|między) (?:(?:el|la|los|las|les?|den|dem|i|il|de) )?(?=frame|\d)", "between "),
    (r"(?<=\d) (?:et|und|y|en|e|и|i) (?:(?:el|la|les?|l|il|de[mn]?) )?(?=frame|\d)", " and "),
    (rf"(?<=\d) (?:{_TO})(?: (?:la|el|l|zum?|le|o|den?))? (?=frame|\d)", " to "),
    (r"\b(?:von|vom|du|des|depuis|desde(?: el| la)?|de la|del|dal|do|dari|с|от|od|z|từ) (?=frame)", "from "),
    (r"(?<=\d) ?(?:sekunden|sekunder|sek|segundos?|secondes?|secondi|seconden|секунд[аы]?)\b", " seconds"),
    (
        r"\b(?:nicht (?=(?:von|vom|in|im|zwischen|bei|ab|from)\b)|no (?=del|desde)|non (?=da)|не (?=с |на |from)|pas (?=de|dans"
        r"|entre|from))",
        "not ",
    ),
    (r"\b(?:nicht|keine?[nmr]?|nessun\w?|non|не|нет|không)\b", "cannot see"),
    (r"\b(?:ne|n)[ '’]\w+ (?:pas|jamais)\b", "cannot see"),
)
_MARKS = (
    (r"(?:答案|回答|答え|정답|답변?)(?:是|为|は|은|는)? ?:|(?:答案|回答)(?:是|为)", "\nanswer: "),
    (r"因此|所以|したがって|따라서", "\ntherefore "),
    (
        r"\b(?:antwort(?: lautet| ist)?|respuesta(?: es)?|réponse(?: est)?|risposta|resposta|ответ|antwoord|jawaban"
        r"|câu trả lời(?: là)?) ?:",
        "\nanswer: ",
    ),
    (r"\b(?:por (?:lo )?tanto|donc|daher|deshalb|folglich|quindi|поэтому|следовательно)\b", "\ntherefore "),
)
_FOREIGN_MARKS = steps(*_MARKS)
_FOREIGN = steps(*_CJK, *_OTHERS)


def marks_in_english(text: str) -> str:
    """What marks an answer, in English ("answer:", "therefore"), and Chinese numerals as digits."""
    text = respell(text, _FOREIGN_MARKS)
    return _CHINESE_NUMBER.sub(_chinese_value, text) if "第" in text else text


def in_english(text: str) -> str:
    """What goes with a frame number, in English: frames, from, to, starts, ends, not, seconds."""
    return respell(text, _FOREIGN)


def number_words(text: str) -> str:
    """Number words are numbers where they name a frame."""
    if "frame" not in text:
        return text
    text = _NAMED_WORD.sub(lambda m: f"{m[1]}{_value(m[2])}", text)
    text = _NEXT_WORD.sub(lambda m: f"{m[1]}{_value(m[2])}", text)
    text = _ORDINAL_FRAME.sub(lambda m: f"{_ORDINAL_VALUES[m[1]]}th", text)
    return _ORDINAL_BEFORE.sub(lambda m: f"{_ORDINAL_VALUES[m[1]]}th", text)


def counted_words(text: str, nouns: str) -> str:
    """Number words before ``nouns`` (a pattern) are numbers, and so are those that a range begins with.

    "six to eighteen seconds" is "6 to 18 seconds" for the nouns "seconds".
    """
    if not re.search(nouns, text):
        return text
    text = re.sub(rf"\b({_WORD})(?=[ -]{nouns})", lambda m: str(_value(m[1])), text)
    return re.sub(rf"\b({_WORD})(?= ?(?:to|through|until|till|and|-) ?\d)", lambda m: str(_value(m[1])), text)


def _value(word: str) -> int:
    return sum(_VALUES[part] for part in re.split("[ -]", word))


def _chinese_value(match: re.Match[str]) -> str:
    total, digit = 0, 0
    for letter in match[1]:
        if letter in "十百":
            total, digit = total + (digit or 1) * (10 if letter == "十" else 100), 0
        else:
            digit = _CHINESE_DIGITS.index(letter)
    return str(total + digit) if match[1] else ""
