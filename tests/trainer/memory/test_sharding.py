"""FSDP2 on two gloo processes: parameters are really sharded, and the run is that of a single process without sharding."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_families import FAMILIES, save_tiny
from support.tiny_longva import save_tiny_longva
from support.training import World, losses, make_world, weights

from numpro_plugin.errors import NumProError
from numpro_plugin.families import load_model
from numpro_plugin.trainer.memory.sharding import sharded_modules
from numpro_plugin.trainer.output.status import read_status
from numpro_plugin.trainer.recipe.record import Recipe
from numpro_plugin.trainer.run.callbacks import read_log
from numpro_plugin.trainer.run.start import run
from numpro_plugin.weights.record import read_record

pytestmark = pytest.mark.usefixtures("datasets_cache")

MODEL = "model/model.safetensors"

# Trains with each recipe of a file in turn. Rank 1 is sent SIGTERM in the second step of the run "stopped".
_RUNS = """
import json, os, shutil, signal, sys
from pathlib import Path
from torch.distributed.tensor import DTensor
from numpro_plugin.trainer.recipe.record import Recipe
from numpro_plugin.trainer.run.start import run
from numpro_plugin.trainer.run.stop import Stopped
from numpro_plugin.trainer.run.trainer import NumProTrainer

export, step = NumProTrainer.export, NumProTrainer.training_step

def recording_export(self, folder):
    parameters = list(self.model.parameters())
    states = [state["exp_avg"] for state in self.optimizer.state_dict()["state"].values()]
    seen = {"parameters": sum(isinstance(one, DTensor) for one in parameters) / len(parameters)}
    seen |= {"states": sum(isinstance(one, DTensor) for one in states) / len(states), "wrapped": self.model_wrapped is not self.model}
    seen |= {"share": sum(one.to_local().numel() for one in parameters) / sum(one.numel() for one in parameters)}
    (Path(self.recipe.output) / f"seen-{os.environ['RANK']}.json").write_text(json.dumps(seen))
    export(self, folder)

def signalled_step(self, *args):
    if self.recipe.output.endswith("stopped") and self.state.global_step == 1 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGTERM)
    return step(self, *args)

NumProTrainer.export, NumProTrainer.training_step = recording_export, signalled_step
for values in json.loads(Path(sys.argv[1]).read_text()):
    try:
        run(Recipe.from_dict(values))
    except Stopped as stopped:
        print(stopped)
        if os.environ["RANK"] == "0":
            shutil.copytree(values["output"], values["output"] + "-copy")
