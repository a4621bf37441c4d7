"""Every undocumented name of torch, transformers and peft that is used here is there and does what it is used for."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch import nn

from numpro_plugin.internals import of_peft, of_torch, of_transformers
from numpro_plugin.longva.modeling import LongVAForConditionalGeneration, LongVAPreTrainedModel
from numpro_plugin.trainer.memory.sharding import ShardingTrainer
from numpro_plugin.trainer.run.trainer import NumProTrainer

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", of_torch.__all__)
def test_torch_has(name: str) -> None:
    assert getattr(of_torch, name) is not None


@pytest.mark.parametrize("name", of_transformers.__all__)
def test_transformers_has(name: str) -> None:
    assert getattr(of_transformers, name) is not None


@pytest.mark.parametrize("name", of_peft.__all__)
def test_peft_has(name: str) -> None:
    assert getattr(of_peft, name) is not None


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner, names in of_transformers.OVERRIDDEN.items() for name in names])
def test_transformers_has_what_is_overridden(owner: str, name: str) -> None:
    assert hasattr(getattr(transformers, owner), name)


@pytest.mark.parametrize(
    ("mine", "base"),
    [
        (NumProTrainer, transformers.Trainer),
        (ShardingTrainer, transformers.Trainer),
        (LongVAPreTrainedModel, transformers.PreTrainedModel),
        (LongVAForConditionalGeneration, transformers.PreTrainedModel),
    ],
)
def test_all_that_is_overridden_is_listed(mine: type, base: type) -> None:
    private = {name for name in vars(mine) if re.match(r"_[a-z]", name) and hasattr(base, name) and not name.startswith("_abc")}
    assert private <= set(of_transformers.OVERRIDDEN[base.__name__])


@pytest.mark.slow
def test_no_other_module_imports_private_modules() -> None:
    """A module path with a part that begins with an underscore is private, whoever's it is."""
    found = set()
    for top in ("numpro_plugin", "trainer"):
        for path in (ROOT / top).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None) or ""]
                library = modules[0].split(".")[0]
                private = any(re.search(r"\._[a-z]", f".{name}") for name in modules)
                if isinstance(node, (ast.Import, ast.ImportFrom)) and library in ("torch", "transformers", "peft") and private:
                    found.add(str(path.relative_to(ROOT)))
    assert found == {"numpro_plugin/internals/of_torch.py"}


def test_torch_tells_operators_storages_and_tensors_apart() -> None:
    assert of_torch.packet_of(torch.ops.aten.mm.default) == torch.ops.aten.mm
    one = torch.zeros(4)
    assert of_torch.storage_key(one.untyped_storage()) == of_torch.storage_key(one[1:].untyped_storage())
    assert of_torch.storage_key(one.untyped_storage()) != of_torch.storage_key(torch.zeros(4).untyped_storage())
    parameters, buffers = of_torch.own_tensors(nn.BatchNorm1d(2))
    assert set(parameters) == {"weight", "bias"}
    assert "running_mean" in buffers


def test_attention_on_a_cpu_is_the_operator_that_is_counted() -> None:
    seen = []

    class Spy(of_torch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append((of_torch.packet_of(func), args))
            return func(*args, **(kwargs or {}))

    query, key, value = (torch.randn(1, 2, 8, 4, requires_grad=True) for _ in range(3))
    with Spy():
        nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True).sum().backward()
    calls = dict(seen)
    assert calls[of_torch.FLASH][4] is True
    assert calls[of_torch.FLASH_BACKWARD][7] is True
    assert calls[of_torch.FLASH_BACKWARD][1].shape == query.shape


def test_a_copied_cache_grows_alone() -> None:
    cache = transformers.DynamicCache()
    cache.update(torch.ones(1, 2, 3, 4), torch.ones(1, 2, 3, 4), 0)
    copied = of_transformers.copy_cache(cache, 2)
    copied.update(torch.zeros(2, 2, 1, 4), torch.zeros(2, 2, 1, 4), 0)
    assert copied.get_seq_length() == 4
    assert cache.get_seq_length() == 3
    assert cache.layers[0].keys.shape[0] == 1


def test_models_know_their_source_and_layers_are_checkpointed() -> None:
    config = transformers.Qwen2Config(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, vocab_size=9
    )
    assert of_transformers.source_of(config) == ""
    config._name_or_path = "some/where"
    assert of_transformers.source_of(config) == "some/where"
    model = transformers.Qwen2Model(config).train()
    calls = []
    of_transformers.checkpoint_layers(model, lambda function, *args, **kwargs: calls.append(1) or function(*args, **kwargs))
    ids = torch.zeros(1, 2, dtype=torch.long)
    assert not model.get_input_embeddings()(ids)[..., 0].detach().requires_grad
    model(ids, use_cache=False)
    assert calls == [1]


def test_training_arguments_can_be_held_to_one_gpu(tmp_path: Path) -> None:
    args = transformers.TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    _ = args.device
    args._n_gpu = 4
    of_transformers.one_gpu_only(args)
    assert args.n_gpu == 1


def test_adapted_layers_do_not_cast_their_input() -> None:
    adapted = get_peft_model(nn.Sequential(nn.Linear(4, 4)), LoraConfig(target_modules=["0"]))
    assert [module.cast_input_dtype_enabled for module in adapted.modules() if hasattr(module, "cast_input_dtype_enabled")] == [True]
    of_peft.keep_input_dtype(adapted)
    assert [module.cast_input_dtype_enabled for module in adapted.modules() if hasattr(module, "cast_input_dtype_enabled")] == [False]
    assert of_peft.check_target_module_exists(LoraConfig(target_modules=["q_proj"]), "layers.0.q_proj")


def test_flops_are_counted_by_phase_and_gradients_are_let_go() -> None:
    x, weight = torch.ones(4, 8), nn.Parameter(torch.ones(8, 8))
    with of_torch.PhaseFlopCounter("forward", {}) as counter:
        y = (x @ weight).sum()
        counter.phase = "backward"
        y.backward()
    assert counter.flops("forward") == counter.flops("backward") == 2 * 4 * 8 * 8
    assert counter.flops("other") == 0
