"""Two runs on the same queries: per metric the difference with a paired bootstrap interval, and the queries that changed most."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from numpro_plugin.benchmarks.text_files import read_jsonl
from numpro_plugin.errors import NumProError
from numpro_plugin.reports.bootstrap import mean_interval
from numpro_plugin.reports.records import failure_of_sample, id_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Difference:
    """One metric in two runs, percent."""

    metric: str
    a: float
    b: float
    low: float
    """Lower end of the interval of b - a."""
    high: float
    """Upper end of the interval of b - a."""


@dataclass(frozen=True)
class Comparison:
    """Run B against run A."""

    n: int
    """Queries that are in both runs."""
    only_a: int
    only_b: int
    differences: list[Difference]
    changed: list[tuple[str, str, float, float]]
    """(id, query, score in A, score in B) of the queries whose first metric of `CHANGE` moved most."""
    repeated_a: int = 0
    """Samples of A whose query occurred before in A; the first counts."""
    repeated_b: int = 0
    without_truth_a: int = 0
    """Samples of A whose query has no annotated span, so that there is nothing to score: they are left out."""
    without_truth_b: int = 0


CHANGE = ("mIoU", "mIoU_set", "mAP")
"""By which metric queries are ranked by change: the first that both runs have."""

_FAILURES = {"parse_fail", "request_fail"}
"""All that the tasks log of a query without an annotated span."""


@dataclass
class RunScores:
    """The scores of a log, without its texts."""

    path: Path
    metrics: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    """Position in the columns by query id."""
    queries: list[str] = field(default_factory=list)
    columns: dict[str, array[float]] = field(default_factory=dict)
    repeated: int = 0
    without_truth: int = 0


def compare_runs(a: Path, b: Path, *, confidence: float = 0.95, resamples: int = 9999, most: int = 10, seed: int = 0) -> Comparison:
    """Compare two of lmms-eval's sample logs query by query. Memory grows with the number of queries, not with the size of the logs.

    Args:
        a: ``samples_*.jsonl`` of a NumPro task, or a folder that holds exactly one.
        b: the same of the other run.
        confidence: of the interval. It is SciPy's bootstrap of the mean difference over queries: BCa up to 10,000 queries, percentile
            above and where BCa does not exist.
        resamples: of the bootstrap, at most; above 10,000 queries there are fewer.
        most: how many of the most changed queries to list.
        seed: of the resampling.

    A sample whose request failed scores 0 and counts as ``request_fail``, whatever was logged for it.

    Raises:
        NumProError: not such logs, samples that do not have the same metrics, or no query in common.
    """
    run_a, run_b = read_scores(a), read_scores(b)
    shared = [key for key in run_a.rows if key in run_b.rows]
    if not shared:
        raise NumProError(f"{a} and {b} have no query in common; are they runs of the same benchmark and split?")
    metrics = [name for name in run_a.metrics if name in run_b.metrics]
    if not metrics:
        raise NumProError(f"{a} and {b} have no metric in common: {', '.join(run_a.metrics)} and {', '.join(run_b.metrics)}")
    rng = np.random.default_rng(seed)
    at = [np.array([run.rows[key] for key in shared], dtype=np.int64) for run in (run_a, run_b)]
    values = {name: [np.asarray(run.columns[name])[rows] for run, rows in zip((run_a, run_b), at, strict=True)] for name in metrics}
    differences = []
    for name, (old, new) in values.items():
        low, high = mean_interval(new - old, rng, confidence=confidence, resamples=resamples)
        differences.append(Difference(name, float(old.mean()), float(new.mean()), low, high))
    changed = []
    if ranked := next((name for name in CHANGE if name in values), None):
        old, new = values[ranked]
        order = np.argsort(-np.abs(new - old), kind="stable")[:most]
        changed = [(shared[k], run_a.queries[at[0][k]], float(old[k]), float(new[k])) for k in order if old[k] != new[k]]
    n = len(shared)
    return Comparison(
        n,
        len(run_a.rows) - n,
        len(run_b.rows) - n,
        differences,
        changed,
        run_a.repeated,
        run_b.repeated,
        run_a.without_truth,
        run_b.without_truth,
    )


def read_scores(path: Path) -> RunScores:
    """The scores of a log (or of the only one in a folder), one line in memory at a time. Raises NumProError as `compare_runs`."""
    run = RunScores(_only_log(path))
    for number, row in read_jsonl(run.path):
        place = f"{run.path}:{number}"
        if not isinstance(row.get("numpro"), dict) or "id" not in row["numpro"]:
            raise NumProError(f"{place}: is not a sample of a NumPro task; give lmms-eval's samples_numpro_*.jsonl (--log_samples)")
        try:
            key = id_of(row["numpro"]["id"])
            scores = _scores(row)
            if "set_iou" in row["numpro"]:  # the single spans of a query that may have none are no metric of all queries
                scores = {name: value for name, value in scores.items() if name in _FAILURES or "_set" in name}
        except (ValueError, OverflowError) as error:
            raise NumProError(f"{place}: {error}") from None
        if row["numpro"].get("truth_s") == [] and scores.keys() <= _FAILURES:
            run.without_truth += 1
            continue
        if not run.metrics:
            if not scores:
                raise NumProError(f"{place}: has no metric; is it the log of a finished run?")
            run.metrics, run.columns = list(scores), {name: array("d") for name in scores}
        _check_metrics(place, run.metrics, scores)
        if key in run.rows:
            run.repeated += 1
            continue
        run.rows[key] = len(run.rows)
        run.queries.append(str(row["numpro"].get("query") or ""))
        for name, value in scores.items():
            run.columns[name].append(value)
    if not run.rows:
        queries = f" whose query has an annotated span ({run.without_truth} have none)" if run.without_truth else ""
        raise NumProError(f"{run.path}: holds no sample{queries}")
    return run


def _only_log(path: Path) -> Path:
    if not path.is_dir():
        return path
    logs = sorted(path.rglob("*samples_*.jsonl"))
    if len(logs) != 1:
        found = "\n".join(f"  {log}" for log in logs) or "  none"
        raise NumProError(f"{path}: holds {len(logs)} sample logs, name one of them:\n{found}")
    return logs[0]


def _check_metrics(place: str, metrics: Sequence[str], scores: Mapping[str, float]) -> None:
    missing, extra = [name for name in metrics if name not in scores], [name for name in scores if name not in metrics]
    if missing or extra:
        what = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(extra)}"
        raise NumProError(
            f"{place}: {what}, unlike the samples before it; all samples of one run have the same metrics, "
            "so compare the logs of each task by themselves"
        )


def _scores(row: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a sample, in percent."""
    scores = {
        name: float(value)
        for name, value in row.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and name != "doc_id"
    }
    if wrong := [name for name, value in scores.items() if not math.isfinite(value)]:
        raise ValueError(f"{wrong[0]} must be a finite number, got {scores[wrong[0]]}")
    if failure_of_sample(row) and scores.get("request_fail") != 100:
        scores = {name: 100.0 if name == "request_fail" else 0.0 for name in scores}
    return scores
