"""Files of any columns and units as a set of one's own."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.annotations import ACTIVITYNET

from numpro_plugin import NumProError
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.columns import Reading, parse_reading, read_file
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.benchmarks.table import read_report, read_rows
from numpro_plugin.cli.main import main

ROWS = [
    {"path": "a/x.mp4", "caption": "one", "moment": [[2, 5], [8, 9]], "note": "no column of ours"},
    {"path": "a/y.mp4", "caption": "two", "moment": [[1, 3]], "note": ""},
]
MAP = "video=path,query=caption,spans=moment"


def write(path, content):
    if path.suffix == ".csv":
        rows = [",".join(content[0]), *(",".join(json.dumps(value).replace(", ", " ") for value in row.values()) for row in content)]
        path.write_text("\n".join(rows) + "\n")
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(content), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    else:
        path.write_text(json.dumps(content))
    return path


def spans_of(path, columns=MAP, unit="seconds"):
    return [query.spans_s for query in read_file(path, parse_reading(columns, unit))]


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv", "x.parquet"])
def test_every_kind_of_file(tmp_path, name):
    queries = read_file(write(tmp_path / name, ROWS), parse_reading(MAP, "seconds"))
    assert [(q.id, q.video, q.query, q.spans_s) for q in queries] == [
        ("0", "a/x.mp4", "one", ((2, 5), (8, 9))),
        ("1", "a/y.mp4", "two", ((1, 3),)),
    ]


def test_units(tmp_path):
    path = write(tmp_path / "x.jsonl", ROWS)
    assert spans_of(path, unit="frames:4") == [((0.5, 1.25), (2, 2.25)), ((0.25, 0.75),)]
    assert spans_of(path, unit="clips:5") == [((10, 30), (40, 50)), ((5, 20),)]
    rated = write(tmp_path / "y.jsonl", [{**row, "rate": rate} for row, rate in zip(ROWS, (4, "0.5"), strict=True)])
    assert spans_of(rated, f"{MAP},fps=rate", "frames") == [((0.5, 1.25), (2, 2.25)), ((2, 6),)]
    assert spans_of(write(tmp_path / "z.jsonl", [{"video": "x", "query": "q", "spans": [[2, 4]], "fps": 2}]), None, "frames") == [((1, 2),)]


def test_objects_by_video(tmp_path):
    path = write(tmp_path / "x.json", ACTIVITYNET)
    assert [(q.video, q.query, q.spans_s, q.duration_s) for q in read_file(path, parse_reading(None, "frames:2"))] == [
        ("v_AAAAAAAAAAA", "A man lifts a bar.", ((0, 2.07),), 20.5),
        ("v_AAAAAAAAAAA", "He puts it down.", ((2.07, 10.5),), 20.5),
        ("v_BBBBBBBBBBB", "A dog runs.", ((1.25, 3.75),), 10),
    ]
    assert [q.id for q in read_file(path, Reading({}))] == ["v_AAAAAAAAAAA:0", "v_AAAAAAAAAAA:1", "v_BBBBBBBBBBB:0"]
    other = {"v": {"video_duration": 9, "segments": [[1, 2]], "texts": ["x"]}}
    path = write(tmp_path / "y.json", other)
    (query,) = read_file(path, parse_reading("query=texts,spans=segments,duration=video_duration", "seconds"))
    assert (query.video, query.query, query.spans_s, query.duration_s) == ("v", "x", ((1, 2),), 9)


def test_start_and_end_in_columns_of_their_own_and_parts(tmp_path):
    row = {"path": "x.mp4", "caption": "one", "from": "0:02", "to": 4.5, "cut0": 10, "cut1": 20}
    whole = {**row, "cut0": None, "cut1": None}
    row["timestamps"] = [[90, 91]]  # of something else: what is named counts
    columns = "video=path,query=caption,start_time=from,end_time=to,part_start=cut0,part_end=cut1"
    first, second = read_file(write(tmp_path / "x.jsonl", [row, whole]), parse_reading(columns, "seconds"))
    assert (first.spans_s, first.part_s, first.duration_s) == (((2, 4.5),), (10, 20), 10)
    assert (second.spans_s, second.part_s, second.duration_s) == (((2, 4.5),), None, None)


def test_it_is_a_command(tmp_path, monkeypatch, capsys):
    path = write(tmp_path / "x.jsonl", [{**row, "seconds": 20} for row in ROWS])
    columns = f"{MAP},duration=seconds"
    command = [
        "prepare",
        "custom",
        "--annotations",
        str(path),
        "--without-videos",
        "--columns",
        columns,
        "--unit",
        "frames:2",
        "--name",
        "it",
    ]
    assert main(command) == 0, capsys.readouterr().err
    (table,) = (tmp_path / "numpro-data/custom/it").glob("*.parquet")
    assert [row["spans_s"] for row in read_rows(table)] == [[[1, 2.5], [4, 4.5]], [[0.5, 1.5]]]
    assert read_report(table).protocol()["reading"] == f"{columns} in frames:2"


@pytest.mark.parametrize(
    ("change", "unit", "message"),
    [
        ({"caption": None}, "seconds", ":1: has no query"),
        ({"path": "../x.mp4"}, "seconds", "a path inside the folder of videos"),
        ({"moment": [[float("nan"), 2]]}, "seconds", ":1: nan must be 0 seconds or more"),
        ({"moment": [[2, "x"]]}, "seconds", "'x' is not a number of seconds"),
        ({}, "frames", ":1: its times are frames, and it has no fps"),
        ({"fps": 0}, "frames", "above 0, got 0"),
        ({"fps": -1}, "frames", "fps must be a number of frames a second above 0, got -1"),
        ({"part_start": 9, "part_end": 3}, "seconds", "must end after it starts, got 9 to 3 s"),
        ({"part_start": 9}, "seconds", ":1: None is not a number of seconds"),
    ],
)
def test_impossible_rows_are_named(tmp_path, change, unit, message):
    path = write(tmp_path / "x.jsonl", [{**ROWS[0], **change}])
    with pytest.raises(NumProError) as error:
        read_file(path, parse_reading(MAP, unit))
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_a_column_that_is_not_there(tmp_path):
    path = write(tmp_path / "x.jsonl", ROWS)
    with pytest.raises(
        NumProError, match=r"no row has a column 'captoin' \(--columns query=captoin\); there are: path, caption, moment, note"
    ):
        read_file(path, parse_reading("video=path,query=captoin", "seconds"))
    with pytest.raises(NumProError, match="has an unknown column 'note'"):
        read_file(write(tmp_path / "y.jsonl", [{"video": "x", "query": "q", "note": 1}]), Reading({}))
    with pytest.raises(NumProError, match="'sentences' and 'timestamps' must be lists of the same length"):
        read_file(write(tmp_path / "z.json", {"v": {"timestamps": [], "sentences": ["x"]}}), Reading({}))


@pytest.mark.parametrize("columns", ["video", "video=", "film=path", "video=a,video=b", ""])
def test_a_map_that_is_none(columns):
    with pytest.raises(NumProError, match=r"must be NAME=COLUMN, each name once; names: video, query"):
        parse_reading(columns, "seconds")


def test_one_column_is_not_both_ends():
    with pytest.raises(NumProError, match="start_time and end_time must be two columns; if one holds both, name it spans"):
        parse_reading("start_time=when,end_time=when", "seconds")


def test_clock_times_count_no_frames(tmp_path):
    path = write(tmp_path / "x.jsonl", [{"video": "v", "query": "q", "start": "0:25", "end": "0:50"}])
    assert read_file(path, parse_reading(None, "seconds"))[0].spans_s == ((25, 50),)
    with pytest.raises(NumProError, match=":1: its times are clock times, so they do not count frames; leave --unit out"):
        read_file(path, parse_reading(None, "frames:25"))


def test_a_rate_without_frames():
    with pytest.raises(NumProError, match=r"--columns fps=rate: is for times that count frames; add --unit frames"):
        parse_reading("video=path,fps=rate", "seconds")


@pytest.mark.parametrize("unit", ["frames:0.000001", "clips:999999"])
def test_times_that_cannot_be_in_that_unit(tmp_path, unit):
    with pytest.raises(NumProError, match=r":1: .* is more than 1,000,000 seconds"):
        spans_of(write(tmp_path / "x.jsonl", ROWS), unit=unit)


@pytest.mark.parametrize("unit", ["minutes", "frames:" + "9" * 400, "frames:0", "clips", "clips:x", "frames:-2", "seconds:2"])
def test_a_unit_that_is_none(unit):
    with pytest.raises(NumProError, match=r"must be seconds, frames \(with a column fps\), frames:RATE or clips:SECONDS"):
        parse_reading(None, unit)


HARNESS = {"video": "AAAAA.mp4", "caption": "a person opens a door.", "timestamp": [24.3, 30.4]}
"""A row of lmms-eval's own Charades-STA."""


