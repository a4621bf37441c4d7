"""`numpro prepare` and `numpro check` as people type them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.videos import write_counter_video

from numpro_plugin.cli.main import main


@pytest.fixture
def films(tmp_path):
    (tmp_path / "videos").mkdir()
    for k in range(2):
        write_counter_video(tmp_path / "videos" / f"{k}.mp4", [k * 100 for k in range(20)], rate=10)
    path = tmp_path / "mine.csv"
    path.write_text("video;query;start_time;end_time\n0.mp4;a hat;0:00;0:01\n1.mp4;a cat;;\n")
    return path


def prepare(films, *more):
    return main(["prepare", "custom", "--annotations", str(films), "--videos", str(films.parent / "videos"), *more])


def test_a_named_set(films, capsys, monkeypatch):
    assert prepare(films, "--name", "films", "--split", "val") == 0
    shown = capsys.readouterr().out
    assert "custom films val: 2 of 2 queries, 2 of 2 videos used" in shown
    assert "1 of 2 queries have spans; the others get answers and no score" in shown
    assert "export NUMPRO_CUSTOM=films" in shown
    assert prepare(films, "--name", "films", "--split", "val") == 1
    assert "replace it with --force" in capsys.readouterr().err
    assert prepare(films, "--name", "films", "--split", "val", "--force") == 0
    monkeypatch.setenv("NUMPRO_CUSTOM", "films")
    assert main(["check", "custom", "--split", "val"]) == 0
    assert main(["check", "custom"]) == 1
    assert "numpro prepare custom --name films" in capsys.readouterr().err


def test_json_and_nothing_else(films, capsys, tmp_path):
    assert prepare(films, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["n_used"], report["n_with_spans"]) == (2, 1)
    assert report["table"].endswith("custom/test.parquet")
    assert main(["check", "custom", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["missing"] == []
    (tmp_path / "videos" / "1.mp4").unlink()
    assert main(["check", "custom", "--json", str(tmp_path / "check.json")]) == 1
    assert "missing: 1" in capsys.readouterr().out
    assert json.loads((tmp_path / "check.json").read_text())["missing"] == [str(tmp_path / "videos" / "1.mp4")]
    assert main(["check", "custom", "--json", str(tmp_path / "nowhere" / "check.json")]) == 1
    assert "nowhere does not exist" in capsys.readouterr().err


def test_times_that_are_no_seconds_are_asked_about(films, capsys):
    films.write_text("video,query,start_time,end_time\n0.mp4,a hat,500,1500\n1.mp4,a cat,0,1000\n0.mp4,a dog,1200,1900\n")
    assert prepare(films) == 0
    shown = capsys.readouterr().out
    assert "spans that end after their video: 3 (normal, kept)" in shown
    assert "of them that also start after it: 2 (kept, but no frame shows them: are the times seconds?)" in shown


def test_rows_that_differ_about_a_video_are_named(tmp_path, capsys, caplog):
    (tmp_path / "a.csv").write_text("video,query,duration\na,x,10\na,y,90\n")
    assert main(["prepare", "custom", "--annotations", str(tmp_path / "a.csv"), "--without-videos"]) == 0
    assert "a: its rows give it 10 and 90 seconds; the first counts" in caplog.text


def test_check_shows_ten_and_writes_all(tmp_path, capsys):
    (tmp_path / "videos").mkdir()
    rows = []
    for k in range(14):
        write_counter_video(tmp_path / "videos" / f"{k}.mp4", [0, 100], rate=10)
        rows.append(json.dumps({"video": f"{k}.mp4", "query": "q"}))
    (tmp_path / "mine.jsonl").write_text("\n".join(rows))
    assert prepare(tmp_path / "mine.jsonl") == 0
    for video in (tmp_path / "videos").iterdir():
        video.unlink()
    capsys.readouterr()
    assert main(["check", "custom"]) == 1
    shown = capsys.readouterr().out
    assert "missing: 14" in shown
    assert "... and 4 more" in shown
    listed = shown.strip().rpartition("all of them: ")[2]
    assert len(Path(listed).read_text().splitlines()) == 15


def test_escape_codes_never_reach_the_terminal(tmp_path, capsys):
    folder = tmp_path / "videos\x1b[2J"
    folder.mkdir()
    (folder / "a\x1b]0;x\x07.mp4").write_bytes(b"rubbish")
    (folder / "b.mp4").write_bytes(b"rubbish")
    (tmp_path / "mine.jsonl").write_text('{"video": "b.mp4", "query": "q"}\n{"video": "c.mp4", "query": "\\u001b[2J"}\n')
    assert main(["prepare", "custom", "--annotations", str(tmp_path / "mine.jsonl"), "--videos", str(folder)]) == 1
    printed = capsys.readouterr()
    assert "b.mp4" in printed.err
    assert "\x1b" not in printed.err + printed.out
    (tmp_path / "mine.csv").write_text("video,query,\x1b[2J\na,b,c\n")
    assert main(["prepare", "custom", "--annotations", str(tmp_path / "mine.csv"), "--videos", str(folder)]) == 1
    printed = capsys.readouterr()
    assert "unknown column" in printed.err
    assert "\x1b" not in printed.err + printed.out
