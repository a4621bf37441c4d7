"""Work in advance for a slow consumer: the next results are made in background threads while the current one is used."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Source = TypeVar("Source")
Result = TypeVar("Result")


def prefetch(
    sources: Iterable[Source],
    make: Callable[[Source], Result],
    *,
    workers: int = 2,
    weight: Callable[[Source], int] = lambda _: 1,
    limit: int = 8,
) -> Iterator[tuple[Source, Result | NumProError]]:
    """Each source with ``make(source)``, in order. A NumProError is yielded in place of the result; other errors are raised.

    Decoding and array work release Python's lock, so threads suffice. When the consumer stops early, whatever has not begun is dropped.

    Args:
        sources: what to work on; read no further in advance than needed.
        make: called in one of the threads.
        workers: threads; 0 makes each result when it is asked for.
        weight: how much of ``limit`` a source takes up until the consumer has its result.
        limit: the most weight in progress or waiting; a single source may weigh more.

    Raises:
        NumProError: ``workers`` is negative.
    """
    if workers < 0:
        raise NumProError(f"workers={workers!r} must be an integer, 0 or more")

    def attempt(source: Source) -> Result | NumProError:
        try:
            return make(source)
        except NumProError as error:
            return error

    if workers == 0:
        for source in sources:
            yield source, attempt(source)
        return
    waiting: deque[tuple[Source, Future[Result | NumProError]]] = deque()
    load = 0  # weight of what is waiting
    pool = ThreadPoolExecutor(workers, thread_name_prefix="numpro-prefetch")
    try:
        for source in sources:
            while waiting and load + weight(source) > limit:
                first, future = waiting.popleft()
                load -= weight(first)
                yield first, future.result()
            waiting.append((source, pool.submit(attempt, source)))
            load += weight(source)
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
