"""What one evaluation knows: what its model announced, and which videos could not be shown to it.

lmms-eval makes a model first and its tasks afterwards, and gives no way to hand anything from the one to the other. A session
carries it. It begins when a model is made, by lmms-eval or by hand, and ends when the model has answered everything (its ``clean``), which
`lmms.follow_evaluations` sees to. Tasks are bound to the session in which they are loaded, and keep it until they are scored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpro_plugin.environment import answer_token_limit, check_token_limit, fps_is_automatic, settings_from_environment
from numpro_plugin.errors import NumProError
from numpro_plugin.settings import SettingsByVideo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpro_plugin.encoding import TimeEncoding
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

    def check_task(self, task: str, protocol: Mapping[str, Any], generation: Mapping[str, Any]) -> None:
        """Refuse to answer a task that follows another model, or whose answers may be of another length than its protocol says.

        Args:
            task: its name, for the error.
            protocol: what the task's metadata say under ``numpro``.
            generation: the generation arguments of its requests.

        Raises:
            NumProError: another model was made after this one and before the task was loaded; another token limit.
        """
        if "max_new_tokens" in protocol:
            check_token_limit(protocol["max_new_tokens"], generation, source=f"task {task}")
        settings = protocol["settings"]
        # Twins of tasks keep an encoding of their own; a model of another encoding has another identity.
        decided = {name: value for name, value in self.values.items() if name != "encoding"}
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in decided.items()}
        different = next((name for name, value in values.items() if settings[name] != value), None)
        if protocol.get("model", {}) != dict(self.identity) or different is not None:
            detail = f" (the task has {different}={settings[different]!r}, the model {values[different]!r})" if different else ""
            raise NumProError(
                f"task {task} was loaded for another model{detail}; in one process, finish the evaluation of a model before making the next"
            )


class Session:
    """One evaluation of one model."""

    def __init__(self, announcement: Announcement | None = None) -> None:
        self.announcement = announcement or Announcement()
        self.model_arguments: Mapping[str, Any] = {}
        """What lmms-eval made the model with (``--model_args``)."""
        self.model_class: type | None = None
        """Class of the model that the session began with; None without a model."""
        self._problems: dict[tuple[str, str], str | None] = {}

    def settings(self, *, encoding: TimeEncoding | None = None) -> NumProSettings:
        """The settings of the environment, where the model has not decided otherwise.

        Args:
            encoding: of a task that has its own (``_plain``, ``_native``).

        Raises:
            NumProError: a wrong ``NUMPRO_*`` variable, or one that differs from what the model decided.
        """
        announced = self.announcement
        return settings_from_environment(encoding=encoding, fixed=announced.values, source=announced.source)

    def settings_by_video(self, *, encoding: TimeEncoding | None = None) -> SettingsByVideo:
        """The same for each video, whose rate may follow its length. Raises NumProError as `settings`."""
        return SettingsByVideo(self.settings(encoding=encoding), fps_is_automatic())

    def check_shown(self, encoding: TimeEncoding) -> None:
        """Raise NumProError if the model would not see all of an encoding: lmms-eval's own models get nothing but a task's clip."""
        ours = self.model_class is None or any(cls.__module__.startswith("numpro_plugin.") for cls in self.model_class.__mro__)
        if not ours and (encoding.text != "native" or encoding.grid is not None):
            raise NumProError(
                f"encoding {encoding.name} writes text before frames or shows grids, which a task alone cannot do: run it with "
                "--model numpro --model_args base=..., with --model numpro_hf, or choose another NUMPRO_ENCODING"
            )

    def token_limit(self) -> int | None:
        """The token limit of answers that the environment sets; None if it leaves it to the tasks.

        Raises:
            NumProError: a wrong ``NUMPRO_MAX_NEW_TOKENS``, or one that differs from an argument of the model.
        """
        return answer_token_limit(self.model_arguments, source="--model_args")

    def note_shown(self, doc: Mapping[str, Any], problem: str | None) -> None:
        """Remember whether the model saw a row's video (``problem`` is None) or why it did not."""
        self._problems[doc["video"], doc["id"]] = problem

    def was_asked(self, doc: Mapping[str, Any]) -> bool:
        """Whether the model was asked about a row in this session; otherwise its answer comes from a cache."""
        return (doc["video"], doc["id"]) in self._problems

    def problem(self, doc: Mapping[str, Any]) -> str | None:
        """Why the model did not see a row's video; None if it did, or was not asked."""
        return self._problems.get((doc["video"], doc["id"]))


_current = Session()


def begin(announcement: Announcement | None = None) -> Session:
    """Begin the session of a new model, or of none; tasks loaded from now on belong to it."""
    global _current  # noqa: PLW0603 (lmms-eval loads tasks by name, so nothing can be handed to them)
    _current = Session(announcement)
    return _current


def current() -> Session:
    """The session that tasks loaded now belong to."""
    return _current
