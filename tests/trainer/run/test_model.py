"""Which weights are trained and which are frozen, for every family."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from support.shards import video_row
from support.tiny_families import FAMILIES, save_tiny
from support.tiny_longva import save_tiny_longva
from torch._dynamo.utils import counters

from numpro_plugin.errors import NumProError
from numpro_plugin.trainer.batches.collator import Collator, RawSample
from numpro_plugin.trainer.recipe.record import Recipe, load_recipe
from numpro_plugin.trainer.run import model as model_module
from numpro_plugin.trainer.run.loss import answer_loss
from numpro_plugin.trainer.run.model import check_liger, open_for_training


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_lora_trains_the_language_model_and_the_projector_and_full_tuning_everything(family: str, tuning: str, tmp_path: Path) -> None:
    recipe = load_recipe(
        "tiny", [f"model={save_tiny(family, tmp_path / family)}", f"tuning={tuning}", "memory.gradient_checkpointing=true"]
    )
    model, processor, loaded_family = open_for_training(recipe)
    base = model.get_base_model() if tuning == "lora" else model
    tower = getattr(base.model, "vision_tower", None) or base.model.visual
    with_graph: set[str] = set()

    def watch(name: str) -> None:
        def record_graph(module: torch.nn.Module, args: object, out: object) -> None:
            outs = out if isinstance(out, tuple) else getattr(out, "to_tuple", lambda: (out,))()
            if any(isinstance(value, torch.Tensor) and value.requires_grad for value in outs):
                with_graph.add(name)

        tower.get_submodule(name).register_forward_hook(record_graph)

    for name, _ in tower.named_modules():
        if name and "merger" not in name:
            watch(name)
    size = loaded_family.frame_size
    recipe = recipe.replace(numpro__frame_size=list(size))
    batch = Collator(loaded_family, processor, recipe)([RawSample("v", video_row("v", 8.0, size=size))])
    answer_loss(model, {name: value for name, value in batch.items() if isinstance(value, torch.Tensor)}).backward()
    trainable = {name.removeprefix("base_model.model.") for name, weight in model.named_parameters() if weight.requires_grad}
    with_gradient = {name.removeprefix("base_model.model.") for name, weight in model.named_parameters() if weight.grad is not None}
    assert with_gradient <= trainable
    if tuning == "full":
        assert with_graph
        assert {name for name, _ in model.named_parameters()} == trainable
        return
    assert with_gradient == trainable
    assert not with_graph, "the frozen vision tower records an autograd graph"
    lora = {name.partition(".lora_")[0] for name in trainable if ".lora_" in name}
    projector = {name.partition(".modules_to_save")[0] for name in trainable if ".lora_" not in name}
    layers = range(base.config.get_text_config().num_hidden_layers)
    linears = [f"self_attn.{letter}_proj" for letter in "qkvo"] + [f"mlp.{name}_proj" for name in ("gate", "up", "down")]
    assert lora == {f"model.language_model.layers.{k}.{name}" for k in layers for name in linears}
    assert {name.rpartition(".")[2] for name in projector} <= {"multi_modal_projector", "merger", "0"}
    assert projector == set(loaded_family.projector_modules(base))
    assert all(weight.dtype == torch.float32 for weight in model.parameters() if weight.requires_grad)


def test_trained_weights_stay_in_32_bit(tmp_path: Path) -> None:
    folder = save_tiny("longva", tmp_path / "longva")
    model, _, _ = open_for_training(load_recipe("tiny", [f"model={folder}", "memory.dtype=bfloat16"]))
    assert {weight.dtype for weight in model.parameters() if weight.requires_grad} == {torch.float32}
    assert {weight.dtype for weight in model.parameters() if not weight.requires_grad} == {torch.bfloat16}
    frequencies = {buffer.dtype for name, buffer in model.named_buffers() if name.endswith("inv_freq")}
    assert frequencies == {torch.float32}  # 16 bit cannot represent the positions of long videos
    assert model.peft_config["default"].base_model_name_or_path == str(folder)


def test_quantizing_without_bitsandbytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes", None)
    with pytest.raises(NumProError, match="quantize=4bit needs bitsandbytes.*pip install"):
        open_for_training(load_recipe("tiny", [f"model={tmp_path}", "memory.quantize=4bit"]))


def test_quantizing_applies_to_the_language_model_only(tmp_path: Path) -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes", reason="needs bitsandbytes (the extra qlora)")
    folder = save_tiny("longva", tmp_path / "longva")
    recipe = load_recipe("tiny", [f"model={folder}", "memory.quantize=4bit", "memory.dtype=bfloat16"])
    model, processor, family = open_for_training(recipe)
    base = model.get_base_model().model
    quantized = {name.partition(".")[0] for name, module in base.named_modules() if isinstance(module, bitsandbytes.nn.Linear4bit)}
    assert quantized == {"language_model"}
    batch = Collator(family, processor, recipe, pixels_dtype=torch.bfloat16)([RawSample("v", video_row("v", 8.0))])
    with torch.autocast("cpu", torch.bfloat16):
        loss = answer_loss(model, {name: value for name, value in batch.items() if isinstance(value, torch.Tensor)})
    loss.backward()
    assert all(weight.grad.abs().sum() > 0 for name, weight in model.named_parameters() if "lora_B" in name or "projector.modules" in name)


def loss_and_gradients(recipe: Recipe) -> tuple[list[float], list[torch.Tensor]]:
    """Of three samples of different lengths."""
    model, processor, family = open_for_training(recipe)
    losses = []
    for name, duration_s in (("a", 6.0), ("b", 14.0), ("c", 9.0)):
        batch = Collator(family, processor, recipe)([RawSample(name, video_row(name, duration_s, size=(16, 16)))])
        loss = answer_loss(model, {key: value for key, value in batch.items() if isinstance(value, torch.Tensor)})
        loss.backward()
        losses.append(loss.item())
    return losses, [weight.grad for weight in model.parameters() if weight.grad is not None]


@pytest.mark.slow
def test_compiled_layers_have_the_same_loss_and_gradients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the backend that runs what was traced as it is: making machine code takes a minute and would test torch."""
    monkeypatch.setattr(model_module, "COMPILER", "aot_eager")
    torch.compiler.reset()
    counters.clear()
    base = save_tiny_longva(tmp_path / "base")
    recipe = load_recipe("tiny").replace(model=str(base), numpro__frame_size=[16, 16], lora__dropout=0.1)
    recipe = recipe.replace(memory__gradient_checkpointing=True)
    torch.manual_seed(0)
    plain = loss_and_gradients(recipe)
    assert counters["stats"]["unique_graphs"] == 0
    torch.manual_seed(0)
    compiled = loss_and_gradients(recipe.replace(memory__compile=True))
    assert (counters["stats"]["unique_graphs"], dict(counters["graph_break"])) == (1, {})  # for all layers and lengths
    assert compiled[0] == pytest.approx(plain[0], rel=1e-6)
    for one, other in zip(compiled[1], plain[1], strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-7)


