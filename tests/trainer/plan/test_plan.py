"""The simulated step equals a real one: by layers, by frames, for every family; and the plan that is computed from it."""

from __future__ import annotations

import copy

import pytest
import torch
from support.adapted import adapted, batch
from support.shards import video_row, write_shard
from support.tiny_families import FAMILIES, save_tiny

from numpro_plugin.errors import NumProError
from numpro_plugin.trainer.cli import main
from numpro_plugin.trainer.plan.known_models import model_config
from numpro_plugin.trainer.plan.plan import Curve, _longest, constant_memory, plan, shares_of_gpus
from numpro_plugin.trainer.plan.result import GIB, MOST_FRAMES, Hours
from numpro_plugin.trainer.plan.simulate import Simulation, Weights, _run_tower
from numpro_plugin.trainer.plan.tracker import Tracker
from numpro_plugin.trainer.plan.zero import fsdp_share
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
def test_extrapolation_from_few_layers_equals_the_simulation_of_all(changes: dict[str, object]) -> None:
    simulation = Simulation(small_config(), small_recipe(**changes))
    extrapolated, full_depth = simulation.step(20), simulation.step(20, layers=None)
    for phase, expected in full_depth.memory.items():
        assert extrapolated.memory[phase] == pytest.approx(expected, rel=1e-3), phase
    assert extrapolated.flops == pytest.approx(full_depth.flops, rel=1e-9)


@pytest.mark.slow
def test_extrapolation_from_few_frames_equals_the_simulation_of_the_tower() -> None:
    simulation = Simulation(small_config(1), small_recipe(memory__tiling="none"))
    memory, flops = _run_tower(simulation.config, simulation.recipe, 90)
    step = simulation.step(90)
    assert step.memory["vision"] == pytest.approx(memory, rel=1e-6)
    with_tower = Simulation(simulation.config, simulation.recipe.replace(tuning="full", memory__gradient_checkpointing=False)).step(90)
    assert with_tower.memory["vision"] > memory  # its autograd graph keeps activations
    assert flops > 0


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_the_simulated_step_equals_a_real_step(family: str) -> None:
    """The storages of a real model that trains on a real sample are compared with the simulation of its configuration."""
    frames = 8
    loaded = adapted(family).loaded
    size = list(loaded.family.frame_size)
    recipe = small_recipe(memory__dtype="float32", lora__dropout=0.0, lora__alpha=8, numpro__frame_size=size)
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
        before = tracker.allocated
        copied = {name: value.clone() for name, value in inputs.items()}
        tracker.phase = "step"
        loss = answer_loss(model, copied, num_items=1.0)
        del copied
        loss.backward()
    text = length - loaded.family.video_tokens(frames) - learned
    simulation = Simulation(model.config, recipe, text_tokens=text, answer_tokens=learned)
    assert simulation.tokens(frames) == length
    step = simulation.step(frames, layers=None)
    assert step.peak == pytest.approx(tracker.peaks["step"] - before, rel=0.03)
    # The vision features that Qwen3-VL adds to its first layers are not simulated.
    assert step.flops == pytest.approx(tracker.flops("step"), rel=0.1 if family == "qwen3_vl" else 0.03)


@pytest.mark.slow
def test_240_frames_of_longva_7b_need_less_than_32_gib() -> None:
    recipe = load_recipe("longva_7b")
    simulation = Simulation(model_config(recipe.model), recipe)
    constant = constant_memory(simulation.weights, recipe).total
    assert simulation.tokens(240) == 240 * 144 + 170
    assert simulation.weights.trained == 161_480_704 + 16_522_240  # rank 64 on seven layers, 28 times, and the projector
    assert constant + simulation.step(240).peak < 27.5 * GIB
    assert constant + simulation.step(28).peak < 19.5 * GIB
    untiled = simulation.changed(memory__tiling="none")
    assert 35 * GIB < constant + untiled.step(240).peak < 42 * GIB
    # Answers of highlights are long, but at the time of their logits little else is in memory.
    untiled.answer_tokens = 600
    assert untiled.step(100).memory["head"] < untiled.step(100).memory["backward"]


