"""Where a run reports to beside its own log: packages that transformers' Trainer needs for it."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Modules that transformers imports, each with what installs it; of several in one text, one is enough.
MODULES: dict[str, dict[str, str]] = {
    "azure_ml": {"azureml.core": "azureml-core"},
    "clearml": {"clearml": "clearml"},
    "codecarbon": {"codecarbon": "codecarbon"},
    "comet_ml": {"comet_ml": "comet_ml"},
    "dagshub": {"dagshub": "dagshub", "mlflow": "mlflow"},
    "dvclive": {"dvclive": "dvclive"},
    "flyte": {"flytekit": "flytekit"},
    "kubeflow": {},
    "mlflow": {"mlflow": "mlflow"},
    "neptune": {"neptune": "neptune"},
    "swanlab": {"swanlab": "swanlab"},
    "tensorboard": {"tensorboard tensorboardX": "tensorboard"},
    "trackio": {"trackio": "trackio"},
    "wandb": {"wandb": "wandb"},
}


def check_reporters(names: Sequence[str]) -> None:
    """Check that what ``run.report_to`` names is installed.

    Raises:
        NumProError: it is not; the message has the command that installs it.
    """
    for name in names:
        missing = [package for modules, package in MODULES.get(name, {}).items() if not any(map(_is_installed, modules.split()))]
        if missing:
            packages = " ".join(missing)
            raise NumProError(f"run.report_to={name} needs {packages}, which is not installed: pip install {packages}, or leave it out")
        if name == "kubeflow" and not os.environ.get("KUBEFLOW_TRAINER_SERVER_URL"):
            raise NumProError("run.report_to=kubeflow works only in a job of Kubeflow, which sets KUBEFLOW_TRAINER_SERVER_URL")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a package above it is missing, or was put in place by hand
        return False
