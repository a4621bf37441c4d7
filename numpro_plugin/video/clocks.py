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
    `_MOMENT_S`, a new piece begins right after the last one. MPEG's clocks run over (``runs_over``): FFmpeg then takes a piece whose clock
    is before the first one's for one that is a day later. Any other clock that jumps forward by an hour is kept, with a warning.
    """
    ticks = [d if d is not None else p for p, d in zip(pts, dts, strict=True)]
    steps = [b - a for a, b in pairwise(t for t in ticks if t is not None) if b > a]
    step = int(np.median(steps)) if steps else 0
    moment, hour, half_round = (int(seconds / time_base) for seconds in (_MOMENT_S, _HOUR_S, _ROUND_S / 2))
    shift, before = 0, None
    shifts = []
    for tick in ticks:
        if tick is not None:
            ahead = 0 if before is None else tick + shift - before
            if before is not None and (ahead < -moment or (runs_over and ahead > half_round)):
                shift = before + step - tick
            elif ahead > hour:
                log.warning("%s: its clock jumps forward by %.1f hours; is it damaged?", name, ahead * time_base / 3600)
            before = tick + shift
        shifts.append(shift)
    if not shift:
        return pts, dts
    log.warning("%s: its clock restarts; the pieces are read one after the other", name)
    return tuple([None if t is None else t + s for t, s in zip(times, shifts, strict=True)] for times in (pts, dts))  # type: ignore[return-value]


def in_decoding_order(pts: Stamps, dts: Stamps) -> bool:
    """Whether presentation times only repeat decoding times (ASF, MXF): in a stream with B-frames they are then wrong."""
    shifts = {p - d for p, d in zip(pts, dts, strict=True) if p is not None and d is not None}
    return len(pts) > 2 and len(shifts) <= 1


def by_rate(count: int, rate: Fraction | None, time_base: Fraction) -> list[int]:
    """Times in ticks for packets without any (raw streams): one after the other at the stream's rate (25 if it has none)."""
    step = 1 / ((rate or Fraction(25)) * time_base)
    return [round(k * step) for k in range(count)]
