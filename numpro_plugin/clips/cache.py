"""The folder of made clips: a file appears in it whole or not at all, and the least recently used go when it is full."""

from __future__ import annotations

import json
import logging
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from numpro_plugin.clips.checksum import append_checksum, verify_checksum
from numpro_plugin.environment import cache_limit_gb, clips_folder
from numpro_plugin.errors import NumProError
from numpro_plugin.files import is_about_writing, new_part, put_in_place, remove_if_possible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)

T = TypeVar("T")

IN_USE_S = 900
"""A file that was used or written to in the last quarter of an hour may still be needed: it is spared."""

_LOCKS = 64
_RECOUNT_S = 3600  # files that were added or removed without this module are noticed then
_SLACK = 0.01  # of the limit: how much is written, or made free beyond need, before the folder is listed again


@dataclass(frozen=True)
class CacheInfo:
    """What the cache holds."""

    folder: Path
    clips: int
    bytes: int
    limit_bytes: int


class _Usage(NamedTuple):
    """A running total, kept in a file so that the folder need not be listed for every clip."""

    bytes: int
    """Of all clips: those counted and those written since."""

    counted_bytes: int
    """What was there when the folder was listed last, after old clips were removed."""

    counted_at: float
    """When that was, seconds since 1970."""


class _Entry(NamedTuple):
    used_at: float
    size: int
    path: str  # 100,000 of them: a Path takes longer to make than the file to be found


