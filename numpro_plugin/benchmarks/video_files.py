"""Which file in a folder of videos is the one that an annotation names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from numpro_plugin.errors import NumProError
from numpro_plugin.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

VIDEO_SUFFIXES = (
    *(".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".flv", ".3gp", ".3g2", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".ogv"),
)


class SeveralFiles(NumProError):
    """Two or more files have the name of one video."""


class VideoFolder:
    """The video files of a folder and its subfolders, by path, by name, and by name without extension.

    Args:
        folder: looked through once, now. Links are followed; a file that is reached twice counts once.

    Raises:
        NumProError: it is not a folder, or its path cannot be written down as UTF-8.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise NumProError(f"{printable(str(folder))}: is not a folder; --videos takes the folder that holds the video files")
        self.folder = folder.resolve()
        self._by_path: dict[str, list[Path]] = {}
        self._by_name: dict[str, list[Path]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        self._by_stem_path: dict[str, list[Path]] = {}
        try:
            str(self.folder).encode()
        except UnicodeEncodeError:
            raise NumProError(f"{printable(str(folder))}: the folder's path is not UTF-8; rename it, tables cannot hold its name") from None
        for path, stem in _videos_in(self.folder):
            self._by_path[path.relative_to(self.folder).as_posix()] = [path]
            self._by_name.setdefault(path.name, []).append(path)
            self._by_stem.setdefault(stem, []).append(path)
            if path.parent != self.folder:
                self._by_stem_path.setdefault((path.parent.relative_to(self.folder) / stem).as_posix(), []).append(path)

    def find(self, names: Iterable[str]) -> Path | None:
        """The file with the first of the names that any file has; None if there is none.

        A path inside the folder wins over a file name, that over a name without extension, and that over the same name with another
        extension (``AAAAA.mp4`` is found as ``AAAAA.mkv``).

        Raises:
            SeveralFiles: two files fit the name equally well; the message lists them.
        """
        for name in names:
            stem, suffix = os.path.splitext(name)
            found = self._by_path.get(name) or self._by_name.get(name) or self._by_stem.get(name) or self._by_stem_path.get(name)
            if found is None and suffix.lower() in VIDEO_SUFFIXES:
                found = self._by_stem.get(stem) or self._by_stem_path.get(stem)
            if found is None:
                continue
            if len(found) > 1 and len({path.resolve() for path in found}) > 1:
                raise SeveralFiles(printable(f"{name}: {' and '.join(map(str, sorted(found)))}"))
            return found[0]
        return None

    def stems(self) -> Iterator[tuple[str, Path]]:
        """Every file's name without extension, and the file; of several with one name the first by path."""
        yield from ((stem, min(paths)) for stem, paths in self._by_stem.items())


def _videos_in(folder: Path) -> Iterator[tuple[Path, str]]:
    """Each video file below a folder with its name without extension."""
    visited: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        visited.add(os.path.realpath(root))
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(root, name)) not in visited]  # links may go in circles
        for name in names:
            if name.startswith("._"):  # macOS keeps notes about AAAAA.mp4 in ._AAAAA.mp4
                continue
            stem, suffix = os.path.splitext(name)
            path = os.path.join(root, name)
            if suffix.lower() in VIDEO_SUFFIXES:
                key = stem
            elif "." not in name.rstrip("."):  # some of DiDeMo's files have no extension
                key = name.rstrip(".")
            else:
                continue
            if os.path.isfile(path):
                yield Path(path), key
