"""Every family on a tiny checkpoint: the model gets exactly the numbered frames, right positions and labels, alone and in batches."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from support.digits import read_number
from support.tiny_families import FAMILIES, pixels_of, save_tiny
from transformers import GPT2Config

from numpro_plugin.errors import NumProError
from numpro_plugin.families import IGNORED, Loaded, family_at, family_of, load_model
from numpro_plugin.numbering import draw_numbers
from numpro_plugin.timeline import Timeline, kept_numbers
from numpro_plugin.video.sampling import Frames

QUESTION = "During which frames can we see a dog? Answer in the format: 'From Frame x to Frame y'."
TURNS = [
    {"role": "user", "content": QUESTION},
    {"role": "assistant", "content": "From Frame 3 to Frame 4."},
    {"role": "user", "content": "And a cat?"},
    {"role": "assistant", "content": "From Frame 12 to Frame 15."},
]
SIDES = {"qwen3_vl": 320, "llava_onevision": 384}
M_ROPE = ("qwen2_vl", "qwen2_5_vl")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    return {name: save_tiny(name, root / name) for name in FAMILIES}


@pytest.fixture(scope="module")
def opened(checkpoints: dict[str, Path]) -> dict[str, Loaded]:
    return {name: load_model(folder, dtype="float32") for name, folder in checkpoints.items()}


@pytest.fixture(params=FAMILIES)
def loaded(request: pytest.FixtureRequest, opened: dict[str, Loaded]) -> Loaded:
    return opened[request.param]


def numbered(loaded: Loaded, count: int, *, shown: int | None = None, seed: int = 0, fps: float = 0.5) -> Frames:
    """``shown`` of ``count`` numbers on flat frames of random colours without red."""
    width, height = loaded.family.frame_size
    numbers = kept_numbers(count, shown or count)
    colours = np.random.default_rng(seed).integers((0, 60, 60), (60, 256, 256), (len(numbers), 1, 1, 3), dtype=np.uint8)
    pixels = np.broadcast_to(colours, (len(numbers), height, width, 3)).copy()
    return Frames(draw_numbers(pixels, numbers), numbers, Timeline(count / fps, fps))


@torch.no_grad()
def logits(loaded: Loaded, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return loaded.model(**{name: value for name, value in batch.items() if name != "labels"}).logits


def text_of(loaded: Loaded, ids: torch.Tensor) -> str:
    return loaded.processor.tokenizer.decode(ids[ids != loaded.processor.video_token_id])


# --- frames ------------------------------------------------------------------------------------------------------------------------


def test_frame_size_is_the_familys(loaded: Loaded) -> None:
    side = SIDES.get(loaded.family.model_types[0], 336)
    assert loaded.family.frame_size == (side, side)
    assert type(family_of(loaded.model.config)) is type(family_of(loaded.model)) is type(loaded.family)


def test_the_family_is_known_without_the_weights(checkpoints: dict[str, Path], loaded: Loaded, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((checkpoints[loaded.family.model_types[0]] / "config.json").read_bytes())
    family = family_at(tmp_path)
    assert type(family) is type(loaded.family)
    assert family.frame_size == loaded.family.frame_size


@pytest.mark.shared
def test_the_family_of_an_original_checkpoint_is_known_without_loading_it(shared: Path) -> None:
    assert (
        family_at(shared / "golden" / "longva" / "longva-tiny").frame_size
        == load_model(shared / "golden" / "longva" / "longva-tiny").family.frame_size
    )


@pytest.mark.parametrize(("count", "shown"), [(1, 1), (3, 3), (100, 26)])
@pytest.mark.slow
def test_the_model_gets_exactly_these_frames(loaded: Loaded, count: int, shown: int) -> None:
    frames = numbered(loaded, count, shown=shown)
    seen = pixels_of(loaded, loaded.family.encode(frames, QUESTION, loaded.processor))
    expected = frames.numbers.tolist()
    if "qwen" in loaded.family.model_types[0]:
        expected += expected[-1:] * (len(expected) % 2)
    assert [read_number(frame) for frame in seen] == expected
    assert np.abs(seen[: len(frames)].astype(int) - frames.pixels).max() <= 1


def test_frames_of_another_size_are_refused(loaded: Loaded) -> None:
    frames = numbered(loaded, 2)
    with pytest.raises(NumProError, match=r"frame.* 300 x 330, .*frame_size="):
        loaded.family.encode(replace(frames, pixels=np.zeros((2, 330, 300, 3), np.uint8)), QUESTION, loaded.processor)


def test_a_processor_that_shrinks_frames_is_refused(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    part = "image_processor" if loaded.family.model_types[0] == "longva" else "video_processor"
    images = getattr(loaded.processor, part)
    if part == "image_processor":
        monkeypatch.setattr(images, "crop_size", {"height": 224, "width": 224})
    else:
        kind, original = type(images), type(images)._preprocess
        monkeypatch.setattr(kind, "_preprocess", lambda self, videos, **o: original(self, [v[..., ::2, ::2] for v in videos], **o))
    with pytest.raises(NumProError, match="would change the frames"):
        loaded.family.encode(numbered(loaded, 16), QUESTION, loaded.processor)


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_the_checkpoints_pixel_budget_does_not_matter(opened: dict[str, Loaded], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, frames = opened[name], numbered(opened[name], 4)
    for budget in ({"shortest_edge": 28 * 28, "longest_edge": 100 * 100}, {"shortest_edge": 4000 * 4000, "longest_edge": 5000 * 5000}):
        monkeypatch.setattr(loaded.processor.video_processor, "size", budget)
        assert pixels_of(loaded, loaded.family.encode(frames, QUESTION, loaded.processor)).shape == frames.pixels.shape


# --- text --------------------------------------------------------------------------------------------------------------------------


def test_the_video_comes_first_then_the_question(loaded: Loaded) -> None:
    sample = loaded.family.encode(numbered(loaded, 4), QUESTION, loaded.processor)
    ids = sample["input_ids"][0]
    places = (ids == loaded.processor.video_token_id).nonzero().flatten()
    assert QUESTION in text_of(loaded, ids[places[-1] + 1 :])
    assert QUESTION not in text_of(loaded, ids[: places[-1]])
    assert "labels" not in sample


def test_prompts_are_the_ones_that_the_processor_makes(loaded: Loaded) -> None:
    frames = numbered(loaded, 4)
    prompt = loaded.processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": QUESTION}]}], tokenize=False, add_generation_prompt=True
    )
    options = {"do_sample_frames": False, "do_resize": False, "do_center_crop": False, "return_tensors": "pt"}
    if loaded.family.model_types[0] == "longva":
        options = {}
    else:
        options |= {"video_metadata": [{"fps": 0.5, "frames_indices": frames.numbers.tolist(), "total_num_frames": 4}]}
    theirs = loaded.processor(text=[prompt], videos=[frames.pixels], **options)
    ours = loaded.family.encode(frames, QUESTION, loaded.processor)
    assert torch.equal(ours["pixel_values_videos"], theirs["pixel_values_videos"])
    text = loaded.processor.tokenizer.decode(theirs["input_ids"][0])
    if loaded.family.model_types[0] == "qwen3_vl":
        # Since it has a general way to expand placeholders transformers leaves the template's pair of marks around the whole video.
        before, _, rest = text.partition("<|vision_start|>")
        text = before + rest[::-1].replace("<|vision_end|>"[::-1], "", 1)[::-1]
    assert loaded.processor.tokenizer.decode(ours["input_ids"][0]) == text


def test_a_question_with_the_videos_mark_is_refused(loaded: Loaded) -> None:
    with pytest.raises(NumProError, match="must be rephrased"):
        loaded.family.encode(numbered(loaded, 2), f"What is {loaded.processor.video_token}?", loaded.processor)


def test_turns_must_alternate(loaded: Loaded) -> None:
    for turns in ([], TURNS[1:], [TURNS[0], TURNS[2]]):
        with pytest.raises(NumProError, match="alternate"):
            loaded.family.encode(numbered(loaded, 2), turns, loaded.processor)
    with pytest.raises(NumProError, match="empty"):
        loaded.family.encode(numbered(loaded, 2), [TURNS[0], {"role": "assistant", "content": ""}], loaded.processor)


# --- labels ------------------------------------------------------------------------------------------------------------------------


def test_labels_cover_exactly_the_answers(loaded: Loaded) -> None:
    sample = loaded.family.encode(numbered(loaded, 4), TURNS, loaded.processor)
    labels, ids = sample["labels"][0], sample["input_ids"][0]
    learned = labels != IGNORED
    assert torch.equal(labels[learned], ids[learned])
    edges = torch.diff(learned.int(), prepend=torch.zeros(1, dtype=torch.int)).nonzero().flatten().tolist()
    start, end, last = edges
    closing = {"llava_onevision": "<|im_end|>", "llava_next_video": "<|im_end|>"}.get(loaded.family.model_types[0], "<|im_end|>\n")
    assert text_of(loaded, ids[start:end]) == TURNS[1]["content"]
    assert text_of(loaded, ids[last:]) == TURNS[3]["content"] + closing
    # What precedes an answer is what precedes it in generation.
    asked = loaded.family.encode(numbered(loaded, 4), TURNS[:1], loaded.processor)
    assert asked["input_ids"][0].tolist() == ids[:start].tolist()


@pytest.mark.parametrize("answer", ["m", "|", " 7\n", QUESTION])
def test_any_answer_is_found(loaded: Loaded, answer: str) -> None:
    turns = [TURNS[0], {"role": "assistant", "content": answer}]
    sample = loaded.family.encode(numbered(loaded, 2), turns, loaded.processor)
    learned = text_of(loaded, sample["input_ids"][sample["labels"] != IGNORED])
    assert learned.startswith(answer + "<|im_end|>")
    assert learned.removeprefix(answer).strip() == "<|im_end|>"


@pytest.mark.shared
def test_labels_are_the_references(shared: Path) -> None:
    golden = shared / "golden" / "longva"
    loaded = load_model(golden / "longva-tiny")
    case = load_file(golden / "base.b1_v5.safetensors")
    wanted_ids = [loaded.processor.video_token_id if one == -200 else one for one in case["input_ids"][0].tolist()]
    wanted = case["expanded_labels"][0]
    text = loaded.processor.tokenizer.decode([one for one in wanted_ids if one != loaded.processor.video_token_id])
    question, answer = text.split("<|im_start|>user\n")[1].split("<|im_end|>")[0], text.split("<|im_start|>assistant\n")[1]
    turns = [{"role": "user", "content": question.lstrip("\n")}, {"role": "assistant", "content": answer.split("<|im_end|>")[0]}]
    side = loaded.family.frame_size[0]
    frames = Frames(np.zeros((5, side, side, 3), np.uint8), np.arange(5), Timeline(10))
    sample = loaded.family.encode(frames, turns, loaded.processor)
    assert sample["labels"][0].tolist() == wanted.tolist()
    assert json.loads((golden / "expected_base.json").read_text())["base.b1_v5"]["n_labels"] == (sample["labels"] != IGNORED).sum()


def test_training_on_a_batch_has_a_loss_and_gradients(loaded: Loaded) -> None:
    samples = [loaded.family.encode(numbered(loaded, count), TURNS[:2], loaded.processor) for count in (3, 6)]
    loaded.model.zero_grad()
    loss = loaded.model(**loaded.family.batch(samples, loaded.processor)).loss
    loss.backward()
    with torch.no_grad():  # both answers have the same length, so the mean of the two losses is the batch's
        single = [loaded.model(**sample).loss.item() for sample in samples]
    assert loss.item() == pytest.approx(np.mean(single), abs=1e-4)
    assert all(parameter.grad is not None for name, parameter in loaded.model.named_parameters() if ".language_model.layers" in name)


# --- positions, batches, generation ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", M_ROPE)
@pytest.mark.parametrize("count", [26, 76])
def test_text_comes_after_the_video(opened: dict[str, Loaded], name: str, count: int) -> None:
    loaded = opened[name]
    sample = loaded.family.encode(numbered(loaded, count), QUESTION, loaded.processor)
    video = sample["input_ids"][0] == loaded.processor.video_token_id
    last = int(video.nonzero()[-1])
    rows = sample["position_ids"][1:, 0]
    assert sample["position_ids"].shape == (4, 1, len(video))
    after = rows[:, last + 1 :]
    assert int(after.min()) == int(rows[:, video].max()) + 1
    assert torch.equal(after, (after[:1, :1] + torch.arange(after.shape[1])).expand(3, -1))
    assert torch.equal(sample["position_ids"][0, 0], torch.arange(len(video)))
    start = int(video.nonzero()[0])
    seconds = 1 if name == "qwen2_vl" else 4 * 2  # a pair of frames is 4 seconds, at 2 positions a second
    assert rows[0, video].unique().tolist() == [start + k * seconds for k in range(count // 2)]
    assert not torch.equal(rows, theirs(loaded, sample))  # transformers goes on inside the video's positions


@pytest.mark.parametrize("name", M_ROPE)
def test_positions_equal_transformers_where_both_rules_agree(opened: dict[str, Loaded], name: str) -> None:
    loaded = opened[name]
    sample = loaded.family.encode(numbered(loaded, 4), QUESTION, loaded.processor)
    assert torch.equal(sample["position_ids"][1:, 0], theirs(loaded, sample))


def theirs(loaded: Loaded, sample: dict[str, torch.Tensor]) -> torch.Tensor:
    kinds = (sample["input_ids"] == loaded.processor.video_token_id).int() * 2
    options = {"second_per_grid_ts": sample["second_per_grid_ts"]} if "second_per_grid_ts" in sample else {}
    rows, _ = loaded.model.model.get_rope_index(sample["input_ids"], kinds, video_grid_thw=sample["video_grid_thw"], **options)
    return rows[:, 0]


def test_qwen25_takes_the_mean_distance_of_thinned_frames(opened: dict[str, Loaded]) -> None:
    loaded = opened["qwen2_5_vl"]
    sample = loaded.family.encode(numbered(loaded, 101, shown=11), QUESTION, loaded.processor)
    assert sample["second_per_grid_ts"].tolist() == [40.0]  # ten numbers of two seconds between frames, two frames a pair


def test_qwen3_tells_true_times(opened: dict[str, Loaded]) -> None:
    loaded = opened["qwen3_vl"]
    sample = loaded.family.encode(numbered(loaded, 101, shown=5), QUESTION, loaded.processor)
    text = text_of(loaded, sample["input_ids"][0])
    assert [part.split(" seconds>")[0] for part in text.split("<")[1:] if " seconds>" in part] == ["25.0", "125.0", "200.0"]


@pytest.mark.parametrize("counts", [(3, 9), (26, 4)])
def test_a_batch_equals_the_single_runs(loaded: Loaded, counts: tuple[int, int]) -> None:
    questions = [QUESTION, "A cat?"]
    samples = [
        loaded.family.encode(numbered(loaded, count, seed=count), question, loaded.processor)
        for count, question in zip(counts, questions, strict=True)
    ]
    together = logits(loaded, loaded.family.batch(samples, loaded.processor))
    for row, sample in zip(together, samples, strict=True):
        alone = logits(loaded, sample)[0]
        after = int((sample["input_ids"][0] == loaded.processor.video_token_id).nonzero()[-1]) - sample["input_ids"].shape[1]
        assert torch.allclose(row[after:], alone[after:], atol=2e-4)
    swapped = logits(loaded, loaded.family.encode(numbered(loaded, counts[0], seed=5), QUESTION, loaded.processor))[0, -1]
    assert not torch.allclose(swapped, logits(loaded, samples[0])[0, -1], atol=2e-4)  # the pixels do matter


def test_generation_in_a_batch_equals_single_generation(loaded: Loaded) -> None:
    samples = [loaded.family.encode(numbered(loaded, n, seed=n), text, loaded.processor) for n, text in ((26, "A cat?"), (3, QUESTION))]
    options = {"max_new_tokens": 5, "do_sample": False, "eos_token_id": -1, "pad_token_id": 0}
    batch = loaded.family.batch(samples, loaded.processor)
    together = loaded.model.generate(**batch, **options)[:, batch["input_ids"].shape[1] :]
    alone = [loaded.model.generate(**sample, **options)[0, sample["input_ids"].shape[1] :] for sample in samples]
    assert together.tolist() == [one.tolist() for one in alone]


@pytest.mark.parametrize("name", M_ROPE)
def test_generation_goes_on_with_the_releases_positions(opened: dict[str, Loaded], name: str) -> None:
    """Token by token with a cache equals one run over prompt and answer."""
    loaded = opened[name]
    frames = numbered(loaded, 26)
    sample = loaded.family.encode(frames, QUESTION, loaded.processor)
    out = loaded.model.generate(
        **sample, max_new_tokens=4, do_sample=False, eos_token_id=-1, pad_token_id=0, output_logits=True, return_dict_in_generate=True
    )
    whole = {**sample, "input_ids": out.sequences, "attention_mask": torch.ones_like(out.sequences)}
    whole |= loaded.family._positions(whole)
    assert torch.allclose(logits(loaded, whole)[0, -5:-1], torch.cat(out.logits), atol=1e-4)


def test_one_video_serves_many_questions(loaded: Loaded) -> None:
    frames = numbered(loaded, 5)
    video = loaded.family.prepare(frames, loaded.processor)
    for question in (QUESTION, "A cat?"):
        ours, again = (loaded.family.encode(which, question, loaded.processor) for which in (video, frames))
        assert ours.keys() == again.keys()
        assert all(torch.equal(ours[name], again[name]) for name in ours)


def test_samples_with_and_without_labels_do_not_mix(loaded: Loaded) -> None:
    samples = [loaded.family.encode(numbered(loaded, 2), turns, loaded.processor) for turns in (TURNS[:1], TURNS[:2])]
    with pytest.raises(NumProError, match="one kind"):
        loaded.family.batch(samples, loaded.processor)


@pytest.mark.slow
def test_it_runs_in_bf16_with_an_adapter_and_checkpointing(checkpoints: dict[str, Path], loaded: Loaded) -> None:
    model = load_model(checkpoints[loaded.family.model_types[0]], dtype="bfloat16").model
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=loaded.family.lora_modules(model)))
    samples = [loaded.family.encode(numbered(loaded, count), TURNS[:2], loaded.processor) for count in (3, 6)]
    adapted.enable_input_require_grads()
    adapted.gradient_checkpointing_enable({"use_reentrant": False})
    adapted.train()(**loaded.family.batch(samples, loaded.processor), use_cache=False).loss.backward()
    gradients = [parameter.grad for name, parameter in adapted.named_parameters() if "lora_B" in name]
    assert all(gradient is not None and gradient.isfinite().all() and gradient.any() for gradient in gradients)
    asked = [loaded.family.encode(numbered(loaded, count), QUESTION, loaded.processor) for count in (3, 6)]
    assert len(adapted.eval().generate(**loaded.family.batch(asked, loaded.processor), max_new_tokens=2, do_sample=False)) == 2


# --- adapters and loading ----------------------------------------------------------------------------------------------------------


def test_lora_adapts_the_language_model_only(checkpoints: dict[str, Path], loaded: Loaded, tmp_path: Path) -> None:
    name = loaded.family.model_types[0]
    modules = loaded.family.lora_modules(loaded.model)
    assert len(modules) == 2 * 7
    assert all(".language_model.layers." in module for module in modules)
    adapted = get_peft_model(load_model(checkpoints[name], dtype="float32").model, LoraConfig(r=2, target_modules=modules))
    assert family_of(adapted).model_types == loaded.family.model_types
    trained = [key for key, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert len(trained) == 2 * len(modules)
    assert not any(word in key for key in trained for word in ("visual", "vision", "projector", "lm_head"))
    for key, parameter in adapted.named_parameters():
        if "lora_B" in key:
            torch.nn.init.normal_(parameter, std=0.3)
    adapted.save_pretrained(tmp_path / "adapter")
    sample = loaded.family.encode(numbered(loaded, 2), QUESTION, loaded.processor)
    with torch.no_grad():
        wanted = adapted.eval()(**sample).logits
    for merge in (False, True):
        again = load_model(checkpoints[name], tmp_path / "adapter", dtype="float32", merge=merge)
        assert torch.allclose(logits(again, sample), wanted, atol=1e-4)
    assert not torch.allclose(logits(loaded, sample), wanted, atol=1e-2)


def test_unknown_model_types_list_the_supported_ones(tmp_path: Path) -> None:
    listed = "'gpt2' is not supported.*longva.*qwen2_vl.*qwen2_5_vl.*qwen3_vl.*llava_onevision.*llava_next_video"
    with pytest.raises(NumProError, match=listed):
        family_of(GPT2Config())
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(NumProError, match=listed):
        load_model(tmp_path)
    with pytest.raises(NumProError, match="is not a model"):
        load_model(tmp_path / "nothing" / "here" / "at" / "all")


def test_a_checkpoint_without_some_weights_is_refused(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import save_file

    for file in checkpoints["qwen2_vl"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    state = load_file(tmp_path / "model.safetensors")
    save_file(
        {name: value for name, value in state.items() if "layers.1.mlp" not in name}, tmp_path / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(NumProError, match="weights are missing"):
        load_model(tmp_path)


@pytest.mark.parametrize("count", [2, 5, 8])
@pytest.mark.parametrize("larger", [False, True])
def test_sizes_for_planning_are_those_of_real_samples(loaded: Loaded, count: int, larger: bool) -> None:
    family, processor = loaded.family, loaded.processor
    if larger:
        width, height = family.frame_size
        if not family.takes((2 * width, height)):
            with pytest.raises(NumProError, match=r"numpro\.frame_size=.* takes \d+ x \d+: make shards of such a size"):
                family.with_frame_size((2 * width, height))
            return
        family = family.with_frame_size((2 * width, height))
        loaded = loaded._replace(family=family)
    video = family.prepare(numbered(loaded, count), processor)
    assert family.empty_pixels(count, torch.float32).shape == video.inputs["pixel_values_videos"].shape
    ids = family.encode(video, QUESTION, processor)["input_ids"][0]
    steps = -(-count // family.frames_per_step)
    if "qwen3_vl" in family.model_types:  # with byte tokens its times are longer than in the release, whose 12 tokens count here
        assert (ids == processor.video_token_id).sum() == family.video_tokens(count) - 12 * steps - 2
    else:
        marks = 2 if family.model_types[0] in M_ROPE else 0  # before and after the video
        assert (ids == processor.video_token_id).sum() == family.video_tokens(count) - marks


def test_a_shallow_tower_differs_in_depth_alone(loaded: Loaded) -> None:
    before, config = loaded.model.config.to_dict(), loaded.family.with_shallow_tower()
    assert loaded.model.config.to_dict() == before
    depth = getattr(config.vision_config, "depth", None) or config.vision_config.num_hidden_layers
    assert depth == 1
    assert config.text_config.to_dict() == loaded.model.config.text_config.to_dict()
