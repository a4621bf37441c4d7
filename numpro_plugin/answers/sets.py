"""What a model wrote about all moments of a query -> spans of frame numbers, none included."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from numpro_plugin.answers.moments import parse_moment
from numpro_plugin.answers.thoughts import answer_part

if TYPE_CHECKING:
    from numpro_plugin.answers.moments import MomentAnswer

_EMPTY_LIST = re.compile(r"\[\s*(?:\[\s*\])?\s*\]")
_DENIAL = "the answer says that"


@dataclass(frozen=True)
class SetAnswer:
    """What was understood of an answer about all moments."""

    spans: tuple[tuple[float, float], ...] | None
    """Frame numbers of every span in the order they were written; empty if it says that there is none, None if it was not understood."""

    reason: str
    """How it was understood, or why it was not."""


def parse_set(text: str, *, last_number: int | None = None) -> SetAnswer:
    """Read all spans of frames from an answer such as ``[[3, 9], [12, 15]]`` or ``From Frame 3 to Frame 9, from Frame 12 to Frame 15.``

    Spans are those that `parse_moment` believes as much as its first. ``[]`` and a denial are an answer: there is no such moment. Spans in
    seconds are not understood.

    Args:
        text: the answer.
        last_number: the last number of the video, for answers that go "to the end".
    """
    answer = parse_moment(text, last_number=last_number)
    if answer.numbers is not None:
        return SetAnswer(answer.spans, answer.reason)
    if answer.span is not None:
        return SetAnswer(None, f"{answer.reason}; the task asks for frames, so this counts as not understood")
    none = says_none(answer, text)
    return SetAnswer(() if none else None, none or answer.reason)


def says_none(answer: MomentAnswer, text: str) -> str | None:
    """How an answer without a span says that there is no such moment; None if it does not.

    Args:
        answer: what was understood of it.
        text: the answer.
    """
    own = answer_part(text).text if isinstance(text, str) else ""
    if _EMPTY_LIST.search(own) and not re.search(r"\d", own):
        return "the answer is an empty list"
    return answer.reason if answer.reason.startswith(_DENIAL) else None