def test_lmms_evals_charades_is_known_to_be_inexact(tmp_path, caplog):
    table: Any = pa.table(
        {
            "video": [HARNESS["video"]],
            "caption": [HARNESS["caption"]],
            "timestamp": pa.array([np.array(HARNESS["timestamp"], dtype=np.float16)], type=pa.list_(pa.float16())),
        }
    )
    pq.write_table(table, tmp_path / "charades_test.parquet")
    for name in ("charades", "custom"):
        caplog.clear()
        (query,) = BENCHMARKS[name].read_annotations(tmp_path / "charades_test.parquet")
        assert query.spans_s == ((24.296875, 30.40625),)
        assert "half precision" in caplog.text


@pytest.mark.shared
def test_what_the_field_passes_around_is_known_without_a_map(shared):
    variants = shared / "annotations/variants"
    own = BENCHMARKS["custom"]
    by_video, rows = (own.read_annotations(variants / name) for name in ("charades_test.json", "lighthouse_charades_test_release.jsonl"))
    assert len(by_video) == len(rows) == 3720
    assert [(q.query, q.spans_s[0][0]) for q in by_video] == [(q.query, q.spans_s[0][0]) for q in rows]
    assert all(q.spans_s[0][1] == min(p.spans_s[0][1], p.duration_s) for p, q in zip(by_video, rows, strict=True))  # lighthouse cuts ends
    tacos = own.read_annotations(variants / "lighthouse_tacos_test_release.jsonl")
    assert (len(tacos), tacos[0].id) == (4001, "s30-d52_0")
    _, report = prepare(own, variants / "charades_test.json", progress=False)
    assert (report.n_used, report.videos_used) == (3720, 1334)
