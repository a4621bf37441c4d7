"""What the mark of each time looks like: drawn on a frame, or written before a frame or a grid."""

from __future__ import annotations

from typing import Literal

MarkKind = Literal["number", "seconds", "clock"]

TIMELENS_STAMP = "{mark}s"
"""TimeLens's text before a frame. UNVERIFIED: its processor could not be read; one source has ``10.2s``, another a bare ``0.0``."""

STAMPS: dict[MarkKind, str] = {"number": "<Frame {mark}>", "seconds": TIMELENS_STAMP, "clock": "<{mark}>"}
"""The text before a frame."""

RANGES: dict[MarkKind, str] = {
    "number": "<Frame {first} to Frame {last}>",  # T2SGrid's
    "seconds": "<{first} to {last} seconds>",
    "clock": "<{first} to {last}>",
}
"""The text before a grid."""


def mark_of(kind: Literal["seconds", "clock"], time_s: float) -> str:
    """A time as a mark: ``seconds`` as the shortest decimal (``6``, ``6.5``; thousandths at most), ``clock`` as ``00:06`` or ``1:00:06``.

    A clock counts whole seconds that have passed.
    """
    if kind == "seconds":
        text = f"{time_s:.3f}"
        return text.rstrip("0").rstrip(".")
    whole = whole_seconds(time_s)
    hours, minutes, seconds = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"


def whole_seconds(time_s: float) -> int:
    """How many whole seconds have passed: what a clock shows."""
    return int(time_s + 1e-9)  # 3 / 0.3 is a little less than 10
