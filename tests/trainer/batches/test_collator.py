"""A row becomes numbered frames, a question and a learned answer; nothing is cut, and nothing is replaced without a word."""

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
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Loaded]:
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


def drawn_numbers(collator: Collator, item: RawSample) -> tuple[list[int], dict[str, torch.Tensor]]:
    """What stands on the frames of the item's sample, and the sample."""
    seen: list[np.ndarray] = []
    with pytest.MonkeyPatch.context() as patch:
        prepare = type(collator.family).prepare
        patch.setattr(
            type(collator.family), "prepare", lambda self, frames, p: seen.append(frames.pixels.copy()) or prepare(self, frames, p)
        )
        sample, count = collator.sample(item)
    assert len(seen[-1]) == count
    return [read_number(frame) for frame in seen[-1]], sample


# --- the batch ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_of_every_family(opened: dict[str, Loaded], family: str) -> None:
    loaded = opened[family]
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
    together = answer_loss(loaded.model, inputs).item()
    alone = [collator([raw_sample(loaded, frames, name=name)]) for name, frames in (("a", 4), ("b", 2))]
    losses = [answer_loss(loaded.model, {k: v for k, v in one.items() if isinstance(v, torch.Tensor)}, num_items=1).item() for one in alone]
    count = (batch["labels"] != IGNORED).sum().item()
    assert together == pytest.approx(sum(losses) / count, rel=1e-5)  # the filler weighs nothing


@pytest.mark.parametrize("family", FAMILIES)
def test_frames_carry_their_numbers(opened: dict[str, Loaded], family: str) -> None:
    loaded = opened[family]
    numbers, sample = drawn_numbers(collator_of(loaded), raw_sample(loaded, 4))
    assert numbers == [0, 1, 2, 3]
    assert moment_prompt("event 0") in input_text(loaded, sample)


def test_frames_that_the_model_does_not_take(opened: dict[str, Loaded]) -> None:
    with pytest.raises(NumProError, match=r"numpro\.frame_size=\(336, 336\), but qwen3_vl takes \(320, 320\)"):
        Collator(opened["qwen3_vl"].family, opened["qwen3_vl"].processor, load_recipe("tiny"))


# --- numbers -----------------------------------------------------------------------------------------------------------------------


def test_without_numbers_nothing_is_drawn_and_no_word_about_them_remains(opened: dict[str, Loaded]) -> None:
    loaded = opened["longva"]
    collator = collator_of(loaded, numpro__numbers=False)
    item = raw_sample(loaded, 3)
    sample, _ = collator.sample(item)
    pixels = decode_frames(item.row["frames"], loaded.family.frame_size)
    assert torch.equal(sample["pixel_values_videos"][0], loaded.processor.pixel_values(pixels))
    assert moment_prompt("event 0", numbers=False) in input_text(loaded, sample)
    assert NUMBERS_SENTENCE not in input_text(loaded, sample)
    asked = [turn("user", highlight_prompt("a dog", kind="ft")), turn("assistant", "The highlight frames are in the ", 1, " frames.")]
    sample, _ = collator.sample(raw_sample(loaded, 3, conversation=asked))
    assert "user\n\n" + highlight_prompt("a dog", kind="ft", numbers=False) in input_text(loaded, sample)


def test_offset_shifts_frames_and_answer_alike(opened: dict[str, Loaded]) -> None:
    loaded, firsts = opened["longva"], set()
    collator = collator_of(loaded, data__numbering="offset", data__highest_number=50)
    for epoch in range(6):
        numbers, sample = drawn_numbers(collator, raw_sample(loaded, 4, epoch=epoch))
        assert numbers == list(range(numbers[0], numbers[0] + 4))
        assert numbers[-1] <= 50
        assert learned(loaded, sample) == f"From Frame {numbers[0]} to Frame {numbers[3]}.<|im_end|>\n"
        assert drawn_numbers(collator, raw_sample(loaded, 4, epoch=epoch))[0] == numbers
        firsts.add(numbers[0])
    assert len(firsts) > 3


def test_random_numbers_are_read_off_the_frames(opened: dict[str, Loaded]) -> None:
    loaded = opened["longva"]
    collator = collator_of(loaded, data__numbering="random", data__highest_number=99, numpro__max_frames=8)
    conversation = [turn("user", "Where is it?"), turn("assistant", "On ", 2, ", then ", 0, ".")]
    numbers, sample = drawn_numbers(collator, raw_sample(loaded, 4, conversation=conversation))
    assert len(set(numbers)) == 4
    assert numbers != sorted(numbers)  # with this seed
    assert max(numbers) <= 99
    assert learned(loaded, sample) == f"On {numbers[2]}, then {numbers[0]}.<|im_end|>\n"
    unseen = [turn("user", "Where?"), turn("assistant", "On ", 7, ".")]
    with pytest.raises(NumProError, match="frame 7 is named but not among the 4 that are shown"):
        collator.sample(raw_sample(loaded, 4, conversation=unseen))


