"""One list of work over many processes: everybody sees all of it, takes a fair part, and gives back what came of it."""

# mypy: allow-untyped-calls

from __future__ import annotations

import heapq
from functools import wraps
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


def ask_even_if_all_is_cached(kind: type) -> None:
    """Make lmms-eval's response cache call models of this kind in every process.

    With ``--use_cache`` lmms-eval does not call a model that has nothing left to answer, while those in other processes wait for it.
    """
    from lmms_eval.caching.response_cache import ResponseCache

    original = ResponseCache.execute
    if getattr(original, "_numpro", False):
        return

    @wraps(original)
    def execute(self: Any, lm: Any, reqtype: str, requests: list[Any]) -> Any:
        before = getattr(lm, "calls", 0)
        answers = original(self, lm, reqtype, requests)
        if isinstance(lm, kind) and reqtype == "generate_until" and lm.calls == before:  # type: ignore[attr-defined]
            lm.generate_until([])  # type: ignore[attr-defined]
        return answers

    execute._numpro = True  # type: ignore[attr-defined]
    ResponseCache.execute = execute


def _gathered(item: Any) -> list[Any]:
    if not (dist.is_available() and dist.is_initialized()):
        return [item]
    items: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(items, item)
    return items
