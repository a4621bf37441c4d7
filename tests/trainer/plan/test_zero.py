"""What each process holds under ZeRO: counted here, and measured in processes that really train with DeepSpeed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from support.training import World, changes_of, make_world

from numpro_plugin.errors import NumProError
from numpro_plugin.trainer.plan.known_models import model_config
from numpro_plugin.trainer.plan.simulate import Simulation, Weights
from numpro_plugin.trainer.plan.zero import ZeroOptions, shares

PROGRAM = Path(__file__).parents[2] / "support" / "measured_zero.py"
PLAIN = {"gradient_accumulation_steps": "auto", "train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto"}


def weights(*groups: tuple[int, ...], frozen: tuple[int, ...] = (1000,)) -> Weights:
    """Frozen weights of two bytes."""
    total, trained = sum(frozen), sum(map(sum, groups))
    return Weights(total, trained, 0, 0, total * 2, groups, frozen)


def configuration(folder: Path, **values: object) -> str:
    path = folder / f"{len(list(folder.iterdir()))}.json"
    path.write_text(json.dumps({"zero_optimization": values}), encoding="utf-8")
    return str(path)


@pytest.mark.slow
def test_what_is_counted_is_what_processes_hold(tmp_path: Path, datasets_cache: str) -> None:
    """Two processes train with each stage; every byte of weights, gradients and optimizer states is found where it is planned."""
    world: World = make_world(tmp_path / "world")
    first = tmp_path / "stage1.json"
    values = {"stage": 1, "reduce_bucket_size": 20_000}
    first.write_text(json.dumps({"bf16": {"enabled": "auto"}, "zero_optimization": values, **PLAIN}), encoding="utf-8")
    batch = {"optimizer__batch_size": 8, "optimizer__micro_batch_size": 2, "optimizer__max_steps": 2}
    recipe = world.recipe("measured", memory__dtype="bfloat16", lora__rank=3, run__save_steps=0, **batch)
    overrides = [f"{key}={json.dumps(value)}" for key, value in changes_of(recipe).items() if key not in ("output", "memory.deepspeed")]
    environment = {**os.environ, "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "HF_DATASETS_CACHE": datasets_cache}
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(random.randrange(20000, 60000))]
    choices = [str(first), "zero2", "zero3"]
    program = [str(PROGRAM), str(tmp_path), json.dumps(overrides), *choices]
    done = subprocess.run([*launch, *program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]

    config = model_config(str(world.model))
    counted = Simulation(config, recipe).weights
    for choice in choices:
        zero = ZeroOptions.read(choice, hidden_size=config.text_config.hidden_size)
        for rank, share in enumerate(shares(counted, zero, processes=2, value_bytes=2, accumulates=True)):
            held = json.loads((tmp_path / f"{Path(choice).stem}-{rank}.json").read_text())
            planned = {"weights": share.weights, "gradients": share.gradients, "states": share.states}
            assert {key: held[key] for key in planned} == planned, (choice, rank)
            used = held["options"]
            assert (zero.reduce_bucket, zero.reduce_buckets > 1) == (used["reduce_bucket_size"], used["overlap_comm"] and zero.stage < 3)
            if zero.stage == 3:
                sizes = zero.prefetch_bucket, zero.max_live, zero.persistence
                assert sizes == tuple(used[key] for key in ("prefetch_bucket_size", "max_live_parameters", "param_persistence_threshold"))


def test_stages_1_and_2_pad_each_group_and_keep_the_gradients_of_every_parameter_that_a_process_updates() -> None:
    held = weights((70, 30, 1), (9,))  # 101 values padded to 104, 9 to 12: 52 + 6 a process
    for stage, gradients in ((1, [110, 110]), (2, [70 + 9, 70 + 30 + 1 + 9])):
        found = shares(held, ZeroOptions(stage, reduce_bucket=10), processes=2, value_bytes=2, accumulates=False)
        assert [one.weights for one in found] == [2000 + 116 * 2] * 2
        assert [one.states for one in found] == [58 * 12] * 2
        assert [one.gradients for one in found] == [2 * size for size in gradients]
    again = shares(held, ZeroOptions(2, reduce_bucket=10, reduce_buckets=2), processes=2, value_bytes=2, accumulates=True)
    assert [one.buffers for one in again] == [2 * (20 + 79), 2 * (20 + 110)]


def test_stage_3_divides_every_parameter_and_keeps_small_ones_whole() -> None:
    held = weights((70, 31), (9,), frozen=(501, 10))
    zero = ZeroOptions(3, reduce_bucket=50, prefetch_bucket=20, max_live=300, persistence=10)
    (share, other) = shares(held, zero, processes=2, value_bytes=2, accumulates=True)
    assert share == other
    assert share.weights == 2 * (35 + 16 + 5 + 251 + 5 + 9 + 10)
    assert (share.gradients, share.states, share.buffers) == (2 * 56, 12 * 56, 2 * 50)
    assert share.gathered == 2 * (501 + 20)  # the largest parameter and what is fetched ahead, which are more than max_live
    assert shares(held, ZeroOptions(3), processes=2, value_bytes=2, accumulates=True)[0].gathered == 0  # all are small


def test_what_is_offloaded_is_in_ram() -> None:
    held = weights((100,), frozen=(500,))
    on_gpu, states = (
        shares(held, ZeroOptions(2, reduce_bucket=10, states_in_ram=offloaded), processes=2, value_bytes=2, accumulates=True)[0]
        for offloaded in (False, True)
    )
    assert (on_gpu.ram, states.states, states.gradients) == (0, 0, 200)
    assert states.ram == 50 * (12 + 4 + 2) + 200 + 200
    all_of_it = ZeroOptions(3, reduce_bucket=10, persistence=0, states_in_ram=True, weights_in_ram=True)
    share = shares(held, all_of_it, processes=2, value_bytes=2, accumulates=True)[0]
    assert (share.weights, share.gradients, share.states) == (0, 0, 0)
    assert share.ram == 2 * 300 + 50 * (12 + 4 + 2)


def test_options_are_read_as_a_run_reads_them(tmp_path: Path) -> None:
    zero2, zero3 = (ZeroOptions.read(choice, hidden_size=100) for choice in ("zero2", "zero3"))
    assert (zero2.stage, zero2.reduce_bucket, zero2.reduce_buckets) == (2, 200_000_000, 2)
    assert (zero3.stage, zero3.reduce_bucket, zero3.prefetch_bucket, zero3.persistence) == (3, 10_000, 9_000, 1_000)
    assert zero3.max_live == 1_000_000_000
    assert ZeroOptions.read("none", hidden_size=100).stage == 0
    own = configuration(
        tmp_path, stage=3, offload_param={"device": "cpu"}, offload_optimizer={"device": "none"}, contiguous_gradients=False
    )
    found = ZeroOptions.read(own, hidden_size=100)
    assert (found.weights_in_ram, found.states_in_ram, found.reduce_buckets) == (True, False, 0)
    for broken in ("nowhere.json", configuration(tmp_path, stage="two"), configuration(tmp_path, stage=2, offload_optimizer="cpu")):
        with pytest.raises(NumProError, match=r"memory\.deepspeed=.*json: not a DeepSpeed configuration with zero_optimization"):
            ZeroOptions.read(broken, hidden_size=100)


def test_deepspeeds_own_defaults() -> None:
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    config = DeepSpeedZeroConfig(stage=3)
    ours = ZeroOptions()
    theirs = config.reduce_bucket_size, config.prefetch_bucket_size, config.max_live_parameters, config.param_persistence_threshold
    assert (ours.reduce_bucket, ours.prefetch_bucket, ours.max_live, ours.persistence) == theirs
