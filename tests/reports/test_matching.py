"""Repeated ids, rows that state their own truth, and truth files that do not fit."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.annotations import QVHIGHLIGHTS, write_official

from numpro_plugin import NumProError
from numpro_plugin.metrics.windows import average_precision
from numpro_plugin.reports.score import score_highlights, score_moments


def write(path, content):
    path.write_text(json.dumps(content) if path.suffix == ".json" else "".join(json.dumps(row) + "\n" for row in content))
    return path


def moment(key, first, last, start, end, **more):
    return {"id": key, "response": f"From Frame {first} to Frame {last}.", "gt_start": start, "gt_end": end, **more}


def test_rows_of_one_video_are_queries_of_their_own(tmp_path):
    path = write(tmp_path / "p.json", [moment("v", 2, 4, 4, 8), moment("v", 2, 4, 12, 18), moment("v", 0, 1, 4, 8)])
    score = score_moments(path)
    assert (score.metrics["mIoU"], score.counts["queries"], score.counts["repeated"]) == (50, 2, 1)
    assert score_moments(path, compatible="numpro").counts["queries"] == 3
    assert score_moments(path, compatible="numpro").metrics["mIoU"] == pytest.approx(100 / 3)


def test_of_a_repeated_id_each_script_counts_its_row(tmp_path):
    files = write_official(tmp_path)
    windows = [[[4, 8, 0.9], [14, 18, 0.2]], [[0, 1, 0.5]]]
    path = write(tmp_path / "p.jsonl", [{"qid": 11, "pred_relevant_windows": each} for each in windows])
    assert score_moments(path, files["qvhighlights"], compatible="timechat").metrics["R@0.5"] == 0
    score = score_moments(path, files["qvhighlights"], compatible="moment_detr")
    assert score.metrics["MR-full-R1@0.5"] == 0
    gathered = average_precision([np.array([*windows[0], *windows[1]], dtype=float)], [np.array([[4, 8], [14, 18]])])
    assert score.metrics["MR-full-mAP"] == pytest.approx(100 * gathered.mean())
    twice = [{"qid": 11, "pred_saliency_scores": each} for each in ([0] * 7 + [5, 0, 0], [5] + [0] * 9)]
    path = write(tmp_path / "s.jsonl", twice)
    hits = [
        score_highlights(path, files["qvhighlights"], compatible=name).metrics["HL-min-Fair-Hit1"] for name in ("timechat", "moment_detr")
    ]
    assert hits == [0, 0]


def test_timechat_scores_reversed_windows_nothing_but_orders_words(tmp_path):
    truth = write(tmp_path / "gt.json", {"annotations": [{"id": 0, "image_id": "a.mp4", "caption": "q", "timestamp": [4.0, 8.0]}]})
    path = write(tmp_path / "p.json", {"0": {"timestamp": [[8.0, 4.0]], "query": "q"}})
    assert score_moments(path, truth).metrics["mIoU"] == 100
    assert score_moments(path, truth, compatible="timechat").metrics["mIoU"] == 0
    assert score_moments(write(tmp_path / "w.json", [moment(0, 4, 2, 4, 8)]), compatible="timechat").metrics["mIoU"] == 100


@pytest.mark.parametrize(("start", "added"), [(1, "-1"), (-1, r"\+1")])
def test_ids_that_count_from_another_start_are_refused(tmp_path, start, added):
    spans = [(4, 8), (10, 14), (20, 26)]
    truth = tmp_path / "charades_sta_test.txt"
    truth.write_text("".join(f"AAAAA {a}.0 {b}.0##query {k}.\n" for k, (a, b) in enumerate(spans)))
    path = write(tmp_path / "p.json", [moment(k + start, a // 2, b // 2, a, b) for k, (a, b) in enumerate(spans)])
    assert score_moments(path).metrics["mIoU"] == 100
    with pytest.raises(NumProError, match=rf"contradicts .*every row would fit with {added} added to its id.*omit --truth"):
        score_moments(path, truth)


def test_one_contradiction_is_enough_and_rounding_is_none(tmp_path):
    truth = tmp_path / "charades_sta_test.txt"
    truth.write_text("AAAAA 24.3 30.4##one.\nAAAAA 4.0 8.0##two.\n")
    path = write(tmp_path / "p.json", [moment(0, 12, 15, 24.296875, 30.40625), moment(1, 2, 4, 4, 8)])
    assert score_moments(path, truth).counts["queries"] == 2
    write(path, [moment(0, 12, 15, 24.3, 30.4), moment(1, 2, 4, 4, 9)])
    with pytest.raises(NumProError, match="1 of 2 shared ids differ .id 1: 4 - 8 s in the truth file, 4 - 9 s in the predictions"):
        score_moments(path, truth)


def test_failed_requests_are_counted_and_score_nothing(tmp_path):
    texts = ["[LMMS_EVAL_REQUEST_FAILED] 503: from 0 to 1", None, "", "From Frame 0 to Frame 1."]
    path = write(tmp_path / "p.json", [{**moment(k, 0, 1, 0, 2), "response": text} for k, text in enumerate(texts)])
    score = score_moments(path)
    assert (score.metrics["mIoU"], score.counts["failed requests"], score.counts["not understood"]) == (25, 2, 1)
    files = write_official(tmp_path)
    path = write(tmp_path / "h.json", [{"qid": 12, "pred": "[LMMS_EVAL_REQUEST_FAILED] The highlight frames are in the 0 frames."}])
    score = score_highlights(path, files["qvhighlights"])
    assert (score.metrics["HL-min-Fair-Hit1"], score.counts["failed requests"]) == (0, 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"clips": 9}, "10 clips in the truth file, 9 in the predictions"),
        (
            {"saliency_scores": [[4, 3, 4], [2, 2, 1], [4, 4, 0], [0, 1, 2]]},
            "clip 7 has scores 4, 4, 4 in the truth .* 4, 4, 0 in the pred",
        ),
        ({"relevant_clip_ids": [2, 3, 6, 8]}, "clip 6 has scores of no annotator in the truth file, 4, 4, 4 in the predictions"),
    ],
)
def test_a_highlight_logs_own_saliency_is_compared_with_the_truth_file(tmp_path, changes, words):
    files = write_official(tmp_path)
    truth = QVHIGHLIGHTS[0]
    stated = {name: truth[name] for name in ("relevant_clip_ids", "saliency_scores")}
    text = "The highlight frames are in the 2, 7 frames. Their saliency scores are 4.0, 4.0."
    for change, fits in (({}, True), (changes, False)):
        logged = {"id": "11", "query": truth["query"], "clips": 10, **stated, **change}
        path = write(tmp_path / "samples.jsonl", [{"numpro": logged, "filtered_resps": [text]}])
        assert score_highlights(path).counts["queries"] == 1
        if fits:
            assert score_highlights(path, files["qvhighlights"]).counts["not predicted"] == 1
            continue
        with pytest.raises(NumProError, match=f"contradicts .*: 1 of 1 shared ids differ .id 11: {words}.*omit --truth"):
            score_highlights(path, files["qvhighlights"])


def test_queries_of_a_truth_file_without_a_span_are_left_out(tmp_path):
    truth = tmp_path / "mine.csv"
    truth.write_text("video,query,start_time,end_time\na.mp4,one,4,8\na.mp4,two,,\n")
    path = write(tmp_path / "p.jsonl", [{"qid": k, "pred_relevant_windows": [[4, 8]]} for k in (0, 1)])
    score = score_moments(path, truth)
    assert (score.metrics["mIoU"], score.counts["queries"], score.counts["without truth"]) == (100, 1, 1)
    truth.write_text("video,query\na.mp4,one\n")
    with pytest.raises(NumProError, match="none of its 1 queries has an annotated span"):
        score_moments(path, truth)


def test_truth_in_the_forms_in_which_the_field_passes_it_on(tmp_path):
    rows = [{"video": "AAAAA.mp4", "caption": "a lamp.", "timestamp": [4.0, 8.0], "split": "test"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "charades.parquet")
    (tmp_path / "charades.csv").write_text('video,caption,timestamp\nAAAAA.mp4,a lamp.,"[4.0, 8.0]"\n')
    path = write(tmp_path / "p.jsonl", [{"qid": 0, "pred_relevant_windows": [[4, 8]]}])
    for name in ("charades.parquet", "charades.csv"):
        assert score_moments(path, tmp_path / name).metrics["mIoU"] == 100
    pq.write_table(pa.Table.from_pylist([{"spans_s": [[1.0, 2.0]], "id": "0"}]), tmp_path / "other.parquet")
    with pytest.raises(NumProError, match="other.parquet: is not a prepared table"):
        score_moments(path, tmp_path / "other.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(NumProError, match="broken.parquet: cannot be read as parquet"):
        score_moments(path, tmp_path / "broken.parquet")


@pytest.mark.shared
def test_handed_cases(shared):
    cases = shared / "cases/files"
    with pytest.raises(NumProError, match="contradicts"):
        score_moments(cases / "m2_ids_from_one.json", cases / "m2_truth_test.txt")
    assert score_moments(cases / "m2_ids_from_one.json").metrics["mIoU"] == 100
    assert score_moments(cases / "m3_numpro_same_id.json").metrics["mIoU"] == 50
    reversed_, truth = cases / "m3_timechat_reversed.json", cases / "m3_timechat_truth.json"
    assert score_moments(reversed_, truth, compatible="timechat").metrics["mIoU"] == 0
    for name in ("m5_saliency_string", "m5_windows_flat", "m5_windows_none", "win_3", "fpsstr"):
        with pytest.raises(NumProError, match=f"{name}.jsonl:1: "):
            score_moments(cases / f"{name}.jsonl", cases / "truth_m.jsonl")
    assert score_moments(cases / "failed.jsonl").counts["failed requests"] == 1
