from __future__ import annotations

import gzip
import json
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from numpro_plugin import NumProError
from numpro_plugin.metrics.highlights import (
    LEVELS,
    clip_scores,
    highlight_items,
    highlight_means,
    query_highlight_scores,
    saliency_matrix,
)

RULES = {"M1_timechat_literal": "timechat", "M2_identity": "exact"}
NAMES = [f"HL-min-{level}-{name}" for level in LEVELS for name in ("mAP", "Hit1")]

any_float = st.one_of(st.floats(), st.integers(-3, 5).map(float))
predictions = st.lists(any_float, max_size=14)
truths = st.integers(0, 12).flatmap(lambda clips: hnp.arrays(np.float64, (clips, 3), elements=st.integers(0, 4)))
queries = st.lists(st.tuples(predictions, truths), min_size=1, max_size=6)


def mean_scores(predictions, truths):
    return highlight_means(highlight_items(predictions, truths))


def plain_average_precision(scores, positive):
    """The definition as a loop over thresholds: every distinct score is one, and counts if recall changes there."""
    scores = [-math.inf if math.isnan(s) else s for s in scores][: len(positive)]
    scores += [0.0] * (len(positive) - len(scores))
    points = []
    for threshold in sorted(set(scores), reverse=True):
        picked = [p for s, p in zip(scores, positive, strict=True) if s >= threshold]
        points.append((sum(picked), sum(picked) / len(picked)))
    precisions, found = [], 0
    for k, (hits, _) in enumerate(points):
        if hits > found:
            precisions.append(max(p for _, p in points[k:]))
        found = hits
    return sum(precisions) / len(precisions) if precisions else 0.0


def plain_hit(scores, truth, minimum):
    named = [(s, -k) for k, s in enumerate(scores) if not math.isnan(s) and s > -math.inf]
    clip = -max(named)[1] if named else len(truth)
    return clip < len(truth) and max(truth[clip]) >= minimum


@given(queries)
def test_against_plain_loops(items):
    got = highlight_items(*zip(*items, strict=True))
    for q, (scores, truth) in enumerate(items):
        for k, minimum in enumerate(LEVELS.values()):
            expected = [plain_average_precision(scores, (truth[:, a] >= minimum).tolist()) for a in range(3)]
            assert got.ap[q, k].tolist() == pytest.approx(expected, abs=1e-12)
            assert got.hit[q, k] == plain_hit(scores, truth.tolist(), minimum)


@given(queries, st.randoms())
def test_order_of_queries_does_not_matter(items, random):
    scores = mean_scores(*zip(*items, strict=True))
    random.shuffle(items)
    assert mean_scores(*zip(*items, strict=True)) == pytest.approx(scores)


@given(queries)
def test_no_prediction_raises_or_warns_or_leaves_the_scale(items):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = mean_scores(*zip(*items, strict=True))
    assert list(scores) == NAMES
    assert all(0 <= value <= 100 for value in scores.values())


@given(queries)
def test_per_query_scores_are_what_the_means_are_made_of(items):
    each = np.array([query_highlight_scores(scores, truth) for scores, truth in items])
    assert list(mean_scores(*zip(*items, strict=True)).values()) == pytest.approx((each.mean(axis=0) * 100).ravel().tolist())


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(hnp.arrays(np.int64, n, elements=st.integers(0, 2)), st.permutations(range(n)))))
def test_order_within_equal_scores_does_not_matter(case):
    scores, permutation = case
    truth = np.array([[clip % 5, (clip * 3) % 5, (clip + 2) % 4] for clip in range(len(scores))])
    # The truth moves among clips of the same score only.
    moved = truth.copy()
    for value in set(scores.tolist()):
        places = np.flatnonzero(scores == value)
        moved[places] = truth[[p for p in permutation if scores[p] == value]]
    assert highlight_items([scores], [truth]).ap.tolist() == highlight_items([scores], [moved]).ap.tolist()


@given(st.lists(truths.filter(lambda t: (t >= 4).any()), min_size=1, max_size=5))
def test_perfect_predictions(annotations):
    # All annotators agree with the first, who is predicted to the letter.
    agreed = [np.repeat(truth[:, :1], 3, axis=1) for truth in annotations]
    expected = 100 * np.mean([truth.max() >= 4 for truth in agreed])
    scores = mean_scores([truth[:, 0] for truth in agreed], agreed)
    assert scores["HL-min-VeryGood-mAP"] == scores["HL-min-VeryGood-Hit1"] == pytest.approx(expected)


