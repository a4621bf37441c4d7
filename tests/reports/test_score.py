from __future__ import annotations

import gzip
import json

import pytest
from support.annotations import QVHIGHLIGHTS, write_official

from numpro_plugin import NumProError
from numpro_plugin.reports.score import score_highlights, score_moments


def write(path, content):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    else:
        path.write_text(json.dumps(content))
    return path


@pytest.fixture
def official(tmp_path):
    return write_official(tmp_path)


NUMPRO = [
    {"id": 0, "video": "a.mp4", "query": "x", "response": "From Frame 3 to Frame 9.", "gt_start": 6.0, "gt_end": 18.0, "duration": 30},
    {"id": 1, "video": "a.mp4", "query": "y", "response": "From frame 9 to frame 3", "gt_start": 6.0, "gt_end": 18.0, "duration": 30},
    {"id": 2, "video": "a.mp4", "query": "z", "response": "frames 3 - 9", "gt_start": 6.0, "gt_end": 18.0, "duration": 30},
    {"id": 3, "video": "a.mp4", "query": "w", "response": None, "gt_start": 6.0, "gt_end": 18.0, "duration": 30},
]


def test_numpros_list(tmp_path):
    path = write(tmp_path / "r.json", NUMPRO)
    score = score_moments(path)
    assert score.metrics["mIoU"] == 75
    assert score.counts == {"queries": 4, "not predicted": 0, "repeated": 0, "without truth": 0, "not understood": 0, "failed requests": 1}
    assert score_moments(path, compatible="timechat").metrics["mIoU"] == 50
    assert score_moments(path, compatible="numpro").metrics["mIoU"] == 25


def test_missing_repeated_and_unknown_are_counted(tmp_path, official):
    predictions = {"0": {"timestamp": [[4, 12]], "query": "a person opens a door.", "vid": "AAAAA.mp4"}, "9": {"timestamp": [[0, 1]]}}
    official["charades"].write_text("AAAAA 4.0 12.0##a person opens a door.\nAAAAA 1.0 2.0##a person sits.\n")
    score = score_moments(write(tmp_path / "tvg.json", predictions), official["charades"])
    assert score.metrics["mIoU"] == 50
    assert score.counts == {"queries": 2, "not predicted": 1, "repeated": 0, "without truth": 1, "not understood": 0, "failed requests": 0}
    assert score_moments(tmp_path / "tvg.json", official["charades"], compatible="timechat").metrics["mIoU"] == 100
    twice = write(
        tmp_path / "twice.jsonl", [{"qid": 11, "pred_relevant_windows": [[4, 8, 1.0]]}, {"qid": 11, "pred_relevant_windows": [[0, 1, 1.0]]}]
    )
    score = score_moments(twice, official["qvhighlights"])
    assert score.counts["repeated"] == 1
    assert score.metrics["mIoU"] == 50


def test_didemo_counts_three_annotators(tmp_path, official):
    score = score_moments(write(tmp_path / "p.jsonl", [{"qid": 7, "pred_relevant_windows": [[5, 15, 1.0]]}]), official["didemo"])
    assert score.metrics["mIoU"] == pytest.approx(100 * (1 + 1 + 0) / 3 / 2)


def test_moment_detr_submission(tmp_path, official):
    rows = [
        {
            "qid": 11,
            "vid": "x",
            "pred_relevant_windows": [[4, 8, 0.9], [14, 18, 0.8]],
            "pred_saliency_scores": [0, 0, 4, 3, 0, 0, 0, 5, 1, 0],
        },
        {
            "qid": 12,
            "vid": "x",
            "pred_relevant_windows": [[10, 14, 0.9], [0, 4, 0.8]],
            "pred_saliency_scores": [3, 2, 0, 0, 0, 0, 0, 0, 0, 0],
        },
    ]
    path = write(tmp_path / "submission.jsonl", rows)
    score = score_moments(path, official["qvhighlights"])
    assert score.metrics["MR-full-mAP"] == pytest.approx(75)
    assert score.metrics["R@0.5"] == 50
    highlights = score_highlights(path, official["qvhighlights"])
    assert highlights.metrics["HL-min-VeryGood-Hit1"] == 50
    assert highlights.metrics["HL-min-Good-Hit1"] == 100


