"""A prepared table looked at again: are its videos still there, readable and of the same length?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from numpro_plugin.benchmarks.table import Report, default_split, read_columns, read_report, table_path

if TYPE_CHECKING:
    import os

    from numpro_plugin.benchmarks.annotations import Benchmark

_SAME_S = 1e-3


def check(
    benchmark: Benchmark,
    *,
    split: str | None = None,
    name: str | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Report:
    """Open every video of a prepared table again and compare lengths.

    Args:
        benchmark: whose table.
        split: default: the one that is evaluated.
        name: of one of several own sets; default ``$NUMPRO_CUSTOM``, else the set without a name.
        out: folder of tables; default ``$NUMPRO_DATA``, else in the user's cache.
        progress: show a progress bar.

    Returns:
        The table's report with ``missing``, ``unreadable``, ``damaged`` and ``differing_durations`` as they are now.

    Raises:
        NumProError: there is no table.
    """
    path = table_path(benchmark.name, split or default_split(benchmark), out, name=name)
    report = read_report(path)
    if not report.with_videos:
        return report
    from numpro_plugin.benchmarks.probing import probe_videos  # reads videos, which tables without them do not need

    expected = set(read_columns(path, "video", "duration_s", "start_s", "end_s"))
    still_left_out = report.missing + list(report.unreadable)
    report.missing, report.unreadable, report.damaged, report.differing_durations = [], {}, {}, {}
    found = probe_videos({video: Path(video) for video, *_ in sorted(expected)}, report, progress=progress)
    for video, was, start_s, end_s in expected:
        if video in found:
            now = min(found[video][1], end_s or math.inf) - (start_s or 0.0)
            if abs(now - was) > _SAME_S:
                report.differing_durations[video] = now, was
    report.missing = sorted({*report.missing, *still_left_out})
    return report
