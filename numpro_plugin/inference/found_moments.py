"""Answers of `localize` as moments, the form in which they are exported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpro_plugin.views.moments import Moment

if TYPE_CHECKING:
    from numpro_plugin.inference.localize import Localized


def moments_of(answer: Localized) -> list[Moment]:
    """One moment for each highlight, or one for the span; its times are None if nothing was found."""
    if answer.highlights:
        return [Moment(answer.query, time, None, score, answer.reason, answer.text) for time, score in answer.highlights]
    start_s, end_s = answer.span_s or (None, None)
    return [Moment(answer.query, start_s, end_s, None, answer.reason, answer.text)]