"""


def run_on_two(recipes: list[Recipe], folder: Path, cache: str) -> str:
    """Train with the recipes on two processes; returns what they printed."""
    script, file = folder / "runs.py", folder / "recipes.json"
    script.write_text(_RUNS, encoding="utf-8")
    file.write_text(json.dumps([recipe.to_dict() for recipe in recipes]), encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_DATASETS_CACHE": cache, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(random.randrange(20000, 60000))}
    command = [sys.executable, str(script), str(file)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    started = [subprocess.Popen(command, env={**environment, "RANK": str(k), "LOCAL_RANK": str(k)}, **pipes) for k in range(2)]
    try:
        texts = [process.communicate(timeout=900)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], "\n".join(text[-3000:] for text in texts)
    return "\n".join(texts)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("sharding"))


TIGHT = {"memory__gradient_checkpointing": True, "memory__tiling": "all", "memory__tile_tokens": 64, "lora__dropout": 0.0}


def lora(world: World, name: str, **changes: object) -> Recipe:
    """Four steps of two micro-batches in each of two processes; gradients are clipped."""
    held = {"data__held_out": str(world.held_out), "run__eval_steps": 3, "run__save_steps": 10}
    return world.recipe(name, **{**TIGHT, **held, "optimizer__epochs": 1, "memory__deepspeed": "none", **changes})


def full(world: World, name: str, **changes: object) -> Recipe:
    more = {"tuning": "full", "optimizer__lr": 1e-3, "optimizer__max_steps": 2, "optimizer__max_grad_norm": 0, "run__save_steps": 0}
    return world.recipe(name, **{"memory__deepspeed": "none", **more, **changes})


@pytest.fixture(scope="module")
def sharded(world: World, datasets_cache: str) -> World:
    """The world after runs on two processes under FSDP, one of which was stopped, copied, and resumed."""
    fsdp = {"memory__fsdp": True}
    stopped = lora(world, "stopped", **fsdp, resume=True)
    again = lora(world, "sharded-again", **fsdp, adapter=str(world.root / "sharded" / "adapter"), optimizer__max_steps=2)
    runs = [lora(world, "sharded", **fsdp), full(world, "sharded-full", **fsdp), stopped, stopped, again]
    assert "stopped by SIGTERM after step 2 of 4" in run_on_two(runs, world.root, datasets_cache)
    return world


def assert_same_run(one: Path, other: Path, file: str = "adapter/adapter_model.safetensors") -> None:
    assert len(losses(one)) == len(losses(other)) > 1
    for a, b in zip(losses(one), losses(other), strict=True):
        assert a == pytest.approx(b, rel=2e-6)
    mine, others = weights(one, file), weights(other, file)
    assert mine.keys() == others.keys()
    for name, value in mine.items():
        assert torch.allclose(value, others[name], rtol=0, atol=1e-4), name  # AdamW enlarges what is left of gradients that are nearly 0


@pytest.mark.slow
def test_parameters_and_states_are_shares_and_lora_trains_as_without_sharding(sharded: World) -> None:
    plain = lora(sharded, "plain")
    run(plain)
    one, other = Path(plain.output), sharded.root / "sharded"
    for rank in range(2):
        seen = json.loads((other / f"seen-{rank}.json").read_text())
        assert (seen["parameters"], seen["states"], seen["wrapped"]) == (1, 1, False)
        assert 0.4 < seen["share"] < 0.6
    assert_same_run(one, other)
    first, second = ([line for line in read_log(place / "log.jsonl") if "eval_loss" in line] for place in (one, other))
    assert [line["step"] for line in second] == [3, 4]
    for a, b in zip(first, second, strict=True):
        assert a["eval_loss"] == pytest.approx(b["eval_loss"], rel=2e-6)
        assert (a["eval_samples"], a["eval_loss_tokens"]) == (b["eval_samples"], b["eval_loss_tokens"])
    for step in (3, 4):
        answers = f"held_out/step_{step}/samples_numpro_held_out.jsonl"
        assert (one / answers).read_text(encoding="utf-8") == (other / answers).read_text(encoding="utf-8")


@pytest.mark.slow
def test_full_tuning_is_as_without_sharding(sharded: World) -> None:
    plain = full(sharded, "plain-full")
    run(plain)
    assert_same_run(Path(plain.output), sharded.root / "sharded-full", MODEL)
    assert json.loads((sharded.root / "sharded-full" / "seen-1.json").read_text())["parameters"] == 1
    config = json.loads((sharded.root / "sharded-full" / "model" / "config.json").read_text())
    assert config == json.loads((Path(plain.output) / "model" / "config.json").read_text())
    load_model(sharded.root / "sharded-full" / "model")


@pytest.mark.slow
def test_training_starts_from_an_adapter_as_without_sharding(sharded: World) -> None:
    plain = lora(sharded, "plain-again", adapter=str(sharded.root / "sharded" / "adapter"), optimizer__max_steps=2)
    run(plain)
    assert_same_run(Path(plain.output), sharded.root / "sharded-again")
    assert losses(sharded.root / "sharded-again")[0] != losses(sharded.root / "sharded")[0]


@pytest.mark.slow
def test_a_run_that_was_stopped_and_resumed_equals_an_uninterrupted_one(sharded: World) -> None:
    stopped, whole = sharded.root / "stopped", sharded.root / "sharded"
    status = read_status(stopped)
    assert status is not None
    assert (status["state"], status["step"]) == ("finished", 4)
    assert losses(stopped) == losses(whole)
    for name, value in weights(whole).items():
        assert torch.equal(weights(stopped)[name], value), name


@pytest.mark.slow
def test_a_checkpoint_is_continued_by_one_process_without_sharding(sharded: World) -> None:
    run(lora(sharded, "stopped-copy", resume=True))
    assert_same_run(sharded.root / "stopped-copy", sharded.root / "sharded")
    record = read_record(sharded.root / "stopped-copy" / "adapter")
    assert record is not None
    assert record["processes"] == 1


def test_a_single_process_without_a_launcher_is_refused(world: World) -> None:
    with pytest.raises(NumProError, match=r"memory\.fsdp=true shards over processes, and this is only one: .*torchrun"):
        run(lora(world, "alone", memory__fsdp=True))
    assert not (world.root / "alone").exists()


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_embeddings_and_head_are_gathered_one_by_one(family: str, tmp_path: Path) -> None:
    model = load_model(save_tiny(family, tmp_path / "model"), dtype="float32").model
    text, vision = model.config.get_text_config(), model.config.vision_config
    layers = text.num_hidden_layers + (vision.depth if "depth" in vision else vision.num_hidden_layers)
    ends = [model.get_input_embeddings(), model.get_output_embeddings()]
    assert ends[0].weight is not ends[1].weight
    assert len(sharded_modules(model)) == layers + 2
    assert sharded_modules(model)[layers:] == ends


def test_embeddings_that_are_the_heads_weights_belong_to_the_model(tmp_path: Path) -> None:
    model = load_model(save_tiny_longva(tmp_path, tied=True), dtype="float32").model
    assert model.get_input_embeddings() not in sharded_modules(model)
