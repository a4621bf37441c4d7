"""Whole runs on a tiny LongVA: equal loss curves however batches are divided, resuming, and errors that stop a run."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from support.http_hub import HttpHub
from support.shards import video_row, write_shard
from support.tiny_longva import save_tiny_longva
from support.training import SIZE, World, changes_of, losses, make_world, weights

from numpro_plugin.errors import NumProError
from numpro_plugin.families import load_model
from numpro_plugin.inference.generation import Generated, Generator
from numpro_plugin.trainer.batches.collator import Collator
from numpro_plugin.trainer.cli import main
from numpro_plugin.trainer.output.checkpoints import checkpoints
from numpro_plugin.trainer.output.status import read_status
from numpro_plugin.trainer.recipe.record import Recipe, load_recipe
from numpro_plugin.trainer.run.callbacks import read_log
from numpro_plugin.trainer.run.held_out import HeldOut
from numpro_plugin.trainer.run.start import run
from numpro_plugin.trainer.run.trainer import NumProTrainer
from numpro_plugin.trainer.shards.index import ShardIndex
from numpro_plugin.views.runs import read_runs
from numpro_plugin.weights.record import numpro_settings_of, read_record

pytestmark = pytest.mark.usefixtures("datasets_cache")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("train"))


def assert_same_curve(one: list[tuple[int, float, float]], other: list[tuple[int, float, float]]) -> None:
    assert [step for step, *_ in one] == [step for step, *_ in other]
    for a, b in zip(one, other, strict=True):
        assert a[1:] == pytest.approx(b[1:], rel=1e-5)


def _run_slowly(recipe: Recipe) -> None:
    """Train slowly enough to be killed before the end, even on a busy machine."""
    step = NumProTrainer.training_step
    NumProTrainer.training_step = lambda *args: time.sleep(0.05) or step(*args)  # type: ignore[method-assign]
    run(recipe)


def killed(recipe: Recipe, after_lines: int) -> None:
    """Start the run in another process and kill it with SIGKILL once its log has this many lines."""
    # Spawned: autograd cannot be forked once it has run on several threads, which depends on earlier tests.
    process = multiprocessing.get_context("spawn").Process(target=_run_slowly, args=(recipe,))
    process.start()
    log = Path(recipe.output) / "log.jsonl"
    while process.is_alive() and len(read_log(log)) < after_lines:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.fixture(scope="module")
def plain(world: World, datasets_cache: str) -> Recipe:
    """A finished run without dropout, with which others are compared."""
    recipe = world.recipe("plain", lora__dropout=0.0, data__held_out=str(world.held_out), run__eval_steps=3)
    assert run(recipe) == Path(recipe.output) / "adapter"
    return recipe


# --- a run -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_writes_adapter_checkpoints_log_curve_and_recipe(plain: Recipe, world: World) -> None:
    output = Path(plain.output)
    files = {"adapter", "checkpoint-6", "checkpoint-8", "held_out", "log.jsonl", "loss.png", "loss.svg", "recipe.yaml", "status.json"}
    assert {p.name for p in output.iterdir()} == files
    shared = output.stat().st_mode & 0o666  # as the umask says, also what safetensors writes for its owner alone
    assert {path.stat().st_mode & 0o777 for path in output.rglob("*") if path.is_file()} == {shared}
    assert load_recipe(output / "recipe.yaml") == plain
    lines = [line for line in read_log(output / "log.jsonl") if "loss" in line]
    assert [line["step"] for line in lines] == list(range(1, 9))
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.3
    assert {"learning_rate", "tokens_per_s", "frames_per_s", "data_wait", "peak_memory_gib", "unreadable", "epoch"} <= lines[-1].keys()
    assert all(line["tokens_per_s"] > line["frames_per_s"] * 4 > 0 for line in lines)
    scores = [line for line in read_log(output / "log.jsonl") if "eval_mIoU" in line]
    assert [line["step"] for line in scores] == [3, 6, 8]
    assert all(line["eval_samples"] == 4 for line in scores)
    assert {run.name: len(run.samples) for run in read_runs([str(output / "held_out")])} == {f"plain, step {k}": 4 for k in (3, 6, 8)}
    assert Image.open(output / "loss.png").size == (1200, 675)


def test_the_adapter_records_its_training(plain: Recipe, world: World) -> None:
    for folder in ("adapter", "checkpoint-8"):
        assert numpro_settings_of(Path(plain.output) / folder) == plain.numpro
    record = read_record(Path(plain.output) / "adapter")
    assert Recipe.from_dict(record["recipe"]) == plain
    assert (record["base"], record["data"]["videos"], record["data"]["samples"]) == (str(world.model), 17, 25)
    card = (Path(plain.output) / "adapter" / "README.md").read_text(encoding="utf-8")
    for text in ("0.5 frames per second, 16 x 16 pixels", "25 conversations about 17 videos", "transformers", "lr: 0.01"):
        assert text in card


def test_the_adapter_loads_with_the_trained_weights(plain: Recipe, world: World) -> None:
    model, _, _ = load_model(world.model, Path(plain.output) / "adapter", dtype="float32")
    saved = weights(plain.output)
    assert any("multi_modal_projector" in name for name in saved)
    state = {re.sub(r"(modules_to_save\.)?default\.", "", name): value for name, value in model.state_dict().items()}
    for name, value in saved.items():
        assert torch.equal(state[name.replace("modules_to_save.", "")], value), name


def test_the_loss_of_an_incomplete_last_step_is_the_mean_of_its_own_tokens(plain: Recipe, world: World) -> None:
    """The fourth step has one sample, and its loss is that sample's, not an eighth of it."""
    assert len(losses(plain.output)) == 8
    assert all(loss > 1 for _, loss, _ in losses(plain.output))


