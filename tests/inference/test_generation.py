"""Answers in batches and from one shared beginning equal those of single runs, to the logits, for every family."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.tiny_families import FAMILIES, save_tiny

from numpro_plugin.errors import NumProError
from numpro_plugin.families import Loaded, load_model
from numpro_plugin.inference.generation import Generated, GenerationOptions, Generator, out_of_memory, shared_length
from numpro_plugin.timeline import Timeline
from numpro_plugin.video.sampling import Frames

QUESTIONS = [
    "During which frames can we see a dog with a long tail?",
    "A cat?",
    "During which frames?",
    "During which frames can we see x?",
]
OPTIONS = GenerationOptions(max_new_tokens=5)


@pytest.fixture(scope="module", params=FAMILIES)
def loaded(request, tmp_path_factory) -> Loaded:
    return load_model(save_tiny(request.param, tmp_path_factory.mktemp("tiny") / request.param), dtype="float32")


@pytest.fixture(scope="module")
def longva(tmp_path_factory) -> Loaded:
    return load_model(save_tiny("longva", tmp_path_factory.mktemp("tiny") / "longva"), dtype="float32")


def samples_of(loaded: Loaded, count: int, questions=QUESTIONS):
    width, height = loaded.family.frame_size
    pixels = np.random.default_rng(count).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    video = loaded.family.prepare(Frames(pixels, np.arange(count), Timeline(2 * count)), loaded.processor)
    return [loaded.family.encode(video, question, loaded.processor) for question in questions]


def with_logits(loaded: Loaded, monkeypatch) -> list[torch.Tensor]:
    """Logits of every call of generate from now on, (steps, rows, vocabulary) each."""
    seen: list[torch.Tensor] = []
    original = loaded.model.generate

    def generate(**inputs):
        out = original(**{**inputs, "eos_token_id": -1}, output_logits=True, return_dict_in_generate=True)
        seen.append(torch.stack(out.logits))
        return out.sequences

    monkeypatch.setattr(loaded.model, "generate", generate)
    return seen


@pytest.mark.slow
def test_a_shared_beginning_changes_no_logits(loaded, monkeypatch):
    """Two videos of more than 24 frames, taking turns, so that what a model remembers of one must not leak into the other."""
    seen = with_logits(loaded, monkeypatch)
    videos = [samples_of(loaded, 27), samples_of(loaded, 40)]
    one = Generator(loaded, batch_size=1)
    plain = [[one.batch([sample], OPTIONS)[0] for sample in samples] for samples in videos]
    wanted = torch.cat(seen, 1)
    assert (wanted[:, 0] - wanted[:, 4]).abs().max() > 1e-2  # the video matters
    for batch_size in (1, 3, 4):
        seen.clear()
        generator = Generator(loaded, batch_size=batch_size)
        assert [generator.one_video(samples, OPTIONS) for samples in videos] == plain
        assert torch.allclose(torch.cat(seen, 1), wanted, atol=2e-4)
    seen.clear()
    halves = [answer for half in (0, 2) for samples in videos for answer in one.one_video(samples[half : half + 2], OPTIONS)]
    assert halves == [answer for half in (0, 2) for answers in plain for answer in answers[half : half + 2]]


def test_the_video_goes_through_the_model_once(loaded, monkeypatch):
    towers = []
    model = loaded.model.model
    tower = model.visual if hasattr(model, "visual") else model.vision_tower
    handle = tower.register_forward_hook(lambda *_: towers.append(1))
    Generator(loaded, batch_size=2).one_video(samples_of(loaded, 6), OPTIONS)
    handle.remove()
    assert len(towers) == 1


def test_batches_of_different_videos_equal_single_runs(loaded):
    samples = [samples_of(loaded, count, QUESTIONS[k : k + 1])[0] for k, count in enumerate((26, 3, 9))]
    alone = [Generator(loaded, batch_size=1).batch([sample], OPTIONS)[0] for sample in samples]
    assert Generator(loaded, batch_size=3).batch(samples, OPTIONS) == alone


def test_the_shared_beginning_leaves_every_question_a_token():
    rows = [torch.tensor(row) for row in ([1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 5, 6])]
    assert shared_length(rows) == 2
    assert shared_length([rows[2], rows[2]]) == 4
    assert shared_length([torch.tensor([7, 1]), torch.tensor([8, 1])]) == 0


def out_of_memory_above(longva, monkeypatch, limit: int) -> list[int]:
    sizes: list[int] = []
    original = longva.model.generate

    def generate(**inputs):
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return original(**inputs)

    monkeypatch.setattr(longva.model, "generate", generate)
    return sizes


@pytest.mark.parametrize("shared", [True, False])
def test_where_memory_does_not_suffice_the_batch_is_halved(longva, monkeypatch, caplog, shared):
    samples = samples_of(longva, 4)
    wanted = [Generator(longva, batch_size=1).batch([sample], OPTIONS)[0] for sample in samples]
    sizes = out_of_memory_above(longva, monkeypatch, 2)
    generator = Generator(longva, batch_size=4)
    ask = generator.one_video if shared else generator.batch
    assert ask(samples, OPTIONS) == wanted
    assert sizes == [4, 2, 2]
    assert "continuing with 2 at a time" in caplog.text
    assert generator.fits([samples[0]["input_ids"].shape[1]] * 2, OPTIONS)
    assert not generator.fits([samples[0]["input_ids"].shape[1]] * 3, OPTIONS)  # it is not tried again


def test_a_single_video_that_does_not_fit_is_an_error(longva, monkeypatch):
    out_of_memory_above(longva, monkeypatch, 0)
    with pytest.raises(NumProError, match="out of memory with a single video of 64 tokens: lower max_frames"):
        Generator(longva).batch(samples_of(longva, 4)[:1], OPTIONS)


def test_other_errors_pass(longva, monkeypatch):
    def generate(**_):
        raise RuntimeError("size mismatch")

    monkeypatch.setattr(longva.model, "generate", generate)
    with pytest.raises(RuntimeError, match="size mismatch"):
        Generator(longva, batch_size=4).batch(samples_of(longva, 2), OPTIONS)


def test_a_context_too_short_names_what_fits(longva, monkeypatch):
    sample = samples_of(longva, 20, QUESTIONS[:1])[0]
    text = sample["input_ids"].shape[1] - 20 * 16
    monkeypatch.setattr(longva.model.config.text_config, "max_position_embeddings", text + 5 + 11 * 16)
    generator = Generator(longva)
    with pytest.raises(NumProError, match=r"a\.mp4: 20 frames .* the largest max_frames that fits is 11"):
        generator.check_context(sample, 20, OPTIONS, "a.mp4")
    generator.check_context(samples_of(longva, 11, QUESTIONS[:1])[0], 11, OPTIONS, "a.mp4")
    monkeypatch.setattr(longva.model.config.text_config, "max_position_embeddings", text)
    with pytest.raises(NumProError, match="not even one frame fits"):
        generator.check_context(sample, 20, OPTIONS, "a.mp4")


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen3_vl"])
def test_what_fits_is_counted_in_pairs_and_with_the_times_between_them(tmp_path, monkeypatch, name):
    loaded = load_model(save_tiny(name, tmp_path / name), dtype="float32")
    generator = Generator(loaded)
    monkeypatch.setattr(loaded.model.config.text_config, "max_position_embeddings", 1500)
    with pytest.raises(NumProError) as error:
        generator.check_context(samples_of(loaded, 60, QUESTIONS[:1])[0], 60, OPTIONS, "a.mp4")
    fits = int(str(error.value).split()[-1])
    assert fits % 2 == 0
    generator.check_context(samples_of(loaded, fits, QUESTIONS[:1])[0], fits, OPTIONS, "a.mp4")
    with pytest.raises(NumProError):
        generator.check_context(samples_of(loaded, fits + 4, QUESTIONS[:1])[0], fits + 4, OPTIONS, "a.mp4")


@pytest.mark.parametrize("more", [("num_beams", 2), ("repetition_penalty", 1.3)])
@pytest.mark.slow
def test_other_ways_to_generate_do_not_depend_on_sharing(tmp_path, more):
    loaded = load_model(save_tiny("qwen2_5_vl", tmp_path / "q"), dtype="float32")
    samples = samples_of(loaded, 26)
    options = GenerationOptions(max_new_tokens=8, more=(more,))
    wanted = [Generator(loaded, batch_size=1).batch([sample], options)[0] for sample in samples]
    assert Generator(loaded, batch_size=4).one_video(samples, options) == wanted


def test_sampling_is_not_narrowed_by_the_checkpoint(longva, monkeypatch):
    given = {}
    monkeypatch.setattr(longva.model, "generate", lambda **options: given.update(options) or options["input_ids"])
    generator = Generator(longva)
    generator.batch(samples_of(longva, 2, QUESTIONS[:1]), GenerationOptions(temperature=0.7, more=(("top_p", 0.9),)))
    assert (given["do_sample"], given["temperature"], given["top_p"], given["top_k"]) == (True, 0.7, 0.9, 0)
    generator.batch(samples_of(longva, 2, QUESTIONS[:1]), OPTIONS)
    assert (given["do_sample"], given["temperature"], given["top_p"]) == (False, None, None)


def test_a_batch_holds_so_many_tokens(longva):
    generator = Generator(longva, batch_size=None, token_budget=100)
    assert generator.fits([500], OPTIONS)  # one always goes
    assert generator.fits([20, 20, 45], GenerationOptions(max_new_tokens=5)) is False
    assert generator.fits([20, 20, 25], GenerationOptions(max_new_tokens=5))


def test_options_are_read_from_a_task():
    options = {"max_new_tokens": 64, "temperature": 0, "do_sample": False, "until": ["<|im_end|>"], "top_p": None, "num_beams": 1}
    assert GenerationOptions.from_lmms_eval(options) == GenerationOptions(64, 0.0, ("<|im_end|>",), (("num_beams", 1),))
    assert GenerationOptions.from_lmms_eval(options, max_new_tokens=9).max_new_tokens == 9
    assert GenerationOptions.from_lmms_eval({"max_gen_toks": 7, "until": "\n"}) == GenerationOptions(7, 0.0, ("\n",))
    assert GenerationOptions.from_lmms_eval({"do_sample": True}).temperature == 1.0
    with pytest.raises(NumProError, match="contrastive are not known here"):
        GenerationOptions.from_lmms_eval({"contrastive": 1})
    with pytest.raises(NumProError, match="max_new_tokens=-3"):
        GenerationOptions.from_lmms_eval({"max_new_tokens": -3})


def test_an_answer_ends_at_its_stops(longva):
    generator = Generator(longva)
    ids = longva.processor.tokenizer("From 3 to 9.\n\nBecause<|im_end|>junk")["input_ids"]
    closing = {longva.processor.tokenizer.eos_token_id}
    assert generator._answer(ids, closing, OPTIONS).text == "From 3 to 9.\n\nBecause"
    assert generator._answer(ids, closing, GenerationOptions(until=("\n\n",))) == Generated("From 3 to 9.", len(ids) - 4)
    blank = longva.processor.tokenizer("\n\nFrom 3 to 9.\n\nWell")["input_ids"]
    assert generator._answer(blank, closing, GenerationOptions(until=("\n\n",))).text == "From 3 to 9."


def test_wrong_sizes_are_refused(longva):
    with pytest.raises(NumProError, match="batch_size=0"):
        Generator(longva, batch_size=0)
    with pytest.raises(NumProError, match="token_budget='abc' must be an integer"):
        Generator(longva, token_budget="abc")


@pytest.mark.parametrize("message", ["CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED when calling", "can't allocate memory"])
def test_memory_runs_out_in_many_words(message):
    assert out_of_memory(RuntimeError(message))
    assert not out_of_memory(RuntimeError("size mismatch"))
