"""Rows that the embedded model is made from, and their tensors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from numpro_plugin.errors import NumProError
from numpro_plugin.families import IGNORED, Loaded, load_model
from numpro_plugin.timeline import Timeline
from numpro_plugin.trainer.tiny_base.batches import BatchMaker
from numpro_plugin.trainer.tiny_base.curriculum import Curriculum
from numpro_plugin.trainer.tiny_base.marks import MARKS, NUMBERS, PLAIN, TEXT, Marks, marks_of
from numpro_plugin.trainer.tiny_base.rows import NOTHING, list_row, picture_row, sequence_row
from numpro_plugin.trainer.tiny_base.untrained import KINDS, description, save_untrained, tiny_tokenizer
from numpro_plugin.video.sampling import Frames


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("untrained")
    save_untrained(folder, NUMBERS, seed=0)
    return load_model(folder, dtype="float32")


@pytest.mark.parametrize("marks", MARKS.values(), ids=list(MARKS))
def test_answers_name_the_first_and_the_last_frame_that_show_what_is_asked_for(marks: Marks) -> None:
    rng = np.random.default_rng(3)
    for count in (2, 3, 5, 8, 12) * 8:
        row = sequence_row(rng, marks, count)
        assert row.pixels.shape == (count, 48, 48, 3)
        assert len({turn.question for turn in row.turns}) == len(row.turns) > 0
        for turn in row.turns:
            [kind] = [k for k, one in enumerate(KINDS) if f" {description(one)}?" in turn.question]
            seen = np.flatnonzero(row.kinds == kind)
            assert seen.tolist() == list(range(seen[0], seen[-1] + 1))
            assert (turn.first, turn.last) == (row.marks[seen[0]], row.marks[seen[-1]])
            assert turn.answer == f"From Frame {turn.first} to Frame {turn.last}."
        asked = {k for k, one in enumerate(KINDS) if any(f" {description(one)}?" in turn.question for turn in row.turns)}
        assert asked == set(row.kinds.tolist()) - {NOTHING}


def test_a_kind_is_seen_exactly_where_the_row_says() -> None:
    """Pixels of the shape's colour: white is nowhere else in an unmarked frame."""
    rng, found = np.random.default_rng(0), 0
    for _ in range(60):
        row = sequence_row(rng, PLAIN, 6)
        for kind in set(row.kinds.tolist()) & {k for k, one in enumerate(KINDS) if one[0] == "white"}:
            white = (row.pixels > 200).all(axis=-1).sum(axis=(1, 2)) > 20
            others = [k for k, one in enumerate(KINDS) if one[0] == "white" and k != kind]
            if not set(others) & set(row.kinds.tolist()):
                assert white.tolist() == (row.kinds == kind).tolist()
                found += 1
    assert found > 3


def test_pictures_and_lists_ask_for_what_they_show() -> None:
    rng = np.random.default_rng(1)
    rows = [picture_row(rng, NUMBERS) for _ in range(40)]
    for row in rows:
        [kind], [mark], [turn] = row.kinds.tolist(), row.marks.tolist(), row.turns
        named = "nothing" if kind == NOTHING else description(KINDS[kind])
        assert turn.answer == f"We see {named} with number {mark}."
    assert {int(row.kinds[0]) for row in rows} > {NOTHING}
    row = list_row(rng, NUMBERS, 4)
    assert len(set(row.kinds.tolist())) == len(row.turns) == 4
    said = {turn.question: turn.answer for turn in row.turns}
    for kind, mark in zip(row.kinds.tolist(), row.marks.tolist(), strict=True):
        assert said[f"Which frame shows {description(KINDS[kind])}?"] == str(mark)


def test_numbers_neither_ascend_always_nor_follow_each_other() -> None:
    rng = np.random.default_rng(2)
    rows = [NUMBERS.choose(rng, 12) for _ in range(100)]
    assert 30 < sum((np.diff(numbers) > 0).all() for numbers in rows) < 70
    assert all(len(set(numbers.tolist())) == 12 and numbers.min() >= 0 and numbers.max() < 100 for numbers in rows)
    assert not any((np.diff(numbers) == 1).all() for numbers in rows)


