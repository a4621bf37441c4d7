"""A row becomes numbered frames, a question and a learned answer. Answers are never cut, and unreadable samples are reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from support.digits import read_number
from support.shards import question, video_row
from support.tiny_families import FAMILIES, save_tiny
from support.tiny_longva import save_tiny_longva

from numpro_plugin.errors import NumProError
from numpro_plugin.families import IGNORED, Loaded, load_model
from numpro_plugin.prompts import NUMBERS_SENTENCE, highlight_prompt, moment_prompt
from numpro_plugin.timeline import kept_numbers
from numpro_plugin.trainer.batches import collator as collator_module
from numpro_plugin.trainer.batches.collator import Collator, RawSample, decode_frames
from numpro_plugin.trainer.recipe.record import Recipe, load_recipe
from numpro_plugin.trainer.run.loss import answer_loss
from numpro_plugin.trainer.run.model import make_trainable
from numpro_plugin.trainer.shard_format import turn

FILLER = RawSample("filler", None)


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Loaded]:
    root = tmp_path_factory.mktemp("families")
    return {name: load_model(save_tiny(name, root / name), dtype="float32") for name in FAMILIES}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """LongVA with frames of 16 x 16 pixels and 4 tokens each."""
    return load_model(save_tiny_longva(tmp_path_factory.mktemp("small")), dtype="float32")


def recipe_of(loaded: Loaded, **changes: Any) -> Recipe:
    return load_recipe("tiny").replace(numpro__frame_size=list(loaded.family.frame_size), **changes)


def collator_of(loaded: Loaded, **changes: Any) -> Collator:
    return Collator(loaded.family, loaded.processor, recipe_of(loaded, **changes))


def raw_sample(
    loaded: Loaded, frames: int, *, name: str = "v", conversation: list[dict[str, Any]] | None = None, epoch: int = 0
) -> RawSample:
    row = video_row(name, frames * 2.0, size=loaded.family.frame_size)
    return RawSample(f"made/{name}#0", {**row, "conversations": [conversation]} if conversation is not None else row, 0, epoch)


def input_text(loaded: Loaded, sample: dict[str, torch.Tensor]) -> str:
    ids = sample["input_ids"][0]
    return loaded.processor.tokenizer.decode(ids[ids != loaded.processor.video_token_id])


def learned(loaded: Loaded, sample: dict[str, torch.Tensor], row: int = 0) -> str:
    labels = sample["labels"][row]
    return loaded.processor.tokenizer.decode(labels[labels != IGNORED])


def drawn_numbers(collator: Collator, raw: RawSample) -> tuple[list[int], dict[str, torch.Tensor]]:
    """The numbers drawn on the frames of a sample, and the sample."""
    prepared: list[np.ndarray] = []
    with pytest.MonkeyPatch.context() as patch:
        prepare = type(collator.family).prepare
        patch.setattr(
            type(collator.family),
            "prepare",
            lambda self, frames, *given: prepared.append(frames.pixels.copy()) or prepare(self, frames, *given),
        )
        sample, count = collator.sample(raw)
    assert len(prepared[-1]) == count
    return [read_number(frame) for frame in prepared[-1]], sample


# --- the batch ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_makes_a_batch(families: dict[str, Loaded], family: str) -> None:
    loaded = families[family]
    collator = collator_of(loaded)
    batch = collator([raw_sample(loaded, 4, name="a"), raw_sample(loaded, 2, name="b"), FILLER])
    assert batch["ids"] == ["made/a#0", "made/b#0", "filler"]
    assert (batch["frames"], batch["unreadable"]) == (6, [])
    assert batch["tokens"] == batch["attention_mask"].sum()
    assert [learned(loaded, batch, row).removesuffix("\n") for row in range(3)] == [
        "From Frame 0 to Frame 3.<|im_end|>",
        "From Frame 0 to Frame 1.<|im_end|>",
        "",
    ]
    inputs = {name: value for name, value in batch.items() if isinstance(value, torch.Tensor)}
    batch_loss = answer_loss(loaded.model, inputs).item()
    singles = [collator([raw_sample(loaded, frames, name=name)]) for name, frames in (("a", 4), ("b", 2))]
    losses = [
        answer_loss(loaded.model, {k: v for k, v in single.items() if isinstance(v, torch.Tensor)}, num_items=1).item()
        for single in singles
    ]
    count = (batch["labels"] != IGNORED).sum().item()
    assert batch_loss == pytest.approx(sum(losses) / count, rel=1e-5)  # the filler does not affect the loss


@pytest.mark.parametrize("family", FAMILIES)
def test_frame_numbers_are_drawn(families: dict[str, Loaded], family: str) -> None:
    loaded = families[family]
    numbers, sample = drawn_numbers(collator_of(loaded), raw_sample(loaded, 4))
    assert numbers == [0, 1, 2, 3]
    assert moment_prompt("event 0") in input_text(loaded, sample)


def test_a_frame_size_that_the_model_does_not_take_is_refused(families: dict[str, Loaded]) -> None:
    with pytest.raises(NumProError, match=r"numpro\.frame_size=\(336, 336\), but qwen3_vl takes multiples of 32: make shards"):
        Collator(families["qwen3_vl"].family, families["qwen3_vl"].processor, load_recipe("tiny"))


# --- numbers -----------------------------------------------------------------------------------------------------------------------


def test_without_numbers_nothing_is_drawn_and_the_prompt_does_not_mention_them(families: dict[str, Loaded]) -> None:
    loaded = families["longva"]
    collator = collator_of(loaded, numpro__numbers=False)
    raw = raw_sample(loaded, 3)
    sample, _ = collator.sample(raw)
    pixels = decode_frames(raw.row["frames"], loaded.family.frame_size)
    assert torch.equal(sample["pixel_values_videos"][0], loaded.processor.pixel_values(pixels))
    assert moment_prompt("event 0", numbers=False) in input_text(loaded, sample)
    assert NUMBERS_SENTENCE not in input_text(loaded, sample)
    highlights = [turn("user", highlight_prompt("a dog", kind="ft")), turn("assistant", "The highlight frames are in the ", 1, " frames.")]
    sample, _ = collator.sample(raw_sample(loaded, 3, conversation=highlights))
    assert "user\n\n" + highlight_prompt("a dog", kind="ft", numbers=False) in input_text(loaded, sample)


def test_offset_shifts_frames_and_answer_by_the_same_number(families: dict[str, Loaded]) -> None:
    loaded, firsts = families["longva"], set()
    collator = collator_of(loaded, data__numbering="offset", data__highest_number=50)
    for epoch in range(6):
        numbers, sample = drawn_numbers(collator, raw_sample(loaded, 4, epoch=epoch))
        assert numbers == list(range(numbers[0], numbers[0] + 4))
        assert numbers[-1] <= 50
        assert learned(loaded, sample) == f"From Frame {numbers[0]} to Frame {numbers[3]}.<|im_end|>\n"
        assert drawn_numbers(collator, raw_sample(loaded, 4, epoch=epoch))[0] == numbers
        firsts.add(numbers[0])
    assert len(firsts) > 3


def test_answers_name_the_random_numbers_of_their_frames(families: dict[str, Loaded]) -> None:
    loaded = families["longva"]
    collator = collator_of(loaded, data__numbering="random", data__highest_number=99, numpro__max_frames=8)
    conversation = [turn("user", "Where is it?"), turn("assistant", "On ", 2, ", then ", 0, ".")]
    numbers, sample = drawn_numbers(collator, raw_sample(loaded, 4, conversation=conversation))
    assert len(set(numbers)) == 4
    assert numbers != sorted(numbers)  # with this seed
    assert max(numbers) <= 99
    assert learned(loaded, sample) == f"On {numbers[2]}, then {numbers[0]}.<|im_end|>\n"
    not_shown = [turn("user", "Where?"), turn("assistant", "On ", 7, ".")]
    with pytest.raises(NumProError, match="the answer names frame 7, which is not among the 4 frames that are shown"):
        collator.sample(raw_sample(loaded, 4, conversation=not_shown))


def test_sorted_numbers_ascend_and_answers_name_them(families: dict[str, Loaded]) -> None:
    loaded = families["longva"]
    collator = collator_of(loaded, data__numbering="sorted", data__highest_number=99, numpro__max_frames=8)
    steps = set()
    for epoch in range(6):
        numbers, sample = drawn_numbers(collator, raw_sample(loaded, 4, epoch=epoch))
        assert numbers == sorted(set(numbers))
        assert max(numbers) <= 99
        assert learned(loaded, sample) == f"From Frame {numbers[0]} to Frame {numbers[3]}.<|im_end|>\n"
        steps |= set(np.diff(numbers).tolist())
    assert len(steps) > 6  # neither the first number nor the distances can be guessed


def test_a_share_of_the_samples_is_numbered_as_sorted_and_the_rest_as_usual(families: dict[str, Loaded]) -> None:
    loaded = families["longva"]
    collator = collator_of(loaded, data__sorted_share=0.5, data__highest_number=99, numpro__max_frames=8)
    usual = [drawn_numbers(collator, raw_sample(loaded, 4, epoch=epoch))[0] == [0, 1, 2, 3] for epoch in range(40)]
    assert 10 < sum(usual) < 30


def test_answers_name_the_random_numbers_of_a_thinned_videos_frames(families: dict[str, Loaded]) -> None:
    """Of 20 frames 8 are shown, and fewer numbers are allowed than there are frames."""
    loaded = families["longva"]
    collator = collator_of(loaded, data__numbering="random", data__highest_number=9, numpro__max_frames=8)
    conversation = [turn("user", "Where is it?"), turn("assistant", "On ", 5, ", then ", 19, ".")]
    numbers, sample = drawn_numbers(collator, raw_sample(loaded, 20, conversation=conversation))
    assert len(set(numbers)) == 8
    assert max(numbers) <= 9
    assert kept_numbers(20, 8).tolist().index(5) == 2
    assert learned(loaded, sample) == f"On {numbers[2]}, then {numbers[7]}.<|im_end|>\n"
    batch = collator([raw_sample(loaded, 20, conversation=[turn("user", "Where?"), turn("assistant", "On ", 6, ".")])])
    [(name, reason)] = batch["unreadable"]
    assert name == "made/v#0"
    assert reason.startswith("the answer names frame 6, which is not among the 8 frames that are shown")


def test_offset_does_not_shift_a_video_with_too_many_frames(families: dict[str, Loaded]) -> None:
    numbers, _ = drawn_numbers(
        collator_of(families["longva"], data__numbering="offset", data__highest_number=3), raw_sample(families["longva"], 6)
    )
    assert numbers == list(range(6))


def test_drawn_numbers_do_not_change_times(families: dict[str, Loaded]) -> None:
    loaded = families["qwen2_5_vl"]
    grid, _ = collator_of(loaded).sample(raw_sample(loaded, 4))
    random, _ = collator_of(loaded, data__numbering="random").sample(raw_sample(loaded, 4))
    assert torch.equal(grid["second_per_grid_ts"], random["second_per_grid_ts"])


def test_font_size_jitter_stays_within_its_range(families: dict[str, Loaded], monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, sizes = families["longva"], set()
    show = collator_module.show
    monkeypatch.setattr(collator_module, "show", lambda f, s, **given: sizes.add(s.style.font_size) or show(f, s, **given))
    collator = collator_of(loaded, data__font_size_jitter=0.1)
    for epoch in range(40):
        collator.sample(raw_sample(loaded, 1, epoch=epoch))
    sizes.discard(40)  # of the blank videos that lengths are estimated with
    assert min(sizes) == pytest.approx(36)
    assert max(sizes) == pytest.approx(44)
    assert len(sizes) > 5


# --- long samples ------------------------------------------------------------------------------------------------------------------


def test_a_video_of_240_frames_keeps_all_of_them(small: Loaded) -> None:
    sample, frames = collator_of(small).sample(raw_sample(small, 240))
    assert frames == 240
    assert (sample["input_ids"] == small.processor.video_token_id).sum() == 240 * 4
    assert learned(small, sample) == "From Frame 0 to Frame 239.<|im_end|>\n"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tight", [0, 1, 2])
def test_a_sample_over_the_token_budget_loses_frames_but_not_its_answer(families: dict[str, Loaded], family: str, tight: int) -> None:
    loaded = families[family]
    lengths = {n: collator_of(loaded).sample(raw_sample(loaded, n, name="x"))[0]["input_ids"].shape[1] for n in (9, 10)}
    budget = lengths[9] - tight
    numbers, sample = drawn_numbers(collator_of(loaded, data__max_tokens=budget), raw_sample(loaded, 20, name="x"))
    assert sample["input_ids"].shape[1] <= budget
    kept = len(numbers)
    text = 40  # for the answer's two-digit numbers and Qwen3-VL's longer times
    assert sample["input_ids"].shape[1] > budget - text - (lengths[10] - lengths[9] or 2 * 144)
    assert numbers == np.linspace(0, 19, kept).astype(int).tolist()
    assert learned(loaded, sample).startswith("From Frame 0 to Frame 19.<|im_end|>")


def test_max_frames_thins_as_evaluation_does(small: Loaded) -> None:
    collator = collator_of(small, numpro__max_frames=7)
    sample, frames = collator.sample(raw_sample(small, 30))
    assert frames == 7
    expected = decode_frames([raw_sample(small, 30).row["frames"][k] for k in np.linspace(0, 29, 7).astype(int)], small.family.frame_size)
    # Digits are not readable in sixteen pixels, but the frames differ in the corner without a number.
    shown = sample["pixel_values_videos"][0][:, :, :2, :2]
    assert torch.equal(shown, small.processor.pixel_values(expected)[:, :, :2, :2])


@given(count=st.integers(1, 400), stored=st.integers(1, 300), shown=st.integers(1, 300))
def test_frames_of_a_thinned_shard_are_those_that_evaluation_shows_or_their_neighbours(count: int, stored: int, shown: int) -> None:
    row = {"duration_s": count / 0.5, "fps": 0.5}
    numbers = kept_numbers(count, stored)
    kept = collator_module._kept_indices(row, numbers, shown)
    expected = kept_numbers(count, shown)
    assert len(kept) == len(set(kept.tolist())) == min(len(numbers), shown)
    assert (np.diff(kept) > 0).all()
    if count <= stored:
        assert numbers[kept].tolist() == expected.tolist()
    elif shown < len(numbers):
        distances = np.abs(numbers[:, None] - expected)
        if len(set(distances.argmin(0))) == shown:
            assert (np.abs(numbers[kept] - expected) == distances.min(0)).all()


def test_fitting_the_token_budget_takes_few_attempts_even_with_times_in_the_text(families: dict[str, Loaded]) -> None:
    loaded = families["qwen3_vl"]
    collator = collator_of(loaded, data__max_tokens=3000, numpro__max_frames=100)
    attempts: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        encode = type(loaded.family).encode
        patch.setattr(type(loaded.family), "encode", lambda self, *args: attempts.append(1) or encode(self, *args))
        sample, _ = collator.sample(raw_sample(loaded, 100))
    assert len(attempts) <= 6
    assert 3000 - 150 < sample["input_ids"].shape[1] <= 3000


def test_a_budget_without_room_for_one_frame_is_reported(small: Loaded) -> None:
    batch = collator_of(small, data__max_tokens=30)([raw_sample(small, 3)])
    assert batch["unreadable"][0][0] == "made/v#0"
    assert "data.max_tokens=30: raise it" in batch["unreadable"][0][1]
    assert (batch["labels"] == IGNORED).all()


# --- unreadable samples ------------------------------------------------------------------------------------------------------------


def damaged(loaded: Loaded, damage: str) -> RawSample:
    raw = raw_sample(loaded, 3, name=damage)
    frames = list(raw.row["frames"])
    size = loaded.family.frame_size
    frames[1] = {
        "truncated": frames[1][:-20],
        "noise": b"\xff\xd8" + b"\0" * 50 + b"\xff\xd9",
        "empty": b"",
        "other size": cv2.imencode(".jpg", np.zeros((size[1] // 2, size[0], 3), np.uint8))[1].tobytes(),
    }[damage]
    return replace(raw, row={**raw.row, "frames": frames})


@pytest.mark.parametrize("damage", ["truncated", "noise", "empty", "other size"])
def test_a_sample_with_a_damaged_picture_is_reported_and_has_no_labels(small: Loaded, damage: str) -> None:
    good = raw_sample(small, 3, name="good")
    batch = collator_of(small)([damaged(small, damage), good])
    [(name, reason)] = batch["unreadable"]
    assert name == f"made/{damage}#0"
    assert "picture 1" in reason
    assert learned(small, batch, 0) == ""
    assert learned(small, batch, 1) == "From Frame 0 to Frame 2.<|im_end|>\n"
    assert batch["frames"] == 3


QUESTION, ANSWER = question(0, 0, 1)


@pytest.mark.parametrize("conversation", [[], [QUESTION], [QUESTION, turn("assistant", "")], [ANSWER]])
def test_a_conversation_without_question_and_answer_is_reported(small: Loaded, conversation: list[dict[str, Any]]) -> None:
    batch = collator_of(small)([raw_sample(small, 2, conversation=conversation)])
    assert [name for name, _ in batch["unreadable"]] == ["made/v#0"]
    assert (batch["labels"] == IGNORED).all()


def test_all_turns_and_all_conversations_are_learned(small: Loaded) -> None:
    turns = [*question(0, 0, 1), *question(1, 1, 2)]
    batch = collator_of(small)([raw_sample(small, 3, conversation=turns)])
    assert learned(small, batch) == "From Frame 0 to Frame 1.From Frame 1 to Frame 2.<|im_end|>\n"
    row = video_row("w", 6.0, conversations=3, size=small.family.frame_size)
    assert [learned(small, collator_of(small)([RawSample("w", row, k)]))[11] for k in range(3)] == ["0", "1", "2"]


# --- the reference's figures -------------------------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize(("adapter", "name"), [(None, "base.b1_v5"), ("adapter-tiny", "adapter.b1_v5")])
def test_loss_labels_and_ids_equal_the_references(shared: Path, monkeypatch: pytest.MonkeyPatch, adapter: str | None, name: str) -> None:
    golden = shared / "golden" / "longva"
    loaded = load_model(golden / "longva-tiny", golden / adapter if adapter else None)
    batch = golden_batch(golden, loaded, monkeypatch)
    case = load_file(golden / f"{name}.safetensors")
    assert torch.equal(batch["labels"], case["expanded_labels"])
    text = batch["input_ids"][batch["input_ids"] != loaded.processor.video_token_id]
    assert torch.equal(text, case["input_ids"][case["input_ids"] >= 0])
    assert abs(answer_loss(loaded.model, batch).item() - case["loss"].item()) < 1e-5


@pytest.mark.shared
@pytest.mark.parametrize("saving", [False, True])
def test_gradients_equal_those_of_a_plain_computation(shared: Path, monkeypatch: pytest.MonkeyPatch, saving: bool) -> None:
    """Logits of answers only, with layers recomputed and tiled, against all logits at once: LoRA and projector to 1e-4."""
    golden = shared / "golden" / "longva"
    grads = []
    for plain in (True, False):
        loaded = load_model(golden / "longva-tiny")
        changes = {"memory__gradient_checkpointing": saving, "memory__tiling": "all" if saving else "none", "memory__tile_tokens": 32}
        recipe = recipe_of(loaded, lora__dropout=0.0, **({} if plain else changes))
        torch.manual_seed(3)
        model = make_trainable(loaded.model, loaded.family, recipe)
        for parameter_name, parameter in model.named_parameters():
            if "lora_B" in parameter_name:
                torch.nn.init.normal_(parameter, std=0.05)
        batch = golden_batch(golden, loaded, monkeypatch)
        loss = model(**batch, use_cache=False).loss if plain else answer_loss(model, batch)
        loss.backward()
        grads.append({n: p.grad for n, p in model.named_parameters() if p.requires_grad})
    assert grads[0].keys() == grads[1].keys()
    assert any("lora_A" in n for n in grads[0])
    assert any("multi_modal_projector" in n for n in grads[0])
    for parameter_name, expected in grads[0].items():
        error = (grads[1][parameter_name] - expected).norm() / expected.norm()
        assert expected.norm() > 0, parameter_name
        assert error < 1e-4, parameter_name


def golden_batch(golden: Path, loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """The golden video and conversation through the collator. Decoding is replaced with its frames, because JPEG would change them."""
    frames = load_file(golden / "frames.safetensors")["frames_a"].numpy()
    monkeypatch.setattr(collator_module, "decode_frames", lambda pictures, size: frames.copy())
    conversation = [turn("user", "During which frames can we see a person opens the door?"), turn("assistant", "From ", 1, " to ", 3, ".")]
    row = {"duration_s": 10.0, "fps": 0.5, "frames": [b""] * 5, "conversations": [conversation]}
    batch = collator_of(loaded, numpro__numbers=False)([RawSample("golden", row)])
    return {name: value for name, value in batch.items() if isinstance(value, torch.Tensor)}
