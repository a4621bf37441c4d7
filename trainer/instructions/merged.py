"""The videos of all inputs, merged, in a temporary file: the memory they take does not grow with the number of rows."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import weakref
from array import array
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from numpro_plugin.errors import NumProError

from .conversations import Conversation, Highlights, Part, TimePoint, TrainingVideo, TurnTemplate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CACHE_KIB = 32_768  # of the file, kept in memory: the index of a million videos fits
_FIELDS = [field.name for field in fields(TrainingVideo) if field.name != "conversations"]


class MergedVideos:
    """Videos in the order in which they were first added; a video (or a part of one) that is added again brings its conversations.

    They are in a file without a name in the folder for temporary files, which ends with the process, in whatever way. What is in memory
    is eight bytes a video and a cache of a fixed size. A video is read from the file when it is asked for.
    """

    def __init__(self) -> None:
        self.by_source: dict[str, array[int]] = {}
        """The positions of each source's videos, ascending."""

        self._count = self._conversations = 0
        self._file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._file.close)
        for statement in (
            f"PRAGMA cache_size = -{_CACHE_KIB}",
            "PRAGMA journal_mode = OFF",
            "CREATE TABLE video (position INTEGER PRIMARY KEY, key BLOB UNIQUE, record TEXT)",
            "CREATE TABLE conversation (position INTEGER, number INTEGER, record TEXT, PRIMARY KEY (position, number)) WITHOUT ROWID",
            "BEGIN",
        ):
            self._file.execute(statement)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, position: int) -> TrainingVideo:
        """The video at a position from 0. Raises IndexError if there is none."""
        found = self._file.execute("SELECT record FROM video WHERE position = ?", (position,)).fetchone()
        if found is None:
            raise IndexError(f"position {position} of {len(self)} videos")
        talks = self._file.execute("SELECT record FROM conversation WHERE position = ? ORDER BY number", (position,))
        return TrainingVideo(**json.loads(found[0]), conversations=[_conversation(record) for (record,) in talks])

    def __iter__(self) -> Iterator[TrainingVideo]:
        return map(self.__getitem__, range(len(self)))

    def add(self, video: TrainingVideo) -> None:
        """Add a video, or the conversations of one that is there: of the same source, name and part.

        Raises:
            NumProError: the folder for temporary files is full.
        """
        part = (video.source, video.name, video.start_s + 0.0, None if video.end_s is None else video.end_s + 0.0)
        key = hashlib.blake2b(repr(part).encode(), digest_size=16).digest()
        with _full_disk_named(self._count):
            found = self._file.execute("SELECT position FROM video WHERE key = ?", (key,)).fetchone()
            position = self._count if found is None else found[0]
            if found is None:
                self._file.execute("INSERT INTO video VALUES (?, ?, ?)", (position, key, _record(video)))
                self.by_source.setdefault(video.source, array("q")).append(position)
                self._count += 1
            for conversation in video.conversations:
                talk = (position, self._conversations, _conversation_record(conversation))
                self._file.execute("INSERT INTO conversation VALUES (?, ?, ?)", talk)
                self._conversations += 1

    def leave_out(self, position: int, reason: str) -> None:
        """Say why the video at a position is not to be read."""
        record = _record(replace(self[position], left_out=reason))
        with _full_disk_named(self._count):
            self._file.execute("UPDATE video SET record = ? WHERE position = ?", (record, position))


class SelectedVideos:
    """Some of the videos, each read when its turn comes. In another process it is a tuple of them."""

    def __init__(self, videos: MergedVideos, positions: Sequence[int]) -> None:
        self._videos, self._positions = videos, positions

    def __len__(self) -> int:
        return len(self._positions)

    def __iter__(self) -> Iterator[TrainingVideo]:
        return map(self._videos.__getitem__, self._positions)

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (tuple(self),)


def _record(video: TrainingVideo) -> str:
    """A video without its conversations, which have a table of their own."""
    return json.dumps({name: getattr(video, name) for name in _FIELDS})


def _conversation_record(conversation: Conversation) -> str:
    turns = [(turn.role, [_plain(part) for part in turn.parts]) for turn in conversation.turns]
    return json.dumps((conversation.row, turns, conversation.unsure, conversation.remarks))


def _conversation(record: str) -> Conversation:
    row, turns, unsure, remarks = json.loads(record)
    templates = tuple(TurnTemplate(role, tuple(_part(part) for part in parts)) for role, parts in turns)
    return Conversation(row, templates, tuple(unsure), tuple(remarks))


def _plain(part: Part) -> Any:
    """A part as JSON: a time as a pair, highlights as an object."""
    if isinstance(part, TimePoint):
        return part.time_s, part.is_start
    return {"clips": part.clips, "scores": part.scores} if isinstance(part, Highlights) else part


def _part(plain: Any) -> Part:
    if isinstance(plain, list):
        return TimePoint(*plain)
    return Highlights(tuple(plain["clips"]), tuple(plain["scores"])) if isinstance(plain, dict) else plain


@contextmanager
def _full_disk_named(videos: int) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise NumProError(
            f"the instructions of more than {videos:,} videos do not fit into the folder for temporary files ({error}): make room there, "
            "or set TMPDIR to a folder with more"
        ) from error
