"""What a model answered, kept on disk as it comes: a run that was killed continues where it stopped.

lmms-eval's own response cache keeps the answers of a run only if the run finishes.
"""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from numpro_plugin.environment import answers_folder
from numpro_plugin.files import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

_KEPT_S = 30 * 24 * 3600
_IN_USE_S = 900


class LoggedAnswer(NamedTuple):
    """An answer read back."""

    text: str
    """The model's words."""

    tokens: int
    """How many tokens it generated."""


class AnswerLog:
    """Answers of one model with one set of settings: a folder of files with one JSON object a line.

    Every process appends to its own file, so any number of them, on any number of machines, can share a folder. A line that a kill
    cut off is left out when reading, with a warning. Unknown keys of a line are ignored.

    Args:
        identity: plain values that decide what the model answers (weights, adapter, precision, ...).
        folder: default ``$NUMPRO_CACHE/answers``, else the user's cache folder.
    """

    def __init__(self, identity: Mapping[str, Any], folder: str | os.PathLike[str] | None = None) -> None:
        base = answers_folder() if folder is None else Path(folder)
        self.folder = base / digest(identity)
        _remove_old(base)
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
                    record = json.loads(line)
                    known[str(record["key"])] = LoggedAnswer(str(record["text"]), int(record["tokens"]))
                except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
                    log.warning("%s: a line is cut off; its question is asked again", file)
        return known


def kept_answers() -> list[Path]:
    """The files of answers that are kept."""
    return sorted(answers_folder().glob("*/*.jsonl"))


def clear_answers() -> tuple[int, int]:
    """Remove all files of answers except those that a run added to in the last minutes (`_IN_USE_S`): it may be going on.

    Returns how many files were removed, and how many bytes they had.
    """
    count = size = 0
    for file in kept_answers():
        found = file.stat()
        if abs(time.time() - found.st_mtime) >= _IN_USE_S:
            file.unlink(missing_ok=True)
            count, size = count + 1, size + found.st_size
    return count, size


def _remove_old(base: Path) -> None:
    """Remove answers that nobody added to for a month, so that the folder does not grow without end."""
    before = time.time() - _KEPT_S
    for file in base.glob("*/*.jsonl"):
        with suppress(FileNotFoundError):  # another process was faster
            if file.stat().st_mtime < before:
                file.unlink()
