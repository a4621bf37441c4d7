from __future__ import annotations

import json
import math
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpro_plugin import NumProError
from numpro_plugin.metrics.moments import span_iou
from numpro_plugin.metrics.sets import best_number_set, merge_spans, set_iou, set_scores

TIMES = st.integers(0, 40).map(lambda quarters: quarters / 4)
SPANS = st.lists(st.tuples(TIMES, TIMES).map(lambda ends: tuple(sorted(ends))), max_size=6)


def plain(prediction, truth):
    """The rule as a loop over quarters of a second, in which all these times are whole."""
    if not truth:
        return float(not prediction)
    covered = [any(start <= k / 4 < end for start, end in prediction) for k in range(40)]
    counted = [sum(start <= k / 4 < end for start, end in truth) for k in range(40)]
    shared = sum(count for count, inside in zip(counted, covered, strict=True) if inside)
    union = sum(covered) + sum(counted) - shared
    return min(1.0, shared / union) if union else 0.0


@pytest.mark.shared
def test_the_reference_on_300_cases(shared):
    cases = json.loads((shared / "golden/metrics/interval_sets/dev.json").read_text())
    off = [abs(set_iou(case["prediction"], case["truth"]) - case["set_iou"]) for case in cases]
    assert len(off) == 300
    assert max(off) < 1e-9


@given(SPANS, SPANS)
def test_a_plain_loop(prediction, truth):
    assert set_iou(prediction, truth) == pytest.approx(plain(prediction, truth), abs=1e-12)


@given(SPANS, SPANS, st.randoms(use_true_random=False))
def test_order_and_duplicates_of_predictions_do_not_matter(prediction, truth, random):
    again = [*prediction, *prediction]
    random.shuffle(again)
    assert set_iou(again, truth) == pytest.approx(set_iou(prediction, truth), abs=1e-12)


@given(SPANS, SPANS)
def test_predictions_are_merged(prediction, truth):
    merged = merge_spans(prediction)
    assert (merged[1:, 0] > merged[:-1, 1]).all()
    assert len(merged) == 0 or set_iou(merged, truth) == pytest.approx(set_iou(prediction, truth), abs=1e-12)


@given(SPANS)
def test_nothing_on_one_side(spans):
    assert set_iou([], spans) == float(not spans)
    assert set_iou(spans, []) == float(not spans)


@given(SPANS, SPANS)
def test_never_outside_0_and_1_and_1_for_the_truth_itself(prediction, truth):
    assert 0 <= set_iou(prediction, truth) <= 1
    apart = merge_spans(truth)
    if len(apart) and (apart[:, 0] < apart[:, 1]).any():
        assert set_iou(truth, apart) == pytest.approx(1)


@given(st.tuples(TIMES, TIMES), st.tuples(TIMES, TIMES))
def test_one_span_on_either_side_is_the_usual_iou(one, other):
    one, other = sorted(one), sorted(other)
    assert set_iou([one], [other]) == pytest.approx(float(span_iou(one, other)), abs=1e-12)


def test_by_hand():
    assert set_iou([(0, 4), (2, 6)], [(0, 3), (5, 8)]) == pytest.approx(4 / 8)
    assert set_iou([(0, 10)], [(0, 10), (0, 10)]) == 1.0  # 20 shared of a "union" of 10: true spans are not merged
    assert set_iou([(8, 2), (0, 5)], [(0, 5)]) == 1.0  # a reversed prediction counts for nothing,
    assert set_iou([(0, 5)], [(5, 0)]) == 1.0  # a reversed truth is read the other way round
    assert set_iou([(math.nan, 3), (0, math.inf)], [(0, 5)]) == 0.0
    assert set_iou([(3, 3)], [(3, 3)]) == 0.0


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        ([1, 2], [(0, 1)], "shape"),
        ([(0, 1)], [(0, 1, 2)], "shape"),
        ([(0, 1)], [(0, math.nan)], "finite"),
        ([("a", 1)], [], "pairs of numbers"),
    ],
)
def test_impossible_spans(prediction, truth, message):
    with pytest.raises(NumProError, match=message):
        set_iou(prediction, truth)


def test_scores():
    assert set_scores([0.3, 0.7, 1.0, 0.0]) == {"R1_set@0.3": 75, "R1_set@0.5": 50, "R1_set@0.7": 50, "mIoU_set": 50}
    assert all(math.isnan(value) for value in set_scores([]).values())
    with pytest.raises(NumProError, match="shape"):
        set_scores(np.zeros((2, 2)))


@given(SPANS, st.lists(st.integers(0, 12), min_size=1, max_size=7, unique=True).map(sorted), st.sampled_from([0.5, 1, 2]))
def test_the_best_set_of_numbers_is_the_best_of_all_sets(truth, drawn, fps):
    """All sets of intervals between drawn numbers: every answer in drawn numbers, merged, is one of them."""
    spans, iou = best_number_set(truth, drawn, fps)
    assert set(np.ravel(spans).tolist()) <= set(drawn)
    steps = list(pairwise(drawn))
    answers = [[] if not truth else [(0, 0)], *(list(some) for n in range(1, len(steps) + 1) for some in combinations(steps, n))]
    best = max(set_iou(np.array(answer) / fps, truth) if answer else set_iou([], truth) for answer in answers)
    assert iou == pytest.approx(best, abs=1e-9)
    assert set_iou(np.array(spans).reshape(-1, 2) / fps, truth) == pytest.approx(iou, abs=1e-9)


def test_best_sets_by_hand():
    assert best_number_set([(4, 8), (14, 18)], range(16), 0.5) == ([(2, 4), (7, 9)], 1.0)
    assert best_number_set([], range(16), 0.5) == ([], 1.0)
    assert best_number_set([(4, 8)], [3], 0.5) == ([(3, 3)], 0.0)
    with pytest.raises(NumProError, match="at least one drawn number"):
        best_number_set([(4, 8)], [], 0.5)
