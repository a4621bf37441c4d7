"""Which runs can be resumed from their checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from numpro_plugin.errors import NumProError
from numpro_plugin.settings import NumProSettings
from numpro_plugin.trainer.recipe.record import Recipe
from numpro_plugin.trainer.run.checkpoints import claim_output


def training_record(processes: int = 2, deepspeed: str = "zero2", fingerprint: str = "a", samples: int = 25) -> dict[str, Any]:
    data = {"fingerprint": fingerprint, "samples": samples, "files": ["made.parquet"]}
    return {"settings": NumProSettings().to_dict(), "processes": processes, "deepspeed": deepspeed, "data": data}


def stopped(folder: Path, saved: dict[str, Any] | None, **changes: Any) -> Recipe:
    """Make the output folder of a run that was stopped after step 2; returns its recipe."""
    recipe = Recipe().replace(resume=True, output=str(folder), **changes)
    (folder / "checkpoint-2").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    if saved is not None:
        (folder / "checkpoint-2" / "numpro.json").write_text(json.dumps(saved), encoding="utf-8")
    return recipe


def test_resuming_deletes_incomplete_folders(tmp_path: Path) -> None:
    recipe = stopped(tmp_path, training_record())
    for name in (".checkpoint-1.old", ".checkpoint-4.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "incomplete").touch()
    assert claim_output(recipe, tmp_path, tmp_path / "adapter", training_record()) == tmp_path / "checkpoint-2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2", "recipe.yaml"]


@pytest.mark.parametrize(
    ("saved", "now", "message"),
    [
        (
            training_record(),
            training_record(processes=1, deepspeed="none"),
            "2 processes with memory.deepspeed=zero2, this run is 1 process with .*none",
        ),
        (training_record(), training_record(processes=4), "2 processes .*zero2, this run is 4 processes .*zero2"),
        (training_record(processes=1), training_record(processes=1, deepspeed="none"), "1 process .*zero2, this run is 1 process .*none"),
        (training_record(), training_record(fingerprint="b", samples=34), "changed since .*checkpoint-2.*25 samples in 1 files, now 34"),
        (None, training_record(), "checkpoint-2 has no record"),
    ],
)
def test_a_run_that_cannot_be_resumed_is_refused(tmp_path: Path, saved: dict[str, Any] | None, now: dict[str, Any], message: str) -> None:
    with pytest.raises(NumProError, match=message):
        claim_output(stopped(tmp_path, saved), tmp_path, tmp_path / "adapter", now)


def test_without_deepspeed_only_streaming_needs_the_same_number_of_processes(tmp_path: Path) -> None:
    saved, now = training_record(deepspeed="none"), training_record(processes=1, deepspeed="none")
    assert claim_output(stopped(tmp_path / "random", saved), tmp_path / "random", tmp_path / "adapter", now)
    with pytest.raises(NumProError, match="2 processes .*this run is 1 process"):
        claim_output(stopped(tmp_path / "streaming", saved, data__streaming=True), tmp_path / "streaming", tmp_path / "adapter", now)
