"""Answers in fields (JSON, tags, tables) in words: which number is the start and which is the end."""

from __future__ import annotations

import re

_SIDE_NOTES = (
    "reasoning|reason|thoughts?|thinking|explanation|rationale|analysis|description|desc|query|event|caption|label|action|activity|text"
    "|notes?|comments?|summary|observations?|justification|details?|context|evidence|why|content|scene|caveats?|remarks?"
)
_COUNTS = (
    "confidence|scores?|probability|saliency(?: ?_?score)?|fps|duration|num_?frames|total_?frames|frame_?count|num_?segments|count|id|rank"
)
_JSON_NOTE = re.compile(rf"([\"'])(?:{_SIDE_NOTES})\1\s*+:\s*+(?:\"(?:[^\"\\]|\\.)*+\"?|'(?:[^'\\]|\\.)*+'?)\s*+,?", re.DOTALL)
_JSON_COUNT = re.compile(rf"([\"'])(?:{_COUNTS})\1\s*+:\s*+[\"']?-?[\d.]++%?[\"']?\s*+,?")
_JSON_ANSWER = re.compile(r"([\"'])(?:final_?)?answers?\1\s*+:")


def drop_side_notes(text: str) -> str:
    """JSON fields that are no answer (reasons, descriptions, scores) are left out; the field "answer" becomes an answer mark."""
    if '"' not in text and "'" not in text:
        return text
    return _JSON_ANSWER.sub("\nanswer: ", _JSON_COUNT.sub(" ", _JSON_NOTE.sub(" ", text)))


_TAG_CUES = {"begin": "start", "start": "start", "end": "end", "stop": "end", "from": "from", "to": "to"}
_TAG = re.compile(r"<(?P<close>/?)(?P<name>[a-z][a-z_]{0,20}?)[ _]?(?P<number>\d{0,9})/?>")


def without_tags(text: str) -> str:
    """<frame6> and <start> as the words that say what a number is."""
    return _TAG.sub(_tag_word, text)


def _tag_word(match: re.Match[str]) -> str:
    """<frame6> and <start> say what a number is; other tags say nothing."""
    name = match["name"]
    if match["close"]:
        return " "
    if name.startswith("frame"):
        return f" {name} {match['number']} "
    words = name.split("_")
    if len(name) == 1 and name != "f":  # <s1> and <e1> are names for a start and an end, not numbers
        return " "
    cue = next((_TAG_CUES[word] for word in words if word in _TAG_CUES), "")
    unit = next((word for word in words if word in {"frame", "time", "second", "seconds"}), "") if cue else ""
    return f" {cue} {unit} {match['number']} "


_START_HEAD = re.compile(r"\b(?:start|begin|from)")
_END_HEAD = re.compile(r"\b(?:end|stop|to)\b|\bend[_ ]?(?:frame|time)")


def rows(text: str) -> str:
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
