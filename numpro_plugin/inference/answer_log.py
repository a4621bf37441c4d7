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

from numpro_plugin.answers.failures import response_failure
from numpro_plugin.environment import answers_folder
from numpro_plugin.errors import NumProError
from numpro_plugin.files import FileIdentity, digest, file_identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

log = logging.getLogger(__name__)

_KEPT_S = 30 * 24 * 3600
_IN_USE_S = 900


class AnswerKey(NamedTuple):
    """What an answer is kept under."""

    digest: str
    """Hash of all that decides the answer beside the model."""

    files: tuple[FileIdentity, ...] = ()
    """The files that are shown, as they were when the key was made."""


def answer_key(values: Any, files: Iterable[FileIdentity] = ()) -> AnswerKey:
    """The key of an answer.

    Args:
        values: plain values that decide the answer beside the model, the identity of every file among them.
        files: the same identities, so that a file that changes before the answer comes is noticed.
    """
    return AnswerKey(digest(values), tuple(files))


class LoggedAnswer(NamedTuple):
    """An answer as it is kept."""

    text: str | list[Any]
    """The model's words; of another kind of answer a list of plain values."""

    tokens: int | None = None
    """How many tokens it generated; None if that is not known."""

    input_tokens: int | None = None
    """How many tokens it read."""

    reasoning_tokens: int | None = None
    """How many of the generated tokens were thoughts."""

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> LoggedAnswer:
        """From a line of the log. Raises ValueError, KeyError, TypeError or OverflowError for anything else."""
        text = record["text"]
        if not isinstance(text, (str, list)):
            raise TypeError(f"the text of an answer is {type(text).__name__}")
        return cls(text, *(None if record.get(name) is None else int(record[name]) for name in cls._fields[1:]))


class AnswerLog:
    """Answers of one model with one set of settings: a folder of files with one JSON object a line.

    Every process appends to its own file, so any number of them, on any number of machines, can share a folder. A line that a kill
    cut off is left out when reading, with a warning. Unknown keys of a line are ignored. What is no answer
    (`numpro_plugin.answers.failures`) is neither kept nor given back.

    Args:
        identity: plain values that decide what the model answers (weights, adapter, precision, ...). Only their hash is kept.
        folder: default ``$NUMPRO_CACHE/answers``, else the user's cache folder.
        empty: whether an empty text is an answer. It is where the model itself was asked; a server or a program in between may have
            failed.
    """

    def __init__(self, identity: Mapping[str, Any], folder: str | os.PathLike[str] | None = None, *, empty: bool = True) -> None:
        base = answers_folder() if folder is None else Path(folder)
        self.folder = base / digest(identity)
        self._empty = empty
        self._file = self.folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
        self._warned: set[str] = set()
        _remove_old(base)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._warn_unwritable(error)
        self._known = self._read()

    def get(self, key: AnswerKey) -> LoggedAnswer | None:
        """The answer under a key, or None."""
        return self._known.get(key.digest)

    def add(self, key: AnswerKey, answer: LoggedAnswer) -> None:
        """Keep an answer: when this returns, a kill of the process does not lose it.

        It is not kept if it is no answer, or if a file was replaced since the key was made: nobody knows which one the model saw. That,
        and a folder that cannot be written to, are said once.
        """
        if not self._is_answer(answer):
            return
        if (changed := _changed(key.files)) is not None:
            self._warn("changed", f"{changed} was replaced during the run; answers about it are not kept for a later run")
            return
        self._known[key.digest] = answer
        counts = {name: value for name, value in answer._asdict().items() if value is not None}
        try:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key.digest, **counts}) + "\n")
        except OSError as error:
            self._warn_unwritable(error)

    def report(self, known: int, total: int) -> None:
        """Say how many of a run's answers are there already, if any."""
        if known:
            log.warning("%d of %d answers are there from an earlier run (resume=False asks again)", known, total)

    def _read(self) -> dict[str, LoggedAnswer]:
        known = {}
        for file in sorted(self.folder.glob("*.jsonl")):
            for line in filter(None, file.read_text(encoding="utf-8", errors="replace").split("\n")):
                try:
                    record = json.loads(line)
                    key, answer = str(record["key"]), LoggedAnswer.read(record)
                except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
                    log.warning("%s: a line is cut off; its question is asked again", file)
                    continue
                if self._is_answer(answer):
                    known[key] = answer
        return known

    def _is_answer(self, answer: LoggedAnswer) -> bool:
        return response_failure(answer.text, empty=not self._empty) is None

    def _warn_unwritable(self, error: OSError) -> None:
        reason = error.strerror or error
        self._warn("unwritable", f"{self.folder}: answers cannot be kept there ({reason}); a run that is stopped starts again")

    def _warn(self, kind: str, text: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            log.warning("%s", text)


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


def _changed(files: Iterable[FileIdentity]) -> str | None:
    """The first file that is not what it was."""
    for before in files:
        try:
            now = file_identity(before.real_path)
        except NumProError:
            return before.real_path
        if now != before:
            return before.real_path
    return None


def _remove_old(base: Path) -> None:
    """Remove answers that nobody added to for a month, so that the folder does not grow without end."""
    before = time.time() - _KEPT_S
    for file in base.glob("*/*.jsonl"):
        with suppress(OSError):  # another process was faster, or the folder may only be read
            if file.stat().st_mtime < before:
                file.unlink()
