"""A sweep from the command: its tables, going on after a kill, joining machines, and cells that fail."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import bootstrap
from support.harness import task_manager
from support.videos import write_counter_video

from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.cli.main import main
from numpro_plugin.demo.world import tiny_model_folder
from numpro_plugin.reports.bootstrap import paired_intervals
from numpro_plugin.sweep import run


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table without videos: the oracle takes the numbers that would be drawn. Sweeps of this process share an index of task files."""
    manager = task_manager()
    monkeypatch.setattr("lmms_eval.tasks.TaskManager", lambda *_, **__: manager)
    lines = ["EVENS 4.1 12.3##a person opens a door.", "EVENS 0.5 3.9##a person walks in.", "ODDLY 20.2 29.5##a person sits down."]
    (tmp_path / "charades_sta_test.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "Charades_v1_test.csv").write_text("id,length\nEVENS,32.0\nODDLY,30.0\n")
    path, _ = prepare(BENCHMARKS["charades"], tmp_path / "charades_sta_test.txt", durations=tmp_path / "Charades_v1_test.csv")
    return path


def sweep(out: Path, *more: str, encodings: str = "plain,number", fps: str = "0.5,1") -> int:
    return main(
        ["sweep", "--model", "numpro_oracle", "--tasks", "numpro_charades", "--encodings", encodings, "--fps", fps, "-o", str(out), *more]
    )


def scores(out: Path) -> dict[str, Any]:
    found = json.loads((out / "table.json").read_text())["tables"][0]
    for row in found["rows"]:
        row.pop("seconds")
    return found


@pytest.mark.slow
def test_a_sweep_writes_one_table_in_every_form(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sweep"
    assert sweep(out) == 0
    printed = capsys.readouterr().out
    found = scores(out)
    assert [row["cell"] for row in found["rows"]] == ["plain@0.5", "number@0.5", "plain@1", "number@1"]
    assert found["queries"] == 3
    plain, half, _, whole = found["rows"]
    assert plain["metrics"]["mIoU"] == 0
    assert half["metrics"]["mIoU"] == pytest.approx(half["ceiling"])
    assert whole["ceiling"] > half["ceiling"]
    assert half["difference"] == pytest.approx(half["metrics"]["mIoU"])
    assert half["interval"][0] <= half["difference"] <= half["interval"][1]
    assert f"{half['metrics']['mIoU']:.2f}" in printed
    assert f"| {half['metrics']['mIoU']:.2f} |" in (out / "table.md").read_text()
    assert r"number@0.5 & 100.00" in (out / "table.tex").read_text()
    lines = list(csv.DictReader((out / "table.csv").open()))
    assert [float(line["mIoU"]) for line in lines] == [row["metrics"]["mIoU"] for row in found["rows"]]
    assert (out / "numpro_charades.svg").read_text().count("<svg") == 1

    before = {path: path.stat().st_mtime_ns for path in (out / "cells").rglob("*.jsonl")}
    assert sweep(out) == 0  # nothing is asked again
    assert {path: path.stat().st_mtime_ns for path in (out / "cells").rglob("*.jsonl")} == before
    assert sweep(tmp_path / "first", "--limit", "1", fps="0.5") == 0
    _, first = scores(tmp_path / "first")["rows"]
    assert first["metrics"]["mIoU"] == pytest.approx(first["ceiling"])  # of the queries that were asked
    assert first["ceiling"] != pytest.approx(half["ceiling"])
    assert sweep(out, "--limit", "2") == 1
    assert "was made with limit=None, now it is 2.0" in capsys.readouterr().err


@pytest.mark.slow
def test_shares_of_two_machines_are_joined(table: Path, tmp_path: Path) -> None:
    for k in (1, 2):
        assert sweep(tmp_path / f"machine{k}", "--shard", f"{k}/2", fps="0.5") == 0
    assert sum(row["problem"] == "not evaluated yet" for row in scores(tmp_path / "machine1")["rows"]) == 1
    assert sweep(tmp_path / "all", "--join", str(tmp_path / "machine1"), str(tmp_path / "machine2"), fps="0.5") == 0
    assert [row["problem"] for row in scores(tmp_path / "all")["rows"]] == [None, None]


@pytest.mark.slow
def test_a_cell_that_fails_is_named_and_the_others_go_on(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate = run._run

    def fail(cell: Any, *rest: Any) -> None:
        if cell.name == "plain@0.5":
            raise RuntimeError("CUDA out of memory")
        evaluate(cell, *rest)

    monkeypatch.setattr(run, "_run", fail)
    assert sweep(tmp_path / "sweep", encodings="plain,number", fps="0.5") == 1
    assert "plain@0.5: RuntimeError: CUDA out of memory" in capsys.readouterr().out
    rows = scores(tmp_path / "sweep")["rows"]
    assert rows[0]["metrics"] == {}
    assert rows[1]["metrics"]["mIoU"] > 0
    assert rows[1]["difference"] is None  # there is nothing to compare with
    monkeypatch.undo()


@pytest.mark.slow
def test_a_sweep_that_is_killed_twice_ends_as_one_that_was_not(table: Path, tmp_path: Path) -> None:
    arguments = {"encodings": "plain,number,number+text", "fps": "0.25,0.5,1,2"}
    words = ["--model", "numpro_oracle", "--tasks", "numpro_charades", "--encodings", arguments["encodings"], "--fps", arguments["fps"]]
    out = tmp_path / "killed"
    for finished in (2, 6):
        command = [sys.executable, "-m", "numpro_plugin.cli", "sweep", *words, "-o", str(out)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ) as process:
            while len(list((out / "cells").glob("*/cell.json"))) < finished and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
    assert 6 <= len(list((out / "cells").glob("*/cell.json"))) < 12
    assert sweep(out, **arguments) == 0
    assert sweep(tmp_path / "whole", **arguments) == 0
    assert scores(out) == scores(tmp_path / "whole")


def test_a_dry_run_lists_cells_and_ceilings_and_loads_nothing(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep(tmp_path / "sweep", "--dry-run", "--json", "-", encodings="number,clock", fps="1,2") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["cell"] for one in found] == ["number@1", "clock@1", "number@2", "clock@2"]
    assert found[2]["ceilings"]["numpro_charades"] > found[0]["ceilings"]["numpro_charades"]
    assert "one clock time" in found[3]["problem"]
    assert not (tmp_path / "sweep").exists()


def test_what_cannot_be_evaluated_is_refused_before_anything_runs(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("numpro_plugin.sweep.weights.Weights.fresh", lambda *_: pytest.fail("a model was made"))
    words = ["sweep", "--model", "numpro_oracle", "--encodings", "number", "-o", str(tmp_path / "sweep"), "--tasks"]
    assert main([*words, "numpro_charades,numpro_didemo"]) == 1
    assert "there is no table" in capsys.readouterr().err
    assert main([*words, "numpro_charades,numpro_didemo", "--dry-run"]) == 0
    assert "numpro_didemo: there is no table" in capsys.readouterr().out
    assert main([*words, "numpro_charade"]) == 1
    assert "--tasks numpro_charade is unknown to lmms-eval; did you mean numpro_charades" in capsys.readouterr().err
    assert main([*words, "numpro_charades", "--model", "numpro_oracel"]) == 1
    assert "--model numpro_oracel is unknown to lmms-eval; did you mean numpro_oracle" in capsys.readouterr().err


@pytest.mark.slow
def test_a_cell_says_what_the_model_was_shown_and_what_its_seconds_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "videos").mkdir()
    write_counter_video(tmp_path / "videos" / "mine.mp4", [k * 100 for k in range(200)], rate=10)
    (tmp_path / "queries.jsonl").write_text('{"video": "mine.mp4", "query": "a hat", "start_time": 4, "end_time": 12}\n')
    prepare(BENCHMARKS["custom"], tmp_path / "queries.jsonl", videos=tmp_path / "videos", progress=False)
    manager = task_manager()
    monkeypatch.setattr("lmms_eval.tasks.TaskManager", lambda *_, **__: manager)
    monkeypatch.setenv("NUMPRO_MAX_FRAMES", "4")
    out = tmp_path / "sweep"
    words = ["sweep", "--model_args", f"pretrained={tiny_model_folder()},dtype=float32,max_new_tokens=4", "--tasks", "numpro_custom"]
    assert main([*words, "--encodings", "number,plain,text", "-o", str(out)]) == 0
    records = [json.loads((out / "cells" / f"{name}@0.5" / "cell.json").read_text()) for name in ("number", "plain", "text")]
    assert [record["settings"]["frame_size"] for record in records] == [[48, 48]] * 3  # of the model
    assert [record["planned"]["frame_size"] for record in records] == [[336, 336]] * 3
    assert [record["clips_made"] for record in records] == [1, 0, 0]  # the others find the frames in the cache
    written = json.loads((out / "table.json").read_text())
    assert written["protocol"]["cells"]["text@0.5"]["frame_size"] == [48, 48]
    first, *others = (line for line in (out / "table.md").read_text().splitlines() if line.startswith(("| number", "| plain", "| text")))
    assert r"\* |" in first
    assert not any("*" in line for line in others)
    assert "*: longer by reading videos" in capsys.readouterr().out
    assert "*: longer by reading videos" in (out / "table.tex").read_text()


def test_paired_intervals_come_from_one_resampling_and_agree_with_scipy() -> None:
    rng = np.random.default_rng(1)
    base = rng.random(300) * 100
    values = np.stack([base, base + rng.normal(2, 10, 300), base + 1])
    found = paired_intervals(values, np.random.default_rng(0))
    assert found[0].tolist() == [0, 0]
    assert found[2] == pytest.approx([1, 1])
    expected = bootstrap((values[1] - base,), np.mean, method="percentile", rng=np.random.default_rng(2)).confidence_interval
    assert found[1] == pytest.approx([expected.low, expected.high], abs=0.12)
    assert paired_intervals(values[[0, 1]], np.random.default_rng(0))[1] == pytest.approx(found[1])
