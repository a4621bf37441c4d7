"""A highlight answer made plain before it is read: no decoration, no echo of the question, no numbers that count something else."""

from __future__ import annotations

import re
import unicodedata
from itertools import islice

from numpro_plugin.answers.languages import FRAME_NOUNS

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
    text = _one_layout(ECHO.sub(" ", folded(text)))
    text = _plain(_QUOTED.sub(_quoted, text))
    if " " in (query := _plain(folded(query)).strip(" .")):
        text = text.replace(query, " ")
        for counted in islice(re.finditer(rf"(?<![\w.]){_N}{_NOUN}", query), 8):  # a query told in other words still has its "2 men"
            text = re.sub(rf"(?<![\w.]){re.escape(counted[0])}(?!\w)", " ", text)
    # 1,007 is one number; 99,100 are two neighbours of a list.
    text = re.sub(r"(?<![\d,.])(\d{1,3}),(\d{3})(?!\d|,\d)", lambda m: m[0] if int(m[2]) == int(m[1]) + 1 else m[1] + m[2], text)
    text = _OTHER_NUMBERS.sub(lambda m: "sec" if m["time"] else (m["before"] or m["total"] or "") + "x", _OUT_OF.sub("", text))
    return _without_tables(_BULLET.sub("", re.sub(r" ?\([^()\d\n]{0,200}\)", "", text)))


_CHINESE = (
    (re.compile(r"第 ?(\d+) ?[帧幀]|[帧幀] ?(?=\d)"), lambda m: f" frame {m[1] or ''}"),
    (re.compile(r"第"), " "),
    (re.compile(r"[帧幀]中?"), " frames "),
    (re.compile(r"(?:显著性|重要性)?(?:分数|得分|评分)(?:分别)?(?:[为是]|:)?"), " scores: "),
    (re.compile(r"(?<=\d)分"), " "),
    (re.compile(r"[为是]"), ": "),
    (re.compile(r"和"), " and "),
    (re.compile(r"到|至"), " to "),
    (re.compile(r"。"), ". "),
    (re.compile(r"、"), ", "),
    (re.compile(r"(?<=[\u4e00-\u9fff])(?=\d)|(?<=\d)(?=[\u4e00-\u9fff])"), " "),
)
_PERCENT = re.compile(rf"((?:[:=(|,-] ?|\bscor\w{{1,4}}(?: is| of| are|:)? ?|\band ){_N}) ?(?:%|percent\b)")
_PAIR = r"[(\[] ?\d{1,9} ?, ?(?:10|\d)(?:\.0)? ?[)\]]"
_PAIRS = re.compile(rf"(?:\[ ?(?={_PAIR})|(?=\()){_PAIR}(?: ?,? ?{_PAIR})+")
_SCORE_LINE = re.compile(r"(?m)^(\W{0,6}(?:saliency )?scores?(?: of)? \d(?:\.\d+)?) ?[:=] ?(?=\d+ ?(?:,|$|and\b|-))")


_REJECTED = re.compile(
    r"\bframes \d+ ?(?:-|to|through) ?\d+ ?[:(-] ?(?:not\b|no\b|none\b|nothing\b|irrelevant\b|unrelated\b|n/a\b)[^\n.;,\d)]*\)?"
)
_SCORE_FIRST = re.compile(
    r"(?<![\d.])(\d+\.\d+) (?:(?:is |was )?(?:given|assigned) )?(?:to|for) (?:the )?frame (\d+)\b"
)  # "2.5 to frame 3"
_TAG = re.compile(r"<(/?)(frame|score|saliency)(?:[ _]?(?:number|score|id))?>")
_FOREIGN_FRAME = re.compile(rf"(?<!\w)(?:{FRAME_NOUNS})(?= ?#?\d)")
_DECIMAL_COMMA = re.compile(r"(\bframe ?\d+\b(?:(?!frame)[^\d\n]){1,30}\d),(\d)(?![\d,])")
_FRAME_AND_FRAME = re.compile(r"\bframe \d+(?:(?:,| and|, and) frame \d+)* and frame \d+\b(?! ?[:=(|-])")
_FRAME_WITH_TIME = re.compile(r"(\bframe ?\d+), ?(?=\d+(?:\.\d+)? ?s)")
_SCORE_IN_BRACKETS = re.compile(r"(?m)^\W{0,6}[a-z]{3,12} \((\d(?:\.\d+)?)\) ?: ?(?=frames?\b)")  # "High (5): frames 3, 4"
_TWO_COLUMNS = re.compile(r"\s*(?P<frame>\d{1,6})(?: ?[,;\t] ?| )(?P<score>\d\d?(?:\.\d+)?)\s*")