@pytest.mark.slow
def test_memory_between_the_simulated_lengths_is_never_too_low() -> None:
    simulation = Simulation(small_config(1), small_recipe())
    curve = Curve(simulation)
    for frames in (20, 45):
        simulated = simulation.step(frames).peak
        assert simulated <= curve.memory(frames) * 1.001
        assert curve.memory(frames) < simulated * 1.35  # a tile is a large part of such a small model
    available = curve.memory(57)
    assert curve.max_frames(available) == 57
    assert curve.max_frames(0) == 0
    assert curve.max_frames(1e18) == MOST_FRAMES


WEIGHTS = Weights(
    frozen=1000,
    trained=100,
    linear=800,
    largest_linear=50,
    frozen_bytes=2000,
    trained_groups=((100,),),
    frozen_sizes=(1000,),
    whole=300,
    whole_trained=60,
)


def test_constant_memory_falls_with_fewer_bits() -> None:
    recipe = small_recipe()
    one_gpu = constant_memory(WEIGHTS, recipe)
    assert (one_gpu.weights, one_gpu.trained, one_gpu.buffers) == (2000, 1600, 0)
    quantized = constant_memory(WEIGHTS, recipe.replace(memory__quantize="4bit"))
    assert quantized.weights == pytest.approx(2000 - 1600 + 800 * (0.5 + 0.127 / 8))
    assert quantized.buffers == 100
    fsdp = fsdp_share(WEIGHTS, processes=4, value_bytes=2)
    assert (fsdp.weights, fsdp.gradients, fsdp.states) == ((2000 + 100 * 4) / 4, 100 * 4 / 4, 100 * 8 / 4)
    assert (fsdp.gathered, fsdp.buffers) == (300 * 2, 60 * (2 + 4))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["zero2", "zero3", "fsdp"]),
        ({"memory__deepspeed": "zero3"}, ["zero2", "zero3", "fsdp"]),
        ({"adapter": "somewhere"}, ["zero2", "fsdp"]),
        ({"memory__quantize": "4bit"}, ["zero2"]),
        ({"tuning": "full"}, ["zero2", "zero3", "fsdp"]),
    ],
)
def test_a_plan_compares_what_the_recipe_allows(changes: dict[str, str], expected: list[str]) -> None:
    found = shares_of_gpus(WEIGHTS, small_recipe(**changes), gpus=4, hidden_size=64)
    assert list(found) == [f"4 GPUs, {name}" for name in expected]


