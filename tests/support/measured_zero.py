"""A program for both processes of a launcher: training with DeepSpeed, and what each process holds meanwhile.

``measured_zero.py FOLDER OVERRIDES CHOICE...`` trains the recipe ``tiny`` with each ``memory.deepspeed=CHOICE``, one after the other, and
writes ``FOLDER/NAME-RANK.json`` for each. ``OVERRIDES`` is a JSON list of KEY=VALUE.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, ClassVar

import deepspeed
import torch
from deepspeed.runtime.engine import DeepSpeedEngine
from torch.utils._pytree import tree_leaves

from numpro_plugin.trainer.cli import main

FIELDS = ("reduce_bucket_size", "prefetch_bucket_size", "max_live_parameters", "param_persistence_threshold", "overlap_comm")


def bytes_of(*trees: Any) -> int:
    """Of all storages of the tensors in nested lists and dicts, each counted once; single values are counters, not weights."""
    tensors = [leaf for leaf in tree_leaves(trees) if isinstance(leaf, torch.Tensor) and leaf.numel() > 1]
    return sum({storage.data_ptr(): storage.nbytes() for storage in (tensor.untyped_storage() for tensor in tensors)}.values())


def gradients_of(engine: DeepSpeedEngine) -> int:
    """Bytes held after a micro-batch that is not the last of its step."""
    kept = [getattr(engine.optimizer, name, None) for name in ("all_grad_tensors", "averaged_gradients", "grad_partitions_flat_buffer")]
    return bytes_of(kept, [parameter.grad for parameter in engine.module.parameters()])


def held_after_step(engine: DeepSpeedEngine) -> dict[str, Any]:
    """Bytes of weights and states, and the options that were used."""
    zero, parameters = engine.optimizer, list(engine.module.parameters())
    masters = [getattr(zero, name, []) for name in ("single_partition_of_fp32_groups", "fp32_partitioned_groups_flat")]
    return {
        "weights": bytes_of([[parameter.data, getattr(parameter, "ds_tensor", None)] for parameter in parameters]),
        "states": bytes_of(masters, [list(state.values()) for state in zero.optimizer.state.values()]),
        "options": {name: getattr(engine._config.zero_config, name) for name in FIELDS},
    }


class MeasuredEngine(DeepSpeedEngine):
    found: ClassVar[dict[str, Any]] = {}

    def backward(self, *args: Any, **options: Any) -> Any:
        result = super().backward(*args, **options)
        if not self.is_gradient_accumulation_boundary():
            self.found["gradients"] = gradients_of(self)
        return result

    def step(self, *args: Any, **options: Any) -> Any:
        result = super().step(*args, **options)
        self.found |= held_after_step(self)
        return result


def train(folder: Path, overrides: list[str], choice: str) -> int:
    MeasuredEngine.found.clear()
    code = main(["run", "tiny", *overrides, f"memory.deepspeed={choice}", f"output={folder / Path(choice).stem}"])
    (folder / f"{Path(choice).stem}-{os.environ['RANK']}.json").write_text(json.dumps(MeasuredEngine.found), encoding="utf-8")
    return code


if __name__ == "__main__":
    deepspeed.DeepSpeedEngine = MeasuredEngine  # which deepspeed.initialize makes
    target, given, *choices = sys.argv[1:]
    sys.exit(max(train(Path(target), json.loads(given), choice) for choice in choices))
