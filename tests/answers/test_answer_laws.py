"""Laws that hold for every answer, whatever it says."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpro_plugin import parse_highlights, parse_moment

FRAGMENTS = [
    *("From Frame ", "frame ", "Frames ", " to ", "-", ", ", ". ", "\n", "\n\n", " and ", " (", ")", "[", "]", ": ", "| ", "**", "- "),
    *("<think>", "</think>", "<answer>", "</answer>", "\\boxed{", "}", "### Answer\n", "answer: ", "so ", "thus, ", "user\n", "wait, "),
    *("not ", "no ", "is not visible", "does not open the door", "only ", "before that, ", "the video has ", " frames", " seconds", "s"),
    *(
        "start ",
        "end ",
        "to the end",
        "score ",
        "scores ",
        "4.5",
        "2.0",
        "80%",
        "-1",
        "1e9",
        "9" * 400,
        "第",
        "帧",
        "到",
        "0:12",
        "½",
        "\u0000",
    ),
]
fragments = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.integers(0, 99).map(str), st.text(max_size=3)), max_size=30).map("".join)
texts = st.one_of(fragments, st.text())


@settings(deadline=None, max_examples=300)
@given(texts, st.none() | st.integers(0, 2000))
def test_a_moment_answer_is_whole(text, last_number):
    """Never an exception; the numbers are finite and not negative; ``span`` is the first of ``spans``, which are all different."""
    answer = parse_moment(text, last_number=last_number)
    assert answer.reason
    assert answer.spans[:1] == (() if answer.span is None else (answer.span,))
    assert len(set(answer.spans)) == len(answer.spans)
    assert (answer.unit is None) == (answer.span is None)
    assert all(math.isfinite(end) and end >= 0 for span in answer.spans for end in span)


@settings(deadline=None, max_examples=300)
@given(texts, st.none() | st.text(max_size=20))
@pytest.mark.slow
def test_a_highlight_answer_is_whole(text, query):
    """Never an exception; as many scores as frames; the numbers are finite, and no frame is negative."""
    answer = parse_highlights(text, query)
    assert answer.reason
    assert len(answer.frames) == len(answer.scores)
    assert all(math.isfinite(number) for number in answer.frames + answer.scores)
    assert all(frame >= 0 for frame in answer.frames)


BEFORE = [
    *(
        "",
        "Sure! ",
        "Yes, ",
        "Answer: ",
        "The answer is: ",
        "So, ",
        "**",
        "> ",
        "- ",
        "<answer>",
        "### Answer\n",
        "In the video, we can see it. ",
    ),
    *("<think>Frames 1 to 2?</think>", "The video has 90 frames (0-89). ", "The person opens the door. ", "At first there is nobody. "),
    *("There are 2 to 3 people in the room. ", "Although the light is not good, it is ", "You asked when he opens 2 doors. ", "No doubt: "),
    *(
        "Before that, from Frame 0 to Frame 1, he sits. ",
        "It is not in frames 0-1. ",
        "After sitting from Frame 0 to Frame 1, he opens it ",
    ),
]
AFTER = [
    *(
        "",
        ".",
        "!",
        "</answer>",
        "**",
        ". I hope this helps.",
        ". The answer is clear.",
        ", lasting 3 to 4 frames.",
        ". He is not visible after that.",
    ),
    *(
        ".\nuser\nAnd from Frame 0 to Frame 1?",
        ".<|im_end|>",
        " (10 out of 90 frames).",
        ".\n\nReasoning: in frames 0-1 he sits.",
        ", I think.",
    ),
    *(". Then, from Frame 88 to Frame 89, he leaves.", ". No other frames show it.", " of the video.", ", where 2 men come in."),
]


@settings(deadline=None, max_examples=300)
@given(st.integers(2, 40), st.integers(41, 80), st.sampled_from(BEFORE), st.sampled_from(AFTER), st.sampled_from([None, 89]))
def test_harmless_words_change_nothing(first, last, before, after, last_number):
    text = f"{before}From Frame {first} to Frame {last}{after}"
    assert parse_moment(text, last_number=last_number).numbers == (first, last), text


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 80), min_size=1, max_size=6, unique=True),
    st.data(),
    st.sampled_from([one for one in BEFORE if not one.startswith(("Before", "After", "Although", "It is not"))]),
    st.sampled_from(["", " I hope this helps.", "\nuser\nFrame 1: 1.0", "<|im_end|>", "</answer>"]),
)
def test_harmless_words_change_no_highlights(frames, data, before, after):
    scores = data.draw(st.lists(st.sampled_from([1.0, 1.5, 2.0, 3.5, 5.0]), min_size=len(frames), max_size=len(frames)))
    listed = ", ".join(map(str, frames))
    text = f"{before}The highlight frames are in the {listed} frames. Their saliency scores are {', '.join(map(str, scores))}.{after}"
    answer = parse_highlights(text)
    assert (answer.frames, answer.scores) == (tuple(frames), tuple(scores)), text