@pytest.mark.slow
def test_the_command_prints_the_plan(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_tiny("longva", tmp_path / "model")
    shards = write_shard(tmp_path / "made.parquet", [video_row("a", 8.0, conversations=4)])
    own = tmp_path / "mine.json"
    own.write_text('{"zero_optimization": {"stage": 1, "offload_optimizer": {"device": "cpu"}}}', encoding="utf-8")
    steps = [
        f"memory.deepspeed={own}",
        "memory.dtype=bfloat16",
        "optimizer.max_steps=50",
        f"data.shards={shards}",
        "data.sources={made: 0.5}",
        "--hours",
    ]
    assert main(["plan", "--gpus", "4", "tiny", f"model={folder}", "numpro.max_frames=20", *steps]) == 0
    out = capsys.readouterr().out.splitlines()
    out = out[next(k for k, line in enumerate(out) if line.startswith(f"{folder}: 0.")) :]  # libraries may print before it
    assert "2 samples an epoch" in out
    assert "  made: 2 (100.0 %) = weight 0.5 x 4 samples" in out
    assert next(line for line in out if line.startswith("mean of data.sources")).split()[3] == "4"
    assert next(line for line in out if line.startswith("longest (max_frames)")).split()[2:4] == ["20", "490"]
    changes = ("memory.tiling=mlp", "memory.gradient_checkpointing=true", "memory.quantize=4bit")
    for change in (*changes, *(f"4 GPUs, {sharding}" for sharding in ("zero2", "mine", "fsdp"))):
        assert any(change in line for line in out)
    assert any(line.split() == ["hours", "for", "400", "samples", "A100", "H100", "H200"] for line in out)
    assert "if 40% of the rated TFLOPs are used" in out[-1]
    start = next(k for k, line in enumerate(out) if line.startswith("each GPU holds, GiB"))
    assert [line.split()[2] for line in out[start + 2 : start + 6]] == ["zero2", "zero3", "mine", "fsdp"]
    assert [line.split()[-1] != "0.0" for line in out[start + 2 : start + 6]] == [False, False, True, False]  # in RAM
    assert [line.partition(":")[2].split()[0].rstrip(",") for line in out[start + 6 : start + 9]] == ["counted", "a", "simulated"]
    cards = [[int(cell.replace(",", "")) for cell in line.split()[2:]] for line in out if line.split()[1:2] == ["GB"]]
    assert len(cards) == 4
    assert all(len(row) == 6 for row in cards)
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


def test_the_frame_size_and_the_token_budget_count() -> None:
    """448 x 448 pixels are (448 / 28)^2 tokens a pair of frames, 336 x 336 are (336 / 28)^2."""
    config = model_config("Qwen/Qwen2.5-VL-7B-Instruct")
    small, large = (
        Simulation(config, load_recipe("qwen2_5_vl_7b").replace(numpro__frame_size=[side, side], numpro__max_frames=240))
        for side in (336, 448)
    )
    assert small.tokens(240) - 170 - 2 == 120 * 144
    assert large.tokens(240) - 170 - 2 == 120 * 256
    assert _longest(small) == (240, "max_frames")
    frames, limit = _longest(large)
    assert (limit, large.tokens(frames) <= 20_000 < large.tokens(frames + 2)) == ("max_tokens", True)


def test_the_plan_refuses_what_a_run_refuses(tmp_path) -> None:
    made = write_shard(tmp_path / "made.parquet", [video_row("a", 8.0)])
    for name, changes, message in (
        ("longva_7b", {"numpro__frame_size": [448, 448]}, r"numpro\.frame_size=\(448, 448\), but longva takes 336 x 336"),
        ("qwen2_vl_7b", {"numpro__frame_size": [340, 340]}, r"frame_size=\(340, 340\), but qwen2_vl takes multiples of 28"),
        ("longva_7b", {"memory__deepspeed": "nowhere.json"}, r"memory\.deepspeed=nowhere\.json"),
        ("longva_7b", {"adapter": str(tmp_path)}, "is not an adapter"),
        ("longva_7b", {"data__held_out": str(tmp_path / "none")}, "no shards at"),
        ("longva_7b", {"data__shards": str(tmp_path / "none")}, "no shards at"),
        ("longva_7b", {"data__shards": str(made), "data__sources": {"anet": 1}}, "data.sources names 'anet', but the shards have made"),
        (
            "longva_7b",
            {"data__shards": str(made), "data__held_out": str(made)},
            r"1 training video is also evaluated: made/a \(data.held_out\)",
        ),
    ):
        with pytest.raises(NumProError, match=message):
            plan(load_recipe(name).replace(**changes))
    for changes, message in (
        ({}, r"--hours needs the length of the run: pass data\.shards=\.\.\. or optimizer\.max_steps"),
        ({"memory__dtype": "float32"}, r"--hours is for memory\.dtype=bfloat16"),
    ):
        with pytest.raises(NumProError, match=message):
            plan(load_recipe("longva_7b").replace(**changes), utilisation=0.4)
    with pytest.raises(NumProError, match="utilisation=40 must be above 0 and at most 1"):
        plan(load_recipe("longva_7b"), utilisation=40)


def test_hours_follow_from_flops_cards_and_utilisation() -> None:
    hours = Hours(samples=1000, flops=312e12 * 0.5 * 3600 * 16, utilisation=0.5)
    assert hours.on("A100", 8) == pytest.approx(2)
    assert hours.on("H100", 1) == pytest.approx(16 * 312 / 989)


@pytest.mark.parametrize("name", ["lmms-lab/LongVA-7B-DPO", "Qwen/Qwen2-VL-7B-Instruct", "Qwen/Qwen2.5-VL-7B-Instruct"])
@pytest.mark.slow
def test_known_models_have_their_published_size(name: str) -> None:
    weights = Simulation(model_config(name), load_recipe("longva_7b").replace(lora__projector=False)).weights
    billions = {"longva": 7.94, "qwen2_vl": 8.29, "qwen2_5_vl": 8.29}[model_config(name).model_type]
    assert weights.frozen / 1e9 == pytest.approx(billions, abs=0.02)
