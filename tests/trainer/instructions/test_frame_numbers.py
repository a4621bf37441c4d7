"""Frame numbers are told from all other digits; unclear digits are reported and left alone."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpro_plugin.answers.highlights import format_highlights
from numpro_plugin.prompts import highlight_prompt, moment_prompt
from numpro_plugin.trainer.instructions.frame_numbers import find_frame_numbers
from numpro_plugin.trainer.shard_format import renumbered, turn


def found(text, **kwargs):
    found_numbers = find_frame_numbers(text, **kwargs)
    return [text[a:b] for a, b in found_numbers.numbers], [text[a:b] for a, b in found_numbers.unsure]


@pytest.mark.parametrize(
    ("text", "numbers", "unsure"),
    [
        ("From Frame 3 to Frame 9.", "3 9", ""),
        ("From 03 to 09, a man runs. From 10 to 14, he sits.", "03 09 10 14", ""),
        ("A dog barks, from 3 to 9", "3 9", ""),
        ("from frame 3 to 9", "3 9", ""),
        ("It is seen in frame 3.", "3", ""),
        ("Frame3 to Frame9", "3 9", ""),
        ("frame number 7 shows a cat", "7", ""),
        ("Frame: 7", "7", ""),
        ("between frames 3 and 9", "3 9", ""),
        ("Start frame: 3, end frame: 9", "3 9", ""),
        ("frame 5: a cat, frame 6: a dog", "5 6", ""),
        ("during frames 3-9?", "3 9", ""),
        ("frames 3, 4 and 5 show it", "3 4 5", ""),
        ("frame numbers: 3, 4, 5", "3 4 5", ""),
        ("Frames: [3, 5, 7]", "3 5 7", ""),
        ("frames 80,81,82", "80 81 82", ""),
        ("frames 99,100", "99 100", ""),
        ("from frames 3 to 5, 7 to 9", "3 5 7 9", ""),
        ("The highlight frames are in the 8, 9 frames. Their saliency scores are 1, 2.5.", "8 9", ""),
        ("frame 3 has a score of 4, frame 4 a score of 5", "3 4", ""),
        # a comma ends what is said of one frame or one span
        ("In frame 3, 2 men walk", "3", "2"),
        ("From 0 to 5, 2 men walk", "0 5", "2"),
        # may be anything
        ("At 5, the man falls", "", "5"),
        ("2 men", "", "2"),
        ("The video has 16 frames", "", "16"),
        ("He counts from 1 to 10.", "", "1 10"),
        ("counting down from 10 to 1", "", "10 1"),
        ("they walk from 3 to 4 feet", "", "3 4"),
        ("frame -3", "", "3"),
        ("frames 99,150", "", "99,150"),
        ("a c0,000", "", "000"),
        ("3 - 9", "", "3 9"),
        # is something else
        ("From 3 to 9 seconds", "", ""),
        ("at 1:20, in 3/4 of the 2nd frame, 50% of it, 1.5 m", "", ""),
        ("a 3D model of the B52", "", ""),
        (moment_prompt("a man"), "", ""),
        (highlight_prompt("a man", kind="ft"), "", ""),
        (highlight_prompt("a man", kind="zeroshot"), "", ""),
        ("no digits at all", "", ""),
    ],
)
def test_what_is_a_frame_number(text, numbers, unsure):
    assert found(text) == (numbers.split(), unsure.split())


def test_an_answer_of_nothing_but_numbers():
    assert found("[3, 9].", about_frames=True) == (["3", "9"], [])
    assert found("3 to 9", about_frames=True) == (["3", "9"], [])
    assert found("3 men", about_frames=True) == ([], ["3"])


WORDS = st.text(st.sampled_from("abcde fgh.,"), max_size=40)
NUMBER = st.integers(0, 9999)


@given(WORDS, NUMBER, NUMBER, WORDS)
def test_numpros_answer_is_read_wherever_it_stands(before, first, last, after):
    text = f"{before} From Frame {first} to Frame {last}. {after}"
    found_numbers = find_frame_numbers(text)
    assert [int(text[a:b]) for a, b in found_numbers.numbers] == [first, last]


@given(st.lists(NUMBER, min_size=2, max_size=30), st.data())
def test_highlight_answers(frames, data):
    scores = data.draw(st.lists(st.integers(10, 50).map(lambda s: s / 10), min_size=len(frames), max_size=len(frames)))
    assert found(format_highlights(frames, scores)) == ([str(n) for n in frames], [])


@given(st.text(st.sampled_from("0123456789 ,.-:/%frames tosec&"), max_size=60))
def test_places_are_digits_in_order_and_never_both(text):
    found_numbers = find_frame_numbers(text)
    assert all(text[a:b].isdigit() for a, b in found_numbers.numbers)
    assert all(re.fullmatch(r"[\d,]+", text[a:b]) for a, b in found_numbers.unsure)
    every = sorted(found_numbers.numbers + found_numbers.unsure)
    assert all(a[1] <= b[0] for a, b in pairwise(every))
    assert list(found_numbers.numbers) == sorted(found_numbers.numbers)
    assert list(found_numbers.unsure) == sorted(found_numbers.unsure)


@given(st.lists(st.one_of(NUMBER, st.text(st.characters(codec="utf-8"), max_size=8)), max_size=12), st.integers(0, 500))
def test_numbers_of_a_turn_can_be_changed(parts, shift):
    """What `turn` puts together, `renumbered` finds again, whatever digits stand beside."""
    assert renumbered([turn("user", *parts)], lambda n: n + shift) == [
        turn("user", *(part + shift if isinstance(part, int) else part for part in parts))
    ]


@pytest.mark.parametrize("piece", ["1,", "1, ", "9", "1 to "])
def test_long_lists_take_linear_time(piece):
    start = time.process_time()
    find_frame_numbers("from " + piece * (100_000 // len(piece)))
    assert time.process_time() - start < 10  # 0.2 s here; what is quadratic takes minutes


def test_numbers_of_any_length_are_compared():
    long = "9" * 5000
    assert len(find_frame_numbers(f"We see it from {long} to {long}.").numbers) == 2
