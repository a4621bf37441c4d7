from __future__ import annotations

import gzip
import json
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpro_plugin import NumProError
from numpro_plugin.metrics.moments import moment_scores
from numpro_plugin.metrics.windows import THRESHOLDS, average_precision, brief_scores, first_window_iou, window_tables

LENGTHS = {"full": (-math.inf, math.inf), "long": (30, 150), "middle": (10, 30), "short": (0, 10)}

any_float = st.one_of(st.floats(), st.integers(-5, 160).map(float))
seconds = st.one_of(st.floats(0, 150), st.integers(0, 15).map(lambda n: 2.0 * n))
spans = st.tuples(seconds, seconds).map(sorted)
# Scores are few, so that ties are common.
proper = st.lists(st.tuples(spans, st.integers(0, 3)).map(lambda w: [*w[0], w[1]]), max_size=12)
wild = st.one_of(
    st.lists(st.lists(any_float, min_size=3, max_size=3), max_size=12),
    st.lists(st.lists(any_float, min_size=2, max_size=2), max_size=12),
)
reversed_too = st.lists(st.tuples(seconds, seconds, st.integers(0, 3)).map(list), max_size=12)
truths = st.lists(spans, min_size=1, max_size=4)
queries = st.lists(st.tuples(st.one_of(proper, reversed_too), truths), min_size=1, max_size=5)
wild_queries = st.lists(st.tuples(st.one_of(wild, proper), truths), min_size=1, max_size=5)


def window_scores(predictions, truths, *, raw=False):
    return brief_scores(window_tables(predictions, truths, raw=raw))


def plain_iou(a, b, *, raw):
    if not raw and not (all(map(math.isfinite, a)) and a[0] < a[1]):
        return 0.0
    overlap = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    union = (a[1] - a[0]) + (b[1] - b[0]) - overlap
    return overlap / union if union else math.nan if raw else 0.0


def plain_average_precision(windows, true, threshold, *, raw=False):
    free, hits = list(range(len(true))), []
    for window in sorted(windows[:10], key=lambda w: -w[2]):
        overlaps = [(plain_iou(window[:2], true[k], raw=raw), k) for k in free]
        fitting = [(math.inf if math.isnan(iou) else iou, k) for iou, k in overlaps if not iou < threshold]
        hits.append(bool(fitting))
        if fitting:
            free.remove(max(fitting)[1])
    precision = [sum(hits[: k + 1]) / (k + 1) for k in range(len(hits))]
    return sum(max(precision[k:]) for k, hit in enumerate(hits) if hit) / len(true)


@pytest.mark.parametrize("raw", [False, True])
@given(queries)
@pytest.mark.slow
def test_average_precision_against_plain_loops(raw, items):
    got = average_precision(*zip(*items, strict=True), raw=raw)
    assert got.shape == (len(items), len(THRESHOLDS))
    for row, (windows, true) in zip(got, items, strict=True):
        assert row.tolist() == pytest.approx([plain_average_precision(windows, true, t, raw=raw) for t in THRESHOLDS], abs=1e-12)


@given(queries)
@pytest.mark.slow
def test_tables_by_length_against_plain_loops(items):
    tables = window_tables(*zip(*items, strict=True))
    assert list(tables) == list(LENGTHS)
    for name, (low, high) in LENGTHS.items():
        kept = [(windows, [w for w in true if low < w[1] - w[0] <= high]) for windows, true in items]
        kept = [(windows, true) for windows, true in kept if true]
        for threshold in THRESHOLDS:
            found = [max(plain_iou(windows[0][:2], w, raw=False) for w in true) if windows else 0 for windows, true in kept]
            ap = [plain_average_precision(windows, true, threshold) for windows, true in kept]
            table, key = tables[name], f"{threshold:g}"
            if not kept:
                assert math.isnan(table["MR-mAP"][key])
                assert math.isnan(table["MR-R1"][key])
                continue
            assert table["MR-mAP"][key] == pytest.approx(100 * np.mean(ap))
            # The hull and the sum of lengths may differ in the last digit.
            assert (np.array(found) >= threshold + 1e-9).mean() * 100 - 1e-9 <= table["MR-R1"][key]
            assert table["MR-R1"][key] <= (np.array(found) >= threshold - 1e-9).mean() * 100 + 1e-9
        assert table["MR-mAP"]["average"] == pytest.approx(np.mean([table["MR-mAP"][f"{t:g}"] for t in THRESHOLDS]), nan_ok=True)


