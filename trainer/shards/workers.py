"""Rows made in processes side by side, in order, a few ahead of whoever writes them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from .rows import FrameOptions, MadeRow, make_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..instructions.conversations import Video

_AHEAD = 3  # videos per process that may be finished before they are taken


def make_rows(videos: Iterable[Video], options: FrameOptions, *, workers: int) -> Iterator[MadeRow]:
    """`make_row` of every video, in order.

    A process that dies over a video (a broken file can crash a decoder, a huge one exhaust the memory) costs that video only. The
    processes end with the one that started them, however that ends.

    Args:
        videos: what to read.
        options: see `FrameOptions`.
        workers: processes; 0 works in this one.
    """
    if workers == 0:
        yield from (make_row(video, options) for video in videos)
        return
    pool = _pool(workers)
    try:
        waiting: deque[tuple[Video, Future[MadeRow]]] = deque()
        for video in videos:
            waiting.append((video, _submit(pool, video, options)))
            if len(waiting) >= workers * _AHEAD:
                made, pool = _next(waiting, pool, options, workers)
                yield made
        while waiting:
            made, pool = _next(waiting, pool, options, workers)
            yield made
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def default_workers() -> int:
    """One per processor that this process may use: a job array's jobs share a machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _next(
    waiting: deque[tuple[Video, Future[MadeRow]]], pool: ProcessPoolExecutor, options: FrameOptions, workers: int
) -> tuple[MadeRow, ProcessPoolExecutor]:
    video, future = waiting.popleft()
    try:
        return future.result(), pool
    except BrokenProcessPool:
        # Nobody knows which of the videos in work it was: this one is tried alone, and what is left goes to a new pool.
        pool.shutdown(wait=False, cancel_futures=True)
        with _pool(1) as alone:
            try:
                made = alone.submit(make_row, video, options).result()
            except BrokenProcessPool:
                made = MadeRow(skipped=f"{video.path}: the process that reads it dies (a crash of the decoder, or not enough memory)")
        pool = _pool(workers)
        for position, (other, before) in enumerate(waiting):
            if not before.done() or before.cancelled() or before.exception() is not None:
                waiting[position] = other, _submit(pool, other, options)
        return made, pool


def _submit(pool: ProcessPoolExecutor, video: Video, options: FrameOptions) -> Future[MadeRow]:
    try:
        return pool.submit(make_row, video, options)
    except BrokenProcessPool as error:  # it broke since the last answer; who asks for this one will find out
        broken: Future[MadeRow] = Future()
        broken.set_exception(error)
        return broken


def _pool(workers: int) -> ProcessPoolExecutor:
    # Spawned, not forked: Arrow and OpenCV have threads, which a fork would leave half there.
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)


def _begin() -> None:
    """Ctrl-C is for the process that writes; and if that one is killed, its workers must not wait for work for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
