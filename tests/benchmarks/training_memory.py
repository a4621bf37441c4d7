"""Planned memory against measured: a small LongVA trains for real, each setup in a process of its own.

    python tests/benchmarks/training_memory.py
    python tests/benchmarks/training_memory.py tiled-mlp      # our tiles beside DeepSpeed's TiledMLP (needs DeepSpeed)

``planned``: the simulation, without weights. ``allocated``: peak of what torch allocated in the step, from the profiler's memory events;
it includes what kernels allocate inside. ``resident``: by how much the process grew, from the kernel's own count. All three are above
weights, gradients and optimizer states, in MiB. CPU, 32 bit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

SETUPS = {
    "tiling=all": {},
    "tiling=mlp": {"memory__tiling": "mlp"},
    "tiling=none": {"memory__tiling": "none"},
    "gradient_checkpointing=false": {"memory__gradient_checkpointing": False},
    "no checkpointing, tiling=none": {"memory__gradient_checkpointing": False, "memory__tiling": "none"},
}
FRAMES, TEXT, ANSWER = 24, 150, 20
MIB = 2**20


def config():
    from numpro_plugin.longva import LongVAConfig

    text = {"model_type": "qwen2", "hidden_size": 512, "intermediate_size": 2752, "num_hidden_layers": 6, "vocab_size": 8000}
    vision = {"model_type": "clip_vision_model", "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4, "patch_size": 14}
    return LongVAConfig(
        text_config={**text, "num_attention_heads": 8, "num_key_value_heads": 2},
        vision_config={**vision, "num_attention_heads": 2, "image_size": 336},
        video_token_index=7999,
        image_token_index=7999,
    )


def recipe(changes):
    from numpro_plugin.trainer.recipe.record import load_recipe

    common = {"memory__dtype": "float32", "memory__tile_tokens": 512, "lora__rank": 16, "model": "small"}
    return load_recipe("longva_7b").replace(**common, **changes)


def resident(field: str) -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def measure(name: str) -> None:
    """One step for real; prints the planned and the measured bytes."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from numpro_plugin.families import family_of
    from numpro_plugin.longva import LongVAForConditionalGeneration
    from numpro_plugin.trainer.plan.simulate import Simulation
    from numpro_plugin.trainer.run.loss import answer_loss
    from numpro_plugin.trainer.run.model import make_trainable

    chosen = recipe(SETUPS[name])
    began = time.process_time()
    planned = Simulation(config(), chosen).step(FRAMES).peak
    took = time.process_time() - began
    made = LongVAForConditionalGeneration._from_config(config(), attn_implementation="sdpa")
    model = make_trainable(made, family_of(made.config), chosen)
    length = FRAMES * 144 + TEXT + ANSWER
    ids = torch.randint(0, 7000, (1, length))
    ids[:, 50 : 50 + FRAMES * 144] = 7999
    labels = torch.full_like(ids, -100)
    labels[:, -ANSWER:] = ids[:, -ANSWER:]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])

    def step() -> None:
        pixels = torch.rand(1, FRAMES, 3, 336, 336)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values_videos": pixels, "labels": labels}
        loss = answer_loss(model, inputs)
        del inputs, pixels
        loss.backward()

    step()  # what libraries set up once is not the step's
    optimizer.step()
    before = resident("VmRSS:")
    with open("/proc/self/clear_refs", "w") as reset:
        reset.write("5")  # the peak is counted anew
    step()
    grown = resident("VmHWM:") - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    now = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    print(json.dumps({"planned": planned, "allocated": peak, "resident": grown, "seconds": took}))


def tiled_mlp(rounds: int = 5) -> None:
    """A checkpointed residual layer with a Qwen2-like MLP (frozen, with dropout on its input): plain, in our tiles, in DeepSpeed's."""
    import torch
    from deepspeed.runtime.sequence_parallel.ulysses_sp import TiledMLP
    from torch import nn
    from torch.utils.checkpoint import checkpoint

    from numpro_plugin.trainer.memory.tiling import tiled
    from numpro_plugin.trainer.plan.tracker import Tracker

    width, inner, length, tiles = 512, 2752, 8192, 16
    mlp = nn.Sequential(nn.Linear(width, inner), nn.SiLU(), nn.Linear(inner, width)).requires_grad_(False)
    ways = {
        "no tiles": lambda function, x: function(x),
        "ours": lambda function, x: tiled(function, x, tiles=tiles),
        "DeepSpeed's TiledMLP": lambda function, x: TiledMLP.apply(lambda _, part: function(part), mlp, x, tiles, []),
    }

    def step(way) -> torch.Tensor:
        x = torch.randn(1, length, width, requires_grad=True, generator=torch.Generator().manual_seed(0))
        checkpoint(lambda x: x + way(mlp, x.sin()), x, use_reentrant=False).square().sum().backward()
        return x.grad

    def same_dropout(way) -> float:
        """Part of the values whose gradient is that of the dropout drawn in the forward pass."""
        x = torch.ones(1, length, 8, requires_grad=True)
        y = way(nn.Dropout(0.5), x)
        y.sum().backward()
        return ((y != 0) == (x.grad != 0)).double().mean().item()

    times = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.process_time()
            step(way)
            times[name].append(time.process_time() - began)
    wanted = step(ways["no tiles"])
    print(f"{f'{length} tokens, {tiles} tiles':22}{'CPU s':>8}{'GFLOPs':>9}{'peak MiB':>10}{'gradient off by':>17}{'same dropout':>14}")
    for name, way in ways.items():
        with Tracker() as tracker:
            tracker.phase = "step"
            got = step(way)
        off = ((got - wanted).abs().max() / wanted.abs().max()).item()
        cells = f"{sorted(times[name])[rounds // 2]:>8.2f}{tracker.flops('step') / 1e9:>9.1f}{tracker.peaks['step'] / MIB:>10.1f}"
        print(f"{name:22}{cells}{off:>17.1e}{same_dropout(way):>14.0%}")


def main() -> None:
    # Freed blocks go back to the system at once, or the process's size would tell of its past.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    print(f"{'MiB above what is held':32}{'planned':>9}{'allocated':>11}{'resident':>10}{'planned / allocated':>21}")
    for name in SETUPS:
        done = subprocess.run([sys.executable, __file__, name], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        got = json.loads(done.stdout.splitlines()[-1])
        row = "".join(f"{got[key] / MIB:>{width}.1f}" for key, width in (("planned", 9), ("allocated", 11), ("resident", 10)))
        print(f"{name:32}{row}{got['planned'] / got['allocated']:>21.3f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["tiled-mlp"]:
        tiled_mlp()
    elif len(sys.argv) > 1:
        measure(sys.argv[1])
    else:
        main()
