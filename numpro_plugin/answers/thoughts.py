"""Which part of a text is the answer: without what the model thought before it, and without the turns that it made up after it."""

from __future__ import annotations

import re
from typing import NamedTuple

UNCLOSED = "the answer ends inside an unclosed thought (<think>); raise max_new_tokens"
"""The reason when thinking took all tokens there were."""


class AnswerPart(NamedTuple):
    """What is left of a text when thoughts and made-up turns are cut off."""

    text: str
    unclosed: bool
    """The text ended inside a thought."""


_NAMES = (
    r"think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratchpad|analysis|caption|summary|observations?"
    r"|rationale|explanation|justification|begin_of_thought|end_of_thought"
)
_TAG = re.compile(
    rf"[<◁\[]\s?(?:\|\s?)?(?P<close>/?)\s?(?:\|\s?)?(?:seed:)?(?P<name>{_NAMES})(?:\s?\|)?\s?[>▷\]]"
    r"|<\|im_start\|>(?:think|(?P<answers>answer))\b",
    re.IGNORECASE,
)
_CHANNEL = re.compile(r"<\|channel\|>\s{0,9}(\w{1,20})[^<]{0,80}<\|message\|>", re.IGNORECASE)
_CHANNEL_END = re.compile(r"<\|(?:end|return|start|call)\|>", re.IGNORECASE)
_GLUED_FINAL = re.compile(r"assistant\s?final\s{0,3}:?", re.IGNORECASE)
_GLUED_ANALYSIS = re.compile(r"\s{0,9}(?:assistant)?(?:analysis(?=[A-Z])|analysis\s{0,3}:)")
_FINAL = re.compile(r"(?:(?<=[\s.])|^)(?:assistant\s?)?final\s{0,3}:", re.IGNORECASE)
_END = re.compile(
    r"<\|(?:im_end|endoftext|eot_id|end_of_text|end|eos)\|>|</s>|<eos>|<\|im_start\|>\s?user|<end_of_turn>"
    r"|<[|｜](?:user|human|end▁of▁sentence)[|｜]>|<\|start_header_id\|>\s?user|<start_of_turn>\s?user|\[\|human\|\]",
    re.IGNORECASE,
)
_TURN = re.compile(
    r"(?i:(?:^|\n)[ \t>]*(?:\#{1,4} ?|\*\*)?(?:user|human|question|instruction|q|<user>|\[user\])(?:\*\*)?[ \t]*(?::|\n|$))"
    r"|\[/?INST\]|(?<=[.!?\n ])(?:USER|HUMAN|Human|Question):"
    r"|(?i:(?:^|\n)[ \t]*during which frames can we see\b)"
)


def answer_part(text: str) -> AnswerPart:
    """Cut off thoughts first (a mark inside a thought marks nothing), then everything after the end of the model's own turn."""
    kept, unclosed = _without_thoughts(_final_channel(text))
    return AnswerPart(_own_turn(kept), unclosed)


def _final_channel(text: str) -> str:
    """Of a text in channels (analysis, final) the last final message; an analysis without one is an open thought."""
    channels = list(_CHANNEL.finditer(text))
    if channels:
        finals = [channel.end() for channel in channels if channel[1].casefold() == "final"]
        if not finals:
            return text[: channels[0].start()] + "<think>"
        end = _CHANNEL_END.search(text, finals[-1])
        return text[finals[-1] : end.start() if end else len(text)]
    if _GLUED_ANALYSIS.match(text) or re.match(r"\s{0,9}analysis\s{0,3}:", text, re.IGNORECASE):
        finals = [match.end() for match in (*_GLUED_FINAL.finditer(text), *_FINAL.finditer(text))]
        if finals:
            return text[max(finals) :]
        if re.match(r"\s{0,9}(?:assistant)?analysis(?=[A-Z])", text):
            return "<think>"
    return text


def _without_thoughts(text: str) -> AnswerPart:
    kept: list[str] = []
    start, inside = 0, False
    for tag in _TAG.finditer(text):
        closes = bool(tag["close"] or tag["answers"]) or (tag["name"] or "").casefold().startswith("end_of")
        if not inside:
            kept.append(text[start : tag.start()])
            if closes and text[tag.end() :].strip():
                kept.clear()  # the opening tag was part of the prompt
        inside, start = not closes, tag.end()
    if not inside:
        kept.append(text[start:])
    return AnswerPart("\n".join(kept), inside)


def _own_turn(text: str) -> str:
    """The text up to the first sign of another turn that stands after something with a digit, which is an answer."""
    digit = re.search(r"\d", text)
    cut = len(text)
    for pattern in _END, _TURN:
        match = pattern.search(text, digit.end()) if digit else None
        cut = min(cut, match.start()) if match else cut
    return text[:cut]
