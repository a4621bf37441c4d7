"""The times of packets where a container's stamps are missing, start again or only count."""

from __future__ import annotations

import logging
from fractions import Fraction
from itertools import pairwise

import numpy as np

log = logging.getLogger(__name__)

_MOMENT_S = 0.5  # times may go back a little in careless files without a new clock
_HOUR_S = 3600
_ROUND_S = 2**33 / 90000  # how long an MPEG clock runs

Stamps = list[int | None]
"""A time in ticks for each packet in decoding order, or None."""


def one_clock(pts: Stamps, dts: Stamps, time_base: Fraction, name: str, *, runs_over: bool) -> tuple[Stamps, Stamps]:
    """The times of packets, on one clock.

    Concatenated files (``cat a.ts b.ts``, MPEG-PS) restart their clock with every piece. Where the decoding time goes back by more than
    `_MOMENT_S`, a new piece begins; its first picture is shown right after the last of the piece before. MPEG's clocks run over
    (``runs_over``): FFmpeg then takes a piece whose clock is before the first one's for one that is a day later. Any other clock that jumps
    forward by an hour is kept, with a warning.
    """
    # Where only some packets have a decoding time, the first few with pictures out of order do not: their presentation times jump.
    ticks = [(k, t) for k, t in enumerate(pts if all(d is None for d in dts) else dts) if t is not None]
    moment, hour, half_round = (int(seconds / time_base) for seconds in (_MOMENT_S, _HOUR_S, _ROUND_S / 2))
    steps = [(k, b - a) for (_, a), (k, b) in pairwise(ticks)]
    starts = [k for k, ahead in steps if ahead < -moment or (runs_over and ahead > half_round)]
    if starts:
        log.warning("%s: its clock restarts; the pieces are read one after the other", name)
        step = int(np.median([ahead for _, ahead in steps if ahead > 0] or [0]))
        pts, dts = _one_after_the_other(pts, dts, [0, *starts, len(pts)], step)
    times = sorted(t for t in _first_given(pts, dts) if t is not None)
    if (gap := max((b - a for a, b in pairwise(times)), default=0)) > hour:
        log.warning("%s: its clock jumps forward by %.1f hours; is it damaged?", name, gap * time_base / 3600)
    return pts, dts


def _one_after_the_other(pts: Stamps, dts: Stamps, ends: list[int], step: int) -> tuple[Stamps, Stamps]:
    """The pieces from each of ``ends`` to the next, each moved so that its first picture is shown ``step`` ticks after the last before."""
    moved: tuple[Stamps, Stamps] = ([], [])
    last = None
    for piece in (slice(*both) for both in pairwise(ends)):
        shown = [t for t in _first_given(pts[piece], dts[piece]) if t is not None]
        shift = 0 if last is None else last + step - min(shown)
        last = max(shown) + shift
        for all_times, times in zip(moved, (pts[piece], dts[piece]), strict=True):
            all_times += [None if t is None else t + shift for t in times]
    return moved


def _first_given(pts: Stamps, dts: Stamps) -> Stamps:
    return [p if p is not None else d for p, d in zip(pts, dts, strict=True)]


def in_decoding_order(pts: Stamps, dts: Stamps) -> bool:
    """Whether presentation times only repeat decoding times (MXF): in a stream with B-frames they are then wrong."""
    shifts = {p - d for p, d in zip(pts, dts, strict=True) if p is not None and d is not None}
    return len(pts) > 2 and len(shifts) <= 1


def by_rate(count: int, rate: Fraction | None, time_base: Fraction) -> list[int]:
    """Times in ticks for packets without any (raw streams): one after the other at the stream's rate (25 if it has none)."""
    step = 1 / ((rate or Fraction(25)) * time_base)
    return [round(k * step) for k in range(count)]


def counted_on(dts: Stamps, durations: list[int]) -> list[int]:
    """Times in ticks where some packets have none: when the packet before ends. They are in decoding order, so good as places only."""
    times: list[int] = []
    for tick, before in zip(dts, [0, *durations], strict=False):
        times.append(tick if tick is not None else times[-1] + before if times else 0)
    return times
