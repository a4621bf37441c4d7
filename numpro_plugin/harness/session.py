"""What one evaluation knows: what its model announced, and which videos could not be shown to it.

lmms-eval makes a model first and its tasks afterwards, and gives no way to hand anything from the one to the other. A session stands in
for that way. It begins when lmms-eval asks for a model's class (`lmms.begin_sessions`) or when one of NumPro's models is made by hand,
and it ends when the model has answered everything (its ``clean``). Tasks are bound to the session in which they are loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpro_plugin.environment import settings_from_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpro_plugin.settings import NumProSettings


@dataclass(frozen=True)
class Announcement:
    """What a model that takes part in sampling tells its tasks."""

    source: str = ""
    """Name of the model, for errors."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``NumProSettings`` that the model decides, such as its ``frame_size``."""

    identity: Mapping[str, Any] = field(default_factory=dict)
    """What makes its answers what they are (contents of an adapter, precision, ...): part of the protocol of results."""


class Session:
    """One evaluation of one model."""

    def __init__(self, announcement: Announcement | None = None) -> None:
        self.announcement = announcement or Announcement()
        self._problems: dict[tuple[str, str], str | None] = {}

    def settings(self, *, numbers: bool = True) -> NumProSettings:
        """The settings of the environment, where the model has not decided otherwise.

        Raises:
            NumProError: a wrong ``NUMPRO_*`` variable, or one that differs from what the model decided.
        """
        announced = self.announcement
        return settings_from_environment(numbers=numbers, fixed=announced.values, source=announced.source)

    def note_shown(self, doc: Mapping[str, Any], problem: str | None) -> None:
        """Remember whether the model saw a row's video (``problem`` is None) or why it did not."""
        self._problems[doc["video"], doc["id"]] = problem

    def was_asked(self, doc: Mapping[str, Any]) -> bool:
        """Whether the model was asked about a row in this session; otherwise its answer comes from a cache."""
        return (doc["video"], doc["id"]) in self._problems

    def problem(self, doc: Mapping[str, Any]) -> str | None:
        """Why the model did not see a row's video; None if it did, or was not asked."""
        return self._problems.get((doc["video"], doc["id"]))


_current: Session | None = None


def begin(announcement: Announcement | None = None) -> Session:
    """Begin the session of a new model; tasks loaded from now on belong to it."""
    global _current  # noqa: PLW0603 (lmms-eval loads tasks by name, so nothing can be handed to them)
    _current = Session(announcement)
    return _current


def current() -> Session:
    """The session that tasks loaded now belong to."""
    return _current or begin()


def end(session: Session) -> None:
    """End a session, if it is still the current one. Tasks that were loaded in it keep it until they are scored."""
    global _current  # noqa: PLW0603
    if _current is session:
        _current = None
