"""The numbers of a plain text, and what each one counts: a frame, seconds, or nothing that is said."""

from __future__ import annotations

import re
from itertools import islice
from typing import Literal, NamedTuple

LARGEST = 1e15
"""Larger numbers are read as this one, so that none is infinite."""

_MOST_MENTIONS = 4_000


class Mention(NamedTuple):
    """One number and where it stands with its label and unit."""

    start: int
    end: int
    value: float
    kind: Literal["frame", "second"] | None
    digits: int
    """Where the digits begin."""
    whole: bool
    """Written without a decimal point."""
    counted: bool
    """The word "frames" comes after the number and not before it: it may count frames."""


_MENTION = re.compile(
    r"""
    (?P<label> \bframes? (?:\ (?:(?:range|span|interval|indexes)|numbers?\.?
                |nos?\b\.?|ids?|indices|index|numbered|labell?ed|marked|tagged|\#)(?:\ as)?)? (?![a-z])
            (?:\ with(?:\ the)?(?:\ red)?\ (?:frame|number))? (?:\ (?<!of\ frames\ )(?<!of\ frame\ )(?:are|is))?
            \ ?[:=]?\ ?(?:the\ )?\#{0,3}\ ?[\[(]{0,3}\ ?
        | (?P<time> \b(?:time(?:stamp)?s?|secs?|seconds?|(?:start|end)\ s) \ ?[:=]?\ ?[\[(]{0,3}\ ? ) )?
    (?P<number> (?P<clock> (?<![\d.:\w])\d{1,2}:\d{2}(?::\d{2})?(?:\.\d{1,9})?(?!\d|:\d) ) | (?<![\d.\w])(?:(?<![)\]])-)?\d++(?:\.\d++)? )
    (?P<ordinal> (?:st|nd|rd|th)\b )?
    (?:\ |-(?=sec|min|hour))? (?P<unit>
        (?:seconds?|seonds?|secs?|s|milliseconds?|ms|minutes?|mins?|m|hours?|h|%|percent|o.?clock) (?![\w%])
        | (?:red\ )?frames?\b(?!\ ?(?:numbers?\ )?[:=\#\[(]?\ ?\d)
    )?
    """,
    re.VERBOSE,
)
_UNITS = {"ms": 0.001, "milli": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def find_mentions(text: str) -> list[Mention]:
    """All numbers but percentages and hours of the day; "1 minute 2 seconds" is one."""
    mentions: list[Mention] = []
    for match in islice(_MENTION.finditer(text), _MOST_MENTIONS):
        found = _mention(match)
        if found is None:
            continue
        before = mentions[-1] if mentions else None
        minutes = before is not None and re.fullmatch(r"\d+ ?(?:minutes?|mins?|m|hours?|h)", text[before.digits : before.end])
        if (
            before
            and minutes
            and found.kind == "second"
            and found.value < 60
            and re.fullmatch(r" ?(?:and )?", text[before.end : found.start])
        ):
            mentions[-1] = before._replace(end=found.end, value=before.value + found.value)
        else:
            mentions.append(found)
    return mentions


def _mention(match: re.Match[str]) -> Mention | None:
    start = match.start("label") if match["label"] else match.start("number")
    end = next(match.end(group) for group in ("unit", "ordinal", "number") if match[group])
    unit, whole = match["unit"] or "", "." not in match["number"]
    at = match.start("number")
    if match["clock"]:
        seconds = 0.0
        for part in match["clock"].split(":"):
            seconds = seconds * 60 + float(part)
        return Mention(start, end, seconds, "second", at, False, False)
    value = max(-LARGEST, min(float(match["number"]), LARGEST))
    if unit.startswith(("%", "percent", "o")):
        return None
    if unit and "frame" not in unit:
        factor = next(factor for name, factor in _UNITS.items() if unit.startswith(name))
        return Mention(start, end, value * factor, "second", at, whole, False)
    if match["time"] and not unit:
        return Mention(start, end, value, "second", at, whole, False)
    named = bool(match["label"]) and not match["time"]
    counted = bool(unit) and not named and not match["ordinal"]
    return Mention(start, end, value, "frame" if named or unit else None, at, whole, counted)
