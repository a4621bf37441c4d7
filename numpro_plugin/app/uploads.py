"""What visitors bring and what is made for them: one temporary folder, emptied as they leave, removed at the end."""

from __future__ import annotations

import shutil
import tempfile
import threading
import uuid
from pathlib import Path

KEPT_S = 3600
"""Files are removed after this time, also while their visitor is still there."""

LOOKED_AFTER_EVERY_S = 60
"""How often old files are looked for."""

_MOST_TRIES = 20


class Uploads:
    """The temporary folder; as a context manager it is removed at the end.

    A video that several visitors brought is one file; it stays until the last of them has left.

    Attributes:
        folder: holds everything.
        visitors: the part of it where gradio puts uploads, and deletes files after an hour; results are there too.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="numpro-app-"))
        self.visitors = self.folder / "visitors"
        self.visitors.mkdir()
        self._results: dict[str, Path] = {}
        self._videos: dict[str, set[Path]] = {}
        self._lock = threading.Lock()

    def keep_video(self, visitor: str, video: Path) -> None:
        """Note that a visitor brought a video; it is removed when the visitor leaves."""
        with self._lock:
            self._videos.setdefault(visitor, set()).add(video)

    def new_results(self, visitor: str) -> Path:
        """An empty folder for what is made for a visitor; the one before it is removed."""
        place = self.visitors / "results" / uuid.uuid4().hex
        place.mkdir(parents=True)
        with self._lock:
            before, self._results[visitor] = self._results.get(visitor), place
        if before is not None:
            shutil.rmtree(before, ignore_errors=True)
        return place

    def leave(self, visitor: str) -> None:
        """Remove what only this visitor has brought or been given."""
        with self._lock:
            results, brought = self._results.pop(visitor, None), self._videos.pop(visitor, set())
            gone = brought - {video for videos in self._videos.values() for video in videos}
        if results is not None:
            shutil.rmtree(results, ignore_errors=True)
        for video in gone:
            if video.is_relative_to(self.visitors):
                video.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove everything, also what an unfinished answer adds meanwhile."""
        for _ in range(_MOST_TRIES):
            shutil.rmtree(self.folder, ignore_errors=True)
            if not self.folder.exists():
                return

    def __enter__(self) -> Uploads:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
