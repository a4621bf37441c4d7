"""LongVA: parity with the reference's own outputs, what the port must be able to do, and what it must refuse."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny_longva import PER_FRAME, SIDE, TOWER_NAME, add_adapter_by_hand, original_weights, save_tiny_adapter, save_tiny_longva
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, CLIPVisionModel, Qwen2Config, Qwen2ForCausalLM

from numpro_plugin.errors import NumProError
from numpro_plugin.longva import LongVAConfig, LongVAForConditionalGeneration, LongVAProcessor, load_adapter, load_longva

QUESTIONS = ["During which frames can we see a dog?", "A cat?"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_longva(tmp_path_factory.mktemp("tiny"), weights="sharded")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_adapter(tmp_path_factory.mktemp("adapter") / "a")


@pytest.fixture(scope="module")
def opened(tiny: Path):
    return load_longva(tiny)


@pytest.fixture(scope="module")
def golden(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue("shared") / "golden" / "longva"


def frames(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


def prompt(processor: LongVAProcessor, *texts: str, ask: bool = True) -> str:
    """A chat in which the video comes before the first text; roles alternate."""
    parts = [{"type": "video"}, {"type": "text", "text": texts[0]}]
    messages = [{"role": "user", "content": parts}]
    messages += [{"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate(texts[1:], start=1)]
    return processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)


def inputs_of(processor: LongVAProcessor, *counts: int):
    """A batch of one question a video, the videos of ``counts`` frames."""
    texts = [prompt(processor, question) for question in QUESTIONS[: len(counts)]]
    return processor(texts, videos=[frames(count, seed=k) for k, count in enumerate(counts)])


@torch.no_grad()
def logits_of(model, batch, **options) -> torch.Tensor:
    return model(**batch, **options).logits


def largest(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a.float() - b.float()).abs().max().item()


def copy_of(folder: Path, target: Path) -> Path:
    """A copy that may be changed, with the tower's folder still found above it."""
    shutil.copytree(folder, target)
    tower = folder.parent / TOWER_NAME
    if not (target.parent / TOWER_NAME).exists():
        shutil.copytree(tower, target.parent / TOWER_NAME)
    return target


def changed_weights(folder: Path, change) -> None:
    """Rewrite all weights as one file after ``change(state)``."""
    state = original_weights(folder)
    change(state)
    for file in folder.glob("model*"):
        file.unlink()
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


# --- parity with the reference's outputs -------------------------------------------------------------------------------------------


def expand(ids: list[int], frame_count: int, video: int, per_frame: int = 16) -> list[int]:
    return [out for token in ids for out in ([video] * (frame_count * per_frame) if token == -200 else [token])]


def golden_batch(golden: Path, case: dict[str, torch.Tensor], clips: str, video: int, *, left: bool = False) -> dict[str, torch.Tensor]:
    """Inputs of a golden case; ``clips`` names its videos ("a" has five frames, "b" three). Padded right as in the file, or left."""
    pixels = [load_file(golden / "frames.safetensors")[f"pixel_values_{clip}"] for clip in clips]
    masks = case.get("attention_mask", torch.ones_like(case["input_ids"])).bool()
    rows = [expand(ids[mask].tolist(), len(clip), video) for ids, mask, clip in zip(case["input_ids"], masks, pixels, strict=True)]
    length = max(map(len, rows))
    gaps = [[0] * (length - len(row)) for row in rows]
    ids = [gap + row if left else row + gap for gap, row in zip(gaps, rows, strict=True)]
    mask = [gap + [1] * len(row) if left else [1] * len(row) + gap for gap, row in zip(gaps, rows, strict=True)]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask), "pixel_values_videos": torch.cat(pixels)[None]}


def check_logits(logits: torch.Tensor, case: dict[str, torch.Tensor], *, left: bool = False) -> None:
    for row, (positions, wanted) in enumerate(zip(case["text_positions"], case["text_logits"], strict=True)):
        real = positions >= 0
        shift = logits.shape[1] - int(case["expanded_lengths"][row]) if left else 0
        assert largest(logits[row][positions[real] + shift], wanted[real]) < 5e-5


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "clips", "merge"),
    [("base.b1_v5", "a", False), ("base.b2", "ab", False), ("adapter.b1_v5", "a", False), ("adapter.b1_v5", "a", True)],
)
def test_logits_and_loss_are_the_references(golden: Path, name: str, clips: str, merge: bool) -> None:
    which = golden / "adapter-tiny" if name.startswith("adapter") else None
    model, processor = load_longva(golden / "longva-tiny", which, merge=merge)
    case = load_file(golden / f"{name}.safetensors")
    batch = golden_batch(golden, case, clips, processor.video_token_id)
    with torch.no_grad():
        out = model(**batch, labels=case["expanded_labels"])
    check_logits(out.logits, case)
    assert abs(out.loss.item() - case["loss"].item()) < 1e-5
    real = case["expanded_attention_mask"]
    assert largest(out.logits.mean(-1)[real], case["logits_all_mean"][real]) < 5e-5
    check_logits(logits_of(model, golden_batch(golden, case, clips, processor.video_token_id, left=True)), case, left=True)


