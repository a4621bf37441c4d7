"""Undocumented names of transformers."""

# mypy: allow-untyped-calls

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import transformers
from packaging.version import Version
from torch.utils.checkpoint import checkpoint
from transformers.configuration_utils import SubConfigSpec
from transformers.initialization import no_init_weights
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.models.llava_next_video.modeling_llava_next_video import (
    LlavaNextVideoMultiModalProjector,
    LlavaNextVideoPooler,
    LlavaNextVideoPreTrainedModel,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import DynamicCache, TrainingArguments

__all__ = [
    "CACHE_ARGUMENT",
    "OVERRIDDEN",
    "LlavaNextVideoMultiModalProjector",
    "LlavaNextVideoPooler",
    "LlavaNextVideoPreTrainedModel",
    "SubConfigSpec",
    "checkpoint_layers",
    "compile_layers",
    "copy_cache",
    "forget_renamed_weights",
    "no_init_weights",
    "one_gpu_only",
    "sdpa_attention_forward",
    "source_of",
]

OVERRIDDEN: dict[str, tuple[str, ...]] = {
    "PreTrainedModel": ("_init_weights", "_keys_to_ignore_on_load_unexpected"),  # in longva/modeling.py
    "Trainer": (  # in trainer/run/trainer.py and trainer/memory/sharding.py
        "_get_grad_norm",
        "_get_num_items_in_batch",
        "_get_output_dir",
        "_load_optimizer_and_scheduler",
        "_maybe_log_save_evaluate",
        "_move_model_to_device",
        "_run_epoch",
        "_save",
        "_save_checkpoint",
        "_save_optimizer_and_scheduler",
    ),
}
"""Names that subclasses here override or call, by the class of transformers that has them."""

CACHE_ARGUMENT = "cache" if Version(transformers.__version__) >= Version("5.24") else "past_key_values"
"""The argument of ``forward`` and ``generate`` that takes the keys and values of earlier tokens."""


def copy_cache(cache: DynamicCache, rows: int) -> DynamicCache:
    """The cache of one row as that of several, to be grown by generation. The memory is shared: a layer grows into new tensors."""
    mine = copy.copy(cache)
    mine.layers = [copy.copy(layer) for layer in cache.layers]
    if rows > 1:
        mine.batch_repeat_interleave(rows)
    return mine


def checkpoint_layers(module: Any, function: Callable[..., Any]) -> None:
    """Have ``function`` run every layer below ``module`` in training.

    The public ``gradient_checkpointing_enable`` also makes the embeddings' output require gradients. That is needed for reentrant
    checkpoints alone, and on a whole model it would give the frozen vision tower an autograd graph.
    """
    module._set_gradient_checkpointing(enable=True, gradient_checkpointing_func=function)


def compile_layers(module: Any, *, recompute: bool, backend: str = "inductor") -> None:
    """Have torch.compile run every layer below ``module`` in training, for any length of the sequence.

    Evaluation and generation run as before: a compiled layer would be compiled anew for each kind of cache. Layers of one class share the
    compiled code.

    Args:
        module: the language model.
        recompute: whether layers are recomputed in the backward pass (gradient checkpointing).
        backend: of torch.compile.
    """
    compiled: dict[Any, Any] = {}

    def run(layer: partial[Any], *args: Any) -> Any:
        if layer.func not in compiled:
            compiled[layer.func] = torch.compile(layer.func, dynamic=True, backend=backend)
        call = partial(compiled[layer.func], *layer.args, **layer.keywords)
        return checkpoint(call, *args, use_reentrant=False) if recompute else call(*args)

    checkpoint_layers(module, run)


def forget_renamed_weights(model: Any) -> None:
    """Have ``save_pretrained`` write the model's own names, not those of the files that it was loaded from."""
    model._weight_conversions = None


def source_of(config: Any) -> str:
    """The folder or hub id that a model was loaded from; empty if from none."""
    return str(getattr(config, "_name_or_path", "") or "")


def one_gpu_only(args: TrainingArguments) -> None:
    """One process drives one GPU, however many it sees: several are the launcher's business."""
    args._n_gpu = min(args.n_gpu, 1)
