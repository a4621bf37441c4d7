"""One's own queries over one's own videos, and the flat JSON list that NumPro's own scripts read."""

from __future__ import annotations

import contextlib
import csv
import json
import os
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import (
    Benchmark,
    Query,
    check_ids,
    check_video_name,
    raise_all,
    read_json,
    read_jsonl,
    read_lines,
    seconds,
    span,
)
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from pathlib import Path

_FORMAT = """\
annotations  a file of your own: JSON lines, CSV with a header, or NumPro's JSON list. Columns: video (file name) and query; if there
             are annotated spans, start_time and end_time in seconds (or spans: [[start, end], ...] in JSON); id and duration if you
             like. Queries without a span get answers and no score.
videos       your folder"""


def read_annotations(path: Path) -> list[Query]:
    """Read JSON lines, CSV or a JSON list of rows with ``video``, ``query`` and, if known, ``start_time``/``end_time`` or ``spans``.

    Without an ``id`` a query is known by its position, from 0.

    Raises:
        NumProError: rows without a video or query, or with impossible times; every one is listed by line (of a list: by position).
    """
    queries: list[Query] = []
    problems: list[tuple[int, str]] = []
    for number, row in _rows(path):
        try:
            queries.append(_query(len(queries), row))
        except (ValueError, TypeError) as error:
            problems.append((number, str(error)))
    raise_all(path, problems, "Every row needs video and query; times are seconds, 0 or more.")
    return check_ids(path, queries)


def is_flat_json(path: Path) -> bool:
    """Whether a file is the JSON list that NumPro's own scripts read: rows with ``video``, ``query`` and ``start_time``."""
    if not path.name.removesuffix(".gz").endswith(".json"):
        return False
    rows = read_json(path)
    return isinstance(rows, list) and bool(rows) and isinstance(rows[0], dict) and {"video", "query", "start_time"} <= set(rows[0])


def _rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    kind = path.name.removesuffix(".gz")
    if kind.endswith(".jsonl"):
        return list(read_jsonl(path))
    if kind.endswith(".csv"):
        reader = csv.DictReader(line for _, line in read_lines(path))
        return [(reader.line_num, {key: _csv_value(key, value) for key, value in row.items() if value}) for row in reader]
    if kind.endswith(".json"):
        rows = read_json(path)
        if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
            return list(enumerate(rows))
        raise NumProError(f"{path}: is no list of rows with 'video' and 'query'")
    raise NumProError(f"{path}: must be .jsonl, .csv or .json (.gz may follow)")


def _csv_value(key: str | None, value: Any) -> Any:
    """Numbers and lists of a CSV cell; everything else is text."""
    if key in {"start_time", "end_time", "start", "end", "duration", "spans"}:
        with contextlib.suppress(json.JSONDecodeError):  # what is no number is refused by name later
            return json.loads(value)
    return value


def _query(position: int, row: dict[str, Any]) -> Query:
    if missing := [key for key in ("video", "query") if not str(row.get(key) or "").strip()]:
        raise ValueError(f"has no {' and no '.join(missing)}")
    name = str(row["video"])
    if problem := check_video_name(name):
        raise ValueError(problem)
    start, end = row.get("start_time", row.get("start")), row.get("end_time", row.get("end"))
    if (start is None) != (end is None):
        raise ValueError("has one of start_time and end_time but not the other")
    spans = [span(one) for one in row["spans"]] if row.get("spans") else [] if start is None else [(seconds(start), seconds(end))]
    duration = row.get("duration")
    stem, suffix = os.path.splitext(name)
    return Query(
        id=str(row.get("id", position)),
        video=name,
        query=str(row["query"]),
        spans_s=tuple(spans),
        duration_s=None if duration is None else seconds(duration),
        files=(stem, name) if suffix else (name,),
    )


CUSTOM = Benchmark(
    name="custom",
    title="your own queries",
    read_annotations=read_annotations,
    splits=("test",),
    split_of=lambda path: "test",
    sources=_FORMAT,
)
