"""Runs that are stopped and continued, that lose their folder to another run, and that are made longer."""

from __future__ import annotations

import json
import logging
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from support.training import World, changes_of, losses, make_world, weights

from numpro_plugin.errors import NumProError
from numpro_plugin.inference.generation import Generator
from numpro_plugin.trainer.cli import main
from numpro_plugin.trainer.output.checkpoints import checkpoints
from numpro_plugin.trainer.output.lock import OutputLock
from numpro_plugin.trainer.output.status import read_status
from numpro_plugin.trainer.recipe.record import Recipe
from numpro_plugin.trainer.run.callbacks import read_log
from numpro_plugin.trainer.run.start import run
from numpro_plugin.trainer.run.stop import Stopped
from numpro_plugin.trainer.run.trainer import NumProTrainer

pytestmark = pytest.mark.usefixtures("datasets_cache")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("preemption"))


@pytest.fixture(scope="module")
def whole(world: World, datasets_cache: str) -> Recipe:
    """A run of eight steps that nothing interrupted, with dropout."""
    recipe = world.recipe("whole", lora__dropout=0.2)
    run(recipe)
    return recipe


def at_step(step: int, action: Callable[[], Any]) -> pytest.MonkeyPatch:
    """Do something in the middle of an optimizer step, counted from 1."""
    patch, training_step = pytest.MonkeyPatch(), NumProTrainer.training_step
    done: list[int] = []

    def acting(self: NumProTrainer, *args: Any) -> torch.Tensor:
        if self.state.global_step == step - 1 and not done:
            done.append(step)
            action()
        return training_step(self, *args)

    patch.setattr(NumProTrainer, "training_step", acting)
    return patch


def command_of(recipe: Recipe, *flags: str) -> list[str]:
    return ["run", "tiny", *(f"{key}={json.dumps(value)}" for key, value in changes_of(recipe).items()), *flags]


@pytest.mark.slow
def test_a_run_stopped_by_time_limit_sigterm_and_ctrl_c_equals_an_uninterrupted_one(
    whole: Recipe, world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    recipe = world.recipe("stopped", lora__dropout=0.2)
    output = Path(recipe.output)
    assert main(command_of(recipe, "--time-limit", "1s")) == 143
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"numpro-train: stopped by the time limit after step 1 of 8; {output}/checkpoint-1 is complete. To continue, run the same command "
        "with resume=true"
    )
    recipe = recipe.replace(resume=True)
    for step, number, code in ((3, signal.SIGTERM, 143), (5, signal.SIGINT, 130)):
        patch = at_step(step, lambda number=number: os.kill(os.getpid(), number))
        try:
            assert main(command_of(recipe)) == code
        finally:
            patch.undo()
        assert (
            capsys.readouterr()
            .err.splitlines()[-1]
            .endswith(f"after step {step} of 8; {output}/checkpoint-{step} is complete. To continue, run the same command again")
        )
        status = read_status(output)
        assert status is not None
        assert (status["state"], status["step"], status["max_steps"], status["checkpoint"]) == ("stopped", step, 8, f"checkpoint-{step}")
        assert not (output / "adapter").exists()
        assert not (output / "lock.json").exists()
    assert main(command_of(recipe)) == 0
    status = read_status(output)
    assert status is not None
    assert (status["state"], status["step"], status["result"]) == ("finished", 8, "adapter")
    assert losses(output) == losses(whole.output)
    for tensor, value in weights(whole.output).items():
        assert torch.equal(weights(output)[tensor], value), tensor


