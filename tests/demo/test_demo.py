"""The tiny model that comes along, how it is made, and `numpro demo`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from numpro_plugin.answers.moments import parse_moment
from numpro_plugin.cli.main import main
from numpro_plugin.demo import run as demo
from numpro_plugin.demo.reading import random_ascending, scores_in_numbers
from numpro_plugin.demo.rendering import SHAPES, Event, Scene
from numpro_plugin.demo.training import call_trainer
from numpro_plugin.demo.world import (
    GREYS,
    RENDERED_SIDE,
    SETTINGS,
    TINY_COLORS,
    numbers_around,
    shown_numbers,
    tiny_model_folder,
    tiny_videos,
    write_instructions,
)
from numpro_plugin.errors import NumProError
from numpro_plugin.families import load_model
from numpro_plugin.metrics.moments import span_iou
from numpro_plugin.numbering import draw_numbers
from numpro_plugin.prompts import moment_prompt
from numpro_plugin.timeline import Timeline
from numpro_plugin.trainer.recipe.record import load_recipe
from numpro_plugin.trainer.tiny_base.batches import BatchMaker
from numpro_plugin.trainer.tiny_base.curve import HeldOutVideos
from numpro_plugin.trainer.tiny_base.marks import NUMBERS
from numpro_plugin.video.sampling import Frames


@pytest.fixture(scope="module")
def tiny():
    return load_model(tiny_model_folder(), dtype="float32")


def answers(loaded, asked):
    """Greedy answers to (frames, numbers or None, question)."""
    samples = []
    for pixels, numbers, question in asked:
        shown = np.arange(len(pixels)) if numbers is None else np.array(numbers)
        frames = Frames(np.stack(pixels), shown, Timeline(400.0, 0.5))
        if numbers is not None:
            draw_numbers(frames.pixels, numbers, SETTINGS.style)
        samples.append(loaded.family.encode(frames, question, loaded.processor))
    batch = loaded.family.batch(samples, loaded.processor)
    with torch.inference_mode():
        made = loaded.model.generate(**batch, max_new_tokens=16, do_sample=False)
    texts = loaded.processor.tokenizer.batch_decode(made[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return [text.strip() for text in texts]


def small(picture):
    import cv2

    return cv2.resize(picture, SETTINGS.frame_size)


def test_the_checkpoint_is_as_small_as_promised(tiny):
    file = tiny_model_folder() / "model.safetensors"
    assert sum(path.stat().st_size for path in tiny_model_folder().iterdir()) < 2.5e6
    with safe_open(file, "pt") as tensors:
        assert {tensors.get_slice(name).get_dtype() for name in tensors.keys()} == {"F16"}  # noqa: SIM118
    assert 0.8e6 < sum(parameter.numel() for parameter in tiny.model.parameters()) < 1e6
    assert tiny.model.config.tokens_per_frame == 1
    assert tiny.family.frame_size == SETTINGS.frame_size


def test_it_reads_the_numbers_around_the_frames_that_show_the_shape(tiny):
    """Also where numbers do not ascend: it reads them, it does not count."""
    rng = np.random.default_rng(12)
    asked, shown, truth = [], [], []
    for k in range(60):
        colors = rng.choice(TINY_COLORS, 2, replace=False).tolist()
        events = [Event(SHAPES[k % 3], colors[0], 4.0, 10.0), Event(SHAPES[(k + 1) % 3], colors[1], 12.0, 20.0)]
        scene = Scene(events, rng, size=(RENDERED_SIDE, RENDERED_SIDE), greys=GREYS)
        numbers = rng.choice(100, 12, replace=False).tolist()
        asked.append(([small(scene.picture(2.0 * frame)) for frame in range(12)], numbers, moment_prompt(events[1].query)))
        shown.append(numbers)
        truth.append((numbers[5], numbers[10]))  # frames 6 to 9 show it
    answered = [parse_moment(text).numbers for text in answers(tiny, asked)]
    assert None not in answered
    read = [set(pair) <= set(numbers) for pair, numbers in zip(answered, shown, strict=True)]
    assert np.mean(read) > 0.9  # two numbers at random: about one in seventy
    assert np.mean([pair == around for pair, around in zip(answered, truth, strict=True)]) > 0.8


def test_text_it_does_not_know_comes_back_whole(tiny):
    tokenizer = tiny.processor.tokenizer
    for text in ("a dog runs – 12 times 345", moment_prompt("Ein grüner Kreis"), "From Frame 3 to Frame 19."):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    pieces = [tokenizer.decode([one]) for one in tokenizer("From Frame 30 to", add_special_tokens=False)["input_ids"]]
    assert pieces == ["From", " Frame", " ", "3", "0", " to"]


def test_random_numbers_ascend_and_are_not_evenly_spaced():
    numbers = random_ascending(np.random.default_rng(0), 12)
    assert numbers.tolist() == sorted(set(numbers.tolist()))
    assert len(set(np.diff(numbers).tolist())) > 4


def test_an_answer_in_drawn_numbers_counts_at_the_true_times_of_their_frames():
    """Numbers 7, 30 and 31 are drawn on the frames at 0, 20 and 40 seconds."""
    true = {7: 0, 30: 10, 31: 20}
    texts = ["From Frame 7 to Frame 30.", "From Frame 7 to Frame 31.", "From Frame 7 to Frame 20.", "I do not know."]
    scores = scores_in_numbers(texts, [(0.0, 20.0)] * 4, [true] * 4)
    assert scores["mIoU"] == pytest.approx((100 + 50 + 0 + 0) / 4)  # no frame carries 20
    assert scores["parse_fail"] == 25


def test_the_model_as_it_comes_locates_by_the_numbers_alone(tiny):
    """On videos that it never saw: with the usual numbers, with random ones, and hardly without any."""
    scores = HeldOutVideos(25, NUMBERS).scores(tiny.model, BatchMaker(tiny.processor, NUMBERS))
    assert scores["mIoU"] > 70
    assert scores["mIoU_random"] > 70


def test_all_questions_about_a_training_video_are_one_conversation(tmp_path):
    videos = tiny_videos(20, seed=3)
    write_instructions(videos, tmp_path / "instructions.json")
    rows = json.loads((tmp_path / "instructions.json").read_text())
    assert [row["video"] for row in rows] == [video.name for video in videos]
    for row, video in zip(rows, videos, strict=True):
        asked = [turn["value"] for turn in row["conversations"][::2]]
        assert [question.startswith("<image>") for question in asked] == [True] + [False] * (len(video.events) - 1)
        for event in video.events:
            [k] = [k for k, question in enumerate(asked) if f" {event.query}?" in question]
            said = parse_moment(row["conversations"][2 * k + 1]["value"]).numbers
            assert said == numbers_around(event.start_s, event.end_s, shown_numbers(video.duration_s))


def test_the_numbers_around_an_event_lie_outside_it():
    """Numbers 0, 5, ... 20 are at 0, 10, ... 40 seconds."""
    shown = [0, 5, 10, 15, 20]
    assert numbers_around(11.0, 29.0, shown) == (5, 15)
    assert numbers_around(10.0, 30.0, shown) == (5, 15)
    assert numbers_around(9.9, 30.1, shown) == (0, 20)
    assert numbers_around(0.0, 43.0, shown) == (0, 20)


def test_of_all_rules_about_what_frames_show_the_one_around_scores_best():
    """A frame before and after, or not: the four rules on the demo's own videos."""
    events = [(event, shown_numbers(video.duration_s)) for video in tiny_videos(200, seed=0) for event in video.events]
    scores = {(before, after): [] for before in (0, 1) for after in (0, 1)}
    for event, shown in events:
        span = np.array([event.start_s, event.end_s])
        times = np.array(shown) / SETTINGS.fps
        seen = np.flatnonzero((span[0] <= times) & (times < span[1]))
        for (before, after), ious in scores.items():
            answer = times[[max(seen[0] - before, 0), min(seen[-1] + after, len(shown) - 1)]]
            ious.append(float(span_iou(answer, span)))
        if span[0] != times[seen[0]]:  # the answer with a frame before and after
            assert numbers_around(event.start_s, event.end_s, shown) == tuple((answer * SETTINGS.fps).tolist())
    means = {rule: np.mean(values) for rule, values in scores.items()}
    assert max(means, key=lambda rule: means[rule]) == (1, 1)
    assert means[1, 1] > means[0, 0] + 0.1


def test_recipes_and_the_demo_speak_of_the_same_frames():
    for name in ("tiny_base", "tiny_ft"):
        recipe = load_recipe(name)
        assert (recipe.numpro.fps, recipe.numpro.frame_size) == (SETTINGS.fps, SETTINGS.frame_size)
        assert (recipe.numpro.max_frames, recipe.numpro.style) == (SETTINGS.max_frames, SETTINGS.style)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The demo with training, in small."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    result = demo.run_demo(folder, videos=12, training_videos=10, train=True, overrides=("optimizer.max_steps=2", "data.workers=0"))
    return folder, result


@pytest.mark.slow
def test_the_demo_trains_evaluates_and_compares(trained):
    folder, result = trained
    assert list(result.scores) == [
        "tiny model, with numbers",
        "tiny model, random ascending numbers",
        "tiny model, without",
        "fine-tuned model, with numbers",
        "fine-tuned model, random ascending numbers",
        "fine-tuned model, without",
        "best answer in shown numbers",
        "numbers around each event",
        "perfect order, no numbers",
    ]
    scores = {name: row["mIoU"] for name, row in result.scores.items()}
    assert scores["tiny model, with numbers"] > scores["tiny model, without"] + 30
    assert scores["tiny model, random ascending numbers"] > scores["tiny model, without"] + 30
    assert scores["best answer in shown numbers"] > scores["numbers around each event"] > scores["tiny model, with numbers"] - 3
    assert result.scores["tiny model, with numbers"]["parse_fail"] == 0
    assert (folder / "training" / "out" / "adapter" / "adapter_config.json").is_file()
    assert json.loads((folder / "training" / "shards" / "manifest.json").read_text())["complete"]
    page = Path(result.report).read_text(encoding="utf-8")
    assert all(f"{name}, {kind}" in page for name in ("tiny model", "fine-tuned model") for kind in ("with numbers", "without"))
    assert result.queries == sum(1 for _ in (folder / "queries.jsonl").open())