def test_short_predictions_are_filled_up_and_long_ones_cut():
    truth = np.repeat([[0], [4], [0], [4]], 3, axis=1)
    ap = highlight_items([[1, 2], [1, 2, 0, 0], [1, 2, 0, 0, 9]], [truth] * 3)
    assert ap.ap[0].tolist() == ap.ap[1].tolist() == ap.ap[2].tolist()
    assert ap.hit[:, 0].tolist() == [True, True, False]


def test_clips_that_are_not_there_do_not_tie_with_the_lowest():
    # Next to a video of 40 clips the first is padded; its minus infinity must not be joined by the padding.
    truths = [[[4, 4, 4], [0, 0, 0]], np.zeros((40, 3))]
    assert highlight_items([[-math.inf, 1.0], []], truths).ap[0].tolist() == [[0.5] * 3] * 3
    assert highlight_items([[math.nan, -math.inf], []], truths).ap[0].tolist() == [[0.5] * 3] * 3


def test_a_prediction_that_says_nothing_is_no_hit():
    everything = np.full((3, 3), 4)
    items = highlight_items([[math.nan] * 3, [-math.inf] * 3, [], [math.nan, -1], [math.inf, math.inf]], [everything] * 5)
    assert items.hit[:, 0].tolist() == [False, False, False, True, True]
    assert (items.ap == 1).all()


def test_no_queries_score_nan():
    assert list(mean_scores([], [])) == NAMES
    assert all(map(math.isnan, mean_scores([], []).values()))


def test_wrong_shapes_are_named():
    with pytest.raises(NumProError, match="1 and 0"):
        highlight_items([[1.0]], [])
    with pytest.raises(NumProError, match=r"query 1 must have shape \(P,\)"):
        highlight_items([[1.0], [[1.0]]], [np.zeros((1, 3))] * 2)
    for wrong in (np.zeros(3), np.zeros((1, 2)), np.zeros((1, 3, 1))):
        with pytest.raises(NumProError, match="query 1 must have shape"):
            highlight_items([[1.0], [1.0]], [np.zeros((1, 3)), wrong])


def test_saliency_matrix():
    truth = saliency_matrix(9.9, [3, 0], [[1, 2, 3], [4, 4, 0]])
    assert truth.tolist() == [[4, 4, 0], [0, 0, 0], [0, 0, 0], [1, 2, 3]]
    assert saliency_matrix(150, [], []).shape == (75, 3)
    assert saliency_matrix(1.9, [], []).shape == (0, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10, [4, 5, 7], [[0] * 3] * 3), r"clips \[5, 7\].* 0 to 4"),
        ((10, [-1], [[0] * 3]), r"clips \[-1\]"),
        ((10, [0.5], [[0] * 3]), "whole numbers"),
        ((10, [0], [[0] * 2]), r"\(1, 3\)"),
        ((10, [0, 1], [[0] * 3]), r"\(2, 3\)"),
        ((10, [0], [[0, 5, 0]]), r"from 0 to 4, got \[5.0\]"),
        ((10, [0], [[0, math.nan, 0]]), "nan"),
        ((math.nan, [], []), "duration_s"),
        ((-1, [], []), "duration_s"),
    ],
)
def test_annotations_that_cannot_be(arguments, message):
    with pytest.raises(NumProError, match=message):
        saliency_matrix(*arguments)


@pytest.mark.parametrize(
    ("frames", "exact", "timechat"),
    [
        ([0], {0: 1.0}, {0: 1.0}),
        ([2, 3, 3], {2: 1.0, 3: 2.5}, {1: 1.0, 2: 2.5}),
        ([0.9, 1.5], {0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0}),
        ([-1, 5, 6], {}, {0: 1.0, 4: 2.0}),
        ([5.5], {}, {}),
        ([math.nan, math.inf, -math.inf, 1e308, -1e308], {}, {0: 5.0}),
    ],
)
def test_clip_scores(frames, exact, timechat):
    for rule, expected in (("exact", exact), ("timechat", timechat)):
        clips = clip_scores(frames, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], duration_s=11, rule=rule)
        assert clips.shape == (5,)
        assert {clip: value for clip, value in enumerate(clips) if value} == expected


@given(st.lists(any_float, max_size=8), st.lists(any_float, max_size=8), st.floats(0, 300), st.sampled_from(["exact", "timechat"]))
def test_clip_scores_take_anything(frames, scores, duration_s, rule):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clips = clip_scores(frames, scores, duration_s=duration_s, rule=rule)
    assert clips.shape == (int(duration_s / 2),)


def test_unknown_rules_are_named():
    with pytest.raises(NumProError, match="'literal'"):
        clip_scores([1], [1], duration_s=10, rule="literal")


