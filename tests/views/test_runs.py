"""Runs are read from lmms-eval's folders, of this version and older ones, also while they are being written."""

from __future__ import annotations

import json

import pytest
from support.logs import highlight_sample, moment_sample, write_run

from numpro_plugin.errors import NumProError
from numpro_plugin.views.runs import read_runs


def test_samples_and_protocol(runs_folder, video):
    first, second = read_runs([str(runs_folder / "first"), str(runs_folder / "second")])
    assert (first.name, second.name) == ("base", "tuned")
    assert first.benchmark == "custom"
    sample = first.samples["q1"]
    assert (sample.truth_s, sample.span_s, sample.score) == ([(2.0, 6.0)], (2.0, 4.0), 50.0)
    assert sample.video == str(video)
    assert sample.settings is not None
    assert sample.settings.frame_size == (64, 64)
    assert first.seconds == 12.5
    assert "numpro_version" in first.protocol
    assert "verysecret" not in json.dumps(first.protocol)
    failed = second.samples["q3"]
    assert failed.failure is not None
    assert failed.metrics["request_fail"] == 100


def test_runs_of_one_name_are_told_apart(tmp_path, video):
    sample = moment_sample("q", str(video), "a door", truth=(0, 1), span=(0, 1))
    write_run(tmp_path / "x", "numpro_custom", [sample])
    write_run(tmp_path / "y", "numpro_custom", [sample])
    write_run(tmp_path / "y", "numpro_custom_plain", [sample])
    names = [run.name for run in read_runs([str(tmp_path / "x"), str(tmp_path / "y"), f"mine={tmp_path / 'x'}"])]
    assert names == ["model-7b (x)", "model-7b (y)", "model-7b without numbers", "mine"]


def test_the_newest_log_of_a_task_is_taken(tmp_path, video):
    for date, query in (("20260101_000000", "old"), ("20260301_000000", "new")):
        write_run(tmp_path, "numpro_custom", [moment_sample("q", str(video), query, truth=(0, 1), span=None)], date=date)
    (run,) = read_runs([str(tmp_path)])
    assert run.samples["q"].query == "new"


def test_a_log_whose_name_begins_with_a_word_has_its_task_and_protocol(tmp_path, video):
    write_run(tmp_path, "numpro_custom", [moment_sample("q", str(video), "a door", truth=(0, 1), span=None)], date="demo")
    (run,) = read_runs([str(tmp_path)])
    assert (run.task, run.benchmark, run.notes) == ("numpro_custom", "custom", [])
    assert run.protocol


def test_a_log_that_is_still_being_written(runs_folder):
    log = next((runs_folder / "first").glob("*samples*"))
    log.write_text(log.read_text()[:-40])
    next((runs_folder / "first").glob("*results*")).unlink()
    (run,) = read_runs([str(runs_folder / "first")])
    assert list(run.samples) == ["q1", "q2"]
    assert any("still being written" in note for note in run.notes)
    assert any("no results file" in note for note in run.notes)


def test_damage_elsewhere_is_an_error(runs_folder):
    log = next((runs_folder / "first").glob("*samples*"))
    lines = log.read_text().splitlines()
    log.write_text("\n".join([lines[0], lines[1][:-40], lines[2]]) + "\n")
    with pytest.raises(NumProError, match=r"samples_numpro_custom\.jsonl:2"):
        read_runs([str(runs_folder / "first")])


def test_what_an_older_version_did_not_log_is_missing(tmp_path, video):
    row = moment_sample("q", str(video), "a door", truth=(0, 1), span=(0, 1))
    row["numpro"] = {"id": "q", "query": "a door", "settings": {"made_up": 1}}
    write_run(tmp_path, "numpro_custom", [row])
    (run,) = read_runs([str(tmp_path)])
    sample = run.samples["q"]
    assert (sample.video, sample.settings, sample.truth_s) == ("", None, [])


def test_highlights(tmp_path, video):
    write_run(tmp_path, "numpro_qvhighlights_hd", [highlight_sample("q", str(video), "a goal")])
    (run,) = read_runs([str(tmp_path)])
    sample = run.samples["q"]
    assert run.kind == "highlight"
    assert sample.truth_s == [(2.0, 6.0)]  # clips 1 and 2 follow each other
    assert sample.saliency == [0.0, 4.0, 3.0, 0.0, 0.0]
    assert sample.highlights == [(2.0, 4.5), (4.0, 3.0)]
    assert sample.score == 75.0


def test_folders_without_a_run_are_named(tmp_path):
    with pytest.raises(NumProError, match=r"nix: does not exist; give an output folder"):
        read_runs([str(tmp_path / "nix")])
    (tmp_path / "20260101_000000_samples_mmlu.jsonl").write_text("{}\n")
    with pytest.raises(NumProError, match=r"no samples of a NumPro task \(found: mmlu\).*--log_samples"):
        read_runs([str(tmp_path)])