def test_highlight_answers(tmp_path, official):
    rows = [
        {
            "qid": 11,
            "query": QVHIGHLIGHTS[0]["query"],
            "pred": "The highlight frames are in the 2, 3, 7 frames. Their saliency scores are 4.7, 2.0, 5.0.",
        },
        {"qid": 12, "query": QVHIGHLIGHTS[1]["query"], "pred": ["I do not know."]},
    ]
    score = score_highlights(write(tmp_path / "hd.json", rows), official["qvhighlights"])
    assert score.counts["not understood"] == 1
    assert score.metrics["HL-min-VeryGood-Hit1"] >= 50
    shifted = score_highlights(tmp_path / "hd.json", official["qvhighlights"], compatible="numpro")
    assert shifted.metrics["HL-min-VeryGood-Hit1"] < score.metrics["HL-min-VeryGood-Hit1"]


def test_a_query_without_highlight_prediction_scores_nothing(tmp_path, official):
    path = write(tmp_path / "s.jsonl", [{"qid": 11, "pred_saliency_scores": [0] * 10}])
    both = score_highlights(path, official["qvhighlights"])
    assert both.counts["not predicted"] == 1
    assert both.metrics["HL-min-Fair-Hit1"] == 0  # query 12 has a highlight at clip 0, but nobody predicted it


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.json", '[{"id": 1, "respon', ":1: is not JSON"),
        ("p.jsonl", '{"qid": 1, "pred_relevant_windows": []}\n{"qid": 2\n', ":2: is not JSON"),
        ("p.jsonl", '{"a": 1}\n', ":1: is not a prediction of a known layout (keys: a)"),
        ("p.csv", "id,response\n1,x\n", "predictions are JSON or JSON lines (.json, .jsonl, .gz may follow), not csv"),
        ("p.JSONL", '{"a": 1}\n', ":1: is not a prediction of a known layout (keys: a)"),
        ("p.json", '{"a": 1}', "is not a prediction file of a known layout"),
        ("p.json", '{"1": {"timestamp": [5]}}', "timestamp must be a list of [start, end]"),
        ("p.json", '[{"id": 1, "response": "x", "gt_start": -1, "gt_end": 2}]', ":0: -1 must be 0 seconds or more"),
    ],
)
def test_broken_predictions_are_named(tmp_path, official, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(NumProError) as error:
        score_moments(tmp_path / name, official["qvhighlights"])
    assert message in str(error.value)
    assert str(tmp_path / name) in str(error.value)


def test_not_utf8(tmp_path, official):
    (tmp_path / "p.jsonl").write_bytes(b'{"qid": 1, "query": "caf\xe9"}\n')
    with pytest.raises(NumProError, match=r"p\.jsonl:1: is not UTF-8"):
        score_moments(tmp_path / "p.jsonl", official["qvhighlights"])


def test_truth_is_needed_and_must_be_of_the_split(tmp_path, official):
    path = write(tmp_path / "p.json", {"0": {"timestamp": [[1, 2]], "query": "something else entirely"}})
    with pytest.raises(NumProError, match="give --truth FILE"):
        score_moments(path)
    with pytest.raises(NumProError, match="is of another split .*'a person opens a door.'.*'something else entirely'"):
        score_moments(path, official["charades"])
    other = write(tmp_path / "o.json", {"77": {"timestamp": [[1, 2]]}})
    with pytest.raises(NumProError, match="none of the 1 ids .*'77'"):
        score_moments(other, official["charades"])
    with pytest.raises(NumProError, match="no saliency scores; give --truth"):
        score_highlights(write(tmp_path / "h.json", [{"qid": 0, "pred": ""}]), official["charades"])


def test_truth_with_repeated_ids_is_refused(tmp_path, official):
    rows = [QVHIGHLIGHTS[0], QVHIGHLIGHTS[0]]
    with pytest.raises(NumProError, match=r"1 ids occur more than once \(11\)"):
        score_moments(write(tmp_path / "p.jsonl", [{"qid": 11, "pred_relevant_windows": []}]), write(tmp_path / "t.jsonl", rows))


def test_wild_predictions_never_raise(tmp_path, official):
    wild = [[5, 1, 1.0], [float("nan"), 3, 1.0], [0, float("inf"), 0.5], [-9, -3, 2.0]]
    path = write(tmp_path / "p.jsonl", [{"qid": 11, "pred_relevant_windows": wild, "pred_saliency_scores": [float("nan")] * 10}])
    assert all(0 <= value <= 100 for value in score_moments(path, official["qvhighlights"]).metrics.values() if value == value)
    assert score_highlights(path, official["qvhighlights"]).metrics["HL-min-Fair-Hit1"] == 0


def test_predictions_that_are_no_times_are_counted(tmp_path, official):
    """What comes first is the prediction; NaN further down only costs precision."""
    rows = [
        {"qid": 11, "pred_relevant_windows": [[float("nan"), 3, 1.0], [5, 9, 0.5]], "pred_saliency_scores": [float("nan")] * 10},
        {"qid": 12, "pred_relevant_windows": [[5, 9, 1.0], [float("nan"), 3, 0.5]], "pred_saliency_scores": [0.5] * 10},
    ]
    path = write(tmp_path / "p.jsonl", rows)
    assert score_moments(path, official["qvhighlights"]).counts["not understood"] == 1
    assert score_highlights(path, official["qvhighlights"]).counts["not understood"] == 1


def rounded(metrics, names):
    return {name: round(metrics[name], 2) for name in names}


@pytest.mark.shared
def test_golden_numpro_moments(shared):
    folder = shared / "golden/metrics/numpro_mr_synthetic/dev"
    score = score_moments(folder / "input.json", compatible="numpro")
    assert (
        rounded(score.metrics, ["R@0.3", "R@0.5", "R@0.7", "mIoU"])
        == json.loads((folder / "expected.json").read_text())["metrics_mr_py_stdout"]
    )


@pytest.mark.shared
def test_golden_timechat_tvg(shared):
    folder = shared / "golden/metrics/timechat_tvg_example"
    score = score_moments(folder / "example_pred_file.json", folder / "example_gt_file.json.gz", compatible="timechat")
    expected = json.loads((folder / "expected.json").read_text())
    assert {f"IOU {t}": round(score.metrics[f"R@{t}"], 2) for t in ("0.3", "0.5", "0.7")} == {
        k: v for k, v in expected.items() if k.startswith("IOU")
    }
    assert (score.counts["queries"], score.counts["not understood"]) == (500, 280)


@pytest.mark.shared
@pytest.mark.slow
def test_golden_timechat_vhd(shared):
    folder = shared / "golden/metrics/timechat_vhd_example"
    score = score_highlights(folder / "example_pred_file.json.gz", folder / "example_gt_file.jsonl.gz", compatible="timechat")
    expected = json.loads((folder / "expected.json").read_text())["brief"]
    assert rounded(score.metrics, expected) == expected


@pytest.mark.shared
def test_golden_moment_detr(shared):
    predictions = shared / "golden/metrics/moment_detr_sample/sample_val_preds.jsonl.gz"
    truth = shared / "annotations/qvhighlights/highlight_val_release.jsonl"
    expected = json.loads((shared / "golden/metrics/moment_detr_sample/expected.json").read_text())
    moments = score_moments(predictions, truth, compatible="moment_detr")
    highlights = score_highlights(predictions, truth, compatible="moment_detr")
    assert rounded({**moments.metrics, **highlights.metrics}, expected["brief"]) == expected["brief"]
    for length in ("full", "long", "middle", "short"):
        for kind, table in expected[length].items():
            assert rounded(moments.tables[length][kind], table) == table


@pytest.mark.shared
def test_golden_qvhighlights_moments(shared):
    folder = shared / "golden/metrics/qvhighlights_mr_synthetic/dev"
    expected = json.loads((folder / "expected.json").read_text())
    score = score_moments(folder / "input.json", folder / "gt.jsonl", compatible="moment_detr")
    brief = expected["standalone_eval"]["brief"]
    assert rounded(score.metrics, brief) == brief
    assert {t: round(score.metrics[f"R@{t}"], 2) for t in ("0.3", "0.5", "0.7")} == expected["compute_mr_r1_at_03_05_07"]
    assert score.metrics["mIoU"] == pytest.approx(expected["mIoU"], abs=1e-9)


@pytest.mark.shared
def test_golden_numpro_highlights(shared):
    folder = shared / "golden/metrics/numpro_hd_synthetic/dev"
    expected = json.loads((folder / "expected.json").read_text())["metrics"]["M1_timechat_literal"]
    assert rounded(score_highlights(folder / "input.json", folder / "gt.jsonl", compatible="numpro").metrics, expected) == expected


@pytest.mark.shared
def test_gz_predictions(shared, tmp_path):
    folder = shared / "golden/metrics/numpro_mr_synthetic/dev"
    packed = tmp_path / "input.json.gz"
    packed.write_bytes(gzip.compress((folder / "input.json").read_bytes()))
    assert score_moments(packed).metrics == score_moments(folder / "input.json").metrics