def rounded(scores):
    return {name: round(value, 2) for name, value in scores.items()}


def read_lines(path):
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    return [json.loads(line) for line in text.splitlines()]


def truth_of(item):
    return saliency_matrix(item["duration"], item["relevant_clip_ids"], item["saliency_scores"])


@pytest.mark.shared
@pytest.mark.parametrize("method", RULES)
def test_timechats_script_on_numpros_answers(shared, method):
    folder = shared / "golden/metrics/numpro_hd_synthetic/dev"
    expected = json.loads((folder / "expected.json").read_text())
    annotations = read_lines(folder / "gt.jsonl")
    saliency = {p["qid"]: p["pred_saliency_scores"] for p in json.loads((folder / f"pred_saliency_{method}.json").read_text())}
    parsed = [expected["parsed"][str(a["qid"])] for a in annotations]
    clips = [
        clip_scores(s["frames"], s["scores"], duration_s=a["duration"], rule=RULES[method])
        for a, s in zip(annotations, parsed, strict=True)
    ]
    for a, got in zip(annotations, clips, strict=True):
        assert got.tolist() == pytest.approx(saliency[a["qid"]], abs=1e-12)
    items = highlight_items(clips, [truth_of(a) for a in annotations])
    assert rounded(highlight_means(items)) == expected["metrics"][method]
    for q, a in enumerate(annotations):
        for k, level in enumerate(LEVELS):
            one = expected["per_item"][method][str(a["qid"])][level]
            assert items.ap[q, k].tolist() == pytest.approx(one["ap3"], abs=1e-12)
            assert items.hit[q, k] == one["hit1"]


@pytest.mark.shared
@pytest.mark.slow
def test_perfect_and_empty_answers_to_all_of_val(shared):
    expected = json.loads((shared / "golden/metrics/numpro_hd_synthetic/oracle_val_expected.json").read_text())["metrics"]
    annotations = read_lines(shared / "annotations/qvhighlights/highlight_val_release.jsonl")
    truths = [truth_of(a) for a in annotations]
    for method, rule in RULES.items():
        clips = [
            clip_scores(
                a["relevant_clip_ids"], [round(sum(s) / 3 + 1, 1) for s in a["saliency_scores"]], duration_s=a["duration"], rule=rule
            )
            for a in annotations
        ]
        assert rounded(mean_scores(clips, truths)) == expected[method]
    assert rounded(mean_scores([np.zeros(len(t)) for t in truths], truths)) == expected["M0_raw"]


@pytest.mark.shared
def test_timechats_example(shared):
    folder = shared / "golden/metrics/timechat_vhd_example"
    truths = {a["qid"]: truth_of(a) for a in read_lines(folder / "example_gt_file.jsonl.gz")}
    answers = json.loads(gzip.decompress((folder / "example_pred_file.json.gz").read_bytes()))
    scores = mean_scores([p["pred_saliency_scores"] for p in answers], [truths[p["qid"]] for p in answers])
    assert rounded(scores) == json.loads((folder / "expected.json").read_text())["brief"]


@pytest.mark.shared
def test_moment_detrs_sample(shared):
    folder = shared / "golden/metrics/moment_detr_sample"
    truths = {a["qid"]: truth_of(a) for a in read_lines(shared / "annotations/qvhighlights/highlight_val_release.jsonl")}
    answers = read_lines(folder / "sample_val_preds.jsonl.gz")
    scores = mean_scores([p["pred_saliency_scores"] for p in answers], [truths[p["qid"]] for p in answers])
    brief = json.loads((folder / "expected.json").read_text())["brief"]
    assert rounded(scores) == {name: brief[name] for name in NAMES}


@pytest.mark.shared
def test_which_clip_a_frame_falls_on(shared):
    expected = json.loads((shared / "golden/metrics/numpro_hd_synthetic/frame_to_clip.json").read_text())
    for method, rule in RULES.items():
        for frame, clip in expected[method].items():
            clips = clip_scores([int(frame)], [1.0], duration_s=expected["duration"], rule=rule)
            assert np.flatnonzero(clips).tolist() == ([] if clip is None else [clip])


@pytest.mark.shared
def test_answers_with_odd_frames_and_scores(shared):
    for case in json.loads((shared / "golden/metrics/numpro_hd_synthetic/edge_cases.json").read_text()):
        for name, rule in (("M1", "timechat"), ("M2", "exact")):
            clips = clip_scores(case["parsed_frames"], case["parsed_scores"], duration_s=case["duration"], rule=rule)
            assert {str(clip): value for clip, value in enumerate(clips.tolist()) if value} == case[name], case["case"]
