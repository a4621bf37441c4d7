"""Clips of the next requests are made in the background while a base model answers."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType


class Ahead:
    """Does work ahead of somebody who will come for its results, one piece after the other, in a thread of its own.

    Nothing depends on it: what is not done yet is done by whoever asks first, and what goes wrong goes wrong for them again.

    Args:
        work: the pieces, in the order in which they will be asked for (more or less: base models sort requests).
        lead: how many pieces it may be ahead; the cache of clips has its limit.
    """

    def __init__(self, work: Iterable[Callable[[], object]], *, lead: int = 32) -> None:
        self._work = work
        self._room = threading.Semaphore(lead)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="numpro-ahead", daemon=True)

    def asked(self) -> None:
        """Somebody has come for a piece, so there is room for one more."""
        self._room.release()

    def __enter__(self) -> Ahead:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._room.release()
        self._thread.join()  # for the clip that it is at

    def _run(self) -> None:
        for piece in self._work:
            self._room.acquire()
            if self._stop.is_set():
                return
            with contextlib.suppress(Exception):
                piece()
