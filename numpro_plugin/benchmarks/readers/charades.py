"""Charades-STA: ``charades_sta_{train,test}.txt`` and the durations in ``Charades_v1_{train,test}.csv``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from numpro_plugin.benchmarks.annotations import Benchmark, Query, check_ids, duration, plain_text, raise_all, seconds, video_name
from numpro_plugin.benchmarks.by_video import queries_by_video
from numpro_plugin.benchmarks.rows import ROW_KINDS, queries_of_rows, read_rows, rows_of_list
from numpro_plugin.benchmarks.text_files import file_kind, read_csv, read_json, read_lines
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from pathlib import Path

_LINE = re.compile(r"(?P<video>\S+) (?P<start>\S+) (?P<end>\S+?)##(?P<query>.*\S.*)")


def read_annotations(path: Path) -> list[Query]:
    """Read the official text file, or one of the forms in which the field passes Charades-STA on.

    The official lines are ``VIDEO START END##QUERY``; a query's id is its line's position, from 0, as in the reference's files.
    JSON objects by video (Time-R1, VideoChat-R1) and rows of CSV, JSON, JSON lines or parquet are told apart by extension and content.
    A start after its end (four lines of the official train file) is kept as written.

    Raises:
        NumProError: listing every line that is malformed, has a negative or infinite time, or a video name that leads out of a folder.
    """
    if file_kind(path) not in ROW_KINDS:
        return check_ids(path, _read_official(path))
    rows = None
    if file_kind(path) == "json":
        content = read_json(path)
        if isinstance(content, dict):
            return check_ids(path, queries_by_video(path, content))
        rows = rows_of_list(path, content)
    return check_ids(path, queries_of_rows(path, rows or read_rows(path), only_known=False, spans_needed=True))


def _read_official(path: Path) -> list[Query]:
    queries: list[Query] = []
    problems: list[tuple[int, str]] = []
    for number, line in read_lines(path):
        if not line.strip():
            continue
        try:
            queries.append(_parse(line, str(len(queries))))
        except ValueError as error:
            problems.append((number, str(error)))
    raise_all(path, problems, "Expected lines like 'AMT7R 4.3 12.5##a person is putting a picture onto the wall.'; use the official file.")
    return queries


def _parse(line: str, key: str) -> Query:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"is not 'VIDEO START END##QUERY': {line[:80]!r}")
    try:
        start, end = _number(match["start"]), _number(match["end"])
    except ValueError:
        raise ValueError(f"start and end must be seconds, got {match['start'][:40]!r} and {match['end'][:40]!r}") from None
    return Query(key, video_name(match["video"]), plain_text(match["query"], "query").strip(), ((seconds(start), seconds(end)),))


def _number(text: str) -> float:
    """A number as files have it. Python reads ``1_0`` as ten, too. Raises ValueError for that and for anything else."""
    if "_" in text:
        raise ValueError(f"{text!r} is not a number")
    return float(text)


def read_durations(path: Path) -> dict[str, float]:
    """Read the columns ``id`` and ``length`` (seconds) of the official CSV.

    Raises:
        NumProError: another kind of file, or a length that is not a positive number.
    """
    durations: dict[str, float] = {}
    problems: list[tuple[int, str]] = []
    for number, row in read_csv(path):
        if not {"id", "length"} <= set(row):
            raise NumProError(f"{path}: has no columns 'id' and 'length' (found: {', '.join(map(repr, row))}); use Charades_v1_test.csv")
        try:
            length_s = duration(_number(row["length"]))
            if durations.setdefault(row["id"], length_s) != length_s:
                problems.append((number, f"gives video {row['id']!r} {length_s:g} seconds, a line before it {durations[row['id']]:g}"))
        except ValueError:
            problems.append((number, f"length of video {row['id']!r} must be seconds above 0, got {row['length']!r}"))
    raise_all(path, problems, "Use the official file as it was downloaded.")
    if not durations:
        raise NumProError(f"{path}: holds no videos; use Charades_v1_test.csv")
    return durations


CHARADES = Benchmark(
    name="charades",
    title="Charades-STA",
    read_annotations=read_annotations,
    read_durations=read_durations,
    splits=("test", "train"),
    sizes={"test": (1334, 3720), "train": (5338, 12408)},
    video_form=r"[A-Z0-9]{5}(\.\w+)?",
    sources="""\
annotations  charades_sta_test.txt, charades_sta_train.txt: repository jiyanggao/TALL on GitHub; its download link has been reported
             dead since December 2024, the same files are in OpenDataLab's copy, opendatalab.com
durations    Charades_v1_test.csv, Charades_v1_train.csv: Charades.zip on the Charades page of the Allen Institute for AI
videos       Charades_v1_480.zip on the same page (the original sizes, Charades_v1.zip, give the same frames at 336x336 but for scaling)""",
)
