"""The runs of `numpro-train shards` that are at work in one folder: several may share its chunks, but no two make the same one.

Each run holds a lock on a file of its own, ``OUT/units/.job-I-of-N.lock``, which names it. The lock of a killed run is free at once. These
files are made and removed under a further lock, ``.jobs.lock``.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from numpro_plugin.errors import NumProError

from .chunks import RECORDS_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

log = logging.getLogger(__name__)

_NAME = re.compile(r"\.job-(\d+)-of-(\d+)\.lock")


class Job:
    """One run's part of the work, for as long as a ``with`` block lasts.

    Args:
        out: folder of the shards.
        shard: ``(i, n)``: every n-th chunk, starting with the i-th.
        chunks: how many chunks there are in all.

    Raises:
        NumProError: another run at work in the folder makes some of these chunks.
    """

    def __init__(self, out: Path, shard: tuple[int, int], chunks: int) -> None:
        self._out, self._folder, self._shard, self._chunks = out, out / RECORDS_FOLDER, shard, chunks
        self._path = self._folder / f".job-{shard[0]}-of-{shard[1]}.lock"
        self._guard = self._folder / ".jobs.lock"
        self._lock: int | None = None

    def __enter__(self) -> Self:
        try:
            with self._one_at_a_time():
                for path, shard in self._others():
                    self._check(path, shard)
                self._lock = _locked(self._path)
                record = {"host": socket.gethostname(), "process": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
                self._path.write_text(json.dumps(record))
        except (OSError, ImportError) as error:
            log.warning(
                "%s: has no locks (%s); do not make the same shards twice at once. Unfinished files of killed runs stay",
                self._folder,
                error,
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._lock is None:
            return
        with suppress(OSError), self._one_at_a_time():
            self._path.unlink(missing_ok=True)
            if not any(self._others()):
                self._guard.unlink(missing_ok=True)
        os.close(self._lock)

    def is_alone(self) -> bool:
        """Whether no other run is at work in the folder. Without locks that cannot be known."""
        if self._lock is None:
            return False
        with self._one_at_a_time():
            return all(path == self._path for path, _ in self._others())

    def _others(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        """The files of the runs at work, this one's among them; those of killed runs are removed."""
        for path in sorted(self._folder.glob(".job-*.lock")):
            found = _NAME.fullmatch(path.name)
            if found is None:
                continue
            lock = _locked(path)
            if lock is None:
                yield path, (int(found[1]), int(found[2]))
                continue
            path.unlink(missing_ok=True)
            os.close(lock)

    def _check(self, path: Path, shard: tuple[int, int]) -> None:
        mine, theirs = (set(range(i, self._chunks, n)) for i, n in (self._shard, shard))
        if not mine & theirs:
            return
        try:
            record = json.loads(path.read_text())
            who = f"process {record['process']} on {record['host']}, since {record['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            who = "of unknown process"
        raise NumProError(
            f"{self._out}: another `numpro-train shards` ({who}) is making the same files there, as --shard {shard[0]}/{shard[1]}; wait "
            "until it has ended, or stop it. Several runs share the work with --shard I/N, each with another I and all with one N"
        )

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Only one run at a time looks at the locks. Raises OSError where the file system has none."""
        import fcntl

        while True:
            descriptor = os.open(self._guard, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if os.fstat(descriptor).st_nlink:  # otherwise the last run has removed the file while this one waited
                    yield
                    return
            finally:
                os.close(descriptor)


def _locked(path: Path) -> int | None:
    """The descriptor of a file that is now locked; None if another run has locked it."""
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
