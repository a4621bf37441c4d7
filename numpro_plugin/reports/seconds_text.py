"""Answers in seconds, read as two of the field's scripts read them; their figures can only be repeated by their rules.

Both return the first span in the order it was written, or None. TimeLens's rule holds for its own files and lmms-eval's ``timelens_*``
tasks, the other for lmms-eval's ``temporal_grounding_charades``.
"""

from __future__ import annotations

import re

Span = tuple[float, float]

_CLOCK = re.compile(r"\b(\d{1,2}:\d{2}:\d{2}(?:\.\d+)?|\d{1,2}:\d{2}(?:\.\d+)?)\b")
_PAIRS = (re.compile(r"(\d+\.?\d*)\s*-\s*(\d+\.?\d*)"), re.compile(r"(\d+\.?\d*)\s+to\s+(\d+\.?\d*)"))
_NUMBER = re.compile(r"\b\d+\.?\d*\b")


def timelens_span(text: str) -> Span | None:
    """The first span by TimeLens's rule: two clock times, else "a - b", else "a to b", else the first two numbers."""
    text = text.lower()
    if len(clocks := _CLOCK.findall(text)) >= 2:
        return _clock_s(clocks[0]), _clock_s(clocks[1])
    for pair in _PAIRS:
        if found := pair.search(text):
            return float(found[1]), float(found[2])
    numbers = _NUMBER.findall(text)
    return (float(numbers[0]), float(numbers[1])) if len(numbers) >= 2 else None


_EXAMPLE = "a specific example is : 20.8 - 30.0 seconds"  # of the task's prompt, which models repeat
_CLOCK_RANGE = re.compile(r"\b(\d{1,2}:\d{2}(?::\d{2})?)\s*[\u2013-]\s*(\d{1,2}:\d{2}(?::\d{2})?)\b")
_RANGE = re.compile(r"(\d+(?:\.\d+)?)\s*[\u2013-]\s*(\d+(?:\.\d+)?)")
_CLOCK_TIME = re.compile(r"\b(\d{1,2}:\d{2}(?::\d{2})?)\b")
_DECIMAL = re.compile(r"\b(\d+(?:\.\d+)?)\b")
_RANGE_WITH_UNIT = re.compile(r"(\d+(?:\.\d+)?)\s*s?\s*[\u2013-]\s*(\d+(?:\.\d+)?)\s*s?")


def charades_span(text: str) -> Span | None:
    """The first span by the rule of lmms-eval's ``temporal_grounding_charades``, start and end ordered.

    Only sentences that speak of a start, an end or a happening are read, if there are any. In them: two clock times joined by a dash (or
    "to"), two numbers so joined, the first two clock times, the first numbers of the first two sentences that have one.
    """
    parts = re.split(r"[!?\n]", text.lower().replace(_EXAMPLE, "").replace("to", "-"))
    sentences = [part for part in parts if any(word in part for word in ("start", "end", "happen"))] or parts
    clocks = [clock for sentence in sentences for clock in _CLOCK_TIME.findall(sentence)]
    firsts = [found[1] for sentence in sentences if (found := _DECIMAL.search(sentence))]
    ends: tuple[str, str] | None = (
        _first_pair(_CLOCK_RANGE, sentences)
        or _first_pair(_RANGE, sentences)
        or ((clocks[0], clocks[1]) if len(clocks) >= 2 else None)
        or ((firsts[0], firsts[1]) if len(firsts) >= 2 else None)
        or _first_pair(_RANGE_WITH_UNIT, sentences)
    )
    if ends is None:
        return None
    start, end = sorted(map(_clock_s, ends))
    return start, end


def _first_pair(pattern: re.Pattern[str], sentences: list[str]) -> tuple[str, str] | None:
    found = next(filter(None, map(pattern.search, sentences)), None)
    return (found[1], found[2]) if found else None


def _clock_s(text: str) -> float:
    """``"1:02:03"``, ``"2:03"`` or ``"3.5"`` in seconds."""
    seconds = 0.0
    for part in text.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds
