"""Answers with texts between frames, or grids, in batches and from one shared beginning equal those of single runs, for every family."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.tiny_families import FAMILIES, save_tiny

from numpro_plugin.encoding import PRESETS, parse_encoding
from numpro_plugin.errors import NumProError
from numpro_plugin.families import Loaded, Sample, load_model
from numpro_plugin.inference.asking import Asker, Question, VideoQuestions
from numpro_plugin.inference.generation import GenerationOptions, Generator
from numpro_plugin.settings import NumProSettings
from numpro_plugin.showing import show
from numpro_plugin.timeline import Timeline
from numpro_plugin.video.sampling import Frames

QUESTIONS = ["During which frames can we see a dog?", "A cat?", "During which frames?"]
OPTIONS = GenerationOptions(max_new_tokens=4)


@pytest.fixture(scope="module", params=FAMILIES)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load_model(save_tiny(request.param, tmp_path_factory.mktemp("tiny") / request.param), dtype="float32")


def settings_of(loaded: Loaded, encoding: str) -> NumProSettings:
    """With small pictures where the family takes them."""
    size = loaded.family.frame_size
    if "qwen" in loaded.family.model_types[0]:
        size = (128, 96) if loaded.family.takes((128, 96)) else (112, 84)
    return NumProSettings(frame_size=size, encoding=parse_encoding(encoding))


def samples_of(loaded: Loaded, count: int, encoding: str, questions: list[str]) -> list[Sample]:
    settings = settings_of(loaded, encoding)
    width, height = settings.tile_size
    pixels = np.random.default_rng(count).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    shown = show(Frames(pixels, np.arange(count), Timeline(2 * count)), replace(settings, style=replace(settings.style, font_size=10)))
    video = loaded.family.prepare(shown.pictures, loaded.processor, shown.texts)
    return [loaded.family.encode(video, question, loaded.processor) for question in questions]


def with_logits(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Logits of every call of generate from now on, (steps, rows, vocabulary) each."""
    seen: list[torch.Tensor] = []
    original = loaded.model.generate

    def generate(**inputs):
        out = original(**{**inputs, "eos_token_id": -1}, output_logits=True, return_dict_in_generate=True)
        seen.append(torch.stack(out.logits))
        return out.sequences

    monkeypatch.setattr(loaded.model, "generate", generate)
    return seen


@pytest.mark.parametrize("blocks", ["frame", "pair"])
def test_answers_do_not_depend_on_batches_or_sharing(loaded: Loaded, monkeypatch: pytest.MonkeyPatch, blocks: str) -> None:
    """Videos of other lengths and encodings in one batch, and questions that share a video's keys and values."""
    if blocks == "pair":
        if not loaded.family.shares_tokens:
            return
        loaded = loaded._replace(family=loaded.family.with_blocks("pair"))
    seen = with_logits(loaded, monkeypatch)
    shown = [(13, "number+text"), (4, "text"), (6, "drawn=none,text=none,answer=frames"), (5, "number")]
    shown += [(20, "grid"), (7, "grid")] if blocks == "frame" else []
    videos = [samples_of(loaded, count, encoding, QUESTIONS) for count, encoding in shown]
    single = Generator(loaded, batch_size=1)
    plain = [[single.batch([sample], OPTIONS)[0] for sample in samples] for samples in videos]
    wanted = torch.cat(seen, 1)
    assert (wanted[:, 0] - wanted[:, len(QUESTIONS)]).abs().max() > 1e-2  # the video matters
    seen.clear()
    several = Generator(loaded, batch_size=8)
    firsts = [samples[k % len(QUESTIONS)] for k, samples in enumerate(videos)]
    several.batch(firsts, OPTIONS)
    rows = [k * len(QUESTIONS) + k % len(QUESTIONS) for k in range(len(videos))]
    assert torch.allclose(torch.cat(seen, 1), wanted[:, rows], atol=2e-4)
    seen.clear()
    assert [several.one_video(samples, OPTIONS) for samples in videos] == plain
    assert torch.allclose(torch.cat(seen, 1), wanted, atol=2e-4)


@pytest.mark.parametrize("encoding", ["text", "grid", "number"])
def test_the_advised_number_of_frames_fits(loaded: Loaded, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    generator, chosen = Generator(loaded), PRESETS[encoding].encoding
    whole = samples_of(loaded, 40, encoding, QUESTIONS[:1])[0]
    monkeypatch.setattr(loaded.model.config.text_config, "max_position_embeddings", int(whole["input_ids"].shape[1] * 0.6))
    with pytest.raises(NumProError, match=r"a\.mp4: 40 frames .* the largest max_frames that fits is \d+$") as error:
        generator.check_context(whole, 40, OPTIONS, "a.mp4", chosen)
    fits = int(str(error.value).split()[-1])
    generator.check_context(samples_of(loaded, fits, encoding, QUESTIONS[:1])[0], fits, OPTIONS, "a.mp4", chosen)
    more = fits + (8 if encoding == "grid" else 6)
    with pytest.raises(NumProError):
        generator.check_context(samples_of(loaded, more, encoding, QUESTIONS[:1])[0], more, OPTIONS, "a.mp4", chosen)


def test_an_encoding_that_the_model_cannot_be_shown_is_refused_before_a_video_is_read(loaded: Loaded) -> None:
    if not loaded.family.shares_tokens:
        return
    asker = Asker(loaded._replace(family=loaded.family.with_blocks("pair")))
    asked = VideoQuestions("nowhere.mp4", settings_of(loaded, "grid"), (Question("A cat?", OPTIONS),), 20)
    with pytest.raises(NumProError, match="with blocks=pair two grids would share their tokens"):
        list(asker.ask([asked]))