def test_held_out_scores_are_computed_from_the_answers(plain: Recipe, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers to 4 questions about 4 frames: one correct, one off by one frame, one without a span, one in another wording."""
    texts = iter(["From Frame 0 to Frame 3.", "From Frame 1 to Frame 2.", "Hello.", "frames 0-3"])
    answer = lambda self, samples, options: [Generated(next(texts), 1)]  # noqa: E731
    monkeypatch.setattr(Generator, "batch", answer)
    index = ShardIndex.read([str(world.held_out)], plain.numpro)
    loaded = load_model(world.model, dtype="float32")
    collator = Collator(loaded.family, loaded.processor, plain)
    scores = HeldOut(index, collator, max_new_tokens=8).scores(loaded)
    # The answers in the shards are 0-3 and 1-3 for either video.
    assert scores["mIoU"] == pytest.approx(100 * (1 + 1 / 2 + 0 + 2 / 3) / 4)
    assert (scores["R@0.5"], scores["parse_fail"], scores["samples"]) == (75, 25, 4)


@pytest.mark.slow
def test_a_traced_run_whose_upload_fails_is_finished_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = world.recipe("pushed", optimizer__max_steps=3, run__save_steps=0, run__profile=1, run__push_to_hub="numpro")
    changes = [f"{key}={json.dumps(value)}" for key, value in changes_of(recipe).items()]
    with HttpHub() as hub:
        hub.used_by(monkeypatch)
        hub.refuse["/commit/main"] = deque([None, (500, "Internal Error")])
        assert main(["run", "tiny", *changes]) == 1
        error = capsys.readouterr().err
        assert f": Internal Error). Upload it with: hf upload me/numpro {recipe.output}/adapter ." in error
        assert list(hub.repositories["me/numpro"].files) == ["recipe.yaml"]  # from before training
        status = read_status(Path(recipe.output)) or {}
        assert (status["state"], status["step"]) == ("finished", 3)
        assert "500 Internal Server Error" in status["upload_failed"]
        assert "adapter=me/numpro" in (Path(recipe.output) / "adapter" / "README.md").read_text(encoding="utf-8")
        assert main(["run", "tiny", *changes, f"output={recipe.output}-2"]) == 0
        result = Path(f"{recipe.output}-2") / "adapter"
        arrived = hub.repositories["me/numpro"].files
        assert {path.name: path.read_bytes() for path in result.iterdir()}.items() <= arrived.items()
    assert (Path(recipe.output) / "profile" / "rank_0.json.gz").is_file()


# --- how batches are divided -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("micro", [1, 8])
@pytest.mark.slow
def test_accumulation_does_not_change_the_curve(plain: Recipe, world: World, micro: int) -> None:
    recipe = world.recipe(f"micro{micro}", lora__dropout=0.0, optimizer__micro_batch_size=micro, run__save_steps=0)
    run(recipe)
    assert_same_curve(losses(recipe.output), losses(plain.output))


@pytest.mark.slow
def test_saving_memory_does_not_change_the_curve(plain: Recipe, world: World) -> None:
    tight = {"memory__gradient_checkpointing": True, "memory__tiling": "all", "memory__tile_tokens": 64}
    recipe = world.recipe("tight", lora__dropout=0.0, run__save_steps=0, **tight)
    run(recipe)
    assert_same_curve(losses(recipe.output), losses(plain.output))


@pytest.mark.slow
def test_two_processes_under_zero2_give_the_same_curve_even_when_killed(plain: Recipe, world: World, datasets_cache: str) -> None:
    """The command under torchrun; all its processes are killed at a random step, and it is started again."""
    recipe = world.recipe("zero2", lora__dropout=0.0, resume=True)
    environment = {**os.environ, "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "HF_DATASETS_CACHE": datasets_cache}
    changes = [f"{key}={value}" for key, value in changes_of(recipe).items()]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(random.randrange(20000, 60000))]
    command = [*launch, "-m", "numpro_plugin.trainer.cli", "run", "tiny", *changes]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = random.randint(3, 4)  # of eight, so that a late kill still comes before the end
    while process.poll() is None and len(read_log(Path(recipe.output) / "log.jsonl")) < after:
        time.sleep(0.01)
    workers = psutil.Process(process.pid).children(recursive=True)  # torchrun starts them in sessions of their own
    process.kill()
    for worker in workers:
        worker.kill()
    psutil.wait_procs(workers)
    assert process.wait() == -signal.SIGKILL
    assert not (Path(recipe.output) / "adapter").exists()
    assert checkpoints(Path(recipe.output))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert_same_curve(losses(recipe.output), losses(plain.output))
    assert (Path(recipe.output) / "checkpoint-8" / "global_step8").is_dir()
    for name, value in weights(plain.output).items():
        assert torch.allclose(weights(recipe.output)[name], value, atol=2e-5), f"{name} (killed after {after} lines)"
    assert read_record(Path(recipe.output) / "adapter")["processes"] == 2


_RECORDING_DTYPES = """
import sys
from pathlib import Path
from numpro_plugin.trainer.cli import main
from numpro_plugin.trainer.run.trainer import NumProTrainer

export = NumProTrainer.export
def record_dtypes(self, folder):
    dtypes = {str(buffer.dtype) for name, buffer in self.model.named_buffers() if name.endswith("inv_freq")}
    (Path(self.recipe.output) / f"frequencies-{self.args.process_index}").write_text(" ".join(sorted(dtypes)))
    export(self, folder)
NumProTrainer.export = record_dtypes
sys.exit(main())
"""


@pytest.mark.slow
def test_two_processes_under_zero3_in_bf16_with_three_questions(world: World, datasets_cache: str, tmp_path: Path) -> None:
    """Weights are partitioned over the processes, so all must generate equally often, although one of them has fewer questions."""
    held = write_shard(tmp_path / "held.parquet", [video_row(f"h{k}", 8.0, size=SIZE) for k in range(3)], size=SIZE)
    changes = {"memory__deepspeed": "zero3", "memory__dtype": "bfloat16", "data__held_out": str(held), "run__max_new_tokens": 4}
    recipe = world.recipe("zero3", lora__dropout=0.0, optimizer__max_steps=3, run__eval_steps=2, **changes)
    script = tmp_path / "recording.py"
    script.write_text(_RECORDING_DTYPES, encoding="utf-8")
    environment = {**os.environ, "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "HF_DATASETS_CACHE": datasets_cache}
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(random.randrange(20000, 60000))]
    overrides = [f"{key}={value}" for key, value in changes_of(recipe).items()]
    done = subprocess.run([*launch, str(script), "run", "tiny", *overrides], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    output = Path(recipe.output)
    assert [step for step, *_ in losses(output)] == [1, 2, 3]
    assert losses(output)[-1][1] < losses(output)[0][1] - 1
    assert [(line["step"], line["eval_samples"]) for line in read_log(output / "log.jsonl") if "eval_mIoU" in line] == [(2, 3), (3, 3)]
    assert {(output / f"frequencies-{rank}").read_text() for rank in range(2)} == {"torch.float32"}
    assert all(weight.isfinite().all() for weight in weights(output).values())
    assert read_record(output / "checkpoint-3")["deepspeed"] == "zero3"
    load_model(world.model, output / "adapter")


@pytest.mark.slow
@pytest.mark.parametrize("streaming", [False, True])
def test_every_sample_is_trained_on_once_per_epoch(world: World, monkeypatch: pytest.MonkeyPatch, streaming: bool) -> None:
    collated: list[str] = []
    collate = Collator.__call__
    monkeypatch.setattr(Collator, "__call__", lambda self, raws: collated.extend(raw.id for raw in raws) or collate(self, raws))
    run(world.recipe(f"once-{streaming}", data__streaming=streaming, run__save_steps=0))
    names = [name for name in collated if name != "filler"]
    first, second = names[:25], names[25:]
    assert len(set(first)) == 25
    assert set(first) == set(second)
    assert first != second


# --- resuming ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("streaming", [False, True])
def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(world: World, streaming: bool) -> None:
    """With dropout, random offsets and font sizes, a source that an epoch uses 1.2 times, and a checkpoint every two steps."""
    name = f"stream{streaming}"
    changes = {"data__streaming": streaming, "data__shuffle_buffer": 3, "data__workers": 1, "data__numbering": "offset"}
    changes |= {"data__font_size_jitter": 0.1, "lora__dropout": 0.2, "optimizer__epochs": 3, "data__sources": {"made": 1.2}}
    whole = world.recipe(f"{name}-whole", **changes)
    run(whole)
    stopped = world.recipe(f"{name}-stopped", **changes, resume=True)
    after = random.randint(3, 10)
    killed(stopped, after)
    saved = checkpoints(Path(stopped.output))
    assert saved, f"killed after {after} lines: there should be a checkpoint"
    run(stopped)
    assert losses(stopped.output) == losses(whole.output)
    for tensor, value in weights(whole.output).items():
        assert torch.equal(weights(stopped.output)[tensor], value), f"{tensor} (killed after {after} lines, from {saved[-1].name})"


def test_resuming_needs_the_same_recipe(plain: Recipe, world: World, tmp_path: Path) -> None:
    with pytest.raises(NumProError, match=r"output=.*exists and is not empty.*resume=true"):
        run(plain)
    with pytest.raises(NumProError, match=r"is finished: its result is .*adapter"):
        run(plain.replace(resume=True))
    (Path(plain.output) / "adapter").rename(tmp_path / "adapter")
    try:
        with pytest.raises(NumProError, match=r"optimizer\.lr=0\.02, but the run in .* was started with optimizer\.lr=0\.01"):
            run(plain.replace(resume=True, optimizer__lr=0.02))
    finally:
        (tmp_path / "adapter").rename(Path(plain.output) / "adapter")
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(NumProError, match="was not written by"):
        run(plain.replace(resume=True, output=str(tmp_path)))


@pytest.mark.slow
def test_a_run_stopped_after_its_last_step_only_writes_the_result_when_resumed(world: World, tmp_path: Path) -> None:
    recipe = world.recipe("last", optimizer__max_steps=3, resume=True)
    run(recipe)
    before, curve = weights(recipe.output), losses(recipe.output)
    (Path(recipe.output) / "adapter").rename(tmp_path / "adapter")
    run(recipe)
    assert losses(recipe.output) == curve
    assert all(torch.equal(value, before[name]) for name, value in weights(recipe.output).items())


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_checkpoint(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = world.recipe("full-disk", resume=True)
    save = torch.save

    def until_step_4(value: Any, file: Any, *args: Any, **kwargs: Any) -> None:
        if "checkpoint-4" in str(file) and "scheduler" in str(file):
            raise OSError(errno.ENOSPC, "No space left on device")
        save(value, file, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", until_step_4)
        with pytest.raises(
            NumProError, match=r"checkpoint-4 could not be written: the disk is full.*last complete checkpoint is .*checkpoint-2"
        ):
            run(recipe)
    assert [p.name for p in Path(recipe.output).iterdir() if "checkpoint" in p.name] == ["checkpoint-2"]
    run(recipe)
    whole = world.recipe("full-disk-whole")
    run(whole)
    for tensor, value in weights(whole.output).items():
        assert torch.equal(weights(recipe.output)[tensor], value)


# --- errors that stop a run --------------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_samples(world: World, tmp_path: Path) -> None:
    model = save_tiny_longva(tmp_path / "model")
    state = load_file(model / "model.safetensors")
    state["model.norm.weight"][0] = float("nan")
    save_file(state, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(NumProError, match=r"the loss is nan at step 1, on the samples made/v\d_\d#\d, made/v\d_\d#\d"):
        run(world.recipe("nan", model=str(model)))


@pytest.mark.slow
def test_unreadable_samples_are_counted_and_too_many_stop_the_run(world: World, tmp_path: Path) -> None:
    rows = [video_row(f"v{k}", 6.0, size=SIZE) for k in range(16)]
    rows[5]["frames"][1] = rows[5]["frames"][1][:50]
    shard = str(write_shard(tmp_path / "bad.parquet", rows, size=SIZE))
    recipe = world.recipe("bad", data__shards=shard, data__max_unreadable=0.1, run__save_steps=0)
    run(recipe)
    counts = [line["unreadable"] for line in read_log(Path(recipe.output) / "log.jsonl") if "loss" in line]
    assert counts in ([0, 1, 0, 1], [0, 1, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1])  # two steps per epoch; counted by epoch
    record = read_record(Path(recipe.output) / "adapter")
    assert list(record["data"]["unreadable"]) == ["made/v5#0"]
    assert "1 were unreadable: made/v5#0 (picture 1 of 3 is damaged" in (Path(recipe.output) / "adapter" / "README.md").read_text()
    with pytest.raises(NumProError, match=r"1 of 16 samples are unreadable, more than data\.max_unreadable=0\.01.*made/v5#0"):
        run(world.recipe("bad-strict", data__shards=shard))


def damaged_shard(file: Path, count: int, damaged: range) -> str:
    rows = [video_row(f"v{k}", 6.0, size=SIZE) for k in range(count)]
    for k in damaged:
        rows[k]["frames"][1] = rows[k]["frames"][1][:50]
    return str(write_shard(file, rows, size=SIZE))


@pytest.mark.slow
def test_too_many_unreadable_samples_stop_the_run_even_between_log_entries(world: World, tmp_path: Path) -> None:
    shard = damaged_shard(tmp_path / "bad.parquet", 16, range(8))
    recipe = world.recipe("bad-rarely-logged", data__shards=shard, data__max_unreadable=0.45, run__log_steps=50, run__save_steps=0)
    with pytest.raises(NumProError, match=r"of 16 samples are unreadable, more than data\.max_unreadable=0\.45"):
        run(recipe)
    assert not (Path(recipe.output) / "adapter").exists()
    assert [line["unreadable"] for line in read_log(Path(recipe.output) / "log.jsonl")][-1] == 8


@pytest.mark.slow
def test_resuming_restores_the_count_of_unreadable_samples(world: World, tmp_path: Path) -> None:
    shard = damaged_shard(tmp_path / "bad.parquet", 24, range(12))
    changes = {"data__shards": shard, "data__max_unreadable": 0.9, "optimizer__epochs": 1}
    recipe = world.recipe("bad-resumed", **changes, run__save_steps=1, run__save_total_limit=0, resume=True)
    run(recipe)
    output = Path(recipe.output)
    counted = lambda: [line["unreadable"] for line in read_log(output / "log.jsonl") if "loss" in line]  # noqa: E731
    before, record = counted(), read_record(output / "adapter")
    assert (before[-1], len(record["data"]["unreadable"])) == (12, 12)
    for step in (2, 3):
        shutil.rmtree(output / f"checkpoint-{step}")
    shutil.rmtree(output / "adapter")
    run(recipe)
    assert counted() == before
    assert read_record(output / "adapter")["data"] == record["data"]


@pytest.mark.slow
def test_gradients_that_are_not_finite_are_never_saved(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    step = NumProTrainer.training_step

    def poisoned(self: NumProTrainer, model: torch.nn.Module, *args: Any) -> torch.Tensor:
        loss = step(self, model, *args)
        if self.state.global_step == 3:
            next(p for p in model.parameters() if p.grad is not None).grad[...] = float("nan")
        return loss

    monkeypatch.setattr(NumProTrainer, "training_step", poisoned)
    recipe = world.recipe("nan-gradients")
    with pytest.raises(NumProError, match="the gradient norm is nan at step 4"):
        run(recipe)
    assert [folder.name for folder in checkpoints(Path(recipe.output))] == ["checkpoint-2"]


def test_missing_and_inconsistent_settings_are_refused(world: World) -> None:
    for change, message in (
        ({"model": ""}, "model is missing"),
        ({"data__shards": []}, "data.shards is missing"),
        ({"numpro__fps": 1.0}, r"the recipe says numpro\.fps=1\.0"),
        ({"model": str(world.shards)}, "is not a model"),
        ({"optimizer__micro_batch_size": 1, "memory__deepspeed": "zero7.json"}, "zero7.json.*zero2, zero3, none"),
    ):
        with pytest.raises(NumProError, match=message):
            run(world.recipe("never", **change).replace(resume=True))
    with pytest.raises(NumProError, match="output is missing"):
        run(world.recipe("never").replace(output=""))


@pytest.mark.slow
def test_a_video_of_240_frames_is_trained_on_in_full(world: World, tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "long.parquet", [video_row(f"v{k}", 480.0, size=SIZE) for k in range(2)], size=SIZE)
    changes = {"numpro__max_frames": 240, "memory__gradient_checkpointing": True, "memory__tiling": "all", "memory__tile_tokens": 256}
    recipe = world.recipe("long", data__shards=str(shard), optimizer__epochs=1, run__save_steps=0, **changes)
    run(recipe)
    [line] = [line for line in read_log(Path(recipe.output) / "log.jsonl") if "loss" in line]
    assert line["tokens_per_s"] > line["frames_per_s"] * 4
    assert line["unreadable"] == 0
    assert 3 < line["loss"] < 9


@pytest.mark.slow
def test_full_tuning_changes_every_part_of_the_model(world: World) -> None:
    recipe = world.recipe("all", tuning="full", run__save_steps=0, optimizer__max_steps=3)
    result = run(recipe)
    assert result.name == "model"
    before, after = load_model(world.model, dtype="float32").model.state_dict(), load_model(result, dtype="float32").model.state_dict()
    assert before.keys() == after.keys()
    changed = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert {"vision_tower", "multi_modal_projector", "language_model"} <= changed
    assert numpro_settings_of(result) == recipe.numpro
