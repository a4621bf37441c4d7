"""The oracle in other encodings: it answers in the asked unit with marks that are shown, so it reaches the ceiling in each."""

from __future__ import annotations

import csv

import pytest
from support.harness import evaluate
from support.videos import write_counter_video

from numpro_plugin import NumProError
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.encoding import parse_encoding
from numpro_plugin.reports.ceiling import ceilings

CHARADES = BENCHMARKS["charades"]
ENCODINGS = ["native", "seconds", "clock", "grid", "drawn=number,answer=clock"]
LINES = [f"V{k % 7} {k * 1.3 % 20:.1f} {k * 1.3 % 20 + 1 + k % 9 * 1.1:.1f}##a person does thing {k}." for k in range(40)]


@pytest.fixture
def table(tmp_path):
    """40 queries about seven videos that are not there."""
    (tmp_path / "test.txt").write_text("\n".join(LINES) + "\n")
    with (tmp_path / "durations.csv").open("w") as file:
        csv.writer(file).writerows([("id", "length"), *((f"V{k}", 27.3 + k) for k in range(7))])
    return prepare(CHARADES, tmp_path / "test.txt", durations=tmp_path / "durations.csv", progress=False)[0]


def scores(results, task="numpro_charades"):
    return {name: results["results"][task][f"{name},none"] for name in ("R@0.3", "R@0.5", "R@0.7", "mIoU")}


@pytest.mark.slow
@pytest.mark.parametrize("name", ENCODINGS)
def test_the_oracle_reaches_the_ceiling_of_its_encoding(table, name, monkeypatch):
    monkeypatch.setenv("NUMPRO_ENCODING", name)
    monkeypatch.setenv("NUMPRO_FPS", "0.4")  # clocks cut every other time
    results = evaluate("numpro_oracle", ["numpro_charades"])
    samples = results["samples"]["numpro_charades"]
    encoding = parse_encoding(name)
    if not encoding.shows_time:
        assert {sample["filtered_resps"][0] for sample in samples} == {
            "There are no numbers on the frames." if encoding.answer == "frames" else "There are no times on the frames."
        }
        assert results["results"]["numpro_charades"]["parse_fail,none"] == 100
        return
    assert scores(results) == pytest.approx(ceilings(table, [0.4], encoding=encoding)[0.4])
    assert {sample["numpro"]["unit"] for sample in samples} == {encoding.answer}
    assert results["results"]["numpro_charades"]["parse_fail,none"] == 0


@pytest.mark.parametrize(("name", "complaint"), [("bar", "too narrow for a bar with times such as"), ("clock", "so it cannot be read")])
def test_marks_that_do_not_fit_the_frames_are_refused_before_anything_runs(table, name, complaint, monkeypatch):
    monkeypatch.setenv("NUMPRO_ENCODING", name)
    monkeypatch.setenv("NUMPRO_FRAME_SIZE", "40x336")
    with pytest.raises(NumProError, match=complaint):
        evaluate("numpro_oracle", ["numpro_charades"])


@pytest.mark.slow
def test_it_reads_the_frames_that_the_clip_shows(tmp_path, monkeypatch):
    (tmp_path / "videos").mkdir()
    write_counter_video(tmp_path / "videos" / "V0.mp4", [k * 100 for k in range(295)], rate=10)
    (tmp_path / "test.txt").write_text("V0 4.0 12.5##a person opens a door.\nV0 20.0 29.5##a person sits down.\n")
    table, _ = prepare(CHARADES, tmp_path / "test.txt", videos=tmp_path / "videos", progress=False)
    for name in ("text", "bar"):
        monkeypatch.setenv("NUMPRO_ENCODING", name)
        found = evaluate("numpro_oracle", ["numpro_charades", "numpro_charades_native"])
        assert [sample["filtered_resps"][0] for sample in found["samples"]["numpro_charades"]] == [
            "The event happens in 4 - 12 seconds.",
            "The event happens in 20 - 28 seconds.",
        ]
        assert scores(found) == pytest.approx(ceilings(table, [0.5], encoding=parse_encoding(name))[0.5])
        assert found["results"]["numpro_charades_native"]["parse_fail,none"] == 100