@pytest.mark.shared
def test_adapter_in_a_batch_of_two(golden: Path) -> None:
    model, processor = load_longva(golden / "longva-tiny", golden / "adapter-tiny", merge=True)
    case = load_file(golden / "base.b2.safetensors")
    with torch.no_grad():
        out = model(**golden_batch(golden, case, "ab", processor.video_token_id), labels=case["expanded_labels"])
    assert abs(out.loss.item() - json.loads((golden / "expected_adapter.json").read_text())["adapter.b2"]["loss"]) < 1e-5


@pytest.mark.shared
def test_three_frames(golden: Path) -> None:
    model, processor = load_longva(golden / "longva-tiny")
    both = load_file(golden / "base.b2.safetensors")
    real = both["attention_mask"][1]
    case = {"input_ids": both["input_ids"][1][real][None]}
    batch = golden_batch(golden, case, "b", processor.video_token_id)
    with torch.no_grad():
        out = model(**batch, labels=both["expanded_labels"][1:, :86])
    assert batch["input_ids"].shape[1] == 86
    assert abs(out.loss.item() - json.loads((golden / "expected_base.json").read_text())["base.b1_v3"]["loss"]) < 1e-5


@pytest.mark.shared
def test_features_are_projected_before_they_are_pooled(golden: Path) -> None:
    model, _ = load_longva(golden / "longva-tiny")
    case = load_file(golden / "base.b1_v5.safetensors")
    pixels = load_file(golden / "frames.safetensors")["pixel_values_a"][None]
    with torch.no_grad():
        features = model.get_video_features(pixels).pooler_output
    assert largest(features.reshape(case["pooled"].shape), case["pooled"]) < 1e-5


