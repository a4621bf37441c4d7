"""Prediction files whose answers are in seconds or clock times."""

from __future__ import annotations

import json

import pytest

from numpro_plugin.cli.main import main
from numpro_plugin.encoding import PRESETS
from numpro_plugin.reports.score import score_moments
from numpro_plugin.reports.sets.score import score_sets
from numpro_plugin.settings import NumProSettings

TRUTH_S = [6.0, 18.0]


def sample(key, text, encoding, **logged):
    """A line of lmms-eval's log of a NumPro task."""
    settings = NumProSettings(encoding=PRESETS[encoding].encoding)
    numpro = {"id": key, "query": "a door", "video": "a.mp4", "duration_s": 30.0, "fps": 0.5, "settings": settings.to_dict()}
    return {"doc_id": 0, "filtered_resps": [text], "numpro": {**numpro, "truth_s": [TRUTH_S], "reason": "", **logged}}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("encoding", "text", "iou"),
    [
        ("text", "The event happens in 6 - 18 seconds.", 1),
        ("native", "from 00:06 to 00:18", 1),
        ("clock", "00:06 - 00:18", 1),
        ("seconds", "from 6 s to the end", 0.5),
        ("text", "From Frame 3 to Frame 9.", 1),
        ("number", "From Frame 3 to Frame 9.", 1),
        ("number", "6 - 18 seconds", 0),
    ],
)
def test_a_sample_log_is_read_in_the_unit_of_its_encoding(tmp_path, encoding, text, iou):
    log = write(tmp_path / "samples_numpro_charades.jsonl", [sample("1", text, encoding)])
    score = score_moments(log)
    assert score.metrics["mIoU"] == pytest.approx(100 * iou)
    assert score.counts["not understood"] == (iou == 0)


def test_a_plain_file_is_read_in_the_unit_that_is_given(tmp_path, capsys):
    rows = [
        {"id": k, "query": "a door", "response": text, "gt_start": 6.0, "gt_end": 18.0}
        for k, text in enumerate(["6 - 18 s", "00:06-00:18"])
    ]
    file = tmp_path / "answers.json"
    file.write_text(json.dumps(rows))
    assert score_moments(file).metrics["mIoU"] == 0
    assert score_moments(file, unit="seconds").metrics["mIoU"] == 100
    assert main(["score", "moment", str(file), "--unit", "clock", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["mIoU"] == 100
    assert main(["score", "highlight", str(file), "--unit", "seconds"]) != 0
    assert "--unit seconds: highlights are answered in frame numbers" in capsys.readouterr().err


def test_timelens_rule_for_answers_in_words(tmp_path):
    """Its own parser: reversed ends stay and score 0; two loose numbers are a span; frames are no unit."""
    texts = {"6 - 18 seconds": 1, "18 - 6 seconds": 0, "the person enters at 6 and leaves at 18": 1, "no such event": 0}
    for text, iou in texts.items():
        log = write(tmp_path / "samples_numpro_charades.jsonl", [sample("1", text, "native")])
        assert score_moments(log, compatible="timelens").metrics["mIoU"] == 100 * iou, text
    log = write(tmp_path / "samples_numpro_charades.jsonl", [sample("1", "From Frame 3 to Frame 9.", "number")])
    assert score_moments(log, compatible="timelens").metrics["mIoU"] == 100


def test_sets_in_clock_times(tmp_path):
    rows = [
        sample("1", '[["00:06", "00:18"], ["00:20", "00:26"]]', "clock", truth_s=[[6, 18], [20, 26]], set_iou=1.0),
        sample("2", "[]", "text", truth_s=[], set_iou=1.0),
        sample("3", "[[6, 12]]", "text", truth_s=[[6, 18]], set_iou=0.5),
    ]
    score = score_sets(write(tmp_path / "samples_numpro_vue_tr.jsonl", rows))
    assert score.metrics["mIoU_set"] == pytest.approx(100 * 2.5 / 3)
    assert score.counts["not understood"] == 0


def test_an_encoding_that_does_not_exist_is_named_with_its_line(tmp_path, capsys):
    row = sample("1", "6 - 18 s", "text")
    row["numpro"]["settings"]["encoding"]["drawn"] = "runes"
    assert main(["score", "moment", str(write(tmp_path / "samples_numpro_charades.jsonl", [row]))]) != 0
    assert "samples_numpro_charades.jsonl:1: settings: encoding: drawn='runes' is unknown" in capsys.readouterr().err
