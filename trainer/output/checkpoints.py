"""Checkpoints that are either complete or absent."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from numpro_plugin.errors import NumProError
from numpro_plugin.files import put_in_place

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_TEMPORARY = re.compile(r"\..+?(?:\.(?P<token>[0-9a-f]{12}))?\.(?:part|old)")
_ABANDONED_S = 86_400
_PROBE_BYTES = 4 << 20

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.EIO: "the disk reports an input/output error",
    errno.ESTALE: "the network file system lost the folder",
    errno.ENOENT: "the folder was deleted",
}


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints of an output folder, oldest first."""
    by_step = {int(match[1]): path for path in folder.glob("checkpoint-*") if (match := _CHECKPOINT.fullmatch(path.name))}
    return [by_step[step] for step in sorted(by_step)]


def save_whole(
    folder: Path, write: Callable[[Path], None], *, main: bool, barrier: Callable[[], None], token: str = "0" * 12, inner: str = ""
) -> None:
    """Let ``write`` fill a temporary folder, then rename it to ``folder``, which replaces what was there. All processes call this.

    Args:
        folder: what is to be written.
        write: fills the folder that it is given.
        main: true in one process, which makes and renames the folder.
        barrier: waits for all processes.
        token: identifies the run, in the temporary folder's name; the same in all processes.
        inner: the name of a folder that ``write`` makes in the one it is given, if that is to be renamed.

    Raises:
        NumProError: it could not be written, and why. Nothing is left of it, and earlier checkpoints are unchanged.
    """
    part = folder.with_name(f".{folder.name}.{token}.part")
    try:
        if main:
            shutil.rmtree(part, ignore_errors=True)  # of an earlier attempt of this run
            part.mkdir(parents=True)
        barrier()
        write(part)
        barrier()
        if main:
            _replace(part / inner, folder, token)
            if inner:
                part.rmdir()
    except Exception as error:
        # Any exception: torch and safetensors raise their own for a full disk.
        reason, remedy = _reason(error, part if part.is_dir() else folder.parent)
        if main:
            shutil.rmtree(part, ignore_errors=True)
        raise NumProError(f"{folder} could not be written: {reason}. {_way_out(folder.parent, remedy)}") from error
    barrier()


def delete_old(folder: Path, keep: int, *, token: str = "0" * 12) -> None:
    """Delete all but the newest ``keep`` checkpoints; 0 keeps all."""
    for path in checkpoints(folder)[:-keep] if keep else []:
        _delete(path, token)


def delete_leftovers(folder: Path, dead: Collection[str]) -> None:
    """Delete the temporary folders of dead runs, by their tokens, and those that did not change for a day."""
    for path in folder.glob(".*"):
        match = _TEMPORARY.fullmatch(path.name)
        if match and path.is_dir() and (match["token"] in dead or time.time() - _last_change(path) > _ABANDONED_S):
            shutil.rmtree(path, ignore_errors=True)


def _replace(part: Path, folder: Path, token: str) -> None:
    """Rename a finished folder to ``folder``. A folder there is moved out of the way first, and deleted last."""
    old = folder.with_name(f".{folder.name}.{token}.old")
    replaces = folder.exists()
    if replaces:
        shutil.rmtree(old, ignore_errors=True)
        os.replace(folder, old)
    try:
        put_in_place(part, folder)
    except BaseException:
        if replaces:
            os.replace(old, folder)
        raise
    if replaces:
        shutil.rmtree(old, ignore_errors=True)


def _delete(folder: Path, token: str) -> None:
    """Delete a folder. It is renamed first, so that a partly deleted one does not look like a checkpoint."""
    old = folder.with_name(f".{folder.name}.{token}.old")
    os.replace(folder, old)
    shutil.rmtree(old)


def _last_change(folder: Path) -> float:
    """When a folder or anything in it was changed last."""
    times = [folder.stat().st_mtime]
    for place, _, files in os.walk(folder):
        for file in files:
            with suppress(OSError):
                times.append(os.stat(os.path.join(place, file)).st_mtime)
    return max(times)


def _reason(error: BaseException, folder: Path) -> tuple[str, str]:
    """Why writing to ``folder`` failed, and what to do.

    torch and safetensors report a full disk as their own errors, mostly without its number. Then a test file shows what is wrong.
    """
    number = _errno(error) or _probe(folder)
    known = _REASONS.get(number or 0)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return str(known), "make room"
    if number is not None:
        return known or os.strerror(number), "make the folder writable"
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"{type(error).__name__}: {text}", "correct this"


def _errno(error: BaseException | None) -> int | None:
    """The error number of an exception or of one that it was raised from."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _REASONS:
            return error.errno
        match = re.search(r"os error (\d+)", str(error))  # safetensors
        if match:
            return int(match[1])
        error = error.__cause__ or error.__context__
    return None


def _probe(folder: Path) -> int | None:
    """The error number of an attempt to write a few megabytes to a folder; None if that works."""
    file = folder / f".probe.{os.getpid()}"
    try:
        with open(file, "wb") as out:
            out.write(b"\1" * _PROBE_BYTES)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        return error.errno
    finally:
        with suppress(OSError):
            file.unlink(missing_ok=True)
    return None


def _way_out(output: Path, remedy: str) -> str:
    complete = checkpoints(output)
    if complete:
        return f"The last complete checkpoint is {complete[-1]}: {remedy} and continue with resume=true"
    return f"There is no checkpoint yet: {remedy} and start again"
