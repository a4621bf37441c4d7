"""Held-out evaluation: which conversations are moments, how questions are divided among processes, and the scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.shards import question, video_row, write_shard
from support.tiny_longva import save_tiny_longva

from numpro_plugin.errors import NumProError
from numpro_plugin.families import load_model
from numpro_plugin.inference.generation import Generated, Generator
from numpro_plugin.trainer.batches.collator import Collator
from numpro_plugin.trainer.output.answers import write_answers
from numpro_plugin.trainer.recipe.record import load_recipe
from numpro_plugin.trainer.run.held_out import HeldOut, moment_in
from numpro_plugin.trainer.shard_format import turn
from numpro_plugin.trainer.shards.index import ShardIndex
from numpro_plugin.views.report import write_report
from numpro_plugin.views.runs import read_runs

SIZE = (16, 16)
QUESTION = turn("user", "When does a person open the door?")


@pytest.mark.parametrize(
    ("answer", "span"),
    [
        (("From Frame ", 3, " to Frame ", 9, "."), (3, 9)),
        (("From ", 3, " to ", 3, "."), (3, 3)),
        (("The door is opened between frames ", 3, " and ", 9, " of the video."), (3, 9)),
        (("frames ", 3, "-", 9), (3, 9)),
        (("Frame ", 3, "."), None),
        (("It does not happen.",), None),
        (("The highlight frames are in the ", 3, ", ", 9, " frames. Their saliency scores are 1.3, 2.6"), None),
        (("The highlight frames are in the ", 3, ", ", 9, " frames."), None),
        (("Frames ", 3, " and ", 9, "."), None),
        (("From ", 0, " to ", 9, ", a man runs. From ", 10, " to ", 20, ", he sits."), None),
        (("From ", 0, " to ", 9, ", a man runs."), None),
        (("From Frame 3 to Frame 9.",), None),  # the shard does not mark its digits as frame numbers
    ],
)
def test_a_moment_is_a_span_of_two_frame_numbers(answer: tuple[Any, ...], span: tuple[int, int] | None) -> None:
    assert moment_in([QUESTION, turn("assistant", *answer)]) == span
    assert moment_in([QUESTION, turn("assistant", *answer), QUESTION, turn("assistant", "From ", 7, " to ", 8, ".")]) == span


def test_conversations_without_an_answer_are_not_moments() -> None:
    assert moment_in([]) is moment_in([QUESTION]) is moment_in([{**turn("user", "?"), "numbers": None}]) is None


def held_out_of(folder: Path, conversations: list[Any], *, encoding: str = "number", **more: Any) -> tuple[HeldOut, Any]:
    row = {**video_row("h", 40.0, size=SIZE), "conversations": conversations}
    shards = [str(write_shard(folder / "held.parquet", [row], size=SIZE, times=encoding != "number"))]
    recipe = load_recipe("tiny").replace(numpro__frame_size=list(SIZE), numpro__encoding=encoding)
    loaded = load_model(save_tiny_longva(folder / "model"), dtype="float32")
    index, collator = ShardIndex.read(shards, recipe.numpro), Collator(loaded.family, loaded.processor, recipe)
    return HeldOut(index, collator, max_new_tokens=4, **more), loaded


def test_every_process_generates_equally_often_and_no_answer_counts_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    caption = [QUESTION, turn("assistant", "A man runs.")]
    held_out, loaded = held_out_of(tmp_path, [question(0, 3, 3), caption, question(1, 2, 6), question(2, 4, 8)])
    calls: list[int] = []
    answers = iter(["From Frame 3 to Frame 3.", "From Frame 4 to Frame 8.", "From Frame 2 to Frame 4.", "?"])
    monkeypatch.setattr(Generator, "batch", lambda self, samples, options: calls.append(1) or [Generated(next(answers), 1)])
    gathered: list[Any] = []
    collect = lambda results: gathered.extend(results) or list(gathered)  # noqa: E731
    for rank in range(2):
        before = len(calls)
        scores = held_out.scores(loaded, rank=rank, world=2, gather=collect, equal_rounds=True)
        assert len(calls) - before == 2
    assert (scores["samples"], scores["parse_fail"], scores["mIoU"]) == (3, 0, pytest.approx(100 * (1 + 1 + 0.5) / 3))


def test_answers_are_written_as_a_log_that_the_report_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held_out, loaded = held_out_of(tmp_path, [question(0, 3, 3), question(1, 2, 6)])
    texts = iter(["I don't know.", "From Frame 2 to Frame 4."])
    monkeypatch.setattr(Generator, "batch", lambda self, samples, options: [Generated(next(texts), 1)])
    scores = held_out.scores(loaded)
    recipe = load_recipe("tiny").replace(numpro__frame_size=list(SIZE))
    folder = write_answers(tmp_path / "run", held_out.answers, recipe, step=200, scores=scores, seconds=1.5)
    assert {path.name for path in folder.iterdir()} == {"samples_numpro_held_out.jsonl", "results.json"}
    assert folder == tmp_path / "run" / "held_out" / "step_200"
    (read,) = read_runs([str(tmp_path / "run" / "held_out")])
    assert (read.name, read.task, read.kind, read.seconds, read.notes) == ("run, step 200", "numpro_held_out", "moment", 1.5, [])
    unread, half = read.samples.values()
    assert (half.id, half.query, half.duration_s, half.truth_s, half.span_s) == ("made/h#1", "event 1", 40.0, [(4.0, 12.0)], (4.0, 8.0))
    assert (half.score, half.numbers, half.settings) == (50, list(range(20)), recipe.numpro)
    assert "event 1" in half.prompt
    assert (unread.metrics["parse_fail"], unread.span_s, unread.text) == (100, None, "I don't know.")
    page = write_report([read], tmp_path / "report.html", pictures="none").path.read_text(encoding="utf-8")
    assert "event 1" in page


def test_answers_in_seconds_are_compared_with_the_annotation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    talk = question(0, 2, 6)
    talk[1] = {
        **talk[1],
        "spans_s": [[5.0, 11.0]],
        "numbers": [{**n, "time_s": t} for n, t in zip(talk[1]["numbers"], (5, 11), strict=True)],
    }
    held_out, loaded = held_out_of(tmp_path, [talk], encoding="seconds")
    monkeypatch.setattr(Generator, "batch", lambda *_: [Generated("The event happens in 5.0 - 8.0 seconds.", 1)])
    assert held_out.scores(loaded)["mIoU"] == pytest.approx(50)


def test_the_loss_is_that_of_all_answers_on_any_number_of_processes(tmp_path: Path) -> None:
    caption = [QUESTION, turn("assistant", "A man runs.")]
    held_out, loaded = held_out_of(tmp_path, [question(0, 3, 3), caption, question(1, 2, 6)])
    whole = held_out.loss(loaded)
    assert whole is not None
    sums, tokens = [], []
    for k in range(3):  # computed from transformers' own loss
        sample, _ = held_out._collator.sample(held_out.samples[0, k])
        learned = int((sample["labels"][:, 1:] != -100).sum())
        with torch.no_grad():
            sums.append(float(loaded.model(**sample).loss) * learned)
        tokens.append(learned)
    assert whole == {"loss": pytest.approx(sum(sums) / sum(tokens), rel=1e-5), "loss_tokens": sum(tokens)}
    gathered: list[Any] = []
    collect = lambda results: gathered.extend(results) or list(gathered)  # noqa: E731
    assert held_out.loss(loaded, rank=0, world=2, gather=collect, equal_rounds=True)["loss_tokens"] < sum(tokens)
    assert held_out.loss(loaded, rank=1, world=2, gather=collect, equal_rounds=True) == whole
    assert held_out.loss(loaded, stop=lambda: 15) is None


def test_captions_have_a_loss_where_no_moments_are_needed(tmp_path: Path) -> None:
    held_out, loaded = held_out_of(tmp_path, [[QUESTION, turn("assistant", "A man runs.")]], scores=("loss",))
    assert set(held_out.evaluate(loaded)) == {"loss", "loss_tokens"}


def test_held_out_shards_without_moments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NumProError, match=r"none of the 1 held-out conversations in .*held\.parquet asks for a moment"):
        held_out_of(tmp_path, [[QUESTION, turn("assistant", "A man runs.")]])
