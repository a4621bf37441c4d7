"""Finds the file of the video that an instruction names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from numpro_plugin.benchmarks.readers.didemo import file_names, read_hashes
from numpro_plugin.benchmarks.video_files import VIDEO_SUFFIXES, VideoFolder
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Mapping

ANY = "any"
"""The source that stands for all that are not named."""

_PHOTO_PARTS = 3  # OWNER_PHOTO_SECRET


def video_id(name: str, source: str) -> str:
    """What a video is called in shards: its path in the folder of its source, without extension: ``v_abc`` for ``anet/v_abc.mp4``."""
    path = name.removeprefix("./").lstrip("/").removeprefix(f"{source}/")
    stem, suffix = os.path.splitext(path)
    return stem if suffix.lower() in VIDEO_SUFFIXES else path


class VideoFiles:
    """Folders of videos by source; a folder and its subfolders are listed when its first video is looked up.

    Args:
        folders: folder by source, as ``--videos anet=DIR`` gives them; the one of ``any`` is that of all sources that are not named.
        yfcc_hash: DiDeMo's ``yfcc100m_hash.txt``: videos are then found whether instructions and files use the names of Flickr or
            those of the YFCC100M store.

    Raises:
        NumProError: a folder does not exist, or the hash file has another format.
    """

    def __init__(self, folders: Mapping[str, str | os.PathLike[str]], *, yfcc_hash: str | os.PathLike[str] | None = None) -> None:
        self.folders = {source: Path(folder) for source, folder in folders.items()}
        for source, folder in self.folders.items():
            if not folder.is_dir():
                raise NumProError(f"--videos {source}={folder}: is not a folder; give the one that holds the video files")
        self.sole_source = next(iter(self.folders)) if len(self.folders) == 1 and ANY not in self.folders else None
        """The source of videos whose rows name none: the only one that there is."""
        self._files: dict[str, VideoFolder] = {}
        self._photos: dict[str, dict[str, str]] = {}
        self._hash_of = read_hashes(Path(yfcc_hash)) if yfcc_hash else {}
        self._photo_of = {name: photo for photo, name in self._hash_of.items()}

    def has(self, source: str | None) -> bool:
        """Whether there is a folder for the videos of a source."""
        return source in self.folders or ANY in self.folders

    def source_of(self, source: str | None, name: str) -> str | None:
        """The source of a video whose row says ``source``: that, or else the first folder in its path, or else the only one there is."""
        if source is not None:
            return source
        first, slash, _ = name.removeprefix("./").partition("/")
        if slash and first in self.folders:
            return first
        return self.sole_source or (ANY if ANY in self.folders else None)

    def find(self, source: str, name: str) -> str | None:
        """The path of a source's video, or None if its folder has no such file. The source must have a folder (see `has`)."""
        if source not in self._files:
            self._files[source] = VideoFolder(self.folders[source if source in self.folders else ANY])
            stems = self._files[source].stems() if self._photo_of else ()
            self._photos[source] = {parts[1]: str(path) for stem, path in stems if len(parts := stem.split("_")) == _PHOTO_PARTS}
        names = self._possible_names(source, name)
        if "/" in name:  # a path in the folder, or in one that holds the folders of several sources
            path_in_folder = name.removeprefix("./").lstrip("/")
            names = [path_in_folder, path_in_folder.removeprefix(f"{source}/"), *names]
        if path := self._files[source].find(names):
            return str(path)
        return next((self._photos[source][key] for key in names if key in self._photos[source]), None)

    def _possible_names(self, source: str, name: str) -> list[str]:
        """Possible names of the file, without extension, likeliest first."""
        base = os.path.basename(name)
        stem, suffix = os.path.splitext(base)
        names = [base, *([stem] if suffix.lower() in VIDEO_SUFFIXES else [])]
        if source in {"anet", "activitynet"}:  # files are named by the YouTube id, with v_ or without
            names += [f"v_{names[-1]}", names[-1].removeprefix("v_")]
        if source == "didemo":
            names += file_names(base)
            names += [other for key in list(names) for other in (self._hash_of.get(key), self._photo_of.get(key)) if other]
        return names