@pytest.mark.shared
def test_without_the_tower_it_comes_from_its_own_folder(golden: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(golden / "longva-tiny", tmp_path / "pretrained" / "longva", copy_function=shutil.copyfile)
    shutil.copytree(golden / "openai", tmp_path / "openai")
    for file in [folder, *folder.iterdir()]:
        file.chmod(0o755)
    state = {name: value for name, value in original_weights(folder).items() if ".vision_tower." not in name}
    for file in folder.glob("model*"):
        file.unlink()
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    model, processor = load_longva(folder)
    expected = json.loads((golden / "expected_base.json").read_text())
    for name, clips in (("base.b1_v5", "a"), ("base.b2", "ab")):
        case = load_file(golden / f"{name}.safetensors")
        with torch.no_grad():
            out = model(**golden_batch(golden, case, clips, processor.video_token_id), labels=case["expanded_labels"])
        assert abs(out.loss.item() - expected[name.replace("base", "base_novt")]["loss"]) < 1e-5
    case = load_file(golden / "base.generation.safetensors")
    batch = golden_batch(golden, {"input_ids": case["b1_v5.input_ids"]}, "a", processor.video_token_id)
    for penalty in (1.0, 1.05):
        assert generated(model, batch, penalty) == [expected[f"base_novt.gen.b1_v5.rp{penalty}"]["ids"][1:]]


def generated(model, batch, penalty: float | None = 1.0, **options) -> list[list[int]]:
    out = model.generate(**batch, do_sample=False, max_new_tokens=12, repetition_penalty=penalty, **options)
    return out[:, batch["input_ids"].shape[1] :].tolist()


@pytest.mark.shared
@pytest.mark.parametrize("which", ["base", "adapter"])
@pytest.mark.parametrize("penalty", [1.0, 1.05, None])
def test_greedy_ids_are_the_references(golden: Path, which: str, penalty: float | None) -> None:
    """The first golden id is the ``bos`` that transformers 4.37 put before what it generated. None: what generation_config.json says."""
    model, processor = load_longva(golden / "longva-tiny", golden / "adapter-tiny" if which == "adapter" else None)
    cases = load_file(golden / f"{which}.generation.safetensors")
    for name, clip in (("b1_v5", "a"), ("b1_v3", "b")):
        if f"{name}.input_ids" in cases:
            batch = golden_batch(golden, {"input_ids": cases[f"{name}.input_ids"]}, clip, processor.video_token_id)
            assert generated(model, batch, penalty) == cases[f"{name}.generated_rp{penalty or 1.05}"][:, 1:].tolist()
    if which == "base" and penalty == 1.0:
        both = {"input_ids": cases["b2.input_ids"], "attention_mask": cases["b2.attention_mask"]}
        batch = golden_batch(golden, both, "ab", processor.video_token_id, left=True)
        assert generated(model, batch) == cases["b2.generated_leftpad"][:, 1:].tolist()


@pytest.mark.shared
def test_text_alone(golden: Path) -> None:
    model, _ = load_longva(golden / "longva-tiny")
    case = load_file(golden / "base.generation.safetensors")
    assert largest(logits_of(model, {"input_ids": case["textonly.input_ids"]}), case["textonly.logits"]) < 5e-5


@pytest.mark.shared
def test_prompts_ids_and_pixels_are_the_references(golden: Path) -> None:
    _, processor = load_longva(golden / "longva-tiny")
    for name in ("mr_real", "hd_real"):
        wanted = (golden / f"prompt_{name}.txt").read_text()
        assert json.loads((golden / f"prompt_{name}.json").read_text())["prompt"] == wanted
        question = wanted.split("<image>\n")[1].split("<|im_end|>")[0]
        assert prompt(processor, question) == wanted
    cases, data = load_file(golden / "base.generation.safetensors"), load_file(golden / "frames.safetensors")
    texts = [(golden / f"prompt_{name}.txt").read_text() for name in "ab"]
    batch = processor(texts, videos=[data["frames_a"], data["frames_b"].numpy()])
    for row, (name, count) in enumerate((("b1_v5", 5), ("b1_v3", 3))):
        wanted_ids = expand(cases[f"{name}.input_ids"][0].tolist(), count, processor.video_token_id)
        assert batch["input_ids"][row][batch["attention_mask"][row].bool()].tolist() == wanted_ids
    assert largest(batch["pixel_values_videos"][0], torch.cat([data["pixel_values_a"], data["pixel_values_b"]])) < 1e-6
    assert largest(processor.pixel_values(data["frames_rect"]), data["pixel_values_rect_eval"]) < 1e-6
    assert processor.tokenizer.padding_side == "left"


@pytest.mark.shared
def test_golden_adapter_with_clip_lora_is_w_plus_b_times_a(golden: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(golden / "adapter-tiny", tmp_path / "adapter", copy_function=shutil.copyfile)
    for file in [changed, *changed.iterdir()]:
        file.chmod(0o755)
    state = load_file(changed / "adapter_model.safetensors")
    torch.manual_seed(3)
    for name, value in state.items():
        if ".vision_tower." in name and "lora_B" in name:
            assert not value.any()  # the reference's stay 0
            state[name] = (torch.randn(value.shape) * 0.1).to(value.dtype)
    save_file(state, changed / "adapter_model.safetensors", metadata={"format": "pt"})
    shutil.copytree(golden / "openai", tmp_path / "openai")
    by_hand, processor = load_longva(add_adapter_by_hand(golden / "longva-tiny", changed, tmp_path / "by-hand"))
    case = load_file(golden / "base.b2.safetensors")
    batch = golden_batch(golden, case, "ab", processor.video_token_id)
    without, _ = load_longva(golden / "longva-tiny", golden / "adapter-tiny")
    real = case["expanded_attention_mask"]
    wanted = logits_of(by_hand, batch)[real]
    assert largest(logits_of(without, batch)[real], wanted) > 0.1
    for merge in (False, True):
        model, _ = load_longva(golden / "longva-tiny", changed, merge=merge)
        assert largest(logits_of(model, batch)[real], wanted) < 5e-5


# --- the tiny checkpoint made here -------------------------------------------------------------------------------------------------


def test_forward_equals_its_parts_put_together_by_hand(tiny: Path, opened) -> None:
    model, processor = opened
    batch = inputs_of(processor, 3)
    state, config = original_weights(tiny), json.loads((tiny / "config.json").read_text())
    tower = CLIPVisionModel.from_pretrained(tiny.parent / TOWER_NAME)
    with torch.no_grad():
        x = tower(batch["pixel_values_videos"][0], output_hidden_states=True).hidden_states[-2][:, 1:]
        for k in (0, 2):
            x = nn.functional.linear(x, state[f"model.mm_projector.{k}.weight"], state[f"model.mm_projector.{k}.bias"])
            x = nn.functional.gelu(x) if k == 0 else x
        n, patches, width = x.shape
        side = int(patches**0.5)
        x = x.reshape(n, side // 2, 2, side // 2, 2, width).mean((2, 4)).reshape(-1, width)
        qwen = Qwen2ForCausalLM(Qwen2Config(**config)).eval()
        outcome = qwen.load_state_dict({k: v for k, v in state.items() if "vision" not in k and "projector" not in k}, strict=False)
        assert not outcome.missing_keys
        ids = batch["input_ids"][0]
        start = ids.tolist().index(processor.video_token_id)
        table = state["model.embed_tokens.weight"]
        embeds = torch.cat([table[ids[:start]], x, table[ids[start + len(x) :]]])
        wanted = qwen(inputs_embeds=embeds[None]).logits
    assert len(x) == 3 * PER_FRAME == 3 * model.config.tokens_per_frame
    assert largest(logits_of(model, batch), wanted) < 2e-5


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_left_padded_batch_of_unequal_videos_equals_the_single_runs(tiny: Path, attention: str) -> None:
    model, processor = load_longva(tiny, attn_implementation=attention)
    batch = inputs_of(processor, 7, 2)
    assert batch["pixel_values_videos"].shape == (1, 9, 3, SIDE, SIDE)
    assert not batch["attention_mask"][1, 0]
    assert batch["attention_mask"][:, -1].all()
    together, answers = logits_of(model, batch), generated(model, batch)
    for row, count in enumerate((7, 2)):
        text = prompt(processor, QUESTIONS[row])
        single = processor(text, videos=[frames(count, seed=row)])
        alone = logits_of(model, single)
        assert largest(together[row, -alone.shape[1] :], alone[0]) < 5e-5
        assert [answers[row]] == generated(model, single)


def test_several_turns_and_several_videos_in_one_prompt(opened) -> None:
    model, processor = opened
    text = prompt(processor, "What is it?", "A dog.", "When?")
    assert text == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<image>\nWhat is it?<|im_end|>\n"
        "<|im_start|>assistant\nA dog.<|im_end|>\n<|im_start|>user\nWhen?<|im_end|>\n<|im_start|>assistant\n"
    )
    single = processor(text, videos=[frames(3)])
    other = processor(prompt(processor, "Hm?"), videos=[frames(2, seed=5)])
    joined = processor(text + prompt(processor, "Hm?"), videos=[frames(3), frames(2, seed=5)])
    assert torch.equal(joined["input_ids"], torch.cat([single["input_ids"], other["input_ids"]], dim=1))
    start = single["input_ids"].shape[1]
    assert largest(logits_of(model, joined)[:, :start], logits_of(model, single)) < 5e-5


@pytest.mark.parametrize(("tower", "weights"), [("inside", "safetensors"), ("inside", "bin"), ("outside", "sharded"), ("outside", "bin")])
def test_every_layout_opens_to_the_same_model(tiny: Path, opened, tmp_path: Path, tower: str, weights: str) -> None:
    other, processor = load_longva(save_tiny_longva(tmp_path / "deep" / "er", tower=tower, weights=weights))
    batch = inputs_of(processor, 4, 2)
    assert torch.equal(logits_of(other, batch), logits_of(opened[0], batch))


def test_the_checkpoints_own_tower_wins(tiny: Path, opened, tmp_path: Path) -> None:
    """The released tower was tuned: it is not OpenAI's."""
    folder = copy_of(tiny, tmp_path / "longva")
    file = tmp_path / TOWER_NAME / "pytorch_model.bin"
    torch.save({name: value * 0 for name, value in torch.load(file, weights_only=True).items()}, file)
    model, processor = load_longva(folder)
    batch = inputs_of(processor, 2)
    assert torch.equal(logits_of(model, batch), logits_of(opened[0], batch))


def test_tied_embeddings(tmp_path: Path) -> None:
    model, _ = load_longva(save_tiny_longva(tmp_path, tied=True))
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight
    model.save_pretrained(tmp_path / "saved")
    assert load_longva_model(tmp_path / "saved").lm_head.weight.equal(model.lm_head.weight)


def load_longva_model(folder: Path):
    return LongVAForConditionalGeneration.from_pretrained(folder)


def test_what_is_saved_opens_again(opened, tmp_path: Path) -> None:
    model, processor = opened
    batch = inputs_of(processor, 3, 5)
    wanted = logits_of(model, batch)
    for folder in (tmp_path / "one", tmp_path / "two"):
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        model, processor = load_longva(folder)
        assert torch.equal(logits_of(model, batch), wanted)
    names = set(load_file(tmp_path / "one" / "model.safetensors"))
    assert "model.multi_modal_projector.linear_1.weight" in names
    assert not any("mm_projector" in name or name.startswith("model.layers") for name in names)
    assert isinstance(AutoConfig.from_pretrained(tmp_path / "two"), LongVAConfig)
    auto, auto_processor = AutoModelForImageTextToText.from_pretrained(tmp_path / "two"), AutoProcessor.from_pretrained(tmp_path / "two")
    assert isinstance(auto, LongVAForConditionalGeneration)
    assert isinstance(auto_processor, LongVAProcessor)
    again = inputs_of(auto_processor, 3, 5)
    assert all(torch.equal(again[name], batch[name]) for name in batch)
    assert torch.equal(logits_of(auto, again), wanted)
    assert auto.generation_config.pad_token_id == opened[0].generation_config.pad_token_id


@pytest.mark.parametrize("merge", [False, True])
def test_adapter_is_w_plus_b_times_a_on_every_module(tiny: Path, adapter: Path, tmp_path: Path, merge: bool) -> None:
    shutil.copytree(tiny.parent / TOWER_NAME, tmp_path / TOWER_NAME)
    by_hand, processor = load_longva(add_adapter_by_hand(tiny, adapter, tmp_path / "by-hand"))
    model, _ = load_longva(tiny, adapter, merge=merge)
    batch = inputs_of(processor, 4, 2)
    assert largest(logits_of(model, batch), logits_of(by_hand, batch)) < 1e-4
    assert generated(model, batch) == generated(by_hand, batch)
    assert isinstance(model, LongVAForConditionalGeneration) is merge
    if merge:
        model.save_pretrained(tmp_path / "merged")
        assert torch.equal(logits_of(load_longva_model(tmp_path / "merged"), batch), logits_of(model, batch))


def test_adapter_in_the_new_models_names(tiny: Path, adapter: Path, opened, tmp_path: Path) -> None:
    """PEFT's own folder holds all of a reference adapter, projector included, and opens the same way."""
    model, processor = load_longva(tiny, adapter)
    batch = inputs_of(processor, 4, 2)
    wanted = logits_of(model, batch)
    model.save_pretrained(tmp_path / "ours")
    names = set(load_file(tmp_path / "ours" / "adapter_model.safetensors"))
    assert "base_model.model.model.multi_modal_projector.linear_1.weight" in names
    assert "base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_A.weight" in names
    again, _ = load_longva(tiny, tmp_path / "ours")
    assert torch.equal(logits_of(again, batch), wanted)
    state = load_file(adapter / "adapter_model.safetensors")
    older = shutil.copytree(adapter, tmp_path / "older")
    (older / "adapter_model.safetensors").unlink()
    torch.save(state, older / "adapter_model.bin")
    assert torch.equal(logits_of(load_longva(tiny, older)[0], batch), wanted)
    with model.disable_adapter():
        assert torch.equal(logits_of(model, batch), logits_of(opened[0], batch))


def test_adapter_of_plain_peft_without_a_projector(tiny: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    model, processor = load_longva(tiny)
    torch.manual_seed(5)
    rule = r".*language_model.*\.(q_proj|down_proj)"
    trained = get_peft_model(model, LoraConfig(r=2, target_modules=rule, init_lora_weights=False)).eval()
    batch = inputs_of(processor, 3)
    wanted = logits_of(trained, batch)
    trained.save_pretrained(tmp_path / "ours")
    again, _ = load_longva(tiny, tmp_path / "ours")
    assert torch.equal(logits_of(again, batch), wanted)
    with pytest.raises(NumProError, match="2 layers, fewer than the 3 here"):
        load_longva(save_tiny_longva(tmp_path, layers=3), tmp_path / "ours")


def gradients(model, batch, *, checkpointing: bool) -> dict[str, torch.Tensor]:
    if checkpointing:
        model.gradient_checkpointing_enable()
        layers = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]
        assert len(layers) >= 5  # two of the language model, three of the tower
    model.train()
    model.zero_grad()
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    labels[:, :-20] = -100
    model(**batch, labels=labels, use_cache=False).loss.backward()
    return {name: value.grad for name, value in model.named_parameters() if value.grad is not None}


@pytest.mark.slow
def test_gradient_checkpointing_gives_the_same_gradients(tiny: Path, adapter: Path) -> None:
    for which in (None, adapter):
        plain, processor = load_longva(tiny, which, trainable=True)
        batch = inputs_of(processor, 4, 2)
        wanted = gradients(plain, batch, checkpointing=False)
        got = gradients(load_longva(tiny, which, trainable=True)[0], batch, checkpointing=True)
        assert set(got) == set(wanted)
        assert any("multi_modal_projector" in name for name in wanted)
        for name, value in wanted.items():
            assert largest(got[name], value) <= 1e-6 * max(1, value.abs().max().item()), name
        if which:
            trained = {name for name, value in plain.named_parameters() if value.requires_grad}
            assert all(".lora_" in name or "multi_modal_projector.modules_to_save" in name for name in trained)
            # The tower's last layer comes after hidden state -2: nothing depends on it.
            assert all(wanted[name].any() for name in trained if "encoder.layers.2" not in name)


def test_without_trainable_nothing_requires_gradients(tiny: Path, adapter: Path) -> None:
    model, _ = load_longva(tiny, adapter)
    assert not model.training
    assert not any(value.requires_grad for value in model.parameters())


def test_logits_to_keep_is_the_tail(opened) -> None:
    model, processor = opened
    batch = inputs_of(processor, 4, 2)
    whole = logits_of(model, batch)
    assert torch.equal(logits_of(model, batch, logits_to_keep=3), whole[:, -3:])
    chosen = torch.tensor([5, 40, whole.shape[1] - 1])
    assert largest(logits_of(model, batch, logits_to_keep=chosen), whole[:, chosen]) < 1e-6


@pytest.mark.parametrize("dtype", ["bfloat16", torch.float16])
def test_half_precision_runs(tiny: Path, adapter: Path, opened, dtype) -> None:
    for which in (None, adapter):
        model, processor = load_longva(tiny, which, dtype=dtype, merge=True)
        assert {value.dtype for value in model.parameters()} == {getattr(torch, dtype) if isinstance(dtype, str) else dtype}
        batch = inputs_of(processor, 4, 2)
        wanted = logits_of(load_longva(tiny, which)[0], batch)
        assert (logits_of(model, batch).float() - wanted).abs().mean() < 0.05 * wanted.abs().mean()
        assert len(generated(model, batch)) == 2
    unmerged, _ = load_longva(tiny, adapter, dtype=dtype)
    assert logits_of(unmerged, batch).isfinite().all()


def test_dtype_of_the_checkpoint_is_kept_and_device_map_is_passed_on(tiny: Path, tmp_path: Path, opened) -> None:
    folder = copy_of(tiny, tmp_path / "longva")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"torch_dtype": "bfloat16"}))
    assert load_longva(folder)[0].dtype == torch.bfloat16
    model, processor = load_longva(tiny, device_map={"": "cpu"})
    batch = inputs_of(processor, 2)
    assert torch.equal(logits_of(model, batch), logits_of(opened[0], batch))


