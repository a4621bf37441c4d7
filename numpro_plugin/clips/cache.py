"""The folder of made clips: a file appears in it whole or not at all, and the least recently used go when it is full."""

from __future__ import annotations

import contextlib
import logging
import os
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from numpro_plugin.environment import cache_limit_gb, clips_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

_LOCKS = 64
_IN_USE_S = 900  # a clip that somebody asked for in the last quarter of an hour may still be about to be read
_STALE_S = 3600  # unfinished files of a process that was killed


@dataclass(frozen=True)
class CacheInfo:
    """What the cache holds."""

    folder: Path
    clips: int
    bytes: int
    limit_bytes: int


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

    def path(self, key: str) -> Path:
        """Where the file of a key is, or will be."""
        return self.folder / f"{key}.mp4"

    def get(self, key: str) -> Path | None:
        """The file of a key, marked as just used, or None."""
        path = self.path(key)
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        except PermissionError:  # a cache that others may only read
            return path if path.stat().st_size else None
        return path if path.stat().st_size else None

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Only one process or thread at a time makes the file of a key; the lock of a killed process is free at once."""
        locks = self.folder / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / f"{int(key[:8], 16) % _LOCKS:02d}.lock"):
            yield

    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """A name to write to; when the block ends well the file is put in place, else it is removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f"{key}.{uuid.uuid4().hex[:8]}.part"
        try:
            yield part
            self._make_room(part.stat().st_size)
            os.replace(part, self.path(key))
        finally:
            part.unlink(missing_ok=True)

    def info(self) -> CacheInfo:
        """Count what is there."""
        entries = self._entries("*.mp4")
        return CacheInfo(self.folder, len(entries), sum(size for _, size, _ in entries), self.limit_bytes)

    def clear(self) -> CacheInfo:
        """Remove every clip and every unfinished file; returns what was there."""
        before = self.info()
        for _, _, path in self._entries("*.mp4") + self._entries("*.part"):
            path.unlink(missing_ok=True)
        return before

    def _make_room(self, needed: int) -> None:
        now = time.time()
        for used_at, _, path in self._entries("*.part"):
            if now - used_at > _STALE_S:
                path.unlink(missing_ok=True)
        if self.limit_bytes <= 0:
            return
        entries = sorted(self._entries("*.mp4"))
        excess = sum(size for _, size, _ in entries) + needed - self.limit_bytes
        for used_at, size, path in entries:
            if excess <= 0 or now - used_at < _IN_USE_S:
                break
            path.unlink(missing_ok=True)
            excess -= size
        if excess > 0:
            log.warning(
                "%s: the clips in use need %.1f GB more than the limit of %.1f GB (NUMPRO_CACHE_GB)",
                self.folder,
                excess / 1e9,
                self.limit_bytes / 1e9,
            )

    def _entries(self, pattern: str) -> list[tuple[float, int, Path]]:
        """(last use, size in bytes, path) of each file."""
        entries = []
        for path in self.folder.glob(pattern):
            with contextlib.suppress(FileNotFoundError):  # another process may have removed it meanwhile
                stat = path.stat()
                entries.append((stat.st_mtime, stat.st_size, path))
        return entries