def test_random_numbers_of_a_thinned_video_are_read_off_its_frames_too(opened: dict[str, Loaded]) -> None:
    """Of 20 frames 8 are shown, and fewer numbers are allowed than there are frames."""
    loaded = opened["longva"]
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
    assert reason.startswith("frame 6 is named but not among the 8 that are shown, and")


def test_offset_leaves_a_video_that_is_too_long_for_it(opened: dict[str, Loaded]) -> None:
    numbers, _ = drawn_numbers(
        collator_of(opened["longva"], data__numbering="offset", data__highest_number=3), raw_sample(opened["longva"], 6)
    )
    assert numbers == list(range(6))


def test_times_stay_true_whatever_is_drawn(opened: dict[str, Loaded]) -> None:
    loaded = opened["qwen2_5_vl"]
    true, _ = collator_of(loaded).sample(raw_sample(loaded, 4))
    drawn, _ = collator_of(loaded, data__numbering="random").sample(raw_sample(loaded, 4))
    assert torch.equal(true["second_per_grid_ts"], drawn["second_per_grid_ts"])


def test_font_size_jitter_stays_within_its_width(opened: dict[str, Loaded], monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, sizes = opened["longva"], set()
    draw = collator_module.draw_numbers
    monkeypatch.setattr(collator_module, "draw_numbers", lambda p, n, style: sizes.add(style.font_size) or draw(p, n, style))
    collator = collator_of(loaded, data__font_size_jitter=0.1)
    for epoch in range(40):
        collator.sample(raw_sample(loaded, 1, epoch=epoch))
    assert min(sizes) == pytest.approx(36)
    assert max(sizes) == pytest.approx(44)
    assert len(sizes) > 5


# --- long samples ------------------------------------------------------------------------------------------------------------------


def test_a_long_video_trains_in_full(small: Loaded) -> None:
    sample, frames = collator_of(small).sample(raw_sample(small, 240))
    assert frames == 240
    assert (sample["input_ids"] == small.processor.video_token_id).sum() == 240 * 4
    assert learned(small, sample) == "From Frame 0 to Frame 239.<|im_end|>\n"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tight", [0, 1, 2])
def test_over_the_budget_frames_go_and_the_answer_stays(opened: dict[str, Loaded], family: str, tight: int) -> None:
    loaded = opened[family]
    lengths = {n: collator_of(loaded).sample(raw_sample(loaded, n, name="x"))[0]["input_ids"].shape[1] for n in (9, 10)}
    budget = lengths[9] - tight
    numbers, sample = drawn_numbers(collator_of(loaded, data__max_tokens=budget), raw_sample(loaded, 20, name="x"))
    assert sample["input_ids"].shape[1] <= budget
    kept = len(numbers)
    text = 40  # the answer's numbers have two digits, and Qwen3-VL's times more
    assert sample["input_ids"].shape[1] > budget - text - (lengths[10] - lengths[9] or 2 * 144)
    assert numbers == np.linspace(0, 19, kept).astype(int).tolist()
    assert learned(loaded, sample).startswith("From Frame 0 to Frame 19.<|im_end|>")


def test_max_frames_thins_as_evaluation_does(small: Loaded) -> None:
    collator = collator_of(small, numpro__max_frames=7)
    sample, frames = collator.sample(raw_sample(small, 30))
    assert frames == 7
    wanted = decode_frames([raw_sample(small, 30).row["frames"][k] for k in np.linspace(0, 29, 7).astype(int)], small.family.frame_size)
    # Sixteen pixels are too few for digits to be read, but the corner without them tells the frames apart.
    shown = sample["pixel_values_videos"][0][:, :, :2, :2]
    assert torch.equal(shown, small.processor.pixel_values(wanted)[:, :, :2, :2])


@given(count=st.integers(1, 400), there=st.integers(1, 300), shown=st.integers(1, 300))
def test_frames_of_a_thinned_shard_are_those_that_evaluation_shows_or_their_neighbours(count: int, there: int, shown: int) -> None:
    row = {"duration_s": count / 0.5, "fps": 0.5}
    numbers = kept_numbers(count, there)
    kept = collator_module._kept_positions(row, numbers, shown)
    wanted = kept_numbers(count, shown)
    assert len(kept) == len(set(kept.tolist())) == min(len(numbers), shown)
    assert (np.diff(kept) > 0).all()
    if count <= there:
        assert numbers[kept].tolist() == wanted.tolist()
    elif shown < len(numbers):
        away = np.abs(numbers[:, None] - wanted)
        if len(set(away.argmin(0))) == shown:
            assert (np.abs(numbers[kept] - wanted) == away.min(0)).all()


def test_how_many_frames_fit_is_found_quickly_even_with_times_in_the_text(opened: dict[str, Loaded]) -> None:
    loaded = opened["qwen3_vl"]
    collator = collator_of(loaded, data__max_tokens=3000, numpro__max_frames=100)
    tried: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        encode = type(loaded.family).encode
        patch.setattr(type(loaded.family), "encode", lambda self, *args: tried.append(1) or encode(self, *args))
        sample, _ = collator.sample(raw_sample(loaded, 100))
    assert len(tried) <= 6
    assert 3000 - 150 < sample["input_ids"].shape[1] <= 3000


def test_a_budget_without_room_for_one_frame_is_reported(small: Loaded) -> None:
    batch = collator_of(small, data__max_tokens=30)([raw_sample(small, 3)])
    assert batch["unreadable"][0][0] == "made/v#0"
    assert "data.max_tokens=30: raise it" in batch["unreadable"][0][1]
    assert (batch["labels"] == IGNORED).all()


# --- what cannot be used ----------------------------------------------------------------------------------------------------------


def damaged(loaded: Loaded, how: str) -> RawSample:
    item = raw_sample(loaded, 3, name=how)
    frames = list(item.row["frames"])
    size = loaded.family.frame_size
    frames[1] = {
        "cut": frames[1][:-20],
        "noise": b"\xff\xd8" + b"\0" * 50 + b"\xff\xd9",
        "empty": b"",
        "other size": cv2.imencode(".jpg", np.zeros((size[1] // 2, size[0], 3), np.uint8))[1].tobytes(),
    }[how]
    return replace(item, row={**item.row, "frames": frames})


@pytest.mark.parametrize("how", ["cut", "noise", "empty", "other size"])
def test_a_damaged_picture_is_reported_and_teaches_nothing(small: Loaded, how: str) -> None:
    good = raw_sample(small, 3, name="good")
    batch = collator_of(small)([damaged(small, how), good])
    [(name, reason)] = batch["unreadable"]
    assert name == f"made/{how}#0"
    assert "picture 1" in reason
    assert learned(small, batch, 0) == ""
    assert learned(small, batch, 1) == "From Frame 0 to Frame 2.<|im_end|>\n"
    assert batch["frames"] == 3


ASKED, ANSWERED = question(0, 0, 1)


@pytest.mark.parametrize("conversation", [[], [ASKED], [ASKED, turn("assistant", "")], [ANSWERED]])
def test_a_conversation_that_teaches_nothing_is_reported(small: Loaded, conversation: list[dict[str, Any]]) -> None:
    batch = collator_of(small)([raw_sample(small, 2, conversation=conversation)])
    assert [name for name, _ in batch["unreadable"]] == ["made/v#0"]
    assert (batch["labels"] == IGNORED).all()


def test_several_turns_and_several_conversations(small: Loaded) -> None:
    turns = [*question(0, 0, 1), *question(1, 1, 2)]
    batch = collator_of(small)([raw_sample(small, 3, conversation=turns)])
    assert learned(small, batch) == "From Frame 0 to Frame 1.From Frame 1 to Frame 2.<|im_end|>\n"
    row = video_row("w", 6.0, conversations=3, size=small.family.frame_size)
    assert [learned(small, collator_of(small)([RawSample("w", row, k)]))[11] for k in range(3)] == ["0", "1", "2"]


# --- the reference's figures -------------------------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize(("adapter", "name"), [(None, "base.b1_v5"), ("adapter-tiny", "adapter.b1_v5")])
def test_loss_labels_and_ids_are_the_references(shared: Path, monkeypatch: pytest.MonkeyPatch, adapter: str | None, name: str) -> None:
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
def test_gradients_are_those_of_a_plain_computation(shared: Path, monkeypatch: pytest.MonkeyPatch, saving: bool) -> None:
    """Answer positions alone, layers recomputed and tiled, against all logits at once: LoRA and projector to 1e-4."""
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
    for parameter_name, wanted in grads[0].items():
        error = (grads[1][parameter_name] - wanted).norm() / wanted.norm()
        assert wanted.norm() > 0, parameter_name
        assert error < 1e-4, parameter_name


def golden_batch(golden: Path, loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """The golden video and conversation through the collator; JPEG would change its noise, so its frames stand in for decoded ones."""
    frames = load_file(golden / "frames.safetensors")["frames_a"].numpy()
    monkeypatch.setattr(collator_module, "decode_frames", lambda pictures, size: frames.copy())
    conversation = [turn("user", "During which frames can we see a person opens the door?"), turn("assistant", "From ", 1, " to ", 3, ".")]
    row = {"duration_s": 10.0, "fps": 0.5, "frames": [b""] * 5, "conversations": [conversation]}
    batch = collator_of(loaded, numpro__numbers=False)([RawSample("golden", row)])
    return {name: value for name, value in batch.items() if isinstance(value, torch.Tensor)}
