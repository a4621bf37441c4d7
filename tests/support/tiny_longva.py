"""A tiny randomly initialised LongVA checkpoint in the original layout, and adapters for it in the reference's."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from support.tiny_qwen import byte_tokenizer

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TOWER_NAME = "openai/clip-vit-large-patch14-336"
TOWER = "model.vision_tower.vision_tower.vision_model."
TEXT_WIDTH, VISION_WIDTH, SIDE, PATCH = 32, 16, 16, 4
PER_FRAME = (SIDE // PATCH // 2) ** 2
LINEARS = {
    **{f"self_attn.{name}_proj": (TEXT_WIDTH, TEXT_WIDTH if name in "qo" else TEXT_WIDTH // 2) for name in "qkvo"},
    "mlp.gate_proj": (TEXT_WIDTH, 48),
    "mlp.up_proj": (TEXT_WIDTH, 48),
    "mlp.down_proj": (48, TEXT_WIDTH),
}
"""Linear layers of a decoder layer: (in, out)."""


def save_tiny_longva(
    root: Path,
    *,
    name: str = "longva",
    layers: int = 2,
    tower: str = "inside",
    weights: str = "safetensors",
    tied: bool = False,
    seed: int = 0,
) -> Path:
    """Write ``root/name`` and the tower's folder ``root/openai/...``.

    ``tower``: "inside" the checkpoint or "outside" it (only in its own folder). ``weights``: "safetensors", "sharded" or "bin".
    """
    folder = root / name
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    tokenizer = byte_tokenizer(special=SPECIAL)
    tokenizer.chat_template = None  # the original has none of LongVA's
    tokenizer.save_pretrained(folder)
    state = _language_model(len(tokenizer), layers) | {TOWER + key: value for key, value in _tower().items()}
    if tied:
        del state["lm_head.weight"]
    outside = root / TOWER_NAME
    if not outside.exists():
        _save_tower(outside, {key.removeprefix(TOWER): value for key, value in state.items() if key.startswith(TOWER)})
    if tower == "outside":
        state = {key: value for key, value in state.items() if not key.startswith(TOWER)}
    _save_weights(folder, state, weights)
    eos = tokenizer.convert_tokens_to_ids("<|im_end|>")
    config = {
        "architectures": ["LlavaQwenForCausalLM"],
        "model_type": "llava_qwen",
        "hidden_act": "silu",
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 48,
        "num_attention_heads": 2,
        "num_hidden_layers": layers,
        "num_key_value_heads": 1,
        "max_position_embeddings": 8192,
        "max_window_layers": 28,
        "rms_norm_eps": 1e-6,
        "rope_scaling": None,
        "rope_theta": 1e6,
        "sliding_window": 8192,
        "use_sliding_window": False,
        "tie_word_embeddings": tied,
        "torch_dtype": "float32",
        "use_cache": True,
        "vocab_size": len(tokenizer),
        "bos_token_id": eos - 2,
        "eos_token_id": eos,
        "mm_hidden_size": VISION_WIDTH,
        "mm_projector_type": "mlp2x_gelu",
        "mm_resampler_type": "spatial_pool",
        "mm_spatial_pool_mode": "average",
        "mm_spatial_pool_stride": 2,
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": -2,
        "mm_vision_tower": TOWER_NAME,
    }
    (folder / "config.json").write_text(json.dumps(config))
    generation = {"bos_token_id": eos - 2, "eos_token_id": [eos, eos - 2], "pad_token_id": eos - 2, "do_sample": True, "top_k": 20}
    (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


def save_tiny_adapter(folder: Path, *, layers: int = 2, width: int = TEXT_WIDTH, seed: int = 1, rank: int = 4, alpha: int = 8) -> Path:
    """A reference adapter with random A and B in the language model AND the tower, and a projector of its own."""
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    state = {}
    modules = {f"model.layers.{k}.{name}": shape for k in range(layers) for name, shape in LINEARS.items()}
    tower = {f"{TOWER}encoder.layers.{k}.self_attn.{name}_proj": (VISION_WIDTH, VISION_WIDTH) for k in range(3) for name in "qkv"}
    for name, (inputs, outputs) in {**modules, **tower}.items():
        scale = width // TEXT_WIDTH if name in modules else 1
        state[f"base_model.model.{name}.lora_A.weight"] = torch.randn(rank, inputs * scale) * 0.2
        state[f"base_model.model.{name}.lora_B.weight"] = torch.randn(outputs * scale, rank) * 0.2
    save_file(state, folder / "adapter_model.safetensors")
    torch.save({f"base_model.model.{name}": value for name, value in _projector(width).items()}, folder / "non_lora_trainables.bin")
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "./pretrained/Qwen-LongVA-7B-DPO",
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "megatron_core": "megatron.core",
        "target_modules": sorted({name.rpartition(".")[2] for name in LINEARS}),
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text(json.dumps({"model_type": "llava_qwen"}))
    return folder


def add_adapter_by_hand(base: Path, adapter: Path, target: Path) -> Path:
    """A copy of a (single or sharded) checkpoint in which every weight is W + B A alpha / r and the projector is the adapter's."""
    target.mkdir(parents=True)
    settings = json.loads((adapter / "adapter_config.json").read_text())
    state = original_weights(base)
    lora = load_file(adapter / "adapter_model.safetensors")
    for key in [key for key in lora if key.endswith(".lora_A.weight")]:
        a, b = lora[key].double(), lora[key.replace("lora_A", "lora_B")].double()
        name = key.removeprefix("base_model.model.").replace(".lora_A.weight", ".weight")
        state[name] = (state[name].double() + b @ a * settings["lora_alpha"] / settings["r"]).float()
    full = torch.load(adapter / "non_lora_trainables.bin", weights_only=True)
    state |= {name.removeprefix("base_model.model."): value for name, value in full.items()}
    for file in base.iterdir():
        if (file.suffix == ".json" and "index" not in file.name) or file.suffix == ".txt":
            (target / file.name).write_bytes(file.read_bytes())
    save_file({name: value.contiguous() for name, value in state.items()}, target / "model.safetensors", metadata={"format": "pt"})
    return target


