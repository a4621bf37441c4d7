"""The model as it is trained: which weights learn, which are frozen, and how memory is saved."""

# mypy: allow-untyped-calls

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers import set_seed
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

from numpro_plugin.errors import NumProError
from numpro_plugin.families import Loaded, load_model

from .tiling import recompute, tile_language_model

if TYPE_CHECKING:
    from numpro_plugin.families import Family

    from ..recipe.record import Recipe


def open_for_training(recipe: Recipe) -> Loaded:
    """The recipe's base model, ready to be trained (see ``make_trainable``), with its processor and family."""
    options: dict[str, Any] = {"dtype": weights_dtype(recipe), "attn_implementation": recipe.memory.attention}
    if recipe.memory.quantize == "4bit":
        options |= _four_bits()
    loaded = load_model(recipe.model, **options)
    set_seed(recipe.seed)  # LoRA's first values depend on the seed alone, not on how the weights were loaded
    return loaded._replace(model=make_trainable(loaded.model, loaded.family, recipe))


def weights_dtype(recipe: Recipe) -> str:
    """In which type the base's weights are kept. What is trained is kept in 32 bit, so that small steps are not rounded away: as weights
    or, under ZeRO-3 in bf16, by the optimizer alone (see ``_with_lora``).
    """
    return recipe.memory.dtype if recipe.tuning == "lora" else "float32"


def make_trainable(model: Any, family: Family, recipe: Recipe) -> Any:
    """Put LoRA on the language model and let the projector learn, or let everything learn; also for models without values (``meta``).

    With ``tuning: lora`` a ``PeftModel`` comes back. Everything else is frozen, and nothing before the projector needs gradients, so the
    vision tower runs without an autograd graph.
    """
    memory = recipe.memory
    if recipe.tuning == "full":
        model.requires_grad_(True)
    else:
        model = _with_lora(model, family, recipe)
    if memory.gradient_checkpointing:
        _checkpoint_layers(model, everywhere=recipe.tuning == "full")
        for name in family.projector_modules(_base(model)):
            recompute(_base(model).get_submodule(name))
    tile_language_model(model, memory.tiling, tokens=memory.tile_tokens)
    return model.train()


def _with_lora(model: Any, family: Family, recipe: Recipe) -> Any:
    from peft import LoraConfig, get_peft_model

    lora = recipe.lora
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=family.lora_modules(model),
        modules_to_save=[name.removeprefix("model.") for name in family.projector_modules(model)] if lora.projector else None,
    )
    adapted: Any = get_peft_model(model, config)
    config.base_model_name_or_path = recipe.model  # the hub's name as it was given, not the folder that it was downloaded to
    # DeepSpeed's optimizer keeps copies in 32 bit of what it trains. Under ZeRO-2 DeepSpeed makes the weights themselves bf16, under
    # ZeRO-3 it leaves a model that was loaded in pieces as it is; then a layer's input (bf16) and LoRA's weights must be of one type.
    dtype = torch.bfloat16 if recipe.memory.dtype == "bfloat16" and is_deepspeed_zero3_enabled() else torch.float32
    for parameter in adapted.parameters():
        if parameter.requires_grad and parameter.dtype != dtype:  # the projector's copy; PEFT makes LoRA's own 32 bit
            parameter.data = parameter.data.to(dtype)
    if recipe.memory.dtype == "bfloat16":
        # Autocast multiplies in 16 bit anyway; PEFT would keep a 32-bit copy of every layer's input for that.
        for module in adapted.modules():
            if hasattr(module, "cast_input_dtype_enabled"):
                module.cast_input_dtype_enabled = False
    return adapted


def _checkpoint_layers(model: Any, *, everywhere: bool) -> None:
    """Recompute the language model's layers in backward; the vision tower's only if they are trained."""
    part = _base(model) if everywhere else _base(model).model.language_model
    # Not the public method, which makes the embeddings' output require gradients: needed for reentrant checkpoints only, and on a whole
    # model it would give the frozen vision tower an autograd graph.
    part._set_gradient_checkpointing(enable=True, gradient_checkpointing_func=partial(checkpoint, use_reentrant=False))


def _base(model: Any) -> Any:
    """The transformers model below an adapter."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _four_bits() -> dict[str, Any]:
    try:
        import bitsandbytes  # noqa: F401
    except Exception as error:  # it looks for a GPU's libraries when it is imported, and fails in many ways
        raise NumProError(
            f"memory.quantize=4bit needs bitsandbytes, which does not load here ({error}): pip install 'numpro-plugin[qlora]', or set "
            "memory.quantize=none"
        ) from None
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=["model.vision_tower", "model.visual", "model.multi_modal_projector", "lm_head"],
    )
    return {"quantization_config": config}