@pytest.fixture
def liger(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A stand-in for liger-kernel: what it applies to, by type."""
    kernels: dict[str, Any] = {}
    for name in ("liger_kernel", "liger_kernel.transformers", "liger_kernel.transformers.monkey_patch"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["liger_kernel.transformers.monkey_patch"].MODEL_TYPE_TO_APPLY_LIGER_FN = kernels  # type: ignore[attr-defined]
    return kernels


def test_ligers_kernels_are_for_the_language_model_alone_and_its_losses_stay_off(tmp_path: Path, liger: dict[str, Any]) -> None:
    applied: list[dict[str, Any]] = []
    liger["qwen2"] = lambda **arguments: applied.append(arguments)
    recipe = load_recipe("tiny").replace(model=str(save_tiny("longva", tmp_path / "base")), memory__liger=True)
    loaded = open_for_training(recipe)
    language_model = loaded.model.get_base_model().model.language_model
    assert applied == [{"model": language_model, "cross_entropy": False, "fused_linear_cross_entropy": False}]


def test_liger_is_refused_with_the_reason(tmp_path: Path, liger: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    liger["llama"] = None
    recipe = load_recipe("tiny").replace(model=str(save_tiny("longva", tmp_path / "base")), memory__liger=True)
    with pytest.raises(NumProError, match=r"no kernels for language models of type qwen2 \(it has them for llama\): set it to false"):
        open_for_training(recipe)

    def outdated(**_: object) -> None:
        raise ImportError("cannot import name 'Output'")

    liger["qwen2"] = outdated
    with pytest.raises(NumProError, match=r"kernels for qwen2 do not fit the transformers .*cannot import name 'Output'"):
        open_for_training(recipe)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    with pytest.raises(NumProError, match=r"memory\.liger=true needs a GPU, and there is none here"):
        check_liger()
    monkeypatch.setitem(sys.modules, "liger_kernel", None)
    monkeypatch.delitem(sys.modules, "liger_kernel.transformers.monkey_patch")
    with pytest.raises(NumProError, match=r"memory\.liger=true needs liger-kernel, which does not load here .*: pip install liger-kernel"):
        check_liger()
