"""Files: written whole or not at all, told apart by their identity, and hashed.

A file is written whole by filling a *part* (a temporary file beside the target, with a unique name that did not exist before) and
renaming it. A reader sees the old file or the new one, also after a kill or a power cut.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import uuid
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Iterator

    AnyPath = str | os.PathLike[str]

_CANNOT_BE_WRITTEN = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE}
_NAME_BYTES = 200  # of the target's name in its part's name: file systems allow 255 in all
_CHUNK_BYTES = 1 << 20
_SAMPLES, _SAMPLE_BYTES = 64, 65_536
_SMALL_BYTES = 1 << 20


@contextmanager
def written_whole(path: AnyPath) -> Iterator[Path]:
    """A part to write to. It becomes ``path`` when the block ends, and is removed when the block raises.

    A symbolic link is followed: the file it points to is replaced, the link stays. An existing file keeps its permissions.

    Raises:
        NumProError: see `check_target`.
        OSError: the folder cannot be written to, or no longer; the error names the file or the folder, not the part.
    """
    part = new_part(path)
    try:
        yield part
        put_in_place(part, path)
    except OSError as error:
        if is_about_writing(error, part):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise
    finally:
        remove_if_possible(part)


def is_about_writing(error: OSError, part: Path) -> bool:
    """Whether an error says that a part cannot be written (any more), and not that something else went wrong meanwhile."""
    return error.errno in _CANNOT_BE_WRITTEN and error.filename in (None, str(part))


def remove_if_possible(part: Path) -> None:
    """Remove a file that is of no use any more. In a folder that can no longer be written to it stays, which is no error of its own."""
    with suppress(OSError):
        part.unlink(missing_ok=True)


@contextmanager
def folder_written_whole(path: AnyPath) -> Iterator[Path]:
    """The same for a folder: an empty part to fill, which becomes ``path``. Missing parent folders are made."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _part_name(target)
    part.mkdir()
    try:
        yield part
        put_in_place(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_text_whole(path: AnyPath, text: str) -> None:
    """Write a UTF-8 text file whole."""
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")


def new_part(path: AnyPath) -> Path:
    """Create the empty part of a file. For writers that cannot use `written_whole`; they end with `put_in_place` or remove it.

    Raises:
        NumProError: see `check_target`.
        OSError: the folder cannot be written to; the error names the folder.
    """
    part = _part_name(check_target(path))
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(part.parent)) from error
    return part


def put_in_place(part: Path, path: AnyPath) -> None:
    """Rename a finished part (a file or a folder) to ``path``, and return when both the content and the name are on the disk.

    What is in a folder can be read by whoever may read the folder: libraries such as safetensors write files for their owner alone.
    """
    if part.is_dir():
        target = Path(path)
        _share_content(part)
        for folder, _, files in os.walk(part):
            for file in files:
                _flush_to_disk(Path(folder, file))
            _flush_to_disk(Path(folder))
    else:
        target = check_target(path)
        if target.exists():
            shutil.copymode(target, part)
        _flush_to_disk(part)
    os.replace(part, target)
    with suppress(OSError):  # some network file systems cannot flush a folder
        _flush_to_disk(target.parent)


def _share_content(folder: Path) -> None:
    """Give everything in a folder the permissions that the user's umask gave the folder itself; no file becomes executable.

    The umask cannot be read without changing it for all threads.
    """
    allowed = folder.stat().st_mode & 0o777
    for place, folders, names in os.walk(folder):
        for path in (Path(place, name) for name in (*folders, *names)):
            found = path.lstat().st_mode
            mode = allowed if found & 0o100 else allowed & 0o666
            if not stat.S_ISLNK(found) and found & 0o777 != mode:
                with suppress(PermissionError):  # a file system without permissions of its own
                    path.chmod(stat.S_IMODE(found) & ~0o777 | mode)


