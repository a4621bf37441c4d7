"""What one evaluation knows: what its model announced, and what it was shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpro_plugin.environment import settings_from_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpro_plugin.settings import NumProSettings


@dataclass(frozen=True)
class Announcement:
    """What a model that takes part in sampling says before the tasks are made."""

    source: str = ""
    """Who says so, for errors."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``NumProSettings`` that follow from the model, such as its ``frame_size``."""

    identity: Mapping[str, Any] = field(default_factory=dict)
    """What makes its answers what they are (contents of an adapter, precision, ...): goes into the protocol of results."""


_announced = Announcement()


def announce(announcement: Announcement) -> None:
    """Let the tasks of this process follow a model. lmms-eval makes the model first; the latest one counts."""
    global _announced  # noqa: PLW0603 (one model answers in a process of lmms-eval, and tasks have no other way to ask it)
    _announced = announcement


def announced() -> Announcement:
    """What the latest model announced."""
    return _announced


def task_settings(*, numbers: bool = True) -> NumProSettings:
    """The settings of the tasks: the environment's, where the model has not decided otherwise."""
    return settings_from_environment(numbers=numbers, fixed=_announced.values, source=_announced.source)