def test_the_curriculum_goes_from_pictures_over_lists_to_ever_longer_sequences() -> None:
    curriculum, rng = Curriculum(frames=8), np.random.default_rng(0)

    def lengths(progress: float) -> set[int]:
        return {len(row.pixels) for _ in range(30) for row in curriculum.rows(progress, rng, PLAIN)[:1]}

    assert lengths(0.0) == {1}
    assert {2, 4, 8} <= lengths(0.1)
    assert max(lengths(0.15)) <= 5
    assert max(lengths(0.9)) == 12


def test_a_batch_is_the_familys_encoding(untrained: Loaded) -> None:
    row = sequence_row(np.random.default_rng(4), NUMBERS, 6)
    batch = BatchMaker(untrained.processor, NUMBERS)([row])
    turns = [
        one for turn in row.turns for one in ({"role": "user", "content": turn.question}, {"role": "assistant", "content": turn.answer})
    ]
    frames = Frames(row.pixels, np.arange(6), Timeline(12.0, 0.5))
    sample = untrained.family.encode(frames, turns, untrained.processor)
    ids = sample["input_ids"][0].tolist()
    assert batch.input_ids[0].tolist() == ids[:-1]  # the family's ends with a line break
    assert torch.allclose(batch.pixels, sample["pixel_values_videos"], atol=1e-5)
    learned = [one for one in batch.labels[0].tolist() if one != IGNORED]
    tokenizer = untrained.processor.tokenizer
    assert tokenizer.decode(learned) == "".join(f"{turn.answer}<|im_end|>" for turn in row.turns)


def test_a_batch_tells_the_heads_what_frames_and_questions_are_about(untrained: Loaded) -> None:
    rng = np.random.default_rng(5)
    rows = [sequence_row(rng, NUMBERS, 4), list_row(rng, NUMBERS, 4)]
    made = BatchMaker(untrained.processor, NUMBERS)
    batch = made(rows)
    marks = np.concatenate([row.marks for row in rows])
    assert batch.frames[:, :2].tolist() == [[mark // 10 if mark > 9 else 10, mark % 10] for mark in marks.tolist()]
    assert batch.frames[:, 2].tolist() == np.concatenate([row.kinds for row in rows]).tolist()
    turns = [turn for row in rows for turn in row.turns]
    assert len(batch.questions) == len(turns)
    for (row, place, *digits), turn in zip(batch.questions.tolist(), turns, strict=True):
        token = int(batch.input_ids[row, place])
        assert untrained.processor.tokenizer.decode([token]).strip() in turn.question
        assert token in made.kind_ids.tolist()
        assert digits == [x for mark in (turn.first, turn.last) for x in (mark // 10 if mark > 9 else 10, mark % 10)]


def test_other_marks_change_frames_questions_and_text_before_frames(untrained: Loaded) -> None:
    few = replace(NUMBERS, choose=lambda rng, count: np.sort(rng.choice(20, count, replace=False)), question="Where is {}?".format)
    row = sequence_row(np.random.default_rng(6), few, 5)
    assert row.marks.max() < 20
    assert row.turns[0].question.startswith("Where is a ")
    text = BatchMaker(untrained.processor, TEXT)([sequence_row(np.random.default_rng(6), TEXT, 3)])
    said = untrained.processor.tokenizer.decode(text.input_ids[0])
    assert said.count("Frame ") == 3 + said.count("From Frame") * 2
    with pytest.raises(NumProError, match="no marks 'roman': choose one of numbers, text, plain"):
        marks_of("roman")


@pytest.mark.parametrize("marks", MARKS.values(), ids=list(MARKS))
def test_the_tokenizer_has_one_token_for_each_kind_and_loses_no_text(marks: Marks) -> None:
    tokenizer = tiny_tokenizer(marks)

    def ids(text: str) -> list[int]:
        made: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return made

    assert len({ids(f" {description(kind)}")[0] for kind in KINDS}) == len(KINDS)
    assert all(len(ids(f" {description(kind)}")) == 1 for kind in KINDS)
    for text in (marks.question("a green circle"), marks.picture_answer("a white square", 7), "a green circle", "ein grüner Kreis – 345"):
        assert tokenizer.decode(ids(text)) == text
