from __future__ import annotations

import json

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
    with pytest.raises(NumProError, match=r"samples_x\.jsonl:1: is no sample of a NumPro task"):
        compare_runs(tmp_path / "samples_x.jsonl", tmp_path / "samples_x.jsonl")
    with pytest.raises(NumProError, match="no query in common"):
        compare_runs(log(tmp_path / "samples_a.jsonl", [1]), log(tmp_path / "samples_b.jsonl", [1], first=5))
