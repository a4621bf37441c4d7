"""What one evaluation knows and lmms-eval gives no way to hand on: what its model announced, and which videos were shown to it.

lmms-eval makes a model, then loads the tasks, asks the model, calls its ``clean()`` and only then scores the answers. A session begins
when a model is made and ends with its ``clean()`` (lmms.py sees to that). Tasks keep the session in which they were loaded, for their
scores too, and it goes when they go.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpro_plugin.environment import settings_from_environment
from numpro_plugin.errors import NumProError
from numpro_plugin.video.packets import read_packets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpro_plugin.settings import NumProSettings


@dataclass(frozen=True)
class Announcement:
    """What a model that samples frames itself tells the tasks, which are loaded after it is made."""

    source: str = ""
    """Which model it is, for errors."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``NumProSettings`` that the model decides, such as its ``frame_size``."""

    identity: Mapping[str, Any] = field(default_factory=dict)
    """What its answers depend on (contents of an adapter, precision, ...); becomes part of the results' protocol."""

    def check_task(self, task: str, protocol: Mapping[str, Any]) -> None:
        """Refuse to answer a task that follows the announcement of another model.

        Args:
            task: its name, for the error.
            protocol: what the task's metadata say under ``numpro``.

        Raises:
            NumProError: another model was made after this one and before the task was loaded.
        """
        settings = protocol["settings"]
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in self.values.items()}
        different = next((name for name, value in values.items() if settings[name] != value), None)
        if protocol.get("model", {}) != dict(self.identity) or different is not None:
            detail = f" (the task has {different}={settings[different]!r}, the model {values[different]!r})" if different else ""
            raise NumProError(
                f"task {task} was loaded for another model{detail}; in one process, finish the evaluation of a model before making the next"
            )


@dataclass(frozen=True)
class Session:
    """One evaluation."""

    announcement: Announcement = field(default_factory=Announcement)

    _shown: dict[tuple[str, str], str | None] = field(default_factory=dict)
    """By video and query: why the model was shown a blank clip, or None if it saw the video."""

    def settings(self, *, numbers: bool = True) -> NumProSettings:
        """The settings of the tasks now: the environment's, where the model has not decided.

        Raises:
            NumProError: a ``NUMPRO_*`` variable is unknown or out of range, or differs from what the model decided.
        """
        return settings_from_environment(numbers=numbers, fixed=self.announcement.values, source=self.announcement.source)

    def note_shown(self, doc: Mapping[str, Any], problem: str | None) -> None:
        """Keep for the scores whether the model saw a row's video (None), or why not."""
        self._shown[doc["video"], doc["id"]] = problem

    def video_problem(self, doc: Mapping[str, Any]) -> str | None:
        """Why a row's video could not be shown, or None (also for a row of a table without videos).

        What was shown in this evaluation counts. For an answer out of a response cache the video is examined now.
        """
        video = doc["video"]
        if not os.path.isabs(video):
            return None
        if (video, doc["id"]) in self._shown:
            return self._shown[video, doc["id"]]
        try:
            read_packets(video)
        except NumProError as error:
            return str(error)
        return None


_current = Session()


def begin(announcement: Announcement | None = None) -> Session:
    """Start a session: a model is made, or has told what it knows, or is finished. Tasks loaded from now on follow it."""
    global _current  # noqa: PLW0603 (task files are loaded by name; there is no argument to hand them a session)
    _current = Session(announcement or Announcement())
    return _current


def current() -> Session:
    """The session that tasks loaded now belong to."""
    return _current