@pytest.mark.slow
def test_runs_without_values_at_the_size_of_the_real_model(opened) -> None:
    """Memory is planned with meta or fake tensors: nothing in the forward pass may ask for a value."""
    from torch._subclasses import FakeTensorMode

    config = LongVAConfig(text_config={"model_type": "qwen2", "vocab_size": 151700, "num_hidden_layers": 2})
    assert config.tokens_per_frame == 144
    ids = torch.full((1, 2 * 144 + 10), config.video_token_index)
    with torch.device("meta"):
        model = LongVAForConditionalGeneration(config)
        out = model(input_ids=ids.to("meta"), pixel_values_videos=torch.zeros(1, 2, 3, 336, 336), logits_to_keep=5)
    assert out.logits.shape == (1, 5, 151700)
    batch = inputs_of(opened[1], 4, 2)
    with FakeTensorMode(allow_non_fake_inputs=True):
        fake = LongVAForConditionalGeneration(opened[0].config)
        labels = torch.zeros(batch["input_ids"].shape, dtype=torch.long)
        inputs = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in batch.items()}
        fake(**inputs, labels=labels, use_cache=False).loss.backward()
        assert fake.model.multi_modal_projector.linear_1.weight.grad.shape == (32, 16)


def test_pixels_are_seen_once_a_generation(opened) -> None:
    model, processor = opened
    batch = inputs_of(processor, 4, 2)
    calls = []
    handle = model.model.vision_tower.register_forward_pre_hook(lambda *_: calls.append(1))
    cached = generated(model, batch)
    handle.remove()
    assert len(calls) == 1
    assert generated(model, batch, use_cache=False) == cached


