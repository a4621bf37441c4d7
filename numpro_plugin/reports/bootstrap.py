"""Intervals of means by resampling queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_FOR_BCA = 10_000
"""Queries up to which the interval is BCa: its jackknife grows with their square, its correction of skew fades with their root."""

_DRAWS = 10**8
"""Values drawn per metric at most: with more queries there are fewer resamples, 999 at least."""

_DRAWS_AT_ONCE = 2_000_000


def paired_intervals(
    values: NDArray[np.float64], rng: np.random.Generator, *, confidence: float = 0.95, resamples: int = 9999
) -> NDArray[np.float64]:
    """Percentile intervals of the differences of many runs to the first, all from one resampling of the queries: (runs, 2).

    Args:
        values: a score of each query in each run, (runs, N).
        rng: draws the resamples.
        confidence: of the intervals, 0 to 1.
        resamples: at most; above 10,000 queries there are fewer.
    """
    runs, n = values.shape
    resamples = resamples if n <= _MOST_FOR_BCA else max(999, min(resamples, _DRAWS // n))
    differences = values - values[:1]
    means = np.empty((resamples, runs))
    step = max(1, _DRAWS_AT_ONCE // n)
    for start in range(0, resamples, step):
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=min(step, resamples - start))
        means[start : start + len(drawn)] = drawn @ differences.T / n
    tail = 50 * (1 - confidence)
    return np.percentile(means, [tail, 100 - tail], axis=0).T


def mean_interval(
    values: NDArray[np.float64], rng: np.random.Generator, *, confidence: float = 0.95, resamples: int = 9999
) -> tuple[float, float]:
    """The bootstrap interval of a mean, (low, high): BCa up to 10,000 values, percentile above and where BCa does not exist.

    For the difference of two runs, give the differences query by query: the interval is then a paired one.

    Args:
        values: one per query, (N,), at least one.
        rng: draws the resamples.
        confidence: of the interval, 0 to 1.
        resamples: at most; above 10,000 values there are fewer.
    """
    from scipy.stats import bootstrap

    if len(values) < 2 or np.ptp(values) == 0:
        return float(values.mean()), float(values.mean())
    few = len(values) <= _MOST_FOR_BCA
    for method in ("BCa", "percentile") if few else ("percentile",):
        found = bootstrap(
            (values,),
            np.mean,
            confidence_level=confidence,
            n_resamples=resamples if few else max(999, min(resamples, _DRAWS // len(values))),
            method=method,
            rng=rng,
            batch=max(1, min(200, _DRAWS_AT_ONCE // len(values))),
        )
        low, high = (float(end) for end in found.confidence_interval)
        if np.isfinite([low, high]).all():
            break
    return low, high
