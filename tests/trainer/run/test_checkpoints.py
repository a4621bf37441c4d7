"""When a stopped run may be gone on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from numpro_plugin.errors import NumProError
from numpro_plugin.settings import NumProSettings
from numpro_plugin.trainer.recipe.record import Recipe
from numpro_plugin.trainer.run.checkpoints import claim_output


def record(processes: int = 2, deepspeed: str = "zero2", fingerprint: str = "a", samples: int = 25) -> dict[str, Any]:
    data = {"fingerprint": fingerprint, "samples": samples, "files": ["made.parquet"]}
    return {"settings": NumProSettings().to_dict(), "processes": processes, "deepspeed": deepspeed, "data": data}


def stopped(folder: Path, then: dict[str, Any] | None, **changes: Any) -> Recipe:
    """The output folder of a run that was stopped after step 2, and its recipe."""
    recipe = Recipe().replace(resume=True, output=str(folder), **changes)
    (folder / "checkpoint-2").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    if then is not None:
        (folder / "checkpoint-2" / "numpro.json").write_text(json.dumps(then), encoding="utf-8")
    return recipe


def test_going_on_as_it_was_started_takes_away_what_is_half_written(tmp_path: Path) -> None:
    recipe = stopped(tmp_path, record())
    for name in (".checkpoint-1.old", ".checkpoint-4.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").touch()
    assert claim_output(recipe, tmp_path, tmp_path / "adapter", record()) == tmp_path / "checkpoint-2"
    assert sorted(place.name for place in tmp_path.iterdir()) == ["checkpoint-2", "recipe.yaml"]


@pytest.mark.parametrize(
    ("then", "now", "message"),
    [
        (record(), record(processes=1, deepspeed="none"), "2 processes with memory.deepspeed=zero2, this run is 1 process with .*none"),
        (record(), record(processes=4), "2 processes .*zero2, this run is 4 processes .*zero2"),
        (record(processes=1), record(processes=1, deepspeed="none"), "1 process .*zero2, this run is 1 process .*none"),
        (record(), record(fingerprint="b", samples=34), "changed since .*checkpoint-2.*25 samples in 1 files, now 34"),
        (None, record(), "checkpoint-2 has no record"),
    ],
)
def test_what_cannot_be_gone_on_with(tmp_path: Path, then: dict[str, Any] | None, now: dict[str, Any], message: str) -> None:
    with pytest.raises(NumProError, match=message):
        claim_output(stopped(tmp_path, then), tmp_path, tmp_path / "adapter", now)


def test_without_deepspeed_only_streaming_needs_as_many_processes(tmp_path: Path) -> None:
    then, now = record(deepspeed="none"), record(processes=1, deepspeed="none")
    assert claim_output(stopped(tmp_path / "random", then), tmp_path / "random", tmp_path / "adapter", now)
    with pytest.raises(NumProError, match="2 processes .*this run is 1 process"):
        claim_output(stopped(tmp_path / "near", then, data__streaming=True), tmp_path / "near", tmp_path / "adapter", now)