def test_queries_share_the_prefix_of_a_video(opened) -> None:
    model, processor = opened
    queries = [processor(prompt(processor, question), videos=[frames(30)]) for question in (*QUESTIONS, "Who?")]
    shared_length = queries[0]["input_ids"][0].tolist().index(processor.video_token_id) + 30 * PER_FRAME + 1
    start = {"input_ids": queries[0]["input_ids"][:, :shared_length], "pixel_values_videos": queries[0]["pixel_values_videos"]}
    with torch.no_grad():
        prefix = model(**start, use_cache=True).past_key_values
    for query in queries:
        text = {"input_ids": query["input_ids"], "attention_mask": query["attention_mask"]}
        assert generated(model, text, past_key_values=copy.deepcopy(prefix)) == generated(model, query)


def test_the_towers_shape_is_read_off_the_weights(tmp_path: Path) -> None:
    """Without the tower's folder a checkpoint that holds the tower opens all the same, if its heads are CLIP's 64 wide."""
    from transformers import CLIPVisionConfig

    from numpro_plugin.longva.checkpoint import TOWER, vision_config_of_weights

    wanted = CLIPVisionConfig(
        hidden_size=128, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2, patch_size=7, image_size=28
    )
    prefix = TOWER + "vision_tower.vision_model."
    save_file({prefix + k: v for k, v in CLIPVisionModel(wanted).state_dict().items()}, tmp_path / "model.safetensors")
    assert vision_config_of_weights(tmp_path).to_dict() == wanted.to_dict()