def check_target(path: AnyPath) -> Path:
    """The real path of a file that may be written, symbolic links followed; call it before slow work.

    Raises:
        NumProError: its folder does not exist, or it is itself a folder, a device, a FIFO or a socket.
    """
    target = Path(os.path.realpath(path))
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        if not target.parent.is_dir():
            raise NumProError(f"{os.fspath(path)}: the folder {target.parent} does not exist; create it first") from None
        return target
    except OSError as error:
        raise NumProError(f"{os.fspath(path)}: cannot be written ({error.strerror or error}); choose another name") from error
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}
        kind = kinds.get(stat.S_IFMT(mode), "device")
        raise NumProError(f"{os.fspath(path)}: is a {kind}, and only a regular file can be written; choose another name")
    return target


def _part_name(target: Path) -> Path:
    name = os.fsdecode(os.fsencode(target.name)[:_NAME_BYTES])
    return target.with_name(f".{name}.{uuid.uuid4().hex[:12]}.part")


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FileIdentity(NamedTuple):
    """What tells a file from another, and from itself before a change. As JSON it is a list, so it can be part of a hashed key."""

    real_path: str
    """Absolute, without symbolic links."""

    size: int
    """Bytes."""

    mtime_ns: int
    """Time of the last change, nanoseconds since 1970."""


def file_identity(path: AnyPath) -> FileIdentity:
    """The identity of a file, symbolic links followed.

    Raises:
        NumProError: the file cannot be found; the message says why.
    """
    try:
        real_path = os.path.realpath(path)
        found = os.stat(real_path)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise NumProError(f"{os.fspath(path)}: {str(getattr(error, 'strerror', None) or error).lower()}") from error
    return FileIdentity(real_path, found.st_size, found.st_mtime_ns)


def folder_state(folder: Path, *, contents: bool) -> str:
    """Hash of a model's folder: the names of its files and their contents or, as weights are large, their sizes and times of change.

    Args:
        folder: its subfolders do not count.
        contents: whether large files are read too. Files below 1 MiB always are.
    """
    pieces: list[str | bytes] = []
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        found = file.stat()
        pieces.append(f"{file.name} {found.st_size}")
        whole = contents or found.st_size < _SMALL_BYTES
        pieces.append(bytes.fromhex(sha256_of(file)) if whole else str(found.st_mtime_ns))
    return hash_of(*pieces, length=32)


def sample_of_folder(folder: Path) -> str:
    """Hash of a model's folder that copies on other machines share: names, sizes, and 64 pieces of each file, evenly spread.

    Weights that were trained on differ in nearly all pieces, and only a few megabytes are read. Subfolders do not count.
    """
    pieces: list[str | bytes] = []
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        size = path.stat().st_size
        pieces.append(f"{path.name} {size}")
        with path.open("rb") as file:
            for k in range(_SAMPLES):
                file.seek(k * max(0, size - _SAMPLE_BYTES) // (_SAMPLES - 1))
                pieces.append(file.read(_SAMPLE_BYTES))
    return hash_of(*pieces, length=32)


def hash_of(*pieces: str | bytes, length: int) -> str:
    """The first ``length`` hexadecimal digits (at most 64) of the SHA-256 of all pieces, one after the other; text as UTF-8."""
    made = hashlib.sha256()
    for piece in pieces:
        made.update(piece.encode() if isinstance(piece, str) else piece)
    return made.hexdigest()[:length]


def digest(values: Any, *pieces: bytes, length: int = 32) -> str:
    """A hash of plain values (and bytes after them): equal values give equal digests on every machine and in every run."""
    return hash_of(json.dumps(values, sort_keys=True, default=str), *pieces, length=length)


def sha256_of(path: AnyPath) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def crc32_of(path: AnyPath, *, size: int | None = None) -> int:
    """CRC-32 of a file's first ``size`` bytes, or of all: finds accidental damage, and is several times faster than SHA-256."""
    checksum, left = 0, size if size is not None else os.path.getsize(path)
    with open(path, "rb") as file:
        while left > 0 and (chunk := file.read(min(left, _CHUNK_BYTES))):
            checksum = zlib.crc32(chunk, checksum)
            left -= len(chunk)
    return checksum
