from __future__ import annotations

import json
import math

import numpy as np
import pytest

from numpro_plugin import NumProError
from numpro_plugin.reports.compare import compare_runs


def log(path, scores, *, first=0):
    rows = [
        {
            "doc_id": k,
            "R@0.5": 100.0 * (s >= 50),
            "mIoU": s,
            "target": "x",
            "numpro": {"id": str(first + k), "query": f"query {first + k}"},
        }
        for k, s in enumerate(scores)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_difference_and_interval(tmp_path):
    rng = np.random.default_rng(0)
    a = rng.uniform(0, 60, 400)
    b = np.clip(a + rng.normal(10, 5, 400), 0, 100)
    found = compare_runs(log(tmp_path / "samples_a.jsonl", a.tolist()), log(tmp_path / "samples_b.jsonl", b.tolist()))
    assert (found.n, found.only_a, found.only_b) == (400, 0, 0)
    miou = next(d for d in found.differences if d.metric == "mIoU")
    assert miou.b - miou.a == pytest.approx((b - a).mean())
    # The textbook interval of a mean difference, which the bootstrap must come close to.
    half = 1.96 * (b - a).std(ddof=1) / 20
    assert miou.low == pytest.approx((b - a).mean() - half, abs=0.1)
    assert miou.high == pytest.approx((b - a).mean() + half, abs=0.1)
    assert [d.metric for d in found.differences] == ["R@0.5", "mIoU"]


def test_queries_that_changed_most(tmp_path):
    a, b = log(tmp_path / "samples_a.jsonl", [10, 20, 30, 40]), log(tmp_path / "samples_b.jsonl", [10, 90, 25, 40])
    found = compare_runs(a, b)
    assert found.changed == [("1", "query 1", 20, 90), ("2", "query 2", 30, 25)]


def test_only_shared_queries_count(tmp_path):
    found = compare_runs(log(tmp_path / "samples_a.jsonl", [10, 20, 30]), log(tmp_path / "samples_b.jsonl", [50, 60], first=2))
    assert (found.n, found.only_a, found.only_b) == (1, 2, 1)
    assert (found.differences[1].low, found.differences[1].high) == (20, 20)


def test_the_same_run_differs_by_nothing(tmp_path):
    a = log(tmp_path / "samples_a.jsonl", [10, 20, 30])
    assert [(d.b - d.a, d.low, d.high) for d in compare_runs(a, a).differences] == [(0, 0, 0), (0, 0, 0)]


def test_folders_with_one_log(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "deep").mkdir(parents=True)
        log(tmp_path / name / "deep" / "2026_samples_numpro_charades.jsonl", [1, 2, 3])
    assert compare_runs(tmp_path / "a", tmp_path / "b").n == 3
    log(tmp_path / "a" / "2027_samples_numpro_didemo.jsonl", [1])
    with pytest.raises(NumProError, match="holds 2 sample logs, name one of them"):
        compare_runs(tmp_path / "a", tmp_path / "b")


def test_what_is_no_log_is_named(tmp_path):
    (tmp_path / "samples_x.jsonl").write_text('{"doc_id": 1}\n')
    with pytest.raises(NumProError, match=r"samples_x\.jsonl:1: is not a sample of a NumPro task"):
        compare_runs(tmp_path / "samples_x.jsonl", tmp_path / "samples_x.jsonl")
    with pytest.raises(NumProError, match="no query in common"):
        compare_runs(log(tmp_path / "samples_a.jsonl", [1]), log(tmp_path / "samples_b.jsonl", [1], first=5))


def sample(key, **scores):
    return {"doc_id": 0, **scores, "numpro": {"id": key, "query": "q"}}


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("rows", [[{"mIoU": 1.0}, {}], [{"mIoU": 1.0}, {"mIoU": 1.0, "R@0.5": 0.0}]])
def test_samples_with_other_metrics_are_named(tmp_path, rows):
    log_a = lines(tmp_path / "samples_a.jsonl", *(sample(str(k), parse_fail=0.0, **row) for k, row in enumerate(rows)))
    with pytest.raises(NumProError, match=r"samples_a\.jsonl:2: (lacks mIoU|has R@0\.5), unlike the samples before it"):
        compare_runs(log_a, log_a)


def test_queries_without_a_span_are_left_out_and_counted(tmp_path):
    def row(key, truth, **scores):
        logged = sample(key, parse_fail=0.0, request_fail=0.0, **scores)
        return {**logged, "numpro": {**logged["numpro"], "truth_s": truth}}

    a = lines(tmp_path / "samples_a.jsonl", row("0", []), row("1", [[0, 1]], mIoU=20.0))
    b = lines(tmp_path / "samples_b.jsonl", row("1", [[0, 1]], mIoU=60.0), row("0", []), row("2", []))
    found = compare_runs(a, b)
    assert (found.n, found.only_a, found.only_b, found.without_truth_a, found.without_truth_b) == (1, 0, 0, 1, 2)
    assert next((d.a, d.b) for d in found.differences if d.metric == "mIoU") == (20, 60)
    nothing = lines(tmp_path / "samples_c.jsonl", row("0", []))
    with pytest.raises(NumProError, match=r"holds no sample whose query has an annotated span \(1 have none\)"):
        compare_runs(nothing, a)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_metric_that_is_not_finite_is_named(tmp_path, value):
    log_a = lines(tmp_path / "samples_a.jsonl", sample("0", mIoU=1.0), sample("1", mIoU=value))
    with pytest.raises(NumProError, match=r"samples_a\.jsonl:2: mIoU must be a finite number"):
        compare_runs(log_a, log_a)


def test_of_a_repeated_query_the_first_counts(tmp_path):
    log_a = lines(tmp_path / "samples_a.jsonl", sample("0", mIoU=10.0), sample("0", mIoU=90.0), sample("1", mIoU=30.0))
    found = compare_runs(log_a, log(tmp_path / "samples_b.jsonl", [10, 30]))
    assert (found.n, found.repeated_a, found.repeated_b, found.differences[0].a) == (2, 1, 0, 20)


def test_a_failed_request_scores_nothing_whatever_was_logged(tmp_path):
    failed = {**sample("0", mIoU=100.0, request_fail=0.0), "filtered_resps": ["[LMMS_EVAL_REQUEST_FAILED] 503 from frame 0 to frame 1"]}
    found = compare_runs(
        lines(tmp_path / "samples_a.jsonl", failed), lines(tmp_path / "samples_b.jsonl", sample("0", mIoU=50.0, request_fail=0.0))
    )
    assert {d.metric: d.a for d in found.differences} == {"mIoU": 0, "request_fail": 100}


@pytest.mark.slow
def test_many_queries(tmp_path):
    rng = np.random.default_rng(1)
    a = rng.uniform(0, 60, 12_000)
    b = a + rng.normal(1, 5, 12_000)
    found = compare_runs(log(tmp_path / "samples_a.jsonl", a.tolist()), log(tmp_path / "samples_b.jsonl", b.tolist()))
    miou = next(d for d in found.differences if d.metric == "mIoU")
    half = 1.96 * (b - a).std(ddof=1) / np.sqrt(12_000)
    assert (miou.low, miou.high) == pytest.approx(((b - a).mean() - half, (b - a).mean() + half), abs=0.02)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["m4_mixed.jsonl", "m4_mixed_first_without.jsonl"])
def test_handed_mixed_logs(shared, name):
    path = shared / "cases/files" / name
    found = compare_runs(path, path)
    assert (found.n, found.without_truth_a, found.without_truth_b) == (1, 1, 1)
    assert {d.metric: d.a for d in found.differences if d.metric == "mIoU"} == {"mIoU": 100}


@pytest.mark.shared
def test_handed_failed_request(shared):
    path = shared / "cases/files/failed.jsonl"
    assert compare_runs(path, path).differences[0].a == 0
