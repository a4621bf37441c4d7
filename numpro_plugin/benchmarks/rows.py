"""Flat files with one query a row, in the names that the field gives to its columns: CSV, JSON lines, a JSON list, or parquet."""

from __future__ import annotations

import difflib
import json
import logging
import re
from functools import partial
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import Query, duration, plain_text, query_id, raise_all, seconds, span, spans, video_name
from numpro_plugin.benchmarks.text_files import file_kind, read_csv, read_json, read_jsonl
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

log = logging.getLogger(__name__)

COLUMNS: dict[str, tuple[str, ...]] = {
    "video": ("video", "vid", "video_id", "video_path"),
    "query": ("query", "caption", "sentence"),
    "id": ("id", "qid", "query_id"),
    "spans": ("spans", "spans_s", "timestamps", "relevant_windows", "timestamp"),
    "start_time": ("start_time", "start"),
    "end_time": ("end_time", "end"),
    "duration": ("duration",),
}
"""What a row says -> names under which files of the field say it; the first is ours."""

COLUMN_OF = {name: column for column, names in COLUMNS.items() for name in names}
_NUMBER = re.compile(r"-?(\d+|(\d+\.\d*|\.\d+)(e[+-]?\d+)?|\d+e[+-]?\d+)", re.ASCII | re.IGNORECASE)
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d+)?)", re.ASCII)
_REMEDY = "Every row needs video and query; times are seconds (or clock times such as 1:05), 0 or more."
HALF_PRECISION = (
    "its times are in half precision, so they are not those of the official file: in lmms-eval's Charades-STA by up to 0.0125 s; "
    "use the official file where results are compared"
)
ROW_KINDS = ("csv", "tsv", "json", "jsonl", "parquet")


def read_rows(path: Path) -> Iterable[tuple[int, dict[str, Any]]]:
    """Numbered rows of a flat file: by line, in a JSON list or parquet file by position from 0.

    Raises:
        NumProError: another kind of file, or a broken one.
    """
    kind = file_kind(path)
    if kind in {"csv", "tsv"}:
        return read_csv(path)
    if kind == "jsonl":
        return read_jsonl(path)
    if kind == "json":
        return rows_of_list(path, read_json(path))
    if kind == "parquet":
        return _read_parquet(path)
    raise NumProError(f"{path}: must be a file of rows, .jsonl, .json, .csv, .tsv (.gz may follow) or .parquet")


def rows_of_list(path: Path, content: Any) -> Iterable[tuple[int, dict[str, Any]]]:
    """Numbered rows of what a JSON file holds. Raises NumProError unless it is a list of objects."""
    if isinstance(content, dict) and COLUMN_OF.keys() & content:
        raise NumProError(f"{path}: is a single row and no list of rows; put it into [ ], or name the file .jsonl and write a row a line")
    if not isinstance(content, list):
        raise NumProError(f"{path}: must be a list of rows with 'video' and 'query', got {type(content).__name__}")
    for position, row in enumerate(content):
        if not isinstance(row, dict):
            raise NumProError(f"{path}:{position}: is not a row with 'video' and 'query' but {type(row).__name__}")
    return enumerate(content)


def _read_parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            if "halffloat" in str(file.schema_arrow):
                log.warning("%s: %s", path, HALF_PRECISION)
            position = 0
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    yield position, row
                    position += 1
    except FileNotFoundError:
        raise NumProError(f"{path}: no such file") from None
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise NumProError(f"{path}: cannot be read as parquet ({error})") from None


def read_each(
    path: Path, rows: Iterable[tuple[int, dict[str, Any]]], read: Callable[[int, dict[str, Any]], Query], remedy: str
) -> list[Query]:
    """``read(position, row)`` of every row, positions from 0.

    Raises:
        NumProError: rows for which it raises ValueError, or KeyError for a key that they lack; all are listed, ``remedy`` at the end.
    """
    queries: list[Query] = []
    problems: list[tuple[int, str]] = []
    for position, (number, row) in enumerate(rows):
        try:
            queries.append(read(position, row))
        except KeyError as error:
            problems.append((number, f"has no {error}"))
        except ValueError as error:
            problems.append((number, str(error)))
    raise_all(path, problems, remedy)
    return queries


