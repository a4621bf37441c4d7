"""Charades-STA: ``charades_sta_{train,test}.txt`` and the durations in ``Charades_v1_{train,test}.csv``."""

from __future__ import annotations

import csv
import math
import re
from typing import TYPE_CHECKING

from numpro_plugin.benchmarks.annotations import Benchmark, Query, check_ids, check_video_name, raise_all, read_lines, split_in_name
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from pathlib import Path

_LINE = re.compile(r"(?P<video>\S+) (?P<start>\S+) (?P<end>\S+?)##(?P<query>.*\S.*)")


def read_annotations(path: Path) -> list[Query]:
    """Read lines of the form ``VIDEO START END##QUERY``; a query's id is its line's position, from 0, as in the reference's files.

    A start after its end (four lines of the official train file) is kept as written.

    Raises:
        NumProError: listing every line that is malformed, has a negative or infinite time, or a video name with a folder in it.
    """
    queries: list[Query] = []
    problems: list[tuple[int, str]] = []
    for number, line in read_lines(path):
        if not line.strip():
            continue
        parsed = _parse(line)
        if isinstance(parsed, str):
            problems.append((number, parsed))
        else:
            video, start, end, query = parsed
            queries.append(Query(str(len(queries)), video, query, ((start, end),)))
    raise_all(path, problems, "Expected lines like 'AMT7R 4.3 12.5##a person is putting a picture onto the wall.'; use the official file.")
    return check_ids(path, queries)


def _parse(line: str) -> tuple[str, float, float, str] | str:
    """A line's parts, or what is wrong with it."""
    match = _LINE.fullmatch(line)
    if match is None:
        return f"is not 'VIDEO START END##QUERY': {line[:80]!r}"
    if problem := check_video_name(match["video"]):
        return problem
    try:
        start, end = float(match["start"]), float(match["end"])
    except ValueError:
        return f"start and end must be seconds, got {match['start']!r} and {match['end']!r}"
    if not (math.isfinite(start) and math.isfinite(end)) or start < 0 or end < 0:
        return f"start and end must be 0 seconds or more, got {start:g} and {end:g}"
    return match["video"], start, end, match["query"]


def read_durations(path: Path) -> dict[str, float]:
    """Read the columns ``id`` and ``length`` (seconds) of the official CSV.

    Raises:
        NumProError: another kind of file, or a length that is no positive number.
    """
    rows = csv.DictReader(line for _, line in read_lines(path))
    if rows.fieldnames is None or not {"id", "length"} <= set(rows.fieldnames):
        raise NumProError(
            f"{path}: has no columns 'id' and 'length' (found: {', '.join(rows.fieldnames or ['nothing'])}); use Charades_v1_test.csv"
        )
    durations: dict[str, float] = {}
    problems: list[tuple[int, str]] = []
    for row in rows:
        try:
            duration_s = float(row["length"])
        except (TypeError, ValueError):
            duration_s = math.nan
        if not (math.isfinite(duration_s) and duration_s > 0):
            problems.append((rows.line_num, f"length of video {row['id']!r} must be seconds above 0, got {row['length']!r}"))
        durations[row["id"]] = duration_s
    raise_all(path, problems, "Use the official file as it was downloaded.")
    return durations


CHARADES = Benchmark(
    name="charades",
    title="Charades-STA",
    read_annotations=read_annotations,
    read_durations=read_durations,
    splits=("test", "train"),
    split_of=split_in_name("test", "train"),
    sources="""\
annotations  charades_sta_test.txt, charades_sta_train.txt: repository jiyanggao/TALL on GitHub; its download link has been reported
             dead since December 2024, the same files are in OpenDataLab's copy, opendatalab.com
durations    Charades_v1_test.csv, Charades_v1_train.csv: Charades.zip on the Charades page of the Allen Institute for AI
videos       Charades_v1_480.zip on the same page (the original sizes, Charades_v1.zip, give the same frames at 336x336 but for scaling)""",
)
