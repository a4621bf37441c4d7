"""Prepares a model for training: which weights are trained, which are frozen, and how memory is saved."""

# mypy: allow-untyped-calls

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers import set_seed
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

from numpro_plugin.errors import NumProError
from numpro_plugin.families import Loaded, base_model_of, load_model
from numpro_plugin.internals import of_liger
from numpro_plugin.internals.of_peft import keep_input_dtype
from numpro_plugin.internals.of_transformers import checkpoint_layers, compile_layers
from numpro_plugin.longva.adapters import NON_LORA
from numpro_plugin.weights.adapter import read_adapter_config
from numpro_plugin.weights.folder import local_folder

from ..memory.tiling import recompute, tile_language_model

if TYPE_CHECKING:
    from numpro_plugin.families import Family

    from ..recipe.record import Recipe


COMPILER = "inductor"
"""The backend of torch.compile for ``memory.compile``."""


def open_for_training(recipe: Recipe, *, adapter: str | None = None) -> Loaded:
    """The recipe's base model, ready to be trained (see ``make_trainable``), with its processor and family.

    ``adapter``: the adapter on it, instead of the recipe's: that of the checkpoint from which a run with an adapter is resumed.
    """
    options: dict[str, Any] = {"dtype": weights_dtype(recipe), "attn_implementation": recipe.memory.attention}
    if recipe.memory.quantize == "4bit":
        options |= _four_bits()
    loaded = load_model(recipe.model, adapter or recipe.adapter or None, trainable=True, **options)
    if recipe.memory.liger:
        _use_liger(base_model_of(loaded.model).model.language_model)  # before its modules are tiled
    set_seed(recipe.seed)  # LoRA's initial values must depend on the seed alone, not on how the weights were loaded
    model = make_trainable(loaded.model, loaded.family, recipe)
    if recipe.memory.compile:
        compile_layers(base_model_of(model).model.language_model, recompute=recipe.memory.gradient_checkpointing, backend=COMPILER)
    return loaded._replace(model=model)


def weights_dtype(recipe: Recipe) -> str:
    """The data type of the base model's weights.

    Trained weights are kept in 32 bit, so that small updates are not rounded away: in the model or, under ZeRO-3 in bf16, in the
    optimizer only (see ``_with_lora``).
    """
    return recipe.memory.dtype if recipe.tuning == "lora" else "float32"


def make_trainable(model: Any, family: Family, recipe: Recipe) -> Any:
    """Add LoRA to the language model and make the projector trainable, or make every weight trainable. Also works on the device ``meta``.

    With ``tuning: lora`` the result is a ``PeftModel``; LoRA that the model already has is trained on. Everything else is frozen, and
    nothing before the projector needs gradients, so the vision tower runs without an autograd graph.
    """
    memory = recipe.memory
    if recipe.tuning == "full":
        model.requires_grad_(True)
    else:
        model = _with_lora(model, family, recipe)
    if memory.gradient_checkpointing:
        _checkpoint_layers(model, vision_too=recipe.tuning == "full")
        for name in family.projector_modules(base_model_of(model)):
            recompute(base_model_of(model).get_submodule(name))
    tile_language_model(model, memory.tiling, tokens=memory.tile_tokens)
    return model.train()


def _with_lora(model: Any, family: Family, recipe: Recipe) -> Any:
    from peft import LoraConfig, PeftModel, get_peft_model

    lora = recipe.lora
    if isinstance(model, PeftModel):
        adapted: Any = _with_dropout(model, lora.dropout)
    else:
        config = LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,  # type: ignore[arg-type]
            lora_dropout=lora.dropout,
            target_modules=family.lora_modules(model),
            modules_to_save=[name.removeprefix("model.") for name in family.projector_modules(model)] if lora.projector else None,
        )
        adapted = get_peft_model(model, config)
    adapted.peft_config["default"].base_model_name_or_path = recipe.model  # as given in the recipe, not the folder of a download
    # DeepSpeed's optimizer keeps its own 32-bit copies of trained weights. ZeRO-2 converts the weights themselves to bf16. ZeRO-3 does not
    # convert a model that was partitioned while loading, so LoRA's weights must have the type of a layer's input (bf16).
    dtype = torch.bfloat16 if recipe.memory.dtype == "bfloat16" and is_deepspeed_zero3_enabled() else torch.float32
    for parameter in adapted.parameters():
        if parameter.requires_grad and parameter.dtype != dtype:  # the projector's copy; PEFT creates LoRA's weights in 32 bit
            parameter.data = parameter.data.to(dtype)
    if recipe.memory.dtype == "bfloat16":
        keep_input_dtype(adapted)
    return adapted


