"""Any file of queries as annotations: which of its columns says what, and what its times count."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import check_ids, frame_rate, part, seconds
from numpro_plugin.benchmarks.rows import COLUMN_OF, COLUMNS, query_of_row, read_each, read_rows, rows_of_list, time_of
from numpro_plugin.benchmarks.text_files import file_kind, read_json
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpro_plugin.benchmarks.annotations import Benchmark, Query

_BEYOND = ("fps", "part_start", "part_end")
_ENDS = ("start_time", "end_time")
_SPANS = frozenset(("spans", *_ENDS))
NAMES = (*COLUMNS, *_BEYOND)
"""What a column can be. ``fps`` is the frame rate in which the row's times count; ``part_start`` and ``part_end`` are seconds of the file:
only this part is shown, and the other times count from its start."""

_UNIT = re.compile(r"seconds|(?P<unit>frames|clips)(?::(?P<size>\d+(?:\.\d+)?))?")
_REMEDY = (
    "Name the columns with --columns video=...,query=...,spans=... and what times count with --unit; see numpro prepare custom --help."
)


@dataclass(frozen=True)
class Reading:
    """How the rows of a file are read."""

    columns: Mapping[str, str]
    """The file's column by our name for it (`NAMES`); what is not in here is looked for under the usual names (`rows.COLUMNS`)."""

    unit: str = "seconds"
    """What times count: ``seconds``, ``frames`` or ``clips``."""

    size: float | None = None
    """Frames a second, or seconds a clip; None for frames whose rate the column ``fps`` says."""

    def __str__(self) -> str:
        unit = self.unit if self.size is None else f"{self.unit}:{self.size:g}"
        return ",".join(f"{ours}={theirs}" for ours, theirs in self.columns.items()) + f" in {unit}"


def parse_reading(columns: str | None, unit: str) -> Reading:
    """``video=path,query=caption,spans=timestamp`` and ``seconds``, ``frames``, ``frames:29.97`` or ``clips:5`` as a reading.

    Raises:
        NumProError: another form, a name that is none of ours, one of them twice, a size of 0, or a column of rates for another unit.
    """
    names: dict[str, str] = {}
    for pair in (columns or "").split(",") if columns is not None else []:
        ours, equals, theirs = (text.strip() for text in pair.partition("="))
        if ours not in NAMES or not equals or not theirs or ours in names:
            raise NumProError(f"--columns {columns!r}: {pair!r} must be NAME=COLUMN, each name once; names: {', '.join(NAMES)}")
        names[ours] = theirs
    match = _UNIT.fullmatch(unit)
    if "start_time" in names and names["start_time"] == names.get("end_time"):
        raise NumProError(f"--columns {columns!r}: start_time and end_time must be two columns; if one holds both, name it spans")
    size = float(match["size"]) if match and match["size"] else None
    if match is None or size in (0, math.inf) or (match["unit"] == "clips" and size is None):
        raise NumProError(
            f"--unit {unit!r} must be seconds, frames (with a column fps), frames:RATE or clips:SECONDS, such as frames:29.97"
        )
    if "fps" in names and match["unit"] != "frames":
        raise NumProError(f"--columns fps={names['fps']}: is for times that count frames; add --unit frames, or leave it out")
    return Reading(names, match["unit"] or "seconds", size)


def with_reading(benchmark: Benchmark, reading: Reading) -> Benchmark:
    """The benchmark with its file read in this way."""
    return replace(benchmark, read_annotations=lambda path: read_file(path, reading), reading=str(reading))


def read_file(path: Path, reading: Reading) -> list[Query]:
    """The queries of JSON lines, JSON (a list of rows, or an object by video), CSV, TSV or parquet.

    Of an object by video, lists of queries and spans belong together pairwise, and the video's key is the column ``video``.

    Raises:
        NumProError: a column that no row has, or rows with missing or impossible values; all are listed.
    """
    content = read_json(path) if file_kind(path) == "json" else None
    if isinstance(content, dict):
        rows = list(_flattened(path, content, reading))
    else:
        rows = list(read_rows(path) if content is None else rows_of_list(path, content))
    held = {name: None for _, row in rows for name in row}
    for ours, theirs in reading.columns.items():
        if theirs not in held:
            raise NumProError(f"{path}: no row has a column {theirs!r} (--columns {ours}={theirs}); there are: {', '.join(held)}")
    return check_ids(path, read_each(path, rows, lambda position, row: _query(position, row, reading), _REMEDY))


def _flattened(path: Path, content: dict[str, Any], reading: Reading) -> Iterable[tuple[int, dict[str, Any]]]:
    """An object by video as rows, numbered by position."""
    queries, spans = reading.columns.get("query", "sentences"), reading.columns.get("spans", "timestamps")
    position = 0
    for name, video in content.items():
        lists: list[Any] = [video.get(key) for key in (queries, spans)] if isinstance(video, dict) else [None]
        if not all(isinstance(one, list) for one in lists) or len(lists[0]) != len(lists[1]):
            raise NumProError(f"{path}: video {name!r}: {queries!r} and {spans!r} must be lists of the same length. {_REMEDY}")
        about = {key: value for key, value in video.items() if key not in (queries, spans)}
        for k, (query, span) in enumerate(zip(*lists, strict=True)):
            key = "query" if queries == "sentences" else queries
            yield position, {"id": f"{name}:{k}", "video": name, **about, key: query, spans: [span]}
            position += 1


def _query(position: int, row: dict[str, Any], reading: Reading) -> Query:
    named = {ours: row.get(theirs) for ours, theirs in reading.columns.items()}
    beyond = {name: time_of(named.pop(name, row.get(name))) for name in _BEYOND}
    settled = {*reading.columns, *(_SPANS if not _SPANS.isdisjoint(reading.columns) else ())}
    theirs = {*reading.columns.values(), *_BEYOND}
    usual = {name: value for name, value in row.items() if name not in theirs and COLUMN_OF.get(name) not in settled}
    merged = {**usual, **named}
    if reading.unit != "seconds" and any(":" in str(value) for name, value in merged.items() if COLUMN_OF.get(name) in _ENDS):
        raise ValueError(f"its times are clock times, so they do not count {reading.unit}; leave --unit out")
    query = query_of_row(position, merged, only_known=not reading.columns, spans_needed=False)
    query = replace(query, spans_s=_in_seconds(query, beyond["fps"], reading))
    if beyond["part_start"] in (None, "") and beyond["part_end"] in (None, ""):
        return query
    part_s = part(beyond["part_start"], beyond["part_end"])
    return replace(query, part_s=part_s, duration_s=part_s[1] - part_s[0])


def _in_seconds(query: Query, fps: Any, reading: Reading) -> tuple[tuple[float, float], ...]:
    if reading.unit == "seconds" or not query.spans_s:
        return query.spans_s
    if reading.unit == "frames":
        rate = reading.size if fps in (None, "") else frame_rate(fps)
        if not rate:
            raise ValueError("its times are frames, and it has no fps: give --unit frames:RATE or a column, --columns fps=...")
        return tuple((seconds(start / rate), seconds(end / rate)) for start, end in query.spans_s)
    size = reading.size or 0.0
    return tuple((seconds(min(span) * size), seconds((max(span) + 1) * size)) for span in query.spans_s)
