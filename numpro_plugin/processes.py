"""Processes that end with the one that started them, in whatever way it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait


def usable_cores() -> int:
    """How many processors this process may use, which is fewer than there are when jobs share a machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_pool(workers: int) -> ProcessPoolExecutor:
    """A pool of processes that leave Ctrl-C to this one, and end when it is gone.

    Spawned, not forked: the threads of Arrow and OpenCV do not survive a fork.
    """
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()


def end_with_standard_input() -> None:
    """End this process as soon as its standard input does: whoever started it with a pipe there, and holds its other end, is gone."""

    def wait_for_the_end() -> None:
        while os.read(0, 4096):  # not sys.stdin, whose lock would be held when this process ends by itself
            pass
        os._exit(1)

    threading.Thread(target=wait_for_the_end, daemon=True).start()
