"""A range of numbers in an answer, and the tiers of belief that its wording earns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from numpro_plugin.answers.moments.verdicts import Verdict

Tier = Literal["literal", "frames", "listed", "seconds", "mixed", "bare", "single"]
TIERS: tuple[Tier, ...] = ("literal", "frames", "listed", "seconds", "mixed", "bare", "single")
"""From the most believed to the least: "From Frame x to Frame y"; other ranges that name frames; lists that name frames; seconds; a
frame to a second, which is no span; numbers that nothing names; one frame."""
MOST_RANGES = 400
"""Of more ranges the first and the last half are looked at."""


@dataclass(frozen=True)
class Range:
    """Two numbers that belong together."""

    first: float
    last: float | None
    """None for "to the end" as long as the last number is not known."""
    tier: Tier
    start: int
    end: int
    verdict: Verdict | None = None
    words: frozenset[str] | None = None
    """What it tells, where it stands at the head of a clause that does ("Frames 0-5: he sits")."""
    label: frozenset[str] | None = None
    """What stands before it as its label ("Sitting: frames 0-5")."""
