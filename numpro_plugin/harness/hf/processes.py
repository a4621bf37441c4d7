"""One list of work over many processes: everybody sees all of it, takes a fair part, and gives back what came of it."""

# mypy: allow-untyped-calls

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, TypeVar

import torch.distributed as dist

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")


def together(work: Callable[[], Item]) -> list[Item]:
    """What ``work()`` gives in every process, by rank; of a single process its own.

    Raises:
        NumProError: it failed in some process. Where it failed the error is its own; the others must not wait for it for ever.
    """
    result: Item | None = None
    failure: Exception | None = None
    try:
        result = work()
    except Exception as error:
        failure = error
    everyone = _gathered((result, None if failure is None else str(failure)))
    if failure is not None:
        raise failure
    for rank, (_, said) in enumerate(everyone):
        if said is not None:
            raise NumProError(f"process {rank} failed: {said}")
    return [item for item, _ in everyone]


def fair_parts(costs: Sequence[float], parts: int) -> list[list[int]]:
    """Indices of ``costs`` in ``parts`` lists of about equal sums: the dearest first, each to the part with the least so far.

    The result depends on the arguments alone, so processes need not talk about it.
    """
    made: list[list[int]] = [[] for _ in range(parts)]
    loads = [(0.0, part) for part in range(parts)]
    for index in sorted(range(len(costs)), key=lambda k: (-costs[k], k)):
        load, part = heapq.heappop(loads)
        made[part].append(index)
        heapq.heappush(loads, (load + costs[index], part))
    return made


def _gathered(item: Any) -> list[Any]:
    if not (dist.is_available() and dist.is_initialized()):
        return [item]
    items: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(items, item)
    return items
