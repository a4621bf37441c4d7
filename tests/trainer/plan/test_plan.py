"""The simulated step is the real one: by layers, by frames, for every family; and the plan reads off it what a GPU can do."""

from __future__ import annotations

import copy

import pytest
import torch
from support.adapted import adapted, batch
from support.tiny_families import FAMILIES, save_tiny

from numpro_plugin.errors import NumProError
from numpro_plugin.trainer.cli import main
from numpro_plugin.trainer.plan.known_models import model_config
from numpro_plugin.trainer.plan.plan import GIB, Curve, held
from numpro_plugin.trainer.plan.simulate import Simulation, Weights, _run_tower
from numpro_plugin.trainer.plan.tracker import Tracker
from numpro_plugin.trainer.recipe.record import Recipe, load_recipe
from numpro_plugin.trainer.run.loss import answer_loss
from numpro_plugin.trainer.run.model import make_trainable


def small_config(layers: int = 3):
    """LongVA's architecture at a size that is simulated at once."""
    values = {
        "text_config": {
            "model_type": "qwen2",
            "hidden_size": 64,
            "intermediate_size": 256,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": 1000,
        },
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "image_size": 336,
            "patch_size": 42,
        },
        "video_token_index": 999,
        "image_token_index": 999,
    }
    from numpro_plugin.longva import LongVAConfig

    return LongVAConfig(**values)


def small_recipe(**changes: object) -> Recipe:
    changes = {"memory__tile_tokens": 300, "lora__rank": 4, "numpro__max_frames": 40, "model": "small", **changes}
    return load_recipe("longva_7b").replace(**changes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"memory__tiling": "none"},
        {"optimizer__micro_batch_size": 2, "memory__gradient_checkpointing": False, "memory__dtype": "float32"},
    ],
)
def test_few_layers_tell_what_all_need(changes: dict[str, object]) -> None:
    simulation = Simulation(small_config(), small_recipe(**changes))
    few, all_of_them = simulation.step(20), simulation.step(20, layers=None)
    for phase, wanted in all_of_them.above.items():
        assert few.above[phase] == pytest.approx(wanted, rel=1e-3), phase
    assert few.flops == pytest.approx(all_of_them.flops, rel=1e-9)


@pytest.mark.slow
def test_few_frames_tell_what_the_tower_needs() -> None:
    simulation = Simulation(small_config(1), small_recipe(memory__tiling="none"))
    memory, flops = _run_tower(simulation.config, simulation.recipe, 90)
    step = simulation.step(90)
    assert step.above["vision"] == pytest.approx(memory, rel=1e-6)
    with_tower = Simulation(simulation.config, simulation.recipe.replace(tuning="full", memory__gradient_checkpointing=False)).step(90)
    assert with_tower.above["vision"] > memory  # with a graph of its own it keeps more
    assert flops > 0


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_the_simulated_step_is_the_real_one(family: str) -> None:
    """Storages counted while a real model trains on a real sample, against the simulation of its configuration."""
    frames = 8
    loaded = adapted(family).loaded
    recipe = small_recipe(memory__dtype="float32", lora__dropout=0.0, lora__alpha=8)
    inputs = batch(loaded, frames=frames, rows=1)
    base = type(loaded.model)._from_config(copy.deepcopy(loaded.model.config), attn_implementation="sdpa")
    model = make_trainable(base, loaded.family, recipe)
    learned = int((inputs["labels"] != -100).sum())
    length = inputs["input_ids"].shape[1]
    assert (inputs["input_ids"] == loaded.processor.video_token_id).sum() <= loaded.family.video_tokens(frames) < length

    with Tracker() as tracker:
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        before = tracker.now
        own = {name: value.clone() for name, value in inputs.items()}
        tracker.phase = "step"
        loss = answer_loss(model, own, num_items=1.0)
        del own
        loss.backward()
    text = length - loaded.family.video_tokens(frames) - learned
    simulation = Simulation(model.config, recipe, text_tokens=text, answer_tokens=learned)
    assert simulation.tokens(frames) == length
    step = simulation.step(frames, layers=None)
    assert step.peak == pytest.approx(tracker.peaks["step"] - before, rel=0.03)
    # What Qwen3-VL adds to its first layers is not simulated.
    assert step.flops == pytest.approx(tracker.flops("step"), rel=0.1 if family == "qwen3_vl" else 0.03)


