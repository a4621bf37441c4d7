"""Tiling changes neither loss nor gradients, with dropout, under gradient checkpointing, for every family."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.adapted import adapted, batch, gradients, largest_difference
from support.tiny_families import FAMILIES
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from numpro_plugin.errors import NumProError
from numpro_plugin.trainer.memory.tiling import recompute, tile_language_model, tiled
from numpro_plugin.trainer.run.loss import answer_loss

TOKENS = 50


def step(model, inputs, *, checkpointing: bool = False, seed: int = 0) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of one step."""
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    torch.manual_seed(seed)
    loss = answer_loss(model, inputs)
    return loss.item(), gradients(model, loss)


def projector_of(model) -> list[nn.Module]:
    return [module for name, module in model.named_modules() if name.endswith((".multi_modal_projector", ".merger"))]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.slow
def test_tiling_does_not_change_loss_and_gradients(family: str) -> None:
    plain, loaded = adapted(family)
    inputs = batch(loaded)
    expected_loss, expected = step(plain, inputs)
    for tiling, checkpointing in (("mlp", False), ("all", False), ("all", True)):
        model = copy.deepcopy(plain)
        names = tile_language_model(model, tiling, tokens=TOKENS)
        for module in projector_of(model):
            recompute(module)
        assert len(names) == (2 if tiling == "mlp" else 2 * 7 + 1)
        assert all("language_model." in name for name in names)
        loss, actual = step(model, inputs, checkpointing=checkpointing)
        assert abs(loss - expected_loss) < 1e-5
        assert largest_difference(actual, expected) < 1e-4


@pytest.mark.parametrize("tiling", ["mlp", "all"])
def test_the_recomputation_uses_the_same_dropout(tiling: str) -> None:
    """Gradients with dropout are compared with finite differences under the same random numbers."""
    base, loaded = adapted("longva", dropout=0.3)
    inputs = batch(loaded, rows=1)
    for checkpointing in (False, True):
        model = copy.deepcopy(base).double()
        inputs = {name: value.double() if value.is_floating_point() else value for name, value in inputs.items()}
        tile_language_model(model, tiling, tokens=TOKENS)
        _, actual = step(model, inputs, checkpointing=checkpointing, seed=3)
        name, parameter = next((n, p) for n, p in model.named_parameters() if n.endswith("layers.0.mlp.down_proj.lora_A.default.weight"))
        norm, losses = actual[name].norm(), []
        for distance in (1e-3, -2e-3):  # forth and back along the gradient; norms compute in 32 bit, so no smaller steps
            with torch.no_grad():
                parameter -= distance * actual[name] / norm
            losses.append(_loss(model, inputs, seed=3))
        assert (losses[1] - losses[0]) / 2e-3 == pytest.approx(norm.item(), rel=3e-3)
        assert losses[1] != pytest.approx(_loss(model, inputs, seed=4), rel=1e-4)  # dropout was on


def _loss(model, inputs, *, seed: int) -> float:
    torch.manual_seed(seed)
    return torch.nn.functional.cross_entropy(  # in 64 bit, which the differences need
        model(**{name: value for name, value in inputs.items() if name != "labels"}, use_cache=False).logits[:, :-1].flatten(0, 1),
        inputs["labels"][:, 1:].flatten(),
    ).item()


def test_short_inputs_evaluation_and_generation_are_not_tiled(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, loaded = adapted("longva")
    model, inputs = copy.deepcopy(plain), batch(loaded, rows=1)
    tile_language_model(model, tokens=TOKENS)
    calls: list[int] = []
    monkeypatch.setattr("numpro_plugin.trainer.memory.tiling.tiled", lambda function, x, *, tiles: calls.append(tiles) or function(x))
    with torch.no_grad():
        answer_loss(model, inputs)
    answer_loss(model.eval(), inputs)
    prompt = {name: value for name, value in inputs.items() if name != "labels"}
    assert torch.equal(model.generate(**prompt, max_new_tokens=3), copy.deepcopy(plain).eval().generate(**prompt, max_new_tokens=3))
    assert not calls
    answer_loss(model.train(), inputs)
    length = inputs["input_ids"].shape[1]
    assert set(calls) == {-(-length // TOKENS)}
    calls.clear()
    large_tiles = copy.deepcopy(plain)
    tile_language_model(large_tiles, tokens=length)
    answer_loss(large_tiles, inputs)
    assert not calls


class Layer(nn.Module):
    """A residual layer that ends, as a decoder layer does, with its MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.mlp = nn.Sequential(nn.Linear(8, 32), nn.SiLU(), nn.Linear(32, 8))

    def forward(self, x: torch.Tensor, tiles: int = 0) -> torch.Tensor:
        x = x + self.first(x).sin()
        return x + (tiled(self.mlp, x, tiles=tiles) if tiles else self.mlp(x))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 13), st.integers(1, 15), st.booleans(), st.booleans())
def test_any_number_of_tiles_gives_the_same_output_and_gradients(
    rows: int, length: int, tiles: int, checkpointing: bool, input_has_gradient: bool
) -> None:
    torch.manual_seed(0)
    layer, x = Layer().double(), torch.randn(rows, length, 8, dtype=torch.float64, requires_grad=input_has_gradient)

    def results(count: int) -> list[torch.Tensor]:
        y = checkpoint(layer, x, count, use_reentrant=False) if checkpointing else layer(x, count)
        inputs = [*layer.parameters(), *([x] if input_has_gradient else [])]
        return [y.detach(), *torch.autograd.grad(y.sin().sum(), inputs)]

    for actual, expected in zip(results(tiles), results(0), strict=True):
        torch.testing.assert_close(actual, expected)


def test_tiling_the_last_module_of_a_checkpointed_layer_costs_no_flops() -> None:
    layer, x = Layer(), torch.randn(1, 64, 8, requires_grad=True)
    flops = []
    for tiles in (0, 8):
        with FlopCounterMode(display=False) as counter:
            checkpoint(layer, x, tiles, use_reentrant=False).sum().backward()
        flops.append(counter.get_total_flops())
    assert flops[0] == flops[1]


def test_a_retained_graph_allows_a_second_backward_pass() -> None:
    layer, x = Layer(), torch.randn(1, 12, 8)
    for checkpointing in (False, True):
        y = checkpoint(layer, x, 4, use_reentrant=False) if checkpointing else layer(x, 4)
        first = torch.autograd.grad(y.sum(), layer.parameters(), retain_graph=True)
        second = torch.autograd.grad(y.sum(), layer.parameters())
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_wrong_arguments_are_refused() -> None:
    model, _ = adapted("longva")
    assert tile_language_model(model, "none") == []
    with pytest.raises(NumProError, match="tiling='half' is unknown; allowed: none, mlp, all"):
        tile_language_model(model, "half")  # type: ignore[arg-type]
    with pytest.raises(NumProError, match="tile_tokens=0 must be 1 or more"):
        tile_language_model(model, tokens=0)
    with pytest.raises(NumProError, match="Linear has no language_model.*use tiling=none"):
        tile_language_model(nn.Linear(2, 2))