# --- the processor -----------------------------------------------------------------------------------------------------------------


def test_text_on_both_sides_of_the_video_is_tokenized_apart(opened) -> None:
    _, processor = opened
    before, after = "ab", "\nHow\n\nmany?"
    video = [processor.video_token_id] * (2 * PER_FRAME)
    ids = [processor.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (before, after)]
    assert processor(f"{before}<image>{after}", videos=[frames(2)])["input_ids"].tolist() == [ids[0] + video + ids[1]]
    assert processor.video_token_id == len(processor.tokenizer)
    assert set(processor("no video")) == {"input_ids", "attention_mask"}


def test_frames_may_be_arrays_tensors_or_pictures(opened) -> None:
    from PIL import Image

    _, processor = opened
    clip = frames(3)
    wanted = processor.pixel_values(clip)
    assert wanted.shape == (3, 3, SIDE, SIDE)
    assert torch.equal(processor.pixel_values(torch.from_numpy(clip)), wanted)
    assert torch.equal(processor.pixel_values([Image.fromarray(frame) for frame in clip]), wanted)
    by_hand = (clip / 255 - [0.48145466, 0.4578275, 0.40821073]) / [0.26862954, 0.26130258, 0.27577711]
    assert np.abs(wanted.numpy() - by_hand.transpose(0, 3, 1, 2)).max() < 1e-5


