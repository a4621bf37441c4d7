"""Rows that the embedded model is made from, and their tensors."""

from __future__ import annotations

import numpy as np
import pytest

from numpro_plugin.families import Loaded, load_model
from numpro_plugin.trainer.tiny_base.marks import MARKS, NUMBERS, PLAIN, Marks
from numpro_plugin.trainer.tiny_base.rows import NOTHING, list_row, picture_row, sequence_row
from numpro_plugin.trainer.tiny_base.untrained import KINDS, description, save_untrained


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("untrained")
    save_untrained(folder, NUMBERS, seed=0)
    return load_model(folder, dtype="float32")


@pytest.mark.parametrize("marks", MARKS.values(), ids=list(MARKS))
def test_answers_name_the_frames_around_those_that_show_what_is_asked_for(marks: Marks) -> None:
    rng = np.random.default_rng(3)
    for count in (2, 3, 5, 8, 12) * 8:
        row = sequence_row(rng, marks, count)
        assert row.pixels.shape == (count, 48, 48, 3)
        assert len({turn.question for turn in row.turns}) == len(row.turns) > 0
        for turn in row.turns:
            [kind] = [k for k, one in enumerate(KINDS) if f" {description(one)}?" in turn.question]
            seen = np.flatnonzero(row.kinds == kind)
            assert seen.tolist() == list(range(seen[0], seen[-1] + 1))
            before, after = max(seen[0] - 1, 0), min(seen[-1] + 1, count - 1)  # the first or last frame has none beyond it
            assert (turn.first, turn.last) == (row.marks[before], row.marks[after])
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


def test_numbers_are_evenly_spaced_ascending_or_in_no_order() -> None:
    """Evenly spaced ones as videos have them, from 0 or any other; the rest can only be read."""
    rng = np.random.default_rng(2)
    rows = [NUMBERS.choose(rng, 12) for _ in range(400)]
    assert all(len(set(numbers.tolist())) == 12 and numbers.min() >= 0 and numbers.max() < 100 for numbers in rows)
    spaced = [numbers for numbers in rows if np.ptp(np.diff(numbers)) <= 1]
    assert 160 < len(spaced) < 240
    assert 70 < sum(numbers[0] == 0 for numbers in spaced) < len(spaced) - 70
    assert len({int(numbers[-1] - numbers[0]) for numbers in spaced}) > 30  # 12 of 12 to 60 frames
    assert 250 < sum((np.diff(numbers) > 0).all() for numbers in rows) < 350
    assert not any((np.diff(NUMBERS.choose(rng, 3)) == 1).all() for _ in range(50))  # pictures and short lists: always random