@given(queries, st.randoms(), st.booleans())
@pytest.mark.slow
def test_order_of_queries_does_not_matter(items, random, raw):
    scores = window_scores(*zip(*items, strict=True), raw=raw)
    random.shuffle(items)
    assert window_scores(*zip(*items, strict=True), raw=raw) == pytest.approx(scores, nan_ok=True)


@given(wild_queries, st.booleans())
@pytest.mark.slow
def test_no_prediction_raises_or_warns_or_leaves_the_scale(items, raw):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tables = window_tables(*zip(*items, strict=True), raw=raw)
        iou = first_window_iou(*zip(*items, strict=True))
    assert ((iou >= 0) & (iou <= 1)).all()
    values = [value for table in tables.values() for column in table.values() for value in column.values()]
    assert all(math.isnan(value) or 0 <= value <= 100 + 1e-9 for value in values)
    assert not any(math.isnan(value) for column in tables["full"].values() for value in column.values())


@given(wild_queries)
def test_windows_that_are_none_never_hit(items):
    broken = [([w for w in windows if not (all(map(math.isfinite, w[:2])) and w[0] < w[1])], true) for windows, true in items]
    assert not average_precision(*zip(*broken, strict=True)).any()
    assert not first_window_iou(*zip(*broken, strict=True)).any()


@given(st.lists(truths.map(lambda true: [w for w in true if w[0] < w[1]]).filter(bool), min_size=1, max_size=5), st.booleans())
def test_perfect_predictions(annotations, raw):
    for predictions in (annotations, [[[*w, 0.5] for w in true] for true in annotations]):
        tables = window_tables(predictions, annotations, raw=raw)
        assert all(value == pytest.approx(100) for column in tables["full"].values() for value in column.values())


def test_only_the_first_ten_as_listed_count_and_the_best_score_goes_first():
    true = [[0, 10], [20, 30]]
    wrong = [[50, 60, 0.5]] * 9
    assert average_precision([[*wrong, [0, 10, 0.9], [20, 30, 1.0]]], [true])[0].tolist() == [0.5] * 10
    assert average_precision([[*wrong, [0, 10, 0.4], [20, 30, 1.0]]], [true])[0].tolist() == [0.05] * 10
    # R@1 goes by the list, not by the score.
    assert first_window_iou([[[50, 60, 0.1], [0, 10, 0.9]]], [true]).tolist() == [0]


def test_scores_may_be_missing_or_nan():
    true = [[0, 10]]
    assert average_precision([[[50, 60], [0, 10]]], [true])[0].tolist() == [0.5] * 10
    assert average_precision([[[50, 60, math.nan], [0, 10, -math.inf]]], [true])[0].tolist() == [0.5] * 10
    assert average_precision([[[50, 60, math.nan], [0, 10, 0.1]], [[0, 10]]], [true] * 2)[0].tolist() == [1] * 10


def test_a_true_window_is_found_once():
    assert average_precision([[[0, 10, 2], [0, 10, 1]]], [[[0, 10], [50, 60]]])[0].tolist() == [0.5] * 10


def test_no_queries_score_nan():
    scores = window_scores([], [])
    assert list(scores) == [
        "MR-full-R1@0.5",
        "MR-full-R1@0.7",
        "MR-full-mAP",
        "MR-full-mAP@0.5",
        "MR-full-mAP@0.75",
        "MR-long-mAP",
        "MR-middle-mAP",
        "MR-short-mAP",
    ]
    assert all(map(math.isnan, scores.values()))
    assert average_precision([], []).shape == (0, 10)


