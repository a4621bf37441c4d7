"""Which runs can be resumed or extended, and checkpoints that are complete or absent."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from numpro_plugin.errors import NumProError
from numpro_plugin.settings import NumProSettings
from numpro_plugin.trainer.output import checkpoints as checkpoints_module
from numpro_plugin.trainer.output.checkpoints import delete_leftovers, save_whole
from numpro_plugin.trainer.output.resume import claim_output
from numpro_plugin.trainer.recipe.record import Recipe


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


def test_a_stopped_run_is_resumed_from_its_newest_checkpoint(tmp_path: Path) -> None:
    recipe = stopped(tmp_path, training_record())
    assert claim_output(recipe, tmp_path, tmp_path / "adapter", training_record()) == tmp_path / "checkpoint-2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2", "recipe.yaml"]


def test_the_recipe_is_compared_with_that_of_the_checkpoint_not_with_the_folders(tmp_path: Path) -> None:
    """A start with another seed before the first checkpoint may have replaced the folder's recipe."""
    recipe = stopped(tmp_path, training_record() | {"recipe": Recipe(seed=1).to_dict()})
    with pytest.raises(NumProError, match=r"seed=0, but the run in .* was started with seed=1, by the record of checkpoint-2"):
        claim_output(recipe, tmp_path, tmp_path / "adapter", training_record())
    assert claim_output(recipe.replace(seed=1), tmp_path, tmp_path / "adapter", training_record())


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        ({"epochs": 2}, {"epochs": 3}, None),
        ({"max_steps": 100}, {"max_steps": 150}, None),
        ({"epochs": 2}, {"epochs": 2}, r"is finished: its result is .*adapter\. .*larger optimizer\.epochs or optimizer\.max_steps"),
        ({"epochs": 2}, {"epochs": 1}, "is finished"),
        ({"max_steps": 100}, {"max_steps": 100}, "is finished"),
        ({"epochs": 2}, {"max_steps": 500}, "is finished"),
        ({"epochs": 2}, {"epochs": 3, "lr": 0.5}, r"optimizer\.lr=0\.5, but the run in .* was started with optimizer\.lr=0\.0001"),
    ],
)
def test_a_finished_run_is_extended_by_more_epochs_or_steps(
    tmp_path: Path, before: dict[str, float], now: dict[str, float], message: str | None
) -> None:
    recipe = stopped(tmp_path, None, **{f"optimizer__{key}": value for key, value in before.items()})
    record = training_record() | {"recipe": recipe.to_dict()}
    for folder in ("checkpoint-2", "adapter"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "numpro.json").write_text(json.dumps(record), encoding="utf-8")
    longer = recipe.replace(**{f"optimizer__{key}": value for key, value in now.items()})
    if message is None:
        assert claim_output(longer, tmp_path, tmp_path / "adapter", record) == tmp_path / "checkpoint-2"
        shutil.rmtree(tmp_path / "checkpoint-2")
        message = r"has no checkpoint, so its run cannot be extended: train on from its result with adapter=.*adapter"
    with pytest.raises(NumProError, match=message):
        claim_output(longer, tmp_path, tmp_path / "adapter", record)


def test_a_stopped_run_may_become_longer_but_not_shorter(tmp_path: Path) -> None:
    recipe = stopped(tmp_path, training_record() | {"recipe": Recipe().to_dict()})
    assert claim_output(recipe.replace(optimizer__epochs=5), tmp_path, tmp_path / "adapter", training_record())
    with pytest.raises(
        NumProError, match=r"optimizer\.epochs=1.0, but .*epochs=3.0.*: use that, or a larger value, or choose another output"
    ):
        claim_output(recipe.replace(optimizer__epochs=1), tmp_path, tmp_path / "adapter", training_record())


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


# --- saving ------------------------------------------------------------------------------------------------------------------------


def write_file(part: Path) -> None:
    (part / "weights").write_text("new")


def save(folder: Path, write: Callable[[Path], None] = write_file, **options: Any) -> None:
    save_whole(folder, write, main=True, barrier=lambda: None, token="a" * 12, **options)


def test_saving_replaces_a_folder_and_leaves_those_of_other_runs(tmp_path: Path) -> None:
    others = [tmp_path / f".checkpoint-4.{'b' * 12}.part", tmp_path / ".checkpoint-4.part"]
    for folder in (*others, tmp_path / "checkpoint-4"):
        folder.mkdir()
        (folder / "weights").write_text("old")
    save(tmp_path / "checkpoint-4")
    assert (tmp_path / "checkpoint-4" / "weights").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*(path.name for path in others), "checkpoint-4"])


def test_temporary_folders_are_deleted_if_their_run_is_dead_or_they_are_a_day_old(tmp_path: Path) -> None:
    names = [f".checkpoint-4.{'b' * 12}.part", f".checkpoint-2.{'b' * 12}.old", f".adapter.{'c' * 12}.part", ".checkpoint-1.old", ".cache"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    delete_leftovers(tmp_path, {"b" * 12})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[2:])
    for path in [*tmp_path.rglob("*")]:
        os.utime(path, (1e9, 1e9))
    (tmp_path / names[2] / "file").touch()  # still being written
    delete_leftovers(tmp_path, ())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([names[2], ".cache"])


@pytest.mark.parametrize(
    ("error", "probe", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            None,
            "the disk is full. The last complete checkpoint is .*-2: make room and continue",
        ),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), None, "the disk quota is used up. .*: make room"),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), None, "the disk is full"),
        (
            RuntimeError("[enforce fail at inline_container.cc:668] . unexpected pos 64 vs 0"),
            errno.ENOSPC,
            "the disk is full. .*: make room",
        ),
        (PermissionError(errno.EACCES, "Permission denied"), None, "permission is denied. .*: make the folder writable and continue"),
        (RuntimeError("writer failed"), errno.EROFS, "the file system is read-only. .*: make the folder writable"),
        (ValueError("a tensor is not contiguous\nmore"), None, "ValueError: a tensor is not contiguous. .*: correct this and continue"),
    ],
)
def test_a_failed_save_says_what_happened_and_leaves_nothing(
    tmp_path: Path, error: Exception, probe: int | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints_module, "_probe", lambda folder: probe)
    (tmp_path / "checkpoint-2").mkdir()

    def fail(part: Path) -> None:
        write_file(part)
        raise error

    with pytest.raises(NumProError, match=f"checkpoint-4 could not be written: {message}"):
        save(tmp_path / "checkpoint-4", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-2"]
