"""The loss from answer positions equals the loss from all logits, for every family, with an adapter and in padded batches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from support.adapted import adapted, batch, gradients, largest_difference
from support.tiny_families import FAMILIES
from torch.nn import functional

from numpro_plugin.longva import load_longva
from numpro_plugin.trainer.run.loss import answer_logits, answer_loss, learned_positions


def full_loss(model, inputs, num_items: float) -> torch.Tensor:
    """The loss from the logits of every position."""
    labels = inputs["labels"]
    logits = model(**{name: value for name, value in inputs.items() if name != "labels"}, use_cache=False).logits
    assert logits.shape[1] == labels.shape[1]
    terms = functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=-100, reduction="none")
    return terms.sum() / num_items


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_and_gradients_equal_those_from_all_logits(family: str) -> None:
    model, loaded = adapted(family)
    inputs = batch(loaded)
    assert not inputs["attention_mask"].all()  # rows of unequal length
    before = {name: value.clone() for name, value in inputs.items()}
    count = int((inputs["labels"] != -100).sum())
    logits, labels = answer_logits(model, inputs)
    assert logits.shape[:2] == labels.shape
    assert labels.shape[1] < inputs["labels"].shape[1] / 2
    assert int((labels != -100).sum()) == count

    expected = full_loss(model, inputs, count)
    expected_gradients = gradients(model, expected)
    loss = answer_loss(model, inputs)
    actual_gradients = gradients(model, loss)
    assert abs(loss.item() - expected.item()) < 1e-5
    assert any("lora_A" in name for name in actual_gradients)
    assert any("modules_to_save" in name for name in actual_gradients)
    assert largest_difference(actual_gradients, expected_gradients) < 1e-4
    assert abs(answer_loss(model, inputs, num_items=torch.tensor(50)).item() - expected.item() * count / 50) < 1e-5
    assert all(torch.equal(inputs[name], before[name]) for name in before)  # the caller's inputs are unchanged


@pytest.mark.shared
@pytest.mark.parametrize(("name", "adapter"), [("base.b1_v5", None), ("base.b2", None), ("adapter.b1_v5", "adapter-tiny")])
def test_loss_of_longva_equals_the_golden_loss(shared: Path, name: str, adapter: str | None) -> None:
    golden = shared / "golden" / "longva"
    model, processor = load_longva(golden / "longva-tiny", adapter and golden / adapter)
    case = load_file(golden / f"{name}.safetensors")
    clips = [load_file(golden / "frames.safetensors")[f"pixel_values_{clip}"] for clip in ("a", "b")[: len(case["input_ids"])]]
    ids = torch.full(case["expanded_labels"].shape, 0)
    for row, (line, clip) in enumerate(zip(case["input_ids"], clips, strict=True)):
        mask = case["attention_mask"][row].bool() if "attention_mask" in case else torch.ones_like(line).bool()
        video = [processor.video_token_id] * (16 * len(clip))
        expanded = [out for token in line[mask].tolist() for out in (video if token == -200 else [token])]
        ids[row, : len(expanded)] = torch.tensor(expanded)
    inputs = {
        "input_ids": ids,
        "attention_mask": case["expanded_attention_mask"].long(),
        "pixel_values_videos": torch.cat(clips)[None],
        "labels": case["expanded_labels"],
    }
    expected = json.loads((golden / f"expected_{name.partition('.')[0]}.json").read_text())[name]["loss"]
    with torch.no_grad():
        assert abs(answer_loss(model, inputs).item() - expected) < 1e-5


@given(st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=1, max_size=3))
def test_positions_are_one_before_each_learned_token(learned: list[list[bool]]) -> None:
    labels = torch.where(torch.tensor(learned), 7, -100)
    expected = sorted({k - 1 for row in learned for k, is_learned in enumerate(row) if is_learned and k})
    assert learned_positions(labels).tolist() == (expected or [8])


def test_a_batch_without_labels_gives_zero_gradients_to_the_same_parameters() -> None:
    model, loaded = adapted("longva")
    inputs = batch(loaded, rows=1)
    trained = gradients(model, answer_loss(model, inputs))
    inputs["labels"] = torch.full_like(inputs["labels"], -100)
    loss = answer_loss(model, inputs)
    zero = gradients(model, loss)
    assert loss.item() == 0
    assert set(zero) == set(trained)
    assert not any(value.any() for value in zero.values())


def test_gradients_of_micro_batches_add_up_to_those_of_the_batch() -> None:
    model, loaded = adapted("longva")
    both, first = batch(loaded), batch(loaded, rows=1)
    count = int((both["labels"] != -100).sum())
    expected = gradients(model, answer_loss(model, both, num_items=count))
    of_first = gradients(model, answer_loss(model, first, num_items=count))
    second = {name: value[1:] for name, value in both.items()} | {"pixel_values_videos": both["pixel_values_videos"][:, 4:]}
    of_second = gradients(model, answer_loss(model, second, num_items=count))
    assert largest_difference({name: of_first[name] + of_second[name] for name in of_first}, expected) < 1e-4
