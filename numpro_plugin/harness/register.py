"""The entry point: makes NumPro's models and tasks known to lmms-eval as soon as both are installed."""

from __future__ import annotations

import warnings
import weakref
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmms_eval.models.registry_v2 import ModelManifest


def tasks_path() -> Path:
    """The folder with NumPro's task files, for ``lmms-eval --include_path``."""
    return Path(str(files("numpro_plugin.tasks")))


def register() -> list[ModelManifest]:
    """What lmms-eval's entry-point group ``lmms_eval.models`` calls at its start. Never raises."""
    try:
        _add_tasks_folder()
    except Exception as error:  # whatever lmms-eval changes, its own start must not break
        warnings.warn(
            f"NumPro's tasks could not be added to this version of lmms-eval ({type(error).__name__}: {error}); "
            'run it with --include_path "$(numpro tasks-path)"',
            stacklevel=2,
        )
    from lmms_eval.models.registry_v2 import ModelManifest

    return [
        ModelManifest(model_id="numpro_oracle", chat_class_path="numpro_plugin.harness.oracle.NumProOracle"),
        ModelManifest(model_id="numpro_hf", chat_class_path="numpro_plugin.harness.hf.model.NumProHF"),
        ModelManifest(
            model_id="numpro",
            chat_class_path="numpro_plugin.harness.wrap.model.NumPro",
            simple_class_path="numpro_plugin.harness.wrap.model.NumProSimple",
        ),
    ]


_task_managers: weakref.WeakSet[Any] = weakref.WeakSet()


def use_prompts_of(base: str) -> None:
    """Tell lmms-eval's task managers that the model called ``numpro`` is this base, so that tasks use their prompts for the base.

    A manager is made before the model, with the name on the command line; it builds the tasks after it.
    """
    for manager in _task_managers:
        manager.model_name = base


def _add_tasks_folder() -> None:
    """lmms-eval has an entry point for models but none for tasks, so its task index is told of one more folder."""
    from lmms_eval.tasks import TaskManager

    original = TaskManager.initialize_tasks
    if getattr(original, "_numpro", False):
        return

    def initialize_tasks(self: Any, include_path: str | list[str] | None = None, *args: Any, **kwargs: Any) -> Any:
        if getattr(self, "model_name", None) == "numpro":
            _task_managers.add(self)
        given = [include_path] if isinstance(include_path, str) else list(include_path or [])
        ours = str(tasks_path())
        return original(self, [*given, *([] if ours in given else [ours])], *args, **kwargs)

    initialize_tasks._numpro = True  # type: ignore[attr-defined]
    TaskManager.initialize_tasks = initialize_tasks