@pytest.mark.parametrize(
    ("text", "videos", "message"),
    [
        ("<image> and <image>", [frames(2)], "<image> 2 times, but 1 videos"),
        ("no mark", [frames(2)], "<image> 0 times"),
        ("<image>", None, "0 videos were given"),
        ("<image>", [frames(2).astype(np.float32)], "float32"),
        ("<image>", [frames(2)[0]], r"\(16, 16, 3\)"),
        ("<image>", [frames(2)[:0]], "N >= 1"),
        ("<image>", [[]], "N >= 1"),
    ],
)
def test_processor_refuses(opened, text: str, videos, message: str) -> None:
    with pytest.raises(NumProError, match=message):
        opened[1](text, videos=videos)


# --- what cannot be loaded or run --------------------------------------------------------------------------------------------------


def test_wrong_inputs_of_the_model(opened) -> None:
    model, processor = opened
    batch = inputs_of(processor, 3)
    with pytest.raises(NumProError, match=r"12 video tokens, but the frames make 8 \(2 frames of 4 tokens\)"):
        model(**{**batch, "pixel_values_videos": batch["pixel_values_videos"][:, :2]})
    with pytest.raises(NumProError, match="there are no pixel_values_videos"):
        model(input_ids=batch["input_ids"])
    with pytest.raises(NumProError, match="one frame"):
        model(input_ids=batch["input_ids"], pixel_values=batch["pixel_values_videos"][0])
    with pytest.raises(NumProError, match="0 video tokens, but"):
        model(input_ids=torch.tensor([[1, 2]]), pixel_values_videos=batch["pixel_values_videos"])


def test_folders_that_are_no_model(tiny: Path, adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder, message in (
        (tmp_path / "nowhere", "no such folder"),
        (str(tmp_path / "nowhere"), "no such folder"),
        (tmp_path / "empty", "without config.json"),
        ("nobody/nothing-of-this-name", "from the hub"),
        (adapter, "is an adapter, not a model"),
    ):
        with pytest.raises(NumProError, match=message):
            load_longva(folder)
    other = copy_of(tiny, tmp_path / "other")
    (other / "config.json").write_text('{"model_type": "qwen2_vl"}')
    with pytest.raises(NumProError, match=r"type 'qwen2_vl', not LongVA"):
        load_longva(other)
    (other / "config.json").write_text('{"model_ty')
    with pytest.raises(NumProError, match="is not JSON"):
        load_longva(other)
    config = json.loads((tiny / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"mm_projector_type": "linear"}))
    with pytest.raises(NumProError, match="mm_projector_type='linear'"):
        load_longva(other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("model.norm.weight"), r"missing: model\.language_model\.norm\.weight"),
        (lambda s: s.pop("lm_head.weight"), r"missing: lm_head\.weight"),
        (lambda s: s.pop("model.mm_projector.2.bias"), r"missing: .*projector\.linear_2\.bias"),
        (lambda s: s.pop("model.vision_tower.vision_tower.vision_model.pre_layrnorm.bias"), r"missing: .*pre_layrnorm\.bias"),
        (lambda s: s.update({"model.extra.weight": torch.ones(2)}), r"does not have these weights: model\.extra\.weight"),
        (lambda s: s.update({"model.norm.weight": torch.ones(7)}), r"norm\.weight: \(7,\) in the files, \(32,\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(tiny: Path, tmp_path: Path, change, message: str) -> None:
    folder = copy_of(tiny, tmp_path / "broken")
    changed_weights(folder, change)
    with pytest.raises(NumProError, match=message):
        load_longva(folder)


def test_checkpoint_cut_off(tiny: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny, tmp_path / "broken")
    shard = folder / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:5000])
    with pytest.raises(NumProError, match="cannot be loaded"):
        load_longva(folder)
    shard.unlink()
    with pytest.raises(NumProError, match="cannot be loaded"):
        load_longva(folder)


