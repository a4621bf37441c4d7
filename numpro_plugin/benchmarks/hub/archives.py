"""Tar archives of videos, also cut into parts -> a folder of videos. What was unpacked is not unpacked again."""

from __future__ import annotations

import io
import re
import shutil
import tarfile
from itertools import groupby
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.video_files import VIDEO_SUFFIXES
from numpro_plugin.errors import NumProError
from numpro_plugin.files import write_text_whole, written_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ARCHIVE = re.compile(r"(?P<name>.+\.(?:tar|tar\.gz|tgz))(?P<part>\.part.*)?")
"""The name of an archive, or of one part of it; parts are joined in the order of their names."""


def unpacked(archives: Sequence[Path], root: Path, target: Path, *, loose: Sequence[Path] = (), progress: bool = True) -> Path:
    """Unpack the videos of archives where they lie, but below ``target``: paths inside it are those that the authors' own ``tar`` makes.

    Each archive gets a mark when it is complete: a run that was killed goes on with the archive that it was at. Only files with the endings
    of videos are written.

    Args:
        archives: paths below ``root``, parts among them.
        root: folder that they are named from.
        target: for the videos; made if it does not exist.
        loose: videos beside the archives; links to them are put into ``target``.
        progress: show a progress bar over the archives.

    Raises:
        NumProError: an archive is damaged, lacks a part, or names a file outside its folder.
    """
    from filelock import FileLock
    from tqdm import tqdm

    target.mkdir(parents=True, exist_ok=True)
    named = sorted((_whole_name(path), path) for path in archives)
    grouped = [(name, [path for _, path in found]) for name, found in groupby(named, key=lambda one: one[0])]
    with FileLock(target / ".lock"):
        for name, parts in tqdm(grouped, desc="unpacking", unit="archive", disable=not progress):
            folder = target / name.relative_to(root).parent
            mark = folder / f".{name.name}.unpacked"
            if not mark.exists():
                _unpack(name, parts, folder)
                write_text_whole(mark, "".join(f"{part.name} {part.stat().st_size}\n" for part in parts))
        for path in loose:
            link = target / path.relative_to(root)
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to(path.resolve())
    return target


def _whole_name(path: Path) -> Path:
    """The archive that a file is, or is a part of."""
    match = ARCHIVE.fullmatch(path.name)
    assert match is not None
    return path.with_name(match["name"])


def _unpack(name: Path, parts: Sequence[Path], folder: Path) -> None:
    try:
        with _Joined(parts) as file, tarfile.open(fileobj=file, mode="r|*") as archive:
            for member in archive:
                if not member.isfile() or not member.name.lower().endswith(VIDEO_SUFFIXES):
                    continue
                inside = [piece for piece in member.name.split("/") if piece not in ("", ".")]
                if member.name.startswith("/") or ".." in inside or "\\" in member.name:
                    raise NumProError(f"{name}: names a file outside its folder ({member.name[:200]!r}); nothing of it is used")
                path = folder.joinpath(*inside)
                path.parent.mkdir(parents=True, exist_ok=True)
                content = archive.extractfile(member)
                assert content is not None
                with written_whole(path) as part, part.open("wb") as out:
                    shutil.copyfileobj(content, out, 1 << 20)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise NumProError(
            f"{name}: cannot be unpacked ({error}); if a part or its end is missing, remove it from the hub's cache and run again"
        ) from error


class _Joined(io.RawIOBase):
    """Files one after the other, as one."""

    def __init__(self, paths: Sequence[Path]) -> None:
        super().__init__()
        self._paths = list(paths)
        self._file: Any = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._file or self._paths:
            if self._file is None:
                self._file = self._paths.pop(0).open("rb")
            if count := self._file.readinto(buffer):
                return int(count)
            self._file.close()
            self._file = None
        return 0

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()
