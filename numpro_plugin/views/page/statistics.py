"""What a report says of runs in figures: means with intervals, differences, and means by kind of query."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from numpro_plugin.reports.bootstrap import mean_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from numpro_plugin.views.runs import Run, Sample

_IN_PARENTHESES = re.compile(r"\s*\([^()]*\)")
_QUOTED = re.compile(r"(['\"‘“]).*?(['\"’”])")

LENGTHS_S = (0, 5, 10, 20, 40, 80)
"""Bounds of the groups by length of the true moment, in seconds; the last group is open."""

POSITIONS = 5
"""Groups by the position of the true moment's middle in its video."""

_FEW_RESAMPLES = 999
_THRESHOLDS = np.linspace(0, 1, 21)


@dataclass(frozen=True)
class Figure:
    """A mean in percent with its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Group:
    """The mean score of the queries of one kind."""

    label: str
    n: int
    mean: float | None
    """Percent; None where there is no query."""


def metric_figures(run: Run, seed: int = 0) -> dict[str, Figure]:
    """Each metric of a run with the bootstrap interval over its queries."""
    rng = np.random.default_rng(seed)
    return {
        name: Figure(float(values.mean()), *mean_interval(values, rng, resamples=_FEW_RESAMPLES))
        for name in _metric_names(run)
        if len(values := _values(run.samples.values(), name))
    }


def metric_differences(first: Run, other: Run, seed: int = 0) -> tuple[int, dict[str, Figure]]:
    """How many queries both runs have, and per metric the mean of ``other - first`` on them with its paired interval."""
    rng = np.random.default_rng(seed)
    shared = [key for key in first.samples if key in other.samples]
    if not shared:
        return 0, {}
    found = {}
    for name in _metric_names(first):
        change = _values([other.samples[key] for key in shared], name) - _values([first.samples[key] for key in shared], name)
        if len(change) and np.isfinite(change).all():
            found[name] = Figure(float(change.mean()), *mean_interval(change, rng, resamples=_FEW_RESAMPLES))
    return len(shared), found


def recall_curve(run: Run) -> list[tuple[float, float]]:
    """(threshold, percent of queries whose score reaches it) for thresholds 0, 0.05 ... 1."""
    scores = np.array([sample.score for sample in run.samples.values()]) / 100
    return [(float(t), float(100 * (scores >= t - 1e-12).mean())) for t in _THRESHOLDS] if len(scores) else []


def score_histogram(run: Run, bins: int = 20) -> list[int]:
    """Queries by score, in bins of equal width from 0 to 100; a score of 100 is in the last one."""
    counts, _ = np.histogram([sample.score for sample in run.samples.values()], bins=bins, range=(0, 100))
    return [int(count) for count in counts]


def scores_by_length(run: Run) -> list[Group]:
    """Mean score by length of the (first) true moment."""
    bounds = [*LENGTHS_S, np.inf]
    labels = [f"{low}–{high} s" if high < np.inf else f"over {low} s" for low, high in itertools.pairwise(bounds)]
    return _grouped(run, labels, lambda sample: int(np.searchsorted(bounds, sample.truth_s[0][1] - sample.truth_s[0][0], "right")) - 1)


def scores_by_position(run: Run) -> list[Group]:
    """Mean score by where in its video the middle of the (first) true moment lies."""
    step = 100 // POSITIONS
    labels = [f"{k * step}–{(k + 1) * step} %" for k in range(POSITIONS)]

    def position(sample: Sample) -> int:
        middle = sum(sample.truth_s[0]) / 2
        return int(np.clip(POSITIONS * middle / (sample.length_s or np.inf), 0, POSITIONS - 1))

    return _grouped(run, labels, position)


def unread_answers(run: Run) -> list[tuple[str, int]]:
    """Why answers were not read or not given, most frequent first. Numbers and quotations of single answers are left out."""
    reasons: Counter[str] = Counter()
    for sample in run.samples.values():
        if sample.failure:
            reasons[f"no answer: {_general(sample.failure)}"] += 1
        elif sample.metrics.get("parse_fail") == 100:
            reasons[_general(sample.reason)] += 1
    return reasons.most_common()


def cost(run: Run) -> dict[str, float]:
    """Tokens of an answer and seconds of a query, where they were logged."""
    found = {}
    tokens = [sample.tokens for sample in run.samples.values() if sample.tokens is not None]
    if tokens:
        found["tokens per answer"] = float(np.mean(tokens))
    if run.seconds is not None and run.samples:
        found["seconds of the whole run"] = run.seconds
    return found


def _metric_names(run: Run) -> list[str]:
    return list(dict.fromkeys(name for sample in run.samples.values() for name in sample.metrics))


def _values(samples: Iterable[Sample], name: str) -> NDArray[np.float64]:
    return np.array([sample.metrics.get(name, np.nan) for sample in samples], dtype=np.float64)


def _grouped(run: Run, labels: Sequence[str], group: Callable[[Sample], int]) -> list[Group]:
    scores: list[list[float]] = [[] for _ in labels]
    for sample in run.samples.values():
        if sample.truth_s:
            scores[group(sample)].append(sample.score)
    return [Group(label, len(of), float(np.mean(of)) if of else None) for label, of in zip(labels, scores, strict=True)]


def _general(reason: str) -> str:
    return _QUOTED.sub("…", _IN_PARENTHESES.sub("", reason)).strip() or "not said"