def _one_layout(text: str) -> str:
    """Chinese, percentages, integer pairs, "Score 5: 3, 4" and comma-separated columns in the words that everything else is read by."""
    if re.search("[帧幀]", text):
        for pattern, replacement in _CHINESE:
            text = pattern.sub(replacement, text)  # type: ignore[arg-type]
    text = _PERCENT.sub(r"\1", _TAG.sub(lambda m: " " if m[1] else f" {m[2]} ", text))
    text = _FRAME_WITH_TIME.sub(r"\1: ", _FOREIGN_FRAME.sub("frame", text))
    text = _FRAME_AND_FRAME.sub(lambda m: "frames " + m[0].replace("frame ", ""), text)
    if not re.search(r"\d\.\d", text):
        text = _DECIMAL_COMMA.sub(r"\1.\2", text)
    text = _SCORE_IN_BRACKETS.sub(r"score \1: ", text)
    text = _PAIRS.sub(lambda m: re.sub(r"[(\[]? ?(\d+) ?, ?(\d+)(?:\.0)? ?[)\]]+", r" frame \1: score \2 ", m[0]).replace("[", " "), text)
    text = _REJECTED.sub(" ", text)
    if len(_SCORE_FIRST.findall(text)) > 1:
        text = _SCORE_FIRST.sub(r" frame \2: score \1", text)
    if "frame" not in text:
        text = _rows_without_heading(text)
        text = _SCORE_LINE.sub(r"\1: frames ", text)
    return _without_columns(text)


def _rows_without_heading(text: str) -> str:
    """Lines that are all "3,4" with rising first numbers as "frame 3, score 4"; a semicolon may end a line."""
    lines = text.strip(" \n;").split("\n")
    if len(lines) == 1:
        lines = re.split("; ?" if ";" in text else ", (?=\\d+ )", lines[0])
    rows = [_TWO_COLUMNS.fullmatch(line) for line in lines]
    pairs = [(int(row["frame"]), row["score"]) for row in rows if row]
    frames = [frame for frame, _ in pairs]
    if len(pairs) < max(2, len(rows)) or frames != sorted(set(frames)):
        return text
    return "\n".join(f"frame {frame}, score {score}" for frame, score in pairs)


def _without_columns(text: str) -> str:
    """The rows under a heading "frame,score" as "frame 3, score 4.0"."""
    lines: list[str] = []
    columns: tuple[str, int, int, int] | None = None
    for line in text.split("\n"):
        if columns is None and (heading := re.match(r"[^\d.:,;\t]{0,40}([,;\t])[^\d.:]*$", line)):
            cells = line.split(heading[1])
            here = [next((k for k, cell in enumerate(cells) if re.search(word, cell)), -1) for word in ("frame", "score|salien")]
            if min(here) >= 0 and here[0] != here[1]:
                columns = (heading[1], here[0], here[1], len(cells))
                continue
        cells = line.split(columns[0]) if columns else []
        if columns and len(cells) >= columns[3] and re.match(r"\W*\d", cells[columns[1]]):
            lines.append(f"frame {cells[columns[1]].strip()}, score {cells[columns[2]].strip()}")
        else:
            lines.append(line)
    return "\n".join(lines)


def folded(text: str) -> str:
    """The text in one case, with one kind of quotes."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return re.sub("[“”„«»]", '"', re.sub("[‘’‚´]", "'", text))


def _plain(text: str) -> str:
    text = re.sub(r"[*`\"'\\]+|'s\b", "", text).replace("_", " ").replace("、", ",")
    text = re.sub(r"[\u2010-\u2015\u2212~→⟶]|[-=]{1,2}>|-{2,}", "-", text)
    return re.sub(r" ?\n ?", "\n", re.sub(r"[^\S\n]+", " ", text.replace("\r", "\n"))).strip()


def _quoted(match: re.Match[str]) -> str:
    """Words with a number in quotes are the query or a description; a quoted answer names frames or scores."""
    words = re.sub(r"\b(?:and|to|through|until)\b", "", match[0])
    return " " if re.search(r"\d", words) and re.search(r"[a-z]{3}", words) and not re.search("frame|score|salien", words) else match[0]


def _without_tables(text: str) -> str:
    """Write the rows under a heading "| Frame | Score |" as "frame 3, score 4.5"."""
    lines, columns = [], (-1, -1)
    for line in text.split("\n") if "|" in text else [text]:
        cells = line.strip("| ").split("|")
        here = [next((i for i, cell in enumerate(cells) if re.search(word, cell)), -1) for word in ("frame", "score|salien")]
        if (
            len(cells) > 2 and re.search("frame|score|salien", cells[0]) and re.fullmatch(r"[\d. ]+", "".join(cells[1:]))
        ):  # a row of frames, a row of scores
            lines.append(f"{cells[0].strip()} {', '.join(cell.strip() for cell in cells[1:])}")
        elif -1 < here[0] != here[1] > -1 and not re.search(r"\d", line):
            columns = (here[0], here[1])
        elif -1 < max(columns) < len(cells):
            lines.append(f"frame {cells[columns[0]]}, score {cells[columns[1]]}")
        else:
            lines.append(line)
            columns = (-1, -1)
    return "\n".join(lines)