class ClipCache:
    """A folder of files named by a key.

    Args:
        folder: default ``$NUMPRO_CACHE/clips``, else the user's cache folder.
        limit_gb: default ``$NUMPRO_CACHE_GB``, else 50; 0 or less means no limit.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, *, limit_gb: float | None = None) -> None:
        self.folder = clips_folder() if folder is None else Path(folder)
        limit_gb = cache_limit_gb() if limit_gb is None else limit_gb
        self.limit_bytes = int(limit_gb * 1e9)
        self._locks = self.folder / "locks"

    def path(self, key: str) -> Path:
        """Where the file of a key is, or will be."""
        return self.folder / f"{key}.mp4"

    def keys(self) -> set[str]:
        """The keys of all files that are there."""
        return {Path(entry.path).stem for entry in self._entries()[0]}

    def get(self, key: str) -> Path | None:
        """The file of a key, marked as just used. None if it is not there, damaged, or from a version that stored no checksum."""
        path = self.path(key)
        try:
            with _but_not_missing():
                os.utime(path)  # first, so that nobody removes it from here on; fails in a cache that may only be read
            state = verify_checksum(path)
        except FileNotFoundError:
            return None
        if state == "damaged":
            log.warning("%s: the cached clip is damaged (its checksum differs); it is made again", path)
        return path if state == "intact" else None

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Only one process or thread at a time makes the file of a key; the lock of a killed process is free at once."""
        with self._lock(f"{int(key[:8], 16) % _LOCKS:02d}.lock"):
            yield

    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """A file to write an mp4 to; when the block ends well it gets its checksum and its place, else it is removed.

        Raises:
            OSError: the folder cannot be written to.
        """
        path = self.path(key)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part = new_part(path)
        except OSError as error:
            remedy = "a clip that is not in the cache has to be made; set NUMPRO_CACHE to a folder that you may write to"
            raise OSError(error.errno, f"{error.strerror or error} ({remedy})", str(self.folder)) from error
        try:
            yield part
            append_checksum(part)
            self._make_room(part.stat().st_size)
            put_in_place(part, path)
        except OSError as error:
            if is_about_writing(error, part):
                raise OSError(error.errno, f"{error.strerror} (while the clip {path.name} was written)", str(self.folder)) from error
            raise
        finally:
            remove_if_possible(part)

    def info(self) -> CacheInfo:
        """Count what is there."""
        return self._info(self._entries()[0])

    def clear(self) -> CacheInfo:
        """Remove all clips and unfinished files except those in use (see `IN_USE_S`); returns what was removed."""
        with self._lock("usage.lock"):
            now = self._now()
            clips, parts = self._entries()
            removed = [entry for entry in clips if _remove_unless_in_use(entry, now)]
            for entry in parts:
                _remove_unless_in_use(entry, now)
            left = sum(entry.size for entry in clips) - sum(entry.size for entry in removed)
            self._write_usage(_Usage(left, left, time.time()))
        return self._info(removed)

    def _make_room(self, needed: int) -> None:
        """Remove the least recently used clips if one of ``needed`` bytes would not fit; lists the folder only now and then."""
        with self._lock("usage.lock"):
            usage = self._read_usage()
            if usage is None or abs(time.time() - usage.counted_at) > _RECOUNT_S or self._is_full(usage, needed):
                usage = self._count_and_evict(needed)
            self._write_usage(usage._replace(bytes=usage.bytes + needed))

    def _is_full(self, usage: _Usage, needed: int) -> bool:
        """Where everything was in use at the last count, only after some more bytes: part of it may be old by then."""
        if self.limit_bytes <= 0:
            return False
        more_than_fits = usage.counted_bytes > self.limit_bytes
        return usage.bytes + needed > (usage.counted_bytes + _SLACK * self.limit_bytes if more_than_fits else self.limit_bytes)

    def _count_and_evict(self, needed: int) -> _Usage:
        now = self._now()
        clips, parts = self._entries()
        for entry in parts:  # of processes that were killed
            with suppress(OSError):
                _remove_unless_in_use(entry, now)
        held = sum(entry.size for entry in clips)
        if self.limit_bytes > 0 and held + needed > self.limit_bytes:
            for entry in sorted(clips):
                if held + needed <= (1 - _SLACK) * self.limit_bytes:
                    break
                try:
                    held -= entry.size if _remove_unless_in_use(entry, now) else 0
                except OSError as error:  # of another user, in a folder where everybody may remove only what is his
                    _warn_not_removable(self.folder, error.strerror)
            if (excess := held + needed - self.limit_bytes) > 0:
                log.warning(
                    "%s: the clips in use need %.1f GB more than the limit of %.1f GB (NUMPRO_CACHE_GB)",
                    self.folder,
                    excess / 1e9,
                    self.limit_bytes / 1e9,
                )
        return _Usage(held, held, time.time())

    def _now(self) -> float:
        """The time by the clock of the file system, which on a network is not this machine's."""
        try:
            os.utime(self._locks / "usage.lock")
            return (self._locks / "usage.lock").stat().st_mtime
        except OSError:
            return time.time()

    def _entries(self) -> tuple[list[_Entry], list[_Entry]]:
        """The clips and the unfinished files."""
        clips: list[_Entry] = []
        parts: list[_Entry] = []
        with suppress(FileNotFoundError), os.scandir(self.folder) as files:
            for file in files:
                entries = clips if file.name.endswith(".mp4") else parts if file.name.endswith(".part") else None
                if entries is not None:
                    with suppress(FileNotFoundError):  # another process may have removed it meanwhile
                        stat = file.stat()
                        entries.append(_Entry(stat.st_mtime, stat.st_size, file.path))
        return clips, parts

    def _info(self, entries: list[_Entry]) -> CacheInfo:
        return CacheInfo(self.folder, len(entries), sum(entry.size for entry in entries), self.limit_bytes)

    def _read_usage(self) -> _Usage | None:
        try:
            total, counted, at = json.loads((self._locks / "usage.json").read_text())
            return _Usage(int(total), int(counted), float(at))
        except (OSError, ValueError, TypeError):
            return None

    def _write_usage(self, usage: _Usage) -> None:
        """Not written whole: what a kill leaves unreadable is counted again."""
        with suppress(OSError):
            (self._locks / "usage.json").write_text(json.dumps(usage))

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """An flock rather than filelock: on file systems without flock that library leaves a file behind which outlives a kill."""
        descriptor = None
        try:
            import fcntl

            self._locks.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._locks / name, os.O_RDWR | os.O_CREAT, 0o666)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except (OSError, ImportError) as error:
            _warn_without_lock(self.folder, str(getattr(error, "strerror", None) or error))
        try:
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)


def reading(make: Callable[[], Path], read: Callable[[Path], T]) -> T:
    """What ``read`` gets from the clip that ``make`` returns. A clip that vanished in between (the cache was cleared) is made again."""
    clip = make()
    try:
        return read(clip)
    except (OSError, NumProError):
        if clip.exists():
            raise
    return read(make())


def _remove_unless_in_use(entry: _Entry, now: float) -> bool:
    """Whether the file is gone. Its time is looked up again: somebody may have taken it since the folder was listed."""
    try:
        if abs(now - os.stat(entry.path).st_mtime) < IN_USE_S:
            return False
        os.unlink(entry.path)
    except FileNotFoundError:
        pass
    return True


@contextmanager
def _but_not_missing() -> Iterator[None]:
    """Every OSError is passed over, except that a file is not there."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError:
        pass


@cache
def _warn_without_lock(folder: Path, reason: str) -> None:
    """Cached, so that it is logged once."""
    log.warning(
        "%s: clips cannot be locked here (%s), so two processes may make the same clip at once; the clips are right all the same",
        folder,
        reason,
    )


@cache
def _warn_not_removable(folder: Path, reason: str) -> None:
    """Cached, so that it is logged once."""
    log.warning("%s: old clips cannot be removed (%s), so the cache may grow beyond its limit (NUMPRO_CACHE_GB)", folder, reason)
