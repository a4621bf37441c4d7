"""A model without weights: built from its configuration and prepared for training, with tensors that have shapes but no values."""

# mypy: allow-untyped-calls

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import Parameter

from numpro_plugin.families import family_of
from numpro_plugin.internals.of_torch import own_tensors
from numpro_plugin.internals.of_transformers import no_init_weights, sdpa_attention_forward

from ..run.model import make_trainable, weights_dtype

if TYPE_CHECKING:
    from ..recipe.record import Recipe


def meta_model(config: Any, recipe: Recipe, *, layers: int | None = None) -> Any:
    """The model, prepared for training, on the device ``meta``; ``layers``: the depth of its language model, instead of the real one."""
    from transformers import AttentionInterface, AutoModelForImageTextToText

    import numpro_plugin.longva  # noqa: F401 (so that transformers knows LongVA)

    attention = "eager" if recipe.memory.attention == "eager" else "sdpa"
    if attention == "sdpa" and recipe.optimizer.micro_batch_size == 1:
        # transformers omits the mask if no token is padding, which it decides by the mask's values; tensors here have none. It also
        # makes no mask for an attention function that it does not know, so the same function is registered under another name.
        attention = "sdpa_without_mask"
        AttentionInterface.register(attention, sdpa_attention_forward)
    config = copy.deepcopy(config)
    if layers is not None:
        config.text_config.num_hidden_layers = layers
        if getattr(config.text_config, "layer_types", None):
            config.text_config.layer_types = config.text_config.layer_types[:layers]
    with torch.device("meta"), no_init_weights(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about model names; training itself shows the others
        dtype = getattr(torch, weights_dtype(recipe))
        model = AutoModelForImageTextToText.from_config(config, dtype=dtype, attn_implementation=attention)
        return make_trainable(model, family_of(config), recipe)


def use_fake_tensors(model: Any) -> None:
    """Replace parameters and buffers on ``meta`` with fake tensors (under ``FakeTensorMode``); shared ones stay shared."""
    fakes: dict[int, torch.Tensor] = {}

    def fake(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in fakes:
            new = torch.empty(tensor.shape, dtype=tensor.dtype)
            fakes[id(tensor)] = Parameter(new, requires_grad=tensor.requires_grad) if isinstance(tensor, Parameter) else new
        return fakes[id(tensor)]

    for module in model.modules():
        for tensors in own_tensors(module):
            tensors.update({name: fake(tensor) for name, tensor in tensors.items() if tensor is not None})