@pytest.mark.slow
def test_a_signal_during_the_last_step_finishes_the_run(world: World) -> None:
    recipe = world.recipe("last", optimizer__max_steps=2, run__save_steps=0)
    patch = at_step(2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    try:
        assert run(recipe) == Path(recipe.output) / "adapter"
    finally:
        patch.undo()


@pytest.mark.slow
def test_a_signal_during_an_evaluation_saves_a_checkpoint_and_stops(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    held_out = {"data__held_out": str(world.held_out), "run__eval_steps": 1}
    recipe = world.recipe("evaluation", optimizer__max_steps=3, run__save_steps=0, **held_out)
    answered: list[int] = []
    batch = Generator.batch

    def interrupted(self: Generator, *args: Any) -> Any:
        answered.append(1)
        os.kill(os.getpid(), signal.SIGTERM)
        return batch(self, *args)

    monkeypatch.setattr(Generator, "batch", interrupted)
    with pytest.raises(Stopped, match=r"stopped by SIGTERM after step 1 of 3; .*checkpoint-1 is complete"):
        run(recipe)
    assert len(answered) == 1
    assert [path.name for path in checkpoints(Path(recipe.output))] == ["checkpoint-1"]
    assert not any("eval_mIoU" in line for line in read_log(Path(recipe.output) / "log.jsonl"))


def test_a_signal_before_the_first_step_ends_the_run_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = world.recipe("early")
    monkeypatch.setattr("numpro_plugin.trainer.run.train.open_for_training", lambda *_, **__: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Stopped, match="stopped by SIGTERM before the first step: run the same command again") as caught:
        run(recipe)
    assert not caught.value.agreed
    assert {path.name for path in Path(recipe.output).iterdir()} == {"recipe.yaml", "status.json"}  # it may be started again


@pytest.mark.slow
def test_a_run_refuses_others_and_ends_if_one_takes_its_folder_over(world: World) -> None:
    recipe = world.recipe("shared", optimizer__max_steps=4, run__save_steps=2)
    output, taken = Path(recipe.output), []

    def second_run() -> None:
        with pytest.raises(NumProError, match=rf"is in use by another run \(process {os.getpid()}"):
            OutputLock.take(output)
        taken.append(OutputLock.take(output, steal=True))

    patch = at_step(3, second_run)
    try:
        with pytest.raises(NumProError, match=r"was taken over by another run .* this run ends and writes nothing more"):
            run(recipe)
    finally:
        patch.undo()
    assert [path.name for path in checkpoints(output)] == ["checkpoint-2"]
    assert not list(output.glob(".*.part"))
    assert [step for step, *_ in losses(output)] == [1, 2]
    taken[0].check()
    taken[0].release()


@pytest.mark.slow
def test_a_failed_run_has_a_status_with_the_reason(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = world.recipe("failed", optimizer__max_steps=1)
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(recipe)
    status = read_status(Path(recipe.output))
    assert status is not None
    assert (status["state"], status["reason"]) == ("failed", "ZeroDivisionError: division by zero")


# --- longer runs -------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_finished_run_is_extended_on_the_schedule_of_all_its_steps(world: World, caplog: pytest.LogCaptureFixture) -> None:
    recipe = world.recipe("extended", optimizer__epochs=1, optimizer__warmup=0.0, lora__dropout=0.0)
    output = Path(recipe.output)
    run(recipe)
    before = weights(output)
    with caplog.at_level(logging.WARNING):
        run(recipe.replace(optimizer__epochs=2, resume=True))
    assert any(
        "the run is extended from 4 to 8 steps: it continues at step 5 on the cosine schedule over 8 steps, with learning rate 0.005 "
        "(the schedule over 4 steps: 0)" in record.getMessage()
        for record in caplog.records
    )
    lines = [line for line in read_log(output / "log.jsonl") if "loss" in line]
    assert [line["step"] for line in lines] == list(range(1, 9))
    cosine = [0.01 * 0.5 * (1 + math.cos(math.pi * step / 8)) for step in range(4, 8)]
    assert [line["learning_rate"] for line in lines[4:]] == pytest.approx(cosine)
    assert any(not torch.equal(value, before[name]) for name, value in weights(output).items())
    assert not list(output.glob(".*.old"))
    with pytest.raises(NumProError, match="is finished"):
        run(recipe.replace(optimizer__epochs=2, resume=True))


# --- several processes -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_processes_save_at_the_same_step_when_one_is_signalled(world: World, datasets_cache: str) -> None:
    recipe = world.recipe("two", lora__dropout=0.0, resume=True, memory__deepspeed="none", optimizer__epochs=40, data__workers=1)
    output = Path(recipe.output)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_DATASETS_CACHE": datasets_cache}
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(random.randrange(20000, 60000))]
    command = [*launch, "-m", "numpro_plugin.trainer.cli", *command_of(recipe)]
    launcher = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while launcher.poll() is None and len(read_log(output / "log.jsonl")) < 3:
        time.sleep(0.05)
    workers = [child for child in psutil.Process(launcher.pid).children() if "numpro_plugin.trainer.cli" in child.cmdline()]
    [second] = [child for child in workers if child.environ().get("RANK") == "1"]
    second.send_signal(signal.SIGTERM)
    text, _ = launcher.communicate(timeout=300)
    assert launcher.returncode == 0, text[-3000:]
    status = read_status(output)
    assert status is not None
    assert (status["state"], status["reason"], status["max_steps"]) == ("stopped", "SIGTERM", 160)
    [*_, newest] = checkpoints(output)
    assert newest.name == status["checkpoint"] == f"checkpoint-{status['step']}"
    assert {f"rng_state_{rank}.pth" for rank in range(2)} <= {path.name for path in newest.iterdir()}
    assert f"numpro-train: stopped by SIGTERM after step {status['step']} of 160; {newest} is complete." in text
    assert [step for step, *_ in losses(output)] == list(range(1, status["step"] + 1))
