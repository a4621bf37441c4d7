from __future__ import annotations

import gzip
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpro_plugin import NumProError, Timeline
from numpro_plugin.answers.moments import parse_moment_reference
from numpro_plugin.metrics.moments import best_numbers, moment_scores, span_iou
from numpro_plugin.timeline import kept_numbers

ends = st.floats(0, 1e4, allow_nan=False)
spans = st.tuples(ends, ends)
NOTHING = (math.nan, math.nan)


@pytest.mark.parametrize(
    ("predicted", "true", "iou"),
    [
        ((6, 18), (6, 18), 1),
        ((0, 10), (5, 15), 1 / 3),
        ((0, 5), (10, 15), 0),
        ((0, 6), (0, 20), 0.3),
        ((18, 6), (6, 18), 1),
        ((4, 4), (4, 4), 0),
        (NOTHING, (4, 14), 0),
        ((0, math.inf), (4, 14), 0),
    ],
)
def test_iou(predicted, true, iou):
    assert span_iou(predicted, true) == pytest.approx(iou)


def test_reversed_spans_score_zero_in_numpros_way():
    assert span_iou((18, 6), (6, 18), reversed_spans="zero") == 0
    assert span_iou((6, 18), (18, 6), reversed_spans="zero") == 0


@given(spans, spans)
def test_iou_is_symmetric_and_between_0_and_1(a, b):
    iou = span_iou(a, b)
    assert 0 <= iou <= 1
    assert iou == span_iou(b, a)


any_float = st.floats(allow_nan=True, allow_infinity=True)


@given(st.tuples(any_float, any_float), spans, st.sampled_from(["swap", "zero"]))
def test_no_prediction_raises_or_counts_wrongly(predicted, true, rule):
    iou = float(span_iou(predicted, true, reversed_spans=rule))
    assert 0 <= iou <= 1
    if not all(map(math.isfinite, predicted)):
        assert iou == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.randoms())
def test_scores_do_not_depend_on_order(iou, random):
    shuffled = iou[:]
    random.shuffle(shuffled)
    assert moment_scores(iou) == pytest.approx(moment_scores(shuffled))


def test_thresholds_are_inclusive_and_in_percent():
    assert moment_scores([0.3, 0.5, 0.7, 0.0]) == {"R@0.3": 75.0, "R@0.5": 50.0, "R@0.7": 25.0, "mIoU": 37.5}
    assert math.isnan(moment_scores([])["mIoU"])


def test_wrong_shapes_are_named():
    with pytest.raises(NumProError, match=r"\(\.\.\., 2\)"):
        span_iou([1, 2, 3], [1, 2])
    with pytest.raises(NumProError, match=r"\(N,\)"):
        moment_scores([[0.5]])


@given(st.floats(0, 60), st.floats(0, 60), st.floats(0.1, 60), st.sampled_from([0.5, 1, 2]), st.integers(2, 40))
def test_best_numbers_against_every_pair(start, end, duration_s, fps, max_frames):
    numbers = kept_numbers(Timeline(duration_s, fps).count, max_frames)
    first, last, iou = best_numbers([(start, end)], numbers, fps)
    assert {first, last} <= set(numbers.tolist())
    assert iou == pytest.approx(float(span_iou((first / fps, last / fps), (start, end))))
    pairs = [(a / fps, b / fps) for a in numbers for b in numbers if a <= b]
    assert iou == pytest.approx(float(span_iou(pairs, (start, end)).max()), abs=1e-12)


def test_best_of_several_windows_and_nearest_among_ties():
    assert best_numbers([(2, 4), (10, 16), (30, 31)], range(20), 0.5) == (1, 2, 1.0)
    assert best_numbers([(100, 110)], range(5), 0.5)[:2] == (4, 4)


def test_reversed_truth_in_numpros_way():
    assert span_iou((0, 10), (8, 2), reversed_spans="zero") == 0
    assert span_iou((0, 10), (8, 2)) == pytest.approx(0.6)


@pytest.mark.shared
def test_numpros_script_to_the_last_digit(shared):
    folder = shared / "golden/metrics/numpro_mr_synthetic"
    items, expected = (json.loads((folder / "dev" / name).read_text()) for name in ("input.json", "expected.json"))
    predicted = [parse_moment_reference(item["response"]).span or NOTHING for item in items]
    iou = span_iou(np.array(predicted) * 2, [(item["gt_start"], item["gt_end"]) for item in items], reversed_spans="zero")
    assert iou.tolist() == [item["iou"] for item in expected["per_item"]]
    scores = moment_scores(iou)
    assert scores == expected["unrounded"]
    assert {name: round(value, 2) for name, value in scores.items()} == expected["metrics_mr_py_stdout"]
    # TimeChat's script on the same pairs swaps the reversed ones; on this file both agree.
    for threshold, name in (("0.3", "IOU 0.3"), ("0.5", "IOU 0.5"), ("0.7", "IOU 0.7")):
        assert round(scores[f"R@{threshold}"], 2) == expected["timechat_eval_tvg_on_same_pairs"][name]


@pytest.mark.shared
def test_numpros_edge_cases(shared):
    for case in json.loads((shared / "golden/metrics/numpro_mr_synthetic/edge_cases.json").read_text()):
        if case["type"] == "str" and "ZeroDivision" not in case["result"]:
            continue  # the script stops with a TypeError on None
        span = parse_moment_reference(case["response"]).span or NOTHING
        iou = float(span_iou(np.array(span) * 2, case["gt"], reversed_spans="zero"))
        assert iou == (0 if case["type"] == "str" else case["result"]), case


@pytest.mark.shared
def test_timechats_script(shared):
    folder = shared / "golden/metrics/timechat_tvg_example"
    predictions = json.loads((folder / "example_pred_file.json").read_text())
    annotations = json.loads(gzip.decompress((folder / "example_gt_file.json.gz").read_bytes()))["annotations"]
    truth = {str(a["id"]): a["timestamp"] for a in annotations}
    predicted = [p["timestamp"][0] if p["timestamp"] else NOTHING for p in predictions.values()]
    scores = moment_scores(span_iou(predicted, [truth[key] for key in predictions]))
    expected = json.loads((folder / "expected.json").read_text())
    for threshold in ("0.3", "0.5", "0.7"):
        assert round(scores[f"R@{threshold}"], 2) == expected[f"IOU {threshold}"]