def test_the_demo_explains_what_is_wrong(tmp_path):
    (tmp_path / "something").write_text("")
    with pytest.raises(NumProError, match="is not empty"):
        demo.run_demo(tmp_path)
    with pytest.raises(NumProError, match="videos=0 must be 1 or more"):
        demo.run_demo(tmp_path / "new", videos=0)


def test_a_failed_step_of_training_is_named_with_its_reason():
    with pytest.raises(NumProError, match=r"numpro-train run failed:\n.*did you mean 'optimizer.lr'"):
        call_trainer("run", "tiny_ft", "optimizer.lrr=1")


@pytest.mark.parametrize(
    ("usual", "random", "without", "sentence"),
    [
        (70.0, 55.0, 5.0, "it tells time by reading them, and gets more than perfect order without numbers (40.0)."),
        (35.0, 30.0, 5.0, "it tells time by reading them, and gets less than perfect order without numbers (40.0)."),
        (70.0, 20.0, 5.0, "it needs them, but leans on their usual pattern more than it reads them."),
        (70.0, 20.0, 60.0, "it does without them, so these figures do not show that it reads them."),
    ],
)
def test_the_last_lines_say_what_the_figures_show(usual, random, without, sentence):
    rows = {"m, with numbers": usual, "m, random ascending numbers": random, "m, without": without, "perfect order, no numbers": 40.0}
    said = demo.conclusion({name: {"mIoU": value} for name, value in rows.items()}, "m")
    assert said == f"The m reaches {usual:.1f} mIoU with numbers, {random:.1f} with random ones and {without:.1f} without: {sentence}"


def test_figures_that_cannot_be_written_are_refused_at_once(tmp_path, capsys):
    assert main(["demo", "--json", str(tmp_path / "nowhere" / "x.json"), "--out", str(tmp_path / "out")]) == 1
    assert "nowhere does not exist" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_says_what_it_does():
    shown = subprocess.run(
        [sys.executable, "-m", "numpro_plugin.cli.main", "demo", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert "with numbers and without" in " ".join(shown.split())
    assert all(option in shown for option in ("--train", "--videos", "--seed", "--out", "--json"))
