"""The entry point: makes NumPro's models and tasks known to lmms-eval as soon as both are installed."""

from __future__ import annotations

import warnings
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from numpro_plugin.harness import lmms, unanswered

if TYPE_CHECKING:
    from lmms_eval.models.registry_v2 import ModelManifest


def tasks_path() -> Path:
    """The folder with NumPro's task files, for ``lmms-eval --include_path``."""
    return Path(str(files("numpro_plugin.tasks")))


def register() -> list[ModelManifest]:
    """What lmms-eval's entry-point group ``lmms_eval.models`` calls at its start.

    A release of lmms-eval in which the tasks cannot be added, or its response cache cannot be guarded, gets a warning: its own start must
    not break.
    """
    from lmms_eval.models.registry_v2 import ModelManifest

    lmms.follow_evaluations(unanswered.mark_failures)
    lmms.remember_model_arguments()
    try:
        unanswered.guard_response_cache()
    except Exception as error:
        warnings.warn(
            f"the response cache of this version of lmms-eval cannot be guarded ({type(error).__name__}: {error}); "
            "with --use_cache it may keep and serve failed requests",
            stacklevel=2,
        )
    try:
        lmms.add_tasks_folder(str(tasks_path()))
    except Exception as error:
        warnings.warn(
            f"NumPro's tasks could not be added to this version of lmms-eval ({type(error).__name__}: {error}); "
            'run it with --include_path "$(numpro tasks-path)"',
            stacklevel=2,
        )
    return [
        ModelManifest(model_id="numpro_oracle", chat_class_path="numpro_plugin.harness.oracle.NumProOracle"),
        ModelManifest(model_id="numpro_hf", chat_class_path="numpro_plugin.harness.hf.model.NumProHF"),
        ModelManifest(
            model_id="numpro",
            chat_class_path="numpro_plugin.harness.wrap.model.NumPro",
            simple_class_path="numpro_plugin.harness.wrap.model.NumProSimple",
        ),
    ]
