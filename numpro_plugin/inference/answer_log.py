"""What a model answered, kept on disk as it comes: a run that was killed goes on where it stopped.

lmms-eval's own response cache stores answers when all of them are there, and of a killed run it forgets them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from numpro_plugin.environment import answers_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

_UNTIL_FORGOTTEN_S = 30 * 24 * 3600


class LoggedAnswer(NamedTuple):
    """An answer read back."""

    text: str
    tokens: int


class AnswerLog:
    """Answers of one model with one set of settings: a folder of files with one JSON object a line.

    Every process appends to a file of its own, so any number of them, on any number of machines, share a folder. A line that a kill cut
    off is left out when reading.

    Args:
        identity: plain values that decide what the model answers (weights, adapter, precision, ...).
        folder: default ``$NUMPRO_CACHE/answers``, else the user's cache folder.
    """

    def __init__(self, identity: Mapping[str, Any], folder: str | os.PathLike[str] | None = None) -> None:
        base = answers_folder() if folder is None else Path(folder)
        self.folder = base / digest(identity)
        _forget_old(base)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = self.folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
        self._known = self._read()

    def get(self, key: str) -> LoggedAnswer | None:
        """The answer under a key, or None."""
        return self._known.get(key)

    def add(self, key: str, text: str, tokens: int) -> None:
        """Keep an answer: when this returns, a kill of the process does not lose it."""
        self._known[key] = LoggedAnswer(text, tokens)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "text": text, "tokens": tokens}) + "\n")

    def _read(self) -> dict[str, LoggedAnswer]:
        known = {}
        for file in sorted(self.folder.glob("*.jsonl")):
            for line in filter(None, file.read_text(encoding="utf-8", errors="replace").split("\n")):
                try:
                    said = json.loads(line)
                    known[str(said["key"])] = LoggedAnswer(str(said["text"]), int(said["tokens"]))
                except (ValueError, KeyError, TypeError):
                    log.warning("%s: a line is cut off, its question will be asked again", file)
        return known


def kept_answers() -> list[Path]:
    """The files of answers that are kept."""
    return sorted(answers_folder().glob("*/*.jsonl"))


def digest(values: Any) -> str:
    """A short hash of plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:32]


def folder_state(folder: Path, *, contents: bool) -> str:
    """Hash over the files of a model folder: their names and contents or, as weights are large, sizes and times of change."""
    said = hashlib.sha256()
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        stat = file.stat()
        said.update(f"{file.name} {stat.st_size}".encode())
        if contents or stat.st_size < 1 << 20:
            with file.open("rb") as opened:
                said.update(hashlib.file_digest(opened, "sha256").digest())
        else:
            said.update(str(stat.st_mtime_ns).encode())
    return said.hexdigest()[:32]


def _forget_old(base: Path) -> None:
    """Answers that nobody added to for a month go: the folder does not grow for ever."""
    before = time.time() - _UNTIL_FORGOTTEN_S
    for file in base.glob("*/*.jsonl"):
        try:
            if file.stat().st_mtime < before:
                file.unlink()
        except FileNotFoundError:  # another process was faster
            continue
