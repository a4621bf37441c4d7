"""One output folder, one run: a lock file that names the process that writes to the folder."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from types import TracebackType

LOCK = "lock.json"
HEARTBEAT_S = 30.0
"""Seconds between the updates of a lock's time stamp, by which other machines see that its run is alive."""

EXPIRY_S = 300.0
"""A lock of another machine that was not updated for this many seconds belongs to a dead run."""

_ATTEMPTS = 20


@dataclass(frozen=True)
class Owner:
    """A process that holds a lock."""

    token: str
    """Identifies this lock; temporary folders of the run have it in their names."""

    host: str
    pid: int
    started: str
    """When the lock was taken, UTC."""

    process_start: str
    """Start time of the process by its kernel's clock, because pids are used again."""

    system: str
    """Boot and pid namespace of the process: pids mean something only within them."""

    @classmethod
    def current(cls) -> Owner:
        """This process, with a new token."""
        pid, now = os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        return cls(uuid.uuid4().hex[:12], socket.gethostname(), pid, now, _process_start(pid) or "", _system())

    def is_alive(self) -> bool | None:
        """Whether the process still runs; None if that cannot be seen from here (another machine or container)."""
        if (self.host, self.system) != (socket.gethostname(), _system()):
            return None
        if self.process_start:
            return _process_start(self.pid) == self.process_start
        try:  # no /proc: macOS
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, started {self.started}"


class OutputLock:
    """The lock of an output folder, held by this process until the context ends.

    It is a file with the ``Owner`` as JSON, created by a hard link or with ``O_EXCL``, which are atomic on network file systems, too. A
    thread updates its time stamp while the run is alive.
    """

    def __init__(self, folder: Path, owner: Owner, *, dead: frozenset[str], created: bool) -> None:
        self.folder, self.owner = folder, owner
        self.dead = dead
        """Tokens of dead runs whose locks were removed: their temporary folders may be deleted."""

        self._created = created
        self._ended = threading.Event()
        self._heartbeat = threading.Thread(target=self._beat, name="output lock", daemon=True)
        self._heartbeat.start()

    @classmethod
    def take(cls, folder: Path, *, steal: bool = False) -> OutputLock:
        """Lock a folder, which is created if it does not exist. The lock of a dead run is removed; ``steal``: that of a live one, too.

        Raises:
            NumProError: another run holds the lock, or the folder cannot be written to.
        """
        created = not folder.exists()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return cls._take(folder, steal=steal, created=created)
        except (FileExistsError, NotADirectoryError):
            raise NumProError(f"output={folder} is a file, or is inside a file: pass a folder") from None
        except OSError as error:
            raise NumProError(f"output={folder} cannot be written to ({error.strerror or error}): choose another folder") from error

    @classmethod
    def _take(cls, folder: Path, *, steal: bool, created: bool) -> OutputLock:
        owner = Owner.current()
        dead: set[str] = set()
        for _ in range(_ATTEMPTS):
            age_s = _create(folder, owner)
            if age_s is None:
                return cls(folder, owner, dead=frozenset(dead), created=created)
            holder = _read(folder)
            if holder is None and not (folder / LOCK).exists():  # released just now
                continue
            alive = holder.is_alive() if holder else None
            if alive is False or (alive is None and age_s > EXPIRY_S):
                dead.add(holder.token if holder else "")
            elif not steal:
                raise NumProError(_refusal(folder, holder, alive=alive, age_s=age_s))
            _remove(folder, holder, owner)
        raise NumProError(f"output={folder}: its lock {folder / LOCK} changes all the time; are several runs started in this folder?")

    def is_lost(self) -> bool:
        """Whether another run has locked the folder."""
        holder = _read(self.folder)
        return holder is not None and holder.token != self.owner.token

    def check(self) -> None:
        """Check, before something is written, that the lock is still this run's. A lock that was deleted is created again.

        Raises:
            NumProError: another run took the folder over, or the folder was deleted.
        """
        holder = _read(self.folder)
        if holder is None:
            try:
                _create(self.folder, self.owner)
            except OSError as error:
                raise NumProError(f"output={self.folder} cannot be written to any more: {error.strerror or error}") from error
            holder = _read(self.folder)
        if holder is None or holder.token != self.owner.token:
            raise NumProError(
                f"output={self.folder} was taken over by another run ({holder or 'unknown'}): this run ends and writes nothing more"
            )

    def release(self) -> None:
        """Remove the lock, if it is still this run's, and a folder that was created for it and is still empty."""
        self._ended.set()
        holder = _read(self.folder)
        if holder is not None and holder.token == self.owner.token:
            (self.folder / LOCK).unlink(missing_ok=True)
            if self._created:
                self.folder.rmdir()  # fails if there is anything in it

    def __enter__(self) -> OutputLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(OSError):
            self.release()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_S):
            if not self.is_lost():
                with suppress(OSError):  # gone for now: ``check`` decides
                    os.utime(self.folder / LOCK)


def _create(folder: Path, owner: Owner) -> float | None:
    """Create the lock. Returns None, or the seconds since the last update of the lock that exists, by the file system's clock."""
    lock, own = folder / LOCK, folder / f".{LOCK}.{owner.token}"
    try:
        own.write_text(json.dumps(asdict(owner)) + "\n", encoding="utf-8")
        try:
            os.link(own, lock)
        except FileExistsError:
            if own.stat().st_nlink != 2:  # 2: the link was made, although a network file system reported that it existed
                try:
                    return own.stat().st_mtime - lock.stat().st_mtime
                except FileNotFoundError:  # released just now
                    return 0.0
        except OSError:  # a file system without hard links
            try:
                with open(lock, "x", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(owner)) + "\n")
            except FileExistsError:
                return own.stat().st_mtime - lock.stat().st_mtime
        return None
    finally:
        own.unlink(missing_ok=True)


def _read(folder: Path) -> Owner | None:
    """Who holds the lock; None if there is none, or if it cannot be read (it may be being written)."""
    try:
        return Owner(**json.loads((folder / LOCK).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _remove(folder: Path, holder: Owner | None, owner: Owner) -> None:
    """Remove the lock of ``holder``. A lock that another start has created in the meantime is put back."""
    moved = folder / f".{LOCK}.{owner.token}.old"
    try:
        os.replace(folder / LOCK, moved)
    except FileNotFoundError:
        return
    try:
        found = Owner(**json.loads(moved.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        found = None
    if found == holder:
        moved.unlink()
    else:
        with suppress(OSError):
            os.link(moved, folder / LOCK)
        moved.unlink(missing_ok=True)


def _refusal(folder: Path, holder: Owner | None, *, alive: bool | None, age_s: float) -> str:
    """Why the folder cannot be used."""
    text = f"output={folder} is in use by another run ({holder or 'its lock cannot be read'}"
    if alive:
        return f"{text}): wait until it ends, or choose another folder"
    return (
        f"{text}; last sign of life {max(0, round(age_s))} seconds ago): choose another folder. If that run is dead, its lock expires "
        f"{EXPIRY_S:g} seconds after the last sign of life; --steal-lock takes the folder over at once"
    )


def _process_start(pid: int) -> str | None:
    """Start time of a running process in clock ticks since boot; None if there is no such process, or no /proc."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if after_name[0] in ("Z", "X") else after_name[19]


def _system() -> str:
    """Boot id and pid namespace; empty where there is no /proc."""
    parts = []
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)
