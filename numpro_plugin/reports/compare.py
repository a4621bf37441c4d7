"""Two runs on the same queries: per metric the difference with a paired bootstrap interval, and the queries that changed most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from numpro_plugin.benchmarks.text_files import read_jsonl
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Mapping
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


CHANGE = ("mIoU", "mAP")
"""By which metric queries are ranked by change: the first that both runs have."""


def compare_runs(a: Path, b: Path, *, confidence: float = 0.95, resamples: int = 9999, most: int = 10, seed: int = 0) -> Comparison:
    """Compare two of lmms-eval's sample logs query by query.

    Args:
        a: ``samples_*.jsonl`` of a NumPro task, or a folder that holds exactly one.
        b: the same of the other run.
        confidence: of the interval; it is SciPy's BCa bootstrap of the mean difference over queries (percentile where BCa does not
            exist, as when no query changed).
        resamples: of the bootstrap.
        most: how many of the most changed queries to list.
        seed: of the resampling.

    Raises:
        NumProError: not such logs, or no query in common.
    """
    runs = [_read(a), _read(b)]
    shared = [key for key in runs[0] if key in runs[1]]
    if not shared:
        raise NumProError(f"{a} and {b} have no query in common; are they runs of the same benchmark and split?")
    metrics = [name for name in _metrics(runs[0][shared[0]]) if name in _metrics(runs[1][shared[0]])]
    rng = np.random.default_rng(seed)
    differences = []
    for name in metrics:
        values = np.array([[run[key][name] for key in shared] for run in runs], dtype=np.float64)
        low, high = _interval(values[1] - values[0], confidence, resamples, rng)
        differences.append(Difference(name, float(values[0].mean()), float(values[1].mean()), low, high))
    return Comparison(
        len(shared), len(runs[0]) - len(shared), len(runs[1]) - len(shared), differences, _changed(runs, shared, metrics, most)
    )


def _interval(
    change: np.ndarray[Any, np.dtype[np.float64]], confidence: float, resamples: int, rng: np.random.Generator
) -> tuple[float, float]:
    from scipy.stats import bootstrap

    if len(change) < 2 or np.ptp(change) == 0:
        return float(change.mean()), float(change.mean())
    for method in ("BCa", "percentile"):
        found = bootstrap((change,), np.mean, confidence_level=confidence, n_resamples=resamples, method=method, rng=rng, batch=200)
        low, high = (float(end) for end in found.confidence_interval)
        if np.isfinite([low, high]).all():
            break
    return low, high


def _changed(
    runs: list[dict[str, dict[str, Any]]], shared: list[str], metrics: list[str], most: int
) -> list[tuple[str, str, float, float]]:
    name = next((name for name in CHANGE if name in metrics), None)
    if name is None:
        return []
    scores = [(key, str(runs[0][key]["numpro"].get("query") or ""), runs[0][key][name], runs[1][key][name]) for key in shared]
    moved = [row for row in scores if row[2] != row[3]]
    return sorted(moved, key=lambda row: -abs(row[3] - row[2]))[:most]


def _metrics(sample: Mapping[str, Any]) -> list[str]:
    return [name for name, value in sample.items() if isinstance(value, (int, float)) and not isinstance(value, bool) and name != "doc_id"]


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """Samples by query id."""
    if path.is_dir():
        logs = sorted(path.rglob("*samples_*.jsonl"))
        if len(logs) != 1:
            found = "\n".join(f"  {log}" for log in logs) or "  none"
            raise NumProError(f"{path}: holds {len(logs)} sample logs, name one of them:\n{found}")
        path = logs[0]
    samples: dict[str, dict[str, Any]] = {}
    for number, row in read_jsonl(path):
        if not isinstance(row.get("numpro"), dict):
            raise NumProError(f"{path}:{number}: is no sample of a NumPro task; give lmms-eval's samples_numpro_*.jsonl (--log_samples)")
        samples[str(row["numpro"]["id"])] = row
    if not samples:
        raise NumProError(f"{path}: holds no sample")
    return samples