def check_adapter(recipe: Recipe) -> None:
    """Check that the recipe's adapter is one, and that LoRA in the recipe is as in the adapter.

    Raises:
        NumProError: it is not; the message names the keys to set.
    """
    config, lora = read_adapter_config(local_folder(recipe.adapter)), recipe.lora
    projector = bool(config.get("modules_to_save")) or (local_folder(recipe.adapter) / NON_LORA).is_file()
    values = {"lora.rank": (lora.rank, config.get("r")), "lora.alpha": (lora.alpha, config.get("lora_alpha"))}
    values["lora.projector"] = (lora.projector, projector)
    wrong = {key: (here, there) for key, (here, there) in values.items() if here != there}
    if wrong:
        described = ", ".join(f"{key}={str(here).lower()}" for key, (here, _) in wrong.items())
        changes = " ".join(f"{key}={str(there).lower()}" for key, (_, there) in wrong.items())
        raise NumProError(f"the recipe has {described}, but the adapter {recipe.adapter} was trained otherwise: set {changes}")


def _with_dropout(adapted: Any, dropout: float) -> Any:
    """Set the dropout of an adapter's LoRA, and freeze what it has in the vision tower.

    The authors' adapters have LoRA there, too. It stays as it is: training it would give the tower an autograd graph.
    """
    from peft.tuners.lora import LoraLayer

    adapted.peft_config["default"].lora_dropout = dropout
    for name, module in adapted.named_modules():
        if isinstance(module, LoraLayer) and isinstance(module, torch.nn.Module):
            trained = ".language_model." in f".{name}."
            module.lora_dropout["default"] = torch.nn.Dropout(dropout) if dropout and trained else torch.nn.Identity()
            if not trained:
                module.requires_grad_(False)
    return adapted


def _checkpoint_layers(model: Any, *, vision_too: bool) -> None:
    """Recompute the language model's layers in the backward pass, and the vision tower's if they are trained."""
    module = base_model_of(model) if vision_too else base_model_of(model).model.language_model
    checkpoint_layers(module, partial(checkpoint, use_reentrant=False))


def check_liger() -> None:
    """Check that Liger's kernels can run here.

    Raises:
        NumProError: the package is missing or does not load, or there is no GPU.
    """
    try:
        of_liger.known_types()
    except Exception as error:  # on import it looks for Triton and a GPU, which fails in many ways
        raise NumProError(
            f"memory.liger=true needs liger-kernel, which does not load here ({error}): pip install liger-kernel, or set it to false"
        ) from None
    if not torch.accelerator.is_available():
        raise NumProError("memory.liger=true needs a GPU, and there is none here: set it to false")


def _use_liger(language_model: Any) -> None:
    kind, known = language_model.config.model_type, of_liger.known_types()
    if kind not in known:
        raise NumProError(
            f"memory.liger=true: liger-kernel has no kernels for language models of type {kind} (it has them for "
            f"{', '.join(sorted(known))}): set it to false, or install a newer liger-kernel"
        )
    try:
        of_liger.apply_to(language_model)
    except Exception as error:  # it reaches into transformers, whose releases it follows later
        raise NumProError(
            f"memory.liger=true: the kernels for {kind} do not fit the transformers that is installed ({error}): set it to false, or "
            "install another liger-kernel"
        ) from error


def _four_bits() -> dict[str, Any]:
    try:
        import bitsandbytes  # noqa: F401
    except Exception as error:  # on import it looks for the GPU's libraries, which fails in many ways
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
