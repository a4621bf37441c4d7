"""Questions that ask for seconds, reworded so that they ask for frame numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from numpro_plugin.prompts import NUMBERS_PHRASE, NUMBERS_SENTENCE

if TYPE_CHECKING:
    from .conversations import Part

# An example answer in a question has times of no video. It ends where the next sentence begins.
_EXAMPLE = re.compile(
    r"\s*(?:\(\s*)?\b(?:for\s+(?:example|instance)|examples?\s*:|e\.g\.|such\s+as(?=[^.\n]*\d))"
    r"(?:(?!\n|[.!?][\"'”’)]*\s+[A-Z]).)*(?:[.!?][\"'”’)]*(?=\s|$))?",
    re.IGNORECASE,
)
_ABOUT_STAMPS = re.compile(
    r"(?:(?<=^)|(?<=[.!?\n]\s)|(?<=[.!?\n]))(?:the\s+)?(?:numbers?\s+before\s+each|timestamps?\b)[^.\n]*\b(?:frames?|timestamps?)\b[^.\n]*\.\s*",
    re.IGNORECASE,
)
_TAGS = re.compile(r"\s*\bin\s+<timestep>\s*</timestep>\s+tags\b", re.IGNORECASE)
_WORDS = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"\(?\s*\bin\s+seconds\b(?:,?\s*(?:precise|accurate|rounded)\s+to\s+[\w\s]+?decimal\s+places?)?\s*\)?", "\0"),
        (r",?\s*\(?(?:precise|accurate|rounded)\s+to\s+(?:one|two|three|\d)\s+decimal\s+places?\)?", ""),
        (r"\bstart(?:ing)?\s+and\s+end(?:ing)?\s+(?:times?(?:\s*stamps?)?|timestamps?|seconds?)\b", "first and last frame numbers"),
        (r"\bstart(?:ing)?[\s_-]+(?:time(?:\s*stamp)?|timestamp|second)s?\b", "start frame"),
        (r"\bend(?:ing)?[\s_-]+(?:time(?:\s*stamp)?|timestamp|second)s?\b", "end frame"),
        (r"\btime\s*stamps\b", "frame numbers"),
        (r"\btime\s*stamp\b", "frame number"),
        (r"\b(?:what|which)\s+seconds?\b", "which frames"),
        (r"\btime\s+ranges?\b", "frame ranges"),
        (r"(?<!\d\s)(?<!\d)(?<!the\s)(?<!\ba\s)\bseo?conds?\b(?!\s+(?:time|one|man|woman|person|part|half|scene|event|video)\b)", "frames"),
        (r"\b(frame\s+numbers?),?\s*(?:\(\s*in\s+frame\s+numbers\s*\)|in\s+frame\s+numbers\b)", r"\1"),
        (r"\b(?:mm:ss(?:\.f+)?|hh:mm:ss|xx\.xx)\b", "x"),
    )
)
_ASKS_FOR_TIME = re.compile(
    r"\b(?:when|time|times|timestamps?|seconds?|moments?|locali[sz]e|locate|ground|period|intervals?|spans?|segments?|start|begin|during"
    r"|temporal|occurs?|happens?|highlights?)\b|什么时候|时间",
    re.IGNORECASE,
)


def asks_for_time(text: str) -> bool:
    """Whether an answer of bare numbers to this question names times."""
    return _ASKS_FOR_TIME.search(text) is not None


def without_examples(text: str) -> str:
    """A question without its examples of answers, and without what it says of time stamps beside the frames and of tags for times."""
    text = _EXAMPLE.sub(lambda match: "" if re.search(r"\d", match[0]) else match[0], text)
    return _TAGS.sub("", _ABOUT_STAMPS.sub("", text)).strip()


def ask_for_frames(parts: tuple[Part, ...]) -> tuple[tuple[Part, ...], bool]:
    """A question's text with frame numbers in the place of seconds and time stamps, and whether that changed anything."""
    reworded: list[Part] = []
    for part in parts:
        text = part
        if isinstance(text, str):
            for pattern, replacement in _WORDS:
                text = pattern.sub(_in_frames if replacement == "\0" else replacement, text)
        reworded.append(text)
    return tuple(reworded), tuple(reworded) != parts


def _in_frames(match: re.Match[str]) -> str:
    return " (in frame numbers)" if match[0].lstrip().startswith("(") and match[0].endswith(")") else " in frame numbers"


def explain_numbers(text: str) -> str:
    """The first question of a conversation, with the sentence about the numbers before it unless it has one."""
    return text if NUMBERS_PHRASE in text else f"{NUMBERS_SENTENCE} {text}"