def original_weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: value for file in sorted(folder.glob("*.safetensors")) for name, value in load_file(file).items()}


def _language_model(vocabulary: int, layers: int) -> dict[str, torch.Tensor]:
    state = {
        "model.embed_tokens.weight": torch.randn(vocabulary, TEXT_WIDTH) * 0.5,
        "lm_head.weight": torch.randn(vocabulary, TEXT_WIDTH) * 0.5,
        "model.norm.weight": 1 + torch.randn(TEXT_WIDTH) * 0.1,
        **_projector(TEXT_WIDTH),
    }
    for k in range(layers):
        start = f"model.layers.{k}."
        state |= {f"{start}{name}.weight": torch.randn(outputs, inputs) * 0.3 for name, (inputs, outputs) in LINEARS.items()}
        state |= {f"{start}self_attn.{name}_proj.bias": torch.randn(LINEARS[f"self_attn.{name}_proj"][1]) * 0.1 for name in "qkv"}
        state |= {f"{start}{name}.weight": 1 + torch.randn(TEXT_WIDTH) * 0.1 for name in ("input_layernorm", "post_attention_layernorm")}
    return state


def _projector(width: int) -> dict[str, torch.Tensor]:
    return {
        "model.mm_projector.0.weight": torch.randn(width, VISION_WIDTH) * 0.3,
        "model.mm_projector.0.bias": torch.randn(width) * 0.1,
        "model.mm_projector.2.weight": torch.randn(width, width) * 0.3,
        "model.mm_projector.2.bias": torch.randn(width) * 0.1,
    }


def _vision_config():
    from transformers import CLIPVisionConfig

    return CLIPVisionConfig(
        hidden_size=VISION_WIDTH, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, patch_size=PATCH, image_size=SIDE
    )


def _tower() -> dict[str, torch.Tensor]:
    from transformers import CLIPVisionModel

    state = CLIPVisionModel(_vision_config()).state_dict()
    return {
        name: value + torch.randn_like(value) * (0.1 if value.ndim == 1 else 0.3)
        for name, value in state.items()
        if value.is_floating_point()
    }


def _save_tower(folder: Path, state: dict[str, torch.Tensor]) -> None:
    """As OpenAI's folder: a whole CLIP model in a .bin file, of which LongVA uses the half that sees."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "clip", "vision_config": _vision_config().to_dict()}))
    whole = {f"vision_model.{name}": value for name, value in state.items()}
    whole["text_model.final_layer_norm.weight"] = torch.ones(4)
    whole["logit_scale"] = torch.tensor(2.66)
    torch.save(whole, folder / "pytorch_model.bin")
    images = {"crop_size": SIDE, "size": SIDE, "do_center_crop": True, "do_normalize": True, "do_resize": True, "resample": 3}
    images |= {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_extractor_type": "CLIPFeatureExtractor", **images}))


def _save_weights(folder: Path, state: dict[str, torch.Tensor], kind: str) -> None:
    state = {name: value.contiguous() for name, value in state.items()}
    if kind == "bin":
        torch.save(state, folder / "pytorch_model.bin")
    elif kind == "safetensors":
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        names = sorted(state)
        index = {}
        for k, part in enumerate((names[::2], names[1::2])):
            file = f"model-0000{k + 1}-of-00002.safetensors"
            save_file({name: state[name] for name in part}, folder / file, metadata={"format": "pt"})
            index |= dict.fromkeys(part, file)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
