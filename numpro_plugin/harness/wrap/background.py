"""Clips of the next requests are made in the background while a base model answers.

`numpro_plugin.inference.prefetch` would not do: it hands results to one consumer in a fixed order, while base models sort requests and
ask from several threads. Here nothing is handed over; the cache of clips is where both sides meet.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType


class BackgroundWork:
    """Does one piece of work after the other in a thread of its own, a limited number of pieces before they are needed.

    Nothing depends on it: what is not done yet is done by whoever needs it first, and what fails fails again for them.

    Args:
        work: the pieces, about in the order in which they will be needed.
        lead: how many pieces it may be in front; the cache of clips has its limit.
    """

    def __init__(self, work: Iterable[Callable[[], object]], *, lead: int = 32) -> None:
        self._work = work
        self._room = threading.Semaphore(lead)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="numpro-background", daemon=True)

    def advance(self) -> None:
        """A piece was needed, so there is room for one more."""
        self._room.release()

    def __enter__(self) -> BackgroundWork:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._room.release()
        self._thread.join()  # it finishes the clip that it is making

    def _run(self) -> None:
        for piece in self._work:
            self._room.acquire()
            if self._stop.is_set():
                return
            with contextlib.suppress(Exception):
                piece()
