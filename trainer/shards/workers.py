"""Makes rows in parallel processes and returns them in order, a few in advance of the writer."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

from numpro_plugin.processes import worker_pool

from .rows import FrameOptions, MadeRow, make_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import ProcessPoolExecutor

    from ..instructions.conversations import TrainingVideo

_QUEUED_PER_WORKER = 3  # videos per process that may be submitted before their rows are taken


def make_rows(videos: Iterable[TrainingVideo], options: FrameOptions, *, workers: int) -> Iterator[MadeRow]:
    """`make_row` of every video, in order.

    If a process dies while reading a video (a broken file can crash a decoder, a huge one can exhaust memory), only that video is lost.
    The processes end when the one that started them ends, in whatever way.

    Args:
        videos: the videos to read.
        options: see `FrameOptions`.
        workers: number of processes; 0: work in this process.
    """
    if workers == 0:
        yield from (make_row(video, options) for video in videos)
        return
    pool = worker_pool(workers)
    try:
        waiting: deque[tuple[TrainingVideo, Future[MadeRow]]] = deque()
        for video in videos:
            waiting.append((video, _submit(pool, video, options)))
            if len(waiting) >= workers * _QUEUED_PER_WORKER:
                made, pool = _next(waiting, pool, options, workers)
                yield made
        while waiting:
            made, pool = _next(waiting, pool, options, workers)
            yield made
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _next(
    waiting: deque[tuple[TrainingVideo, Future[MadeRow]]], pool: ProcessPoolExecutor, options: FrameOptions, workers: int
) -> tuple[MadeRow, ProcessPoolExecutor]:
    video, future = waiting.popleft()
    try:
        return future.result(), pool
    except BrokenProcessPool:
        # It is unknown which of the running videos it was: this one is tried alone, and the others go to a new pool.
        pool.shutdown(wait=False, cancel_futures=True)
        with worker_pool(1) as alone:
            try:
                made = alone.submit(make_row, video, options).result()
            except BrokenProcessPool:
                made = MadeRow(skipped=f"{video.path}: the process that reads it dies (the decoder crashes, or memory is not enough)")
        pool = worker_pool(workers)
        for position, (other, before) in enumerate(waiting):
            if not before.done() or before.cancelled() or before.exception() is not None:
                waiting[position] = other, _submit(pool, other, options)
        return made, pool


def _submit(pool: ProcessPoolExecutor, video: TrainingVideo, options: FrameOptions) -> Future[MadeRow]:
    try:
        return pool.submit(make_row, video, options)
    except BrokenProcessPool as error:  # it broke since the last result; the error shows when this one is taken
        broken: Future[MadeRow] = Future()
        broken.set_exception(error)
        return broken
