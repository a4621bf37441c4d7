"""Found moments as lists that other programs read: subtitles (SRT), an edit list (EDL) and CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from numpro_plugin.errors import NumProError
from numpro_plugin.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpro_plugin.video.packets import PacketIndex

_RATES = (24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 48.0, 50.0, 60000 / 1001, 60.0)
_MOST_EVENTS = 999  # an edit list has three digits for their numbers
_MOST_RATE = 99  # and two for the frames of a second


@dataclass(frozen=True)
class Moment:
    """What was found for a query."""

    query: str
    start_s: float | None
    """Seconds of the video; None if nothing was found."""
    end_s: float | None
    score: float | None = None
    """Of a highlight."""
    reason: str = ""
    """How the answer was understood, or why it was not."""
    text: str = ""
    """The model's words."""


def lasting(moment: Moment, step_s: float, duration_s: float) -> Moment:
    """The moment; one that ends where it begins lasts ``step_s`` seconds, but not beyond the video's ``duration_s``."""
    if moment.start_s is None or moment.start_s != moment.end_s:
        return moment
    return replace(moment, end_s=max(moment.start_s, min(duration_s, moment.start_s + step_s)))


def found(moments: Sequence[Moment]) -> list[tuple[float, float, str]]:
    """(start, end, query) of the moments that were found, by their start, each query on one line."""
    return sorted((m.start_s, m.end_s, _line(m.query)) for m in moments if m.start_s is not None and m.end_s is not None)


def as_csv(moments: Sequence[Moment]) -> str:
    """One row a moment, and one with empty times for a query without one; lines end as in RFC 4180."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["query", "start_s", "end_s", "score", "reason", "answer"])
    for one in moments:
        times = ["" if time is None else f"{time:.3f}" for time in (one.start_s, one.end_s)]
        writer.writerow([one.query, *times, "" if one.score is None else f"{one.score:g}", one.reason, one.text])
    return out.getvalue()


def as_srt(moments: Sequence[Moment]) -> str:
    """Subtitles: the query while its moment lasts."""
    blocks = (f"{k}\n{_srt_time(start)} --> {_srt_time(end)}\n{query}\n" for k, (start, end, query) in enumerate(found(moments), 1))
    return "\n".join(blocks)


def as_edl(moments: Sequence[Moment], clip_name: str, frame_rate: float) -> str:
    """An edit list in the form of CMX 3600: the moments of one video, one after the other, without drop frames.

    Args:
        moments: those without times are left out.
        clip_name: the video's file name, by which editing programs find it.
        frame_rate: frames per second; times are rounded to frames.

    Raises:
        NumProError: more than 999 moments, or more than 99 frames a second.
    """
    base = max(1, round(frame_rate))
    if base > _MOST_RATE:
        raise NumProError(f"{clip_name}: has {frame_rate:g} frames a second, and an edit list (EDL) can hold {_MOST_RATE} at most")
    events = found(moments)
    if len(events) > _MOST_EVENTS:
        raise NumProError(f"{len(events)} moments: an edit list (EDL) can hold {_MOST_EVENTS} at most; ask for fewer at once")
    lines = [f"TITLE: {_line(clip_name)}", "FCM: NON-DROP FRAME", ""]
    record = base * 3600  # by custom the programme begins at one hour
    for k, (start_s, end_s, query) in enumerate(events, 1):
        start = round(start_s * frame_rate)
        end = max(start + 1, round(end_s * frame_rate))
        times = (start, end, record, record + end - start)
        lines.append(f"{k:03d}  AX       V     C        {' '.join(_timecode(time, base) for time in times)}")
        lines += [f"* FROM CLIP NAME: {_line(clip_name)}", f"* COMMENT: {query}", ""]
        record = times[-1]
    return "\n".join(lines)


def frame_rate_of(index: PacketIndex) -> float:
    """Frames per second of a video on average; the usual rate that is next to it if that is within half a percent."""
    length_s = float((int(index.pts[-1]) - int(index.pts[0])) * index.time_base)
    if not length_s:
        return 25.0
    measured = (len(index.pts) - 1) / length_s
    nearest = _RATES[int(np.abs(np.array(_RATES) - measured).argmin())]
    return nearest if abs(nearest - measured) < 0.005 * measured else measured


def _line(text: str) -> str:
    return " ".join(printable(text).split())


def _srt_time(time_s: float) -> str:
    milliseconds = round(time_s * 1000)
    minutes, seconds = divmod(milliseconds // 1000, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d},{milliseconds % 1000:03d}"


def _timecode(frames: int, base: int) -> str:
    minutes, seconds = divmod(frames // base, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}:{frames % base:02d}"
