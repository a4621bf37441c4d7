"""One list of work over many processes: each sees all of it, does its share and gives the results to the others."""

# mypy: allow-untyped-calls

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, TypeVar

import torch.distributed as dist

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Result = TypeVar("Result")


def run_in_all(work: Callable[[], Result]) -> list[Result]:
    """The results of ``work()`` in every process, by rank; with a single process its own result.

    Raises:
        NumProError: ``work`` failed in another process, which must not leave this one waiting. A failure here is raised as it is.
    """
    result: Result | None = None
    failure: Exception | None = None
    try:
        result = work()
    except Exception as error:
        failure = error
    everyone = _gathered((result, None if failure is None else str(failure)))
    if failure is not None:
        raise failure
    for rank, (_, problem) in enumerate(everyone):
        if problem is not None:
            raise NumProError(f"process {rank} failed: {problem}")
    return [result for result, _ in everyone]


def balanced_shares(costs: Sequence[float], count: int) -> list[list[int]]:
    """Indices of ``costs`` in ``count`` lists of about equal sums: the largest first, each to the list with the smallest sum so far.

    The result depends on the arguments alone, so every process computes the same one.
    """
    shares: list[list[int]] = [[] for _ in range(count)]
    sums = [(0.0, k) for k in range(count)]
    for index in sorted(range(len(costs)), key=lambda k: (-costs[k], k)):
        total, smallest = heapq.heappop(sums)
        shares[smallest].append(index)
        heapq.heappush(sums, (total + costs[index], smallest))
    return shares


def _gathered(item: Any) -> list[Any]:
    if not (dist.is_available() and dist.is_initialized()):
        return [item]
    items: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(items, item)
    return items
