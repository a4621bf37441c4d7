"""Requests to stop a run before its end: SIGTERM, the signal that SLURM sends before a time limit, Ctrl-C, or a time limit."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

ECHO_S = 10.0
"""A signal that is repeated within this time is the same request: a launcher forwards what the cluster has already sent."""

TIME_LIMIT = 1
"""The code of a request by the time limit; that of a signal is its number."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)

_WORKER_GRACE_S = 3600
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Stopped(Exception):
    """A run ended before its last step, as requested, and can be continued."""

    def __init__(self, message: str, code: int, *, agreed: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.agreed = agreed
        """Whether all processes of the run end with this."""

    @property
    def exit_code(self) -> int:
        """128 + the signal's number: 143 for SIGTERM and time limits, 130 for Ctrl-C.

        0 under a launcher if all processes agreed, because it reports every other code as a crash; ``status.json`` has the run's state.
        """
        if launched() and self.agreed:
            return 0
        return 128 + (signal.SIGTERM if self.code == TIME_LIMIT else self.code)


class Interrupted(BaseException):
    """A signal came while there was nothing to save: before the first step."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class StopRequests:
    """Whether this process was asked to stop. Signals are handled within the context; before and after it they act as usual.

    Before ``defer`` a signal raises ``Interrupted``; after it, ``code`` tells the training loop. A second signal ends the process at
    once, unless it is an echo of the first.
    """

    def __init__(self, time_limit_s: float | None = None) -> None:
        self.time_limit_s = time_limit_s
        self.start = time.monotonic()
        self._signal = 0
        self._signal_time = 0.0
        self._deferred = False
        self._previous: dict[int, Any] = {}

    def code(self, reserve_s: float = 0.0) -> int:
        """0, or the code of the request. ``reserve_s``: how long before the time limit the run must stop."""
        if self._signal:
            return self._signal
        over = self.time_limit_s is not None and time.monotonic() - self.start + reserve_s >= self.time_limit_s
        return TIME_LIMIT if over else 0

    def defer(self) -> None:
        """From now on signals wait for the end of the current step: the training loop looks at ``code``."""
        self._deferred = True

    def __enter__(self) -> StopRequests:
        if threading.current_thread() is threading.main_thread():  # others cannot handle signals
            self._previous = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self._signal:
            self._signal, self._signal_time = number, now
            if not self._deferred:
                raise Interrupted(number)
            return
        at_terminal = number == signal.SIGINT and not launched()  # where Ctrl-C has no echo
        if now - self._signal_time > ECHO_S or at_terminal:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def request_name(code: int) -> str:
    """A request in words."""
    return {TIME_LIMIT: "the time limit", int(signal.SIGINT): "Ctrl-C"}.get(code) or signal.Signals(code).name


def launched() -> bool:
    """Whether a launcher (torchrun, deepspeed, accelerate) started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def let_worker_finish() -> None:
    """Set up signals of a data loader's worker: a signal to the whole process group must not end it before the step is complete.

    After SIGTERM, which a data loader sends to workers that do not end by themselves, it has ``_WORKER_GRACE_S`` seconds.
    """
    with suppress(ValueError):  # not in a main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, _end_later)


def _end_later(number: int, frame: FrameType | None) -> None:
    signal.alarm(_WORKER_GRACE_S)


def parse_time_limit(text: str) -> float:
    """Seconds of a time limit: ``90m``, ``3.5h``, ``1d12h``, or as SLURM writes it, ``23:30:00`` or ``1-12:00:00``.

    Raises:
        NumProError: another form, or zero.
    """
    pieces = re.fullmatch(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", text)
    if pieces:
        days, hours, minutes, seconds = (int(piece or 0) for piece in pieces.groups())
        total = float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    elif re.fullmatch(r"(?:\d+(?:\.\d+)?[smhd])+", text):
        total = sum(_seconds(text))
    else:
        total = 0.0
    if total <= 0:
        raise NumProError(f"--time-limit {text} is not a time above 0: write it as 90m, 3.5h, 1d12h, 23:30:00 or 1-12:00:00")
    return total


def _seconds(text: str) -> Iterator[float]:
    for number, unit in re.findall(r"(\d+(?:\.\d+)?)([smhd])", text):
        yield float(number) * _UNITS[unit]
