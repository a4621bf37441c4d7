"""Weights, gradients and AdamW's states sharded over the processes, by torch's ``fully_shard`` (FSDP2).

Every parameter becomes a ``DTensor``: each process has an equal share of its rows, and so of its gradient and of AdamW's states. A module
of ``sharded_modules`` has its whole parameters only while it runs; those outside of these modules are whole while the model runs::

    process 0   [rows 0-3]   all-gather ->  whole  -> layer -> free
    process 1   [rows 4-7]   all-gather ->  whole  -> layer -> free       backward: again, then reduce-scatter of the gradient

This is done here and not by accelerate, which knows FSDP2 on GPUs only and elsewhere copies the model to every process without a word.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import Trainer
from transformers.modeling_layers import GradientCheckpointingLayer

from numpro_plugin.families import base_model_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from ..recipe.sections import Dtype

_OPTIMIZER, _SCHEDULER = "optimizer.pt", "scheduler.pt"  # Trainer's names
_IN_ADAPTER = ("lora_", "modules_to_save")


def sharded_modules(model: Any) -> list[nn.Module]:
    """The modules whose parameters are gathered and freed together: the layers, the embeddings and the head.

    Embeddings that are also the head's weights are not among them: both belong to the model itself.
    """
    base = base_model_of(model)
    layers: list[nn.Module] = [module for module in base.modules() if isinstance(module, GradientCheckpointingLayer)]
    embeddings, head = base.get_input_embeddings(), base.get_output_embeddings()
    return layers if head.weight is embeddings.weight else [*layers, embeddings, head]


def shard(model: Any, dtype: Dtype) -> None:
    """Shard the parameters over all processes, in place, and move them to this process's device.

    ``dtype``: whole parameters are in this type; their shares, and the sums of gradients, stay in 32 bit if they are trained.
    """
    # Inputs are left to autocast, which keeps positions in 32 bit.
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False)
    options: dict[str, Any] = {"reshard_after_forward": True} | ({"mp_policy": policy} if dtype == "bfloat16" else {})
    for module in sharded_modules(model):
        fully_shard(module, **options)
    fully_shard(model, **options)
    register_fsdp_forward_method(model, "generate")  # it does not call the model itself, if that is an adapter


def gathered(tensors: Mapping[Any, Any], *, keep: bool) -> dict[Any, Any]:
    """A copy with whole tensors on the CPU; shared ones stay shared. All processes call this; it is empty where ``keep`` is false."""
    whole: dict[int, Any] = {}
    for tensor in tensors.values():
        if id(tensor) not in whole:
            full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            whole[id(tensor)] = full.detach().cpu() if keep else None
    return {name: whole[id(tensor)] for name, tensor in tensors.items()} if keep else {}


class ShardingTrainer(Trainer):
    """transformers' Trainer, which with ``fsdp`` shards the model before it makes the optimizer.

    Checkpoints are those of a run without sharding: whole weights, written by the main process, and AdamW's whole states. So the number
    of processes may change when a run is resumed.
    """

    model: Any  # these three are there whenever a method here is called; Trainer's types have None, too
    optimizer: Any
    lr_scheduler: Any

    def __init__(self, *args: Any, fsdp: Dtype | None, **kwargs: Any) -> None:
        """``fsdp``: the type of whole parameters; None: nothing is sharded."""
        self.fsdp = fsdp
        super().__init__(*args, **kwargs)
        if fsdp is not None:  # prepared as for evaluation, so that the model is not copied to every process as well (DDP)
            self.accelerator.prepare_model = partial(self.accelerator.prepare_model, evaluation_mode=True)

    def _move_model_to_device(self, model: Any, device: Any) -> None:
        if self.fsdp is None:  # otherwise it moves share by share
            super()._move_model_to_device(model, device)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """As in ``Trainer``, for the shares of this process. By now the weights of a checkpoint have been loaded."""
        if self.fsdp is not None:
            shard(self.model, self.fsdp)
        return super().create_optimizer(model)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As in ``Trainer``; of a sharded model with LoRA, only what belongs to the adapter is gathered."""
        if self.fsdp is None:
            super().save_model(output_dir, _internal_call)
            return
        state = self.model.state_dict(keep_vars=True)
        if hasattr(self.model, "peft_config"):
            state = {name: value for name, value in state.items() if any(part in name for part in _IN_ADAPTER)}
        self._save(output_dir, gathered(state, keep=self.args.should_save))

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self.fsdp is None:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        optimizer = self.optimizer.state_dict()
        optimizer["state"] = {k: gathered(state, keep=self.args.should_save) for k, state in optimizer["state"].items()}
        if self.args.should_save:
            torch.save(optimizer, Path(output_dir) / _OPTIMIZER)
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / _SCHEDULER)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if self.fsdp is None or checkpoint is None:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        optimizer = torch.load(Path(checkpoint) / _OPTIMIZER, map_location="cpu", mmap=True, weights_only=True)
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        optimizer["state"] = {k: _sharded_like(parameters[k], state) for k, state in optimizer["state"].items()}
        self.optimizer.load_state_dict(optimizer)
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / _SCHEDULER, weights_only=True))


def _sharded_like(parameter: Any, state: Mapping[str, Any]) -> dict[str, Any]:
    """AdamW's whole tensors for a parameter, sharded as the parameter is; the number of steps as it is."""
    options: dict[str, Any] = {"device_mesh": parameter.device_mesh, "placements": parameter.placements, "src_data_rank": None}
    return {name: distribute_tensor(value, **options) if value.shape == parameter.shape else value for name, value in state.items()}
