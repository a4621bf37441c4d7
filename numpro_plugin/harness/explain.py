"""What the questions of other people's tasks are told about the marks on the frames, and when those are shown if they ask for time."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from numpro_plugin.encoding import mark_of
from numpro_plugin.prompts import NUMBERS_PHRASE
from numpro_plugin.prompts.questions import shown_sentences

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpro_plugin.encoding import TimeEncoding

log = logging.getLogger(__name__)

_START = r"(?:start|begin|onset)(?:s|ing|ning)?"
_END = r"(?:end|stop|finish|offset)(?:s|ing|ping)?"
_TIME = r"[ _-]?(?:times?|time ?stamps?|seconds?)\b"
_ASK = r"(?:give|giving|provide|return|output|list|report|predict|find|identify|determine|locate|localize|state|specify|answer)\w*"
_SECONDS = re.compile(
    "|".join(
        (
            rf"\b{_START}\s*(?:and|to|or|,|/|-)\s*(?:the\s+|its\s+)?{_END}{_TIME}",  # starting and ending times
            rf"\b{_START}{_TIME}[^\n]{{0,40}}\b{_END}{_TIME}",  # <start time> - <end time>; start_time, end_time
            r"\bin seconds\b",
            r"<[^<>\n]{1,24}>\s*seconds\b",
            rf"\b{_ASK}\b[^.?!\n]{{0,80}}\btime ?stamps?\b",
            r"\b(?:what|which) (?:second|time ?stamp)s?\b",
            r"\b(?:what|which) time (?:in|into|of) (?:the|this) (?:video|clip)\b",
        )
    ),
    re.IGNORECASE,
)
_CLOCK = re.compile(r"\b(?:h{1,2}:)?mm:ss\b|\bminutes?:seconds?\b", re.IGNORECASE)


@dataclass(frozen=True)
class Marks:
    """How the clip of one video shows time."""

    encoding: TimeEncoding

    color: str
    """Of what is drawn."""

    fps: float | None
    """Numbers per second; None for pictures, which have no clock."""

    start_s: float = 0.0
    """Time of the first frame in the whole video, seconds."""


def asked_unit(text: str) -> Literal["seconds", "clock"] | None:
    """What unit of time a question asks an answer in, by its own words; None if it does not ask for times.

    A question that only speaks of a time ("what happens after 12 seconds?") does not ask for one.
    """
    return "clock" if _CLOCK.search(text) else "seconds" if _SECONDS.search(text) else None


def sentences(text: str, shown: Iterable[Marks]) -> list[str]:
    """What is to be said before a question about the marks that are shown: what they are and, if it asks for time, when they are shown.

    What the question says already is left out. Where nothing is shown (the controls) nothing is said.

    Args:
        text: the whole question.
        shown: how the clip of each of its videos shows time.
    """
    marked = [marks for marks in shown if marks.encoding.shows_time]
    if not marked:
        return []
    marks, unit = marked[0], asked_unit(text)
    if unit is not None and len({(each.fps, each.start_s) for each in marked}) > 1:
        log.warning("a question asks for times in several videos whose numbers are shown at different times; it is not told at which")
        unit = None
    fps = marks.fps or 1.0
    said = shown_sentences(marks.encoding, color=marks.color, fps=fps, unit=None if marks.fps is None else unit)
    if unit is not None and marks.fps is not None and marks.start_s > 0:
        said.append(f"These times count from the first frame, which is {mark_of('seconds', marks.start_s)} seconds into the whole video.")
    return [one for one in said if one not in text and not (NUMBERS_PHRASE in one and NUMBERS_PHRASE in text)]


def explained(text: str, shown: Iterable[Marks]) -> str:
    """A question with `sentences` before it."""
    return " ".join([*sentences(text, shown), text])
