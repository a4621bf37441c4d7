"""The table on disk: one with its report, locked while it is made, read in every version; one's own sets."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from support.annotations import write_official

from numpro_plugin import NumProError
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.check import check
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.benchmarks.problems import problems_path
from numpro_plugin.benchmarks.table import read_columns, read_report, read_rows, table_path
from numpro_plugin.reports.ceiling import ceilings

CUSTOM = BENCHMARKS["custom"]


def queries(folder, count, name="mine.jsonl"):
    path = folder / name
    rows = ({"video": f"{k}.mp4", "query": "q", "spans": [[0, 1]], "duration": 9} for k in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_report_is_part_of_the_table(tmp_path):
    path, report = prepare(CUSTOM, queries(tmp_path, 3), progress=False)
    assert read_report(path) == report
    assert json.loads(path.with_suffix(".json").read_text())["n_used"] == 3
    path.with_suffix(".json").unlink()
    assert read_report(path) == report


def without_report(path):
    """As version 0.1.0 wrote tables."""
    rows = pq.read_table(path).replace_schema_metadata(None)
    pq.write_table(rows, path)


def test_tables_of_older_versions_are_read(tmp_path):
    path, _ = prepare(CUSTOM, queries(tmp_path, 3), progress=False)
    without_report(path)
    old = json.loads(path.with_suffix(".json").read_text())
    del old["name"], old["n_with_spans"]
    path.with_suffix(".json").write_text(json.dumps(old))
    assert (read_report(path).n_used, read_report(path).n_with_spans) == (3, None)
    newer = ("start_s", "end_s", "annotators", "clips")
    assert list(read_columns(path, "id", *newer)) == [(row["id"], None, None, None, None) for row in read_rows(path)]
    assert check(CUSTOM, progress=False).n_used == 3
    assert ceilings(path, [1])[1]["mIoU"] == 100
    path.with_suffix(".json").write_text('{"benchmark": "custom", ')
    with pytest.raises(NumProError, match=r"test\.json: the report cannot be read .*; run: numpro prepare custom"):
        read_report(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(NumProError, match=r"there is no report .*test\.json"):
        read_report(path)


def test_a_broken_table_is_named(tmp_path):
    path, _ = prepare(CUSTOM, queries(tmp_path, 3), progress=False)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(NumProError, match=r"test\.parquet: cannot be read as a table"):
        read_report(path)


@pytest.mark.parametrize("killed_at", [1, 2])
def test_old_or_new_after_a_kill_but_never_half(tmp_path, killed_at):
    """The process ends, as if killed, just before it renames the table (1) or the report's copy (2)."""
    prepare(CUSTOM, queries(tmp_path, 3), progress=False)
    program = f"""
import os
from numpro_plugin.benchmarks import BENCHMARKS, table
from numpro_plugin.benchmarks.prepare import prepare
calls, replace = [], os.replace
def dying(*args):
    calls.append(args)
    if len(calls) == {killed_at}:
        os._exit(9)
    replace(*args)
os.replace = dying
prepare(BENCHMARKS["custom"], {str(queries(tmp_path, 5, "more.jsonl"))!r}, force=True, progress=False)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 9
    path = table_path("custom", "test")
    report = read_report(path)
    assert report.n_used == len(read_rows(path)) == (3 if killed_at == 1 else 5)
    prepare(CUSTOM, tmp_path / "more.jsonl", force=True, progress=False)
    assert {file.name for file in path.parent.iterdir()} == {"test.parquet", "test.json", ".test.lock"}


def test_two_at_once_are_refused(tmp_path):
    path = table_path("custom", "test")
    path.parent.mkdir(parents=True)
    with open(path.parent / ".test.lock", "w") as other:  # not FileLock: lmms-eval lets one process take its locks twice
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(NumProError, match="another `numpro prepare` is making this table"):
            prepare(CUSTOM, queries(tmp_path, 3), progress=False)
    prepare(CUSTOM, queries(tmp_path, 3), progress=False)


def test_a_file_system_without_locks(tmp_path, monkeypatch, caplog):
    def acquire(self, *args, **kwargs):
        raise NotImplementedError

    monkeypatch.setattr(FileLock, "acquire", acquire)
    path, _ = prepare(CUSTOM, queries(tmp_path, 3), progress=False)
    assert len(read_rows(path)) == 3
    assert "has no locks" in caplog.text


def test_own_sets_have_names_and_splits(tmp_path, monkeypatch):
    for name, split, count in ((None, None, 1), ("films", None, 2), ("films", "train", 3), ("zoo", "val", 4)):
        path, report = prepare(CUSTOM, queries(tmp_path, count), name=name, split=split, progress=False)
        assert path == table_path("custom", split or "test", name=name)
        assert (report.name, report.split, report.n_used) == (name, split or "test", count)
        assert report.protocol().get("name") == name
    assert len(read_rows(table_path("custom", "test"))) == 1
    monkeypatch.setenv("NUMPRO_CUSTOM", "films")
    assert len(read_rows(table_path("custom", "test"))) == 2
    assert check(CUSTOM, progress=False).n_used == 2
    assert check(CUSTOM, name="zoo", split="val", progress=False).n_used == 4
    monkeypatch.setenv("NUMPRO_CUSTOM", "other")
    with pytest.raises(NumProError, match=r"run: numpro prepare custom --name other .*\(NUMPRO_CUSTOM=other asks for this set\)"):
        check(CUSTOM, progress=False)


def test_an_own_set_is_not_overwritten(tmp_path):
    prepare(CUSTOM, queries(tmp_path, 1), name="films", progress=False)
    with pytest.raises(NumProError, match=r"films/test\.parquet exists; choose another --name or --split, or replace it with --force"):
        prepare(CUSTOM, queries(tmp_path, 2), name="films", progress=False)
    path, _ = prepare(CUSTOM, queries(tmp_path, 2), name="films", force=True, progress=False)
    assert len(read_rows(path)) == 2


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "x" * 200, "a b", "é"])
def test_names_of_sets_are_names_of_folders(tmp_path, name):
    with pytest.raises(NumProError, match="cannot be the name of a set"):
        prepare(CUSTOM, queries(tmp_path, 1), name=name, progress=False)


def test_only_own_queries_have_sets(tmp_path):
    files = write_official(tmp_path)
    with pytest.raises(NumProError, match="only your own queries have several sets"):
        prepare(BENCHMARKS["didemo"], files["didemo"], name="x", progress=False)


def test_queries_with_spans_are_counted(tmp_path):
    path = tmp_path / "some.jsonl"
    path.write_text('{"video": "a", "query": "q", "spans": [[0, 1]], "duration": 9}\n{"video": "a", "query": "r", "duration": 9}\n')
    _, report = prepare(CUSTOM, path, progress=False)
    assert (report.n_with_spans, report.n_expected) == (1, 2)


def test_missing_videos_ten_in_the_message_all_in_a_file(tmp_path):
    (tmp_path / "videos").mkdir()
    with pytest.raises(NumProError) as error:
        prepare(CUSTOM, queries(tmp_path, 25), videos=tmp_path / "videos", progress=False)
    listed = problems_path(table_path("custom", "test"))
    assert "25 of 25 videos are not in" in str(error.value)
    assert "    9.mp4\n    ... and 15 more\n" in str(error.value)
    assert "10.mp4" not in str(error.value)
    assert f"All of them: {listed}" in str(error.value)
    lines = listed.read_text().splitlines()
    assert lines[:2] == ["problem\tvideo\treason", "missing\t0.mp4\t"]
    assert len(lines) == 26
    prepare(CUSTOM, tmp_path / "mine.jsonl", progress=False)
    assert not listed.exists()


def test_some_columns_of_a_table(tmp_path):
    path, _ = prepare(CUSTOM, queries(tmp_path, 2), progress=False)
    assert list(read_columns(path, "end_s", "id", "duration_s")) == [(None, "0", 9.0), (None, "1", 9.0)]


def test_a_folder_that_cannot_be_written_is_known_before_videos_are_opened(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("numpro_plugin.benchmarks.prepare._find_videos", lambda *a, **k: pytest.fail("videos were opened"))
    with pytest.raises(OSError, match="Not a directory"):
        prepare(CUSTOM, queries(tmp_path, 2), out=tmp_path / "file", progress=False)


def test_a_table_without_videos_loads_no_video_library():
    program = """
import sys, numpro_plugin.benchmarks.prepare, numpro_plugin.benchmarks.check
print([name for name in ("av", "torch", "tqdm") if name in sys.modules])
"""
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "[]"
