"""Work ahead of a slow consumer: the next items are made in background threads while the current one is used."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")
Made = TypeVar("Made")


def prefetch(
    items: Iterable[Item],
    make: Callable[[Item], Made],
    *,
    workers: int = 2,
    weight: Callable[[Item], int] = lambda _: 1,
    limit: int = 8,
) -> Iterator[tuple[Item, Made | NumProError]]:
    """Each item with ``make(item)``, in order; of a NumProError the error itself, while others end the iteration.

    Decoding and array work leave Python's lock, so threads suffice. When the consumer stops early what was not begun is dropped.

    Args:
        items: what to work on; read no further ahead than needed.
        make: called in one of the threads.
        workers: threads; 0 makes each item when it is asked for.
        weight: how much of ``limit`` an item takes up until the consumer has it.
        limit: made or begun ahead at most; one item always goes.
    """
    if workers < 0:
        raise NumProError(f"workers={workers!r} must be 0 or more")

    def attempt(item: Item) -> Made | NumProError:
        try:
            return make(item)
        except NumProError as error:
            return error

    if workers == 0:
        for item in items:
            yield item, attempt(item)
        return
    waiting: deque[tuple[Item, Future[Made | NumProError]]] = deque()
    load = 0
    pool = ThreadPoolExecutor(workers, thread_name_prefix="numpro-prefetch")
    try:
        for item in items:
            while waiting and load + weight(item) > limit:
                first, future = waiting.popleft()
                load -= weight(first)
                yield first, future.result()
            waiting.append((item, pool.submit(attempt, item)))
            load += weight(item)
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