def queries_of_rows(path: Path, rows: Iterable[tuple[int, dict[str, Any]]], *, only_known: bool, spans_needed: bool) -> list[Query]:
    """The query of each row. Without an ``id`` a query is known by its position, from 0.

    Args:
        path: for errors.
        rows: numbered rows.
        only_known: whether columns of other names are an error. In files of one's own they are likely misspelt.
        spans_needed: whether a row without a span is an error.

    Raises:
        NumProError: rows with a missing or impossible value; all are listed.
    """
    return read_each(path, rows, partial(query_of_row, only_known=only_known, spans_needed=spans_needed), _REMEDY)


def query_of_row(position: int, row: dict[str, Any], *, only_known: bool, spans_needed: bool) -> Query:
    """The query of one row; arguments as for `queries_of_rows`. Raises ValueError for a missing or impossible value."""
    values: dict[str, Any] = {}
    for name, value in row.items():
        column = COLUMN_OF.get(name)
        if column is None:
            if only_known:
                raise ValueError(_unknown_column(name))
            continue
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        if column in values:
            raise ValueError(f"gives {column} twice, the second time as {name!r}; keep one of them")
        values[column] = value
    if missing := [column for column in ("video", "query") if column not in values]:
        raise ValueError(f"has no {' and no '.join(missing)}")
    name = video_name(values["video"])
    annotated = _spans(values)
    if spans_needed and not annotated:
        raise ValueError("has no annotated span")
    return Query(
        id=query_id(values.get("id", position)),
        video=name,
        query=plain_text(values["query"], "query").strip(),
        spans_s=annotated,
        duration_s=duration(time_of(values["duration"])) if "duration" in values else None,
        files=(name,),
    )


def _unknown_column(name: str) -> str:
    close = difflib.get_close_matches(name, COLUMN_OF, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "; remove it or rename it."
    return f"has an unknown column {name!r}{hint} Known: {', '.join(COLUMN_OF)}"


def _spans(values: dict[str, Any]) -> tuple[tuple[float, float], ...]:
    start, end = values.get("start_time"), values.get("end_time")
    if (start is None) != (end is None):
        raise ValueError("has one of start_time and end_time but not the other")
    if start is None:
        return _list_of_spans(_list(values["spans"])) if "spans" in values else ()
    if "spans" in values:
        raise ValueError("gives its span twice, in a list and as start_time and end_time; keep one of them")
    return ((seconds(time_of(start)), seconds(time_of(end))),)


def _list_of_spans(value: Any) -> tuple[tuple[float, float], ...]:
    """Several spans, or one that stands alone, as in ``"timestamp": [24.3, 30.4]``."""
    is_one = isinstance(value, (list, tuple)) and value and not any(isinstance(part, (list, tuple)) for part in value)
    return (span(value),) if is_one else spans(value)


def time_of(value: Any) -> Any:
    """The number of a cell: a plain number, or minutes and seconds with a colon. Anything else stays as it is, to be refused by name."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, rest = int(clock[1] or 0), int(clock[2]), float(clock[3])
        if rest < 60 and (clock[1] is None or minutes < 60):
            return 3600 * hours + 60 * minutes + rest
    if len(text) < 50 and _NUMBER.fullmatch(text):
        return int(text) if text.lstrip("-").isdigit() else float(text)
    return value


def _list(value: Any) -> Any:
    """The list of a cell: as JSON writes it, or as Python and NumPy print it."""
    if not isinstance(value, str):
        return value
    text = value.strip().replace("(", "[").replace(")", "]")
    text = re.sub(r"(?<=[\d.\]])\s+(?=[\d\[.-])", ", ", text)
    text = re.sub(r"(?<=\d)\.(?=[\s,\]])", ".0", text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return value
