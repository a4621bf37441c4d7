"""Planned memory against measured: a small LongVA trains for real, each setup in a process of its own.

    python tests/benchmarks/training_memory.py

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
    measure(sys.argv[1]) if len(sys.argv) > 1 else main()
