"""One list of work over many processes: everybody sees all of it, takes a fair part, and gives back what came of it."""

# mypy: allow-untyped-calls

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, TypeVar

import torch.distributed as dist

if TYPE_CHECKING:
    from collections.abc import Sequence

Item = TypeVar("Item")


def gather(item: Item) -> list[Item]:
    """Every process's item, by rank; of a single process its own."""
    if not (dist.is_available() and dist.is_initialized()):
        return [item]
    items: list[Item | None] = [None] * dist.get_world_size()
    dist.all_gather_object(items, item)
    return items  # type: ignore[return-value]


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
