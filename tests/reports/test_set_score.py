from __future__ import annotations

import json

import pytest
from support.todays import TODAYS, vue_tr_row, write_one, write_todays

from numpro_plugin import NumProError, NumProSettings
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.cli.main import main
from numpro_plugin.harness.results import set_results
from numpro_plugin.metrics.sets import set_iou, set_scores
from numpro_plugin.reports.compare import compare_runs
from numpro_plugin.reports.score import score_moments
from numpro_plugin.reports.sets.score import score_sets

TRUTHS = [[[4, 8], [20, 24]], [], [[1, 2]], [[0, 9]]]


@pytest.fixture
def truth(tmp_path):
    rows = [vue_tr_row(k, truth) for k, truth in enumerate(TRUTHS)] + [vue_tr_row(9, [[1, 2]], "audio")]
    return write_one(tmp_path, "vue_tr", "VUE-TR_ground_truth.json", rows)


def result(number, spans):
    """A row of VUE-TR's result files."""
    return {"query_id": number, "video_id": "AAAAAAAAAAA", "duration": 60.5, "query": "q", "answer": spans, "task": "temporal_retrieval"}


def test_vue_trs_results(tmp_path, truth):
    rows = [result(0, [[4, 8], [20, 28]]), result(1, []), result(0, [[0, 1]]), result(9, [[1, 2]]), result(3, [[3, 1]])]
    path = write_one(tmp_path, "p", "results_Vidi.json", rows)
    found = score_sets(path, truth)
    assert found.metrics == pytest.approx(set_scores([8 / 12, 1, 0, 0]))
    assert found.counts == {
        **{"queries": 4, "not predicted": 1, "repeated": 1, "without truth": 1},
        **{"not understood": 0, "failed requests": 0},
    }
    table, _ = prepare(BENCHMARKS["vue_tr"], truth, progress=False)
    assert score_sets(path, table).metrics == found.metrics


def test_responses_in_frames_and_failures(tmp_path, truth):
    failed = "[LMMS_EVAL_REQUEST_FAILED after 3 retries] x"
    answers = ["[[2, 4], [12, 10]]", "There is no such moment in the video. []", "I cannot tell.", failed]
    path = write_one(tmp_path, "p", "own.jsonl", [{"qid": str(k), "response": answer} for k, answer in enumerate(answers)])
    found = score_sets(path, truth)
    assert found.metrics["mIoU_set"] == pytest.approx(50)
    assert (found.counts["not understood"], found.counts["failed requests"]) == (1, 1)
    assert score_sets(path, truth, fps=1).metrics["mIoU_set"] == pytest.approx(25 * (1 + set_iou([[2, 4], [10, 12]], TRUTHS[0])))


def test_logged_samples_state_the_truth_an_empty_one_too(tmp_path):
    logged = [
        {"id": str(k), "query": "q", "fps": 0.5, "duration_s": 60.5, "truth_s": one, "set_iou": 0.0} for k, one in enumerate(TRUTHS[:2])
    ]
    rows = [{"numpro": one, "filtered_resps": [answer]} for one, answer in zip(logged, ["[[2, 4]]", "[]"], strict=True)]
    path = write_one(tmp_path, "p", "samples_numpro_vue_tr.jsonl", rows)
    assert score_sets(path).metrics["mIoU_set"] == pytest.approx(75)


@pytest.mark.parametrize(("name", "key"), [("momentseeker", "0"), ("ego4d_nlq", "9f:0")])
def test_the_other_official_files_are_truth(tmp_path, name, key):
    files = write_todays(tmp_path)
    spans = BENCHMARKS[name].read_annotations(files[name])[0].spans_s
    path = write_one(tmp_path, "p", "own.jsonl", [{"qid": key, "pred_relevant_windows": [[*one, 0.5] for one in spans]}])
    assert score_sets(path, files[name]).metrics["mIoU_set"] == pytest.approx(100)
    assert TODAYS[name][0] == files[name].name


def test_as_a_command(tmp_path, truth, capsys):
    path = write_one(tmp_path, "p", "results_Vidi.json", [result(k, spans) for k, spans in enumerate(TRUTHS)])
    assert main(["score", "set", str(path), "--truth", str(truth), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == {"R1_set@0.3": 100, "R1_set@0.5": 100, "R1_set@0.7": 100, "mIoU_set": 100}
    assert main(["score", "set", str(path), "--truth", str(truth), "--compatible", "timelens"]) != 0
    assert "there is one rule for sets" in capsys.readouterr().err


def test_no_truth_and_no_spans(tmp_path, truth):
    path = write_one(tmp_path, "p", "results_Vidi.json", [result(77, [[1, 2]])])
    with pytest.raises(NumProError, match="states no truth; give --truth FILE"):
        score_sets(path)
    with pytest.raises(NumProError, match="has none of the 1 queries"):
        score_sets(path, truth)
    path = write_one(tmp_path, "p", "own.jsonl", [{"qid": "0", "pred_saliency_scores": [0.1]}])
    with pytest.raises(NumProError, match=r"own.jsonl: id '0' predicts no spans"):
        score_sets(path, truth)
    with pytest.raises(NumProError, match="must be a number above 0"):
        score_sets(path, truth, fps=0)


def test_two_runs_of_sets_are_compared_by_their_sets(tmp_path):
    """A query without a true span has no scores of single spans, so these are no metric of the run."""
    paths = []
    for name, answers in (("a", ["[[2, 4], [10, 12]]", "[]"]), ("b", ["[[2, 4]]", "[[1, 2]]"])):
        rows = []
        for k, (truth, answer) in enumerate(zip(TRUTHS[:2], answers, strict=True)):
            doc = {"id": str(k), "video": "v", "query": "q", "duration_s": 60.5, "spans_s": truth}
            scores = set_results(doc, [answer], NumProSettings(), video_problem=None)
            rows.append({"doc_id": k, "filtered_resps": [answer], **scores})
        paths.append(write_one(tmp_path, name, "samples_numpro_vue_tr.jsonl", rows))
    found = compare_runs(*paths)
    assert {one.metric: (one.a, one.b) for one in found.differences} == {
        **{"R1_set@0.3": (100, 50), "R1_set@0.5": (100, 50), "R1_set@0.7": (100, 0), "mIoU_set": (100, 25)},
        **{"parse_fail": (0, 0), "request_fail": (0, 0)},
    }
    assert [(key, a, b) for key, _, a, b in found.changed] == [("1", 100, 0), ("0", 100, 50)]
    assert score_sets(paths[1]).metrics["mIoU_set"] == pytest.approx(25)
    moments = score_moments(paths[1])
    assert (moments.metrics["mIoU"], moments.counts["queries"]) == (100, 1)  # of the first span, where there is a true one