@pytest.mark.parametrize(
    ("predictions", "truths", "message"),
    [
        ([[]], [], "1 and 0"),
        ([[[1, 2]]] * 2, [[[1, 2]], []], "query 1 has no true window"),
        ([[[1, 2]]] * 2, [[[1, 2]], [[1, 2], [2, 1]]], r"query 1 has \[2.0, 1.0\]"),
        ([[[1, 2]]], [[[1, math.nan]]], "query 0 has .*nan"),
        ([[[1, 2]]], [[[1, 2, 3]]], r"truth of query 0 .*\(windows, 2\), got \(1, 3\)"),
        ([[1, 2]], [[[1, 2]]], r"prediction of query 0 .*\(windows, 3 or 2\)"),
        ([[[1, 2], [1, 2, 3]]], [[[1, 2]]], "prediction of query 0 must be windows of 3 or 2 numbers"),
        ([[["a", "b"]]], [[[1, 2]]], "'a'"),
    ],
)
def test_input_that_cannot_be_is_named(predictions, truths, message):
    with pytest.raises(NumProError, match=message):
        window_scores(predictions, truths)


def rounded(tables):
    return {name: {metric: {key: round(v, 2) for key, v in column.items()} for metric, column in t.items()} for name, t in tables.items()}


def read_lines(path):
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    return [json.loads(line) for line in text.splitlines()]


def check_tables(tables, expected):
    assert rounded(tables) == {name: expected[name] for name in LENGTHS}
    brief = {name: round(value, 2) for name, value in brief_scores(tables).items()}
    assert brief == {name: value for name, value in expected["brief"].items() if name.startswith("MR")}


@pytest.mark.shared
@pytest.mark.parametrize("raw", [False, True])
def test_moment_detrs_script_on_single_windows(shared, raw):
    folder = shared / "golden/metrics/qvhighlights_mr_synthetic/dev"
    items, expected = (json.loads((folder / name).read_text()) for name in ("input.json", "expected.json"))
    truths = {a["qid"]: a["relevant_windows"] for a in read_lines(folder / "gt.jsonl")}
    predictions, true = [i["pred_relevant_windows"] for i in items], [truths[i["qid"]] for i in items]
    check_tables(window_tables(predictions, true, raw=raw), expected["standalone_eval"])
    iou = first_window_iou(predictions, true)
    assert iou.tolist() == pytest.approx([item["iou"] for item in expected["per_item"]], abs=1e-12)
    scores = moment_scores(iou, (0.3, 0.5, 0.7))
    assert {t: round(scores[f"R@{t}"], 2) for t in ("0.3", "0.5", "0.7")} == expected["compute_mr_r1_at_03_05_07"]
    assert scores["mIoU"] == pytest.approx(expected["mIoU"], abs=1e-9)


@pytest.mark.shared
def test_moment_detrs_sample(shared):
    folder = shared / "golden/metrics/moment_detr_sample"
    truths = {a["qid"]: a["relevant_windows"] for a in read_lines(shared / "annotations/qvhighlights/highlight_val_release.jsonl")}
    answers = read_lines(folder / "sample_val_preds.jsonl.gz")
    tables = window_tables([a["pred_relevant_windows"] for a in answers], [truths[a["qid"]] for a in answers])
    check_tables(tables, json.loads((folder / "expected.json").read_text()))


@pytest.mark.shared
def test_what_the_script_makes_of_windows_that_are_none(shared):
    for case in json.loads((shared / "golden/metrics/qvhighlights_mr_synthetic/edge_cases.json").read_text()):
        predictions, true = [case["pred"]], [case["gt"]]
        # The script stops where there is no prediction or no score: nothing predicted scores 0, a missing score is 1.
        crash = 100.0 if case["pred"] else 0.0
        expected = crash if isinstance(case["mr_ap"], str) else case["mr_ap"]
        assert window_scores(predictions, true, raw=True)["MR-full-mAP"] == pytest.approx(expected), case["case"]
        iou = first_window_iou(predictions, true)
        recalls = {"0.5": 0.0, "0.7": 0.0} if isinstance(case["r1"], str) else case["r1"]
        assert {t: 100.0 * (iou[0] >= float(t)) for t in recalls} == recalls, case["case"]
        if any(w[0] >= w[1] for w in case["pred"]):
            assert window_scores(predictions, true)["MR-full-mAP"] == 0, case["case"]
