"""Highlight answers in other languages, tags, pairs and percentages in the words that everything else is read by."""

from __future__ import annotations

import re

from numpro_plugin.answers.highlights.tables import rows_without_heading, without_columns
from numpro_plugin.answers.languages import FRAME_NOUNS

_HEAD = re.compile(r"^\W{0,9}(?:final )?answers?\W{0,4}:")
_ALL_FRAMES = re.compile(r"\b\d+ (frames) ?\(\d+ ?(?:-|–|to) ?\d+\)|\b\d+ (?:are|is) (highlights?)\b")
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
_N = r"\d++(?:\.\d+)?+"
_PERCENT = re.compile(
    rf"((?:[:=(|,-] ?|\bframe \d{{1,9}} (?:is|has|at) |\bscor\w{{1,4}}(?: is| of| are|:)? ?|\band ){_N}) ?"
    rf"(?:%|percent\b)(?: relevan(?:t|ce)\b)?"
)
_PAIR = r"[(\[] ?\d{1,9} ?, ?(?:10|\d)(?:\.\d{1,9})? ?[)\]]"
_PAIRS = re.compile(rf"(?:\[ ?(?={_PAIR})|(?=\()){_PAIR}(?: ?,? ?{_PAIR})+")
_SCORE_LINE = re.compile(r"(?m)^(\W{0,6}(?:saliency )?scores?(?: of)? \d(?:\.\d+)?) ?[:=] ?(?=\d+ ?(?:,|$|and\b|-))")
_SCORE_OF_FRAMES = re.compile(
    r"(?m)^\W{0,6}(?:saliency )?scores?(?: of)? \d+(?:\.\d+)? ?[:=] ?frame \d+(?:(?:,| and|, and) frame \d+){1,50}"
)  # "Score 5: frame 3, frame 4"
_REJECTED = re.compile(
    r"\bframes \d+ ?(?:-|to|through) ?\d+ ?[:(-] ?(?:not\b|no\b|none\b|nothing\b|irrelevant\b|unrelated\b|n/a\b)[^\n.;,\d)]*\)?"
)
_SCORE_FIRST = re.compile(
    r"(?<![\d.])(\d+\.\d+) (?:(?:is |was )?(?:given|assigned) )?(?:to|for) (?:the )?frame (\d+)\b"
)  # "2.5 to frame 3"
_TAG = re.compile(r"<(/?)(frame|score|saliency)(?:[ _]?(?:number|score|id))?>")
_FOREIGN_FRAME = re.compile(rf"(?<!\w)(?:{FRAME_NOUNS})(?= ?#?\d)")
_DECIMAL_COMMA = re.compile(r"(\bframe ?\d+\b(?:(?!frame)[^\d\n]){1,30}\d),(\d)(?![\d,])")
_FRAME_AND_FRAME = re.compile(r"\bframe \d+(?:(?:,| and|, and) frame \d+){0,20} and frame \d+\b(?! ?[:=(|-])")
_FRAME_WITH_TIME = re.compile(r"(\bframe ?\d+), ?(?=\d+(?:\.\d+)? ?s)")
_SCORE_IN_BRACKETS = re.compile(r"(?m)^\W{0,6}[a-z]{3,12} \((\d(?:\.\d+)?)\) ?: ?(?=frames?\b)")  # "High (5): frames 3, 4"


def one_layout(text: str) -> str:
    """Chinese, percentages, integer pairs, "Score 5: 3, 4" and comma-separated columns in the words that everything else is read by."""
    text = _ALL_FRAMES.sub(r"\1\2", _HEAD.sub("", text))
    if re.search("[帧幀]", text):
        for pattern, replacement in _CHINESE:
            text = pattern.sub(replacement, text)  # type: ignore[arg-type]
    text = _PERCENT.sub(r"\1", _TAG.sub(lambda m: " " if m[1] else f" {m[2]} ", text))
    text = _FRAME_WITH_TIME.sub(r"\1: ", _FOREIGN_FRAME.sub("frame", text))
    text = _FRAME_AND_FRAME.sub(lambda m: "frames " + m[0].replace("frame ", ""), text)
    if not re.search(r"\d\.\d", text):
        text = _DECIMAL_COMMA.sub(r"\1.\2", text)
    text = _SCORE_IN_BRACKETS.sub(r"score \1: ", text)
    text = _PAIRS.sub(lambda m: re.sub(r"[(\[]? ?(\d+) ?, ?(\d+(?:\.\d+)?) ?[)\]]+", r" frame \1: score \2 ", m[0]).replace("[", " "), text)
    text = _SCORE_OF_FRAMES.sub(lambda m: m[0].replace("frame ", "").replace(":", ": frames", 1), text)
    text = _REJECTED.sub(" ", text)
    if len(_SCORE_FIRST.findall(text)) > 1:
        text = _SCORE_FIRST.sub(r" frame \2: score \1", text)
    if "frame" not in text:
        text = rows_without_heading(text)
        text = _SCORE_LINE.sub(r"\1: frames ", text)
    return without_columns(text)