@pytest.mark.slow
def test_240_frames_of_longva_7b_in_less_than_32_gib() -> None:
    recipe = load_recipe("longva_7b")
    simulation = Simulation(model_config(recipe.model), recipe)
    always = held(simulation.weights, recipe).total
    assert simulation.tokens(240) == 240 * 144 + 170
    assert simulation.weights.trained == 161_480_704 + 16_522_240  # rank 64 on seven layers, 28 times, and the projector
    assert always + simulation.step(240).peak < 27.5 * GIB
    assert always + simulation.step(28).peak < 19.5 * GIB
    untiled = simulation.changed(memory__tiling="none")
    assert 35 * GIB < always + untiled.step(240).peak < 42 * GIB
    # The highlights' answers are long. Their logits are there when little else is.
    untiled.answer_tokens = 600
    assert untiled.step(100).above["head"] < untiled.step(100).above["backward"]


@pytest.mark.slow
def test_memory_between_the_simulated_lengths_is_never_too_low() -> None:
    simulation = Simulation(small_config(1), small_recipe())
    curve = Curve(simulation)
    for frames in (20, 45):
        real = simulation.step(frames).peak
        assert real <= curve.above(frames) * 1.001
        assert curve.above(frames) < real * 1.35  # a tile is a large part of so small a model
    room = curve.above(57)
    assert curve.largest(room) == 57
    assert curve.largest(0) == 0


def test_more_gpus_and_fewer_bits_hold_less() -> None:
    weights = Weights(frozen=1000, trained=100, linear=800, largest_linear=50, frozen_bytes=2000)
    recipe = small_recipe()
    one = held(weights, recipe)
    assert (one.weights, one.trained, one.buffers) == (2000, 1600, 0)
    assert held(weights, recipe.replace(memory__deepspeed="none"), gpus=4).trained == 1600
    two, three = (held(weights, recipe.replace(memory__deepspeed=stage), gpus=4) for stage in ("zero2", "zero3"))
    assert (two.weights, two.trained) == (2000, 100 * 2 + 100 * 2 / 4 + 100 * 12 / 4)
    assert (three.weights, three.trained) == (500, 100 * 4 / 4 + 100 * 12 / 4)
    four = held(weights, recipe.replace(memory__quantize="4bit"))
    assert four.weights == pytest.approx(2000 - 1600 + 800 * (0.5 + 0.127 / 8))
    with pytest.raises(NumProError, match=r"memory.deepspeed=nowhere.json"):
        held(weights, recipe.replace(memory__deepspeed="nowhere.json"), gpus=2)


@pytest.mark.slow
def test_command_prints_the_plan(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_tiny("longva", tmp_path / "model")
    assert main(["plan", "--gpus", "4", "tiny", f"model={folder}", "numpro.max_frames=20"]) == 0
    out = capsys.readouterr().out.splitlines()
    out = out[next(k for k, line in enumerate(out) if line.startswith(f"{folder}: 0.")) :]  # libraries may have had a word before
    assert next(line for line in out if line.startswith("longest (max_frames)")).split()[2:4] == ["20", "490"]
    for change in ("memory.tiling=mlp", "memory.gradient_checkpointing=true", "memory.quantize=4bit", "4 GPUs, zero2", "4 GPUs, zero3"):
        assert any(change in line for line in out)
    cards = [[int(cell.replace(",", "")) for cell in line.split()[2:]] for line in out if line.split()[1:2] == ["GB"]]
    assert len(cards) == 4
    assert all(len(row) == 4 for row in cards)
    assert all(column == tuple(sorted(column)) for column in zip(*cards, strict=True))
    assert cards[0][0] > 1000
    assert max(len(line) for line in out[1:]) <= 126

    assert main(["plan", "tiny", f"model={folder}", "memory.tilling=none"]) == 1
    assert "did you mean 'memory.tiling'" in capsys.readouterr().err
    assert main(["plan", "tiny", "model=nobody/nothing"]) == 1
    assert "lmms-lab/LongVA-7B-DPO" in capsys.readouterr().err
    assert main(["plan", "tiny"]) == 1
    assert "model is missing" in capsys.readouterr().err
    assert main(["plan", "--gpus", "1", "tiny", f"model={folder}"]) == 1
    assert "gpus=1 must be at least 2" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["lmms-lab/LongVA-7B-DPO", "Qwen/Qwen2-VL-7B-Instruct", "Qwen/Qwen2.5-VL-7B-Instruct"])
def test_known_models_have_their_published_size(name: str) -> None:
    weights = Simulation(model_config(name), load_recipe("longva_7b").replace(lora__projector=False)).weights
    billions = {"longva": 7.94, "qwen2_vl": 8.29, "qwen2_5_vl": 8.29}[model_config(name).model_type]
    assert weights.frozen / 1e9 == pytest.approx(billions, abs=0.02)
