"""What a run reports to is installed, or the run does not begin."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from numpro_plugin.errors import NumProError
from numpro_plugin.trainer.recipe import reporting
from numpro_plugin.trainer.recipe.record import load_recipe
from numpro_plugin.trainer.recipe.reporting import MODULES, check_reporters
from numpro_plugin.trainer.recipe.sections import Reporter
from numpro_plugin.trainer.run.start import run


def test_the_names_are_those_of_transformers() -> None:
    assert set(MODULES) == set(get_args(Reporter)) - {"all", "none"} >= set(INTEGRATION_TO_CALLBACK)


def test_a_missing_package_is_named_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "find_spec", lambda name: None)
    recipe = load_recipe("tiny", ["model=nowhere", f"output={tmp_path / 'out'}", "data.shards=nowhere", "run.report_to=wandb"])
    with pytest.raises(NumProError, match=r"^run\.report_to=wandb needs wandb, which is not installed: pip install wandb, or leave"):
        run(recipe)
    assert not (tmp_path / "out").exists()
    with pytest.raises(NumProError, match="pip install dagshub mlflow"):
        check_reporters(["dagshub"])


def test_installed_packages_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "find_spec", lambda name: name == "tensorboardX" or None)
    check_reporters(["tensorboard", "all"])
    with pytest.raises(NumProError, match="needs azureml-core"):
        check_reporters(["azure_ml"])
    with pytest.raises(NumProError, match="KUBEFLOW_TRAINER_SERVER_URL"):
        check_reporters(["kubeflow"])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("wandbb", r"^run\.report_to\.0='wandbb' must be .*'tensorboard', 'trackio' or 'wandb'; did you mean 'wandb'\?$"),
        ("[all, wandb]", "all and none stand alone"),
    ],
)
def test_unknown_names_are_refused_with_those_that_are_known(value: str, message: str) -> None:
    with pytest.raises(NumProError, match=message):
        load_recipe("tiny", [f"run.report_to={value}"])