def test_no_tower_anywhere(tmp_path: Path) -> None:
    folder = save_tiny_longva(tmp_path, tower="outside")
    shutil.rmtree(tmp_path / "openai")
    with pytest.raises(NumProError, match="holds no vision tower.*at .*openai/clip-vit-large-patch14-336"):
        load_longva(folder)


def test_tower_inside_without_its_folder_and_of_unknown_heads(tmp_path: Path) -> None:
    folder = save_tiny_longva(tmp_path)
    shutil.rmtree(tmp_path / "openai")
    with pytest.raises(NumProError, match="number of heads is unknown"):
        load_longva(folder)


class Payload:
    """What a pickle may do: make a file when it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_pickles_are_never_executed(tiny: Path, adapter: Path, tmp_path: Path) -> None:
    evil = shutil.copytree(adapter, tmp_path / "evil")
    torch.save({"base_model.model.model.mm_projector.0.weight": Payload(tmp_path / "executed")}, evil / "non_lora_trainables.bin")
    with pytest.raises(NumProError, match=r"non_lora_trainables\.bin cannot be read"):
        load_longva(tiny, evil)
    folder = copy_of(tiny, tmp_path / "model")
    for file in folder.glob("model*"):
        file.unlink()
    torch.save({"model.norm.weight": Payload(tmp_path / "executed")}, folder / "pytorch_model.bin")
    with pytest.raises(NumProError, match="cannot be loaded"):
        load_longva(folder)
    assert not (tmp_path / "executed").exists()


def test_adapter_for_another_base(tiny: Path, adapter: Path, tmp_path: Path) -> None:
    for name, options, message in (
        ("deeper", {"layers": 3}, r"with model\.language_model\.layers\.2\..*lacks; it was trained on"),
        ("shallower", {"layers": 1}, "fewer than the"),
        ("wider", {"width": 64}, r"but the model's weight there is"),
    ):
        with pytest.raises(NumProError, match=message):
            load_longva(tiny, save_tiny_adapter(tmp_path / name, **options))


def test_adapters_that_are_incomplete(tiny: Path, adapter: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(adapter, tmp_path / "broken")
    projector = torch.load(broken / "non_lora_trainables.bin", weights_only=True)
    torch.save({name: value for name, value in projector.items() if "0.bias" not in name}, broken / "non_lora_trainables.bin")
    with pytest.raises(NumProError, match=r"the projector is incomplete; missing: .*linear_1\.bias"):
        load_longva(tiny, broken)
    torch.save(projector | {"base_model.model.model.norm.weight": torch.ones(32)}, broken / "non_lora_trainables.bin")
    with pytest.raises(NumProError, match=r"norm\.weight is neither LoRA nor the projector"):
        load_longva(tiny, broken)
    (broken / "non_lora_trainables.bin").unlink()
    with pytest.raises(NumProError, match="the trained projector"):
        load_longva(tiny, broken)
    state = load_file(broken / "adapter_model.safetensors")
    save_file({k: v for k, v in state.items() if "layers.1.mlp.up_proj.lora_B" not in k}, broken / "adapter_model.safetensors")
    torch.save(projector, broken / "non_lora_trainables.bin")
    with pytest.raises(NumProError, match=r"layers\.1\.mlp\.up_proj"):
        load_longva(tiny, broken)
    (broken / "adapter_model.safetensors").unlink()
    with pytest.raises(NumProError, match=r"adapter_model\.safetensors \(or \.bin\) is missing"):
        load_longva(tiny, broken)
    with pytest.raises(NumProError, match=r"has no adapter_config\.json"):
        load_longva(tiny, tmp_path)
    (broken / "adapter_config.json").write_text('{"peft_type": "IA3"}')
    with pytest.raises(NumProError, match="peft_type='IA3'"):
        load_adapter(load_longva(tiny)[0], broken)


def test_attention_that_is_not_installed(tiny: Path) -> None:
    from transformers.utils import is_flash_attn_2_available

    if is_flash_attn_2_available():
        pytest.skip("flash-attention 2 is installed here")
    with pytest.raises(NumProError, match=r"cannot be loaded: .*[Ff]lash"):
        load_longva(tiny, attn_implementation="flash_attention_2")
