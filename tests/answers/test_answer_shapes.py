"""Answers as models write them, by kind, against how a person reads them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from highlight_shapes import SHAPES as HIGHLIGHTS
from moment_shapes import SHAPES as MOMENTS
from moment_shapes import WITH_LAST_NUMBER

from numpro_plugin import parse_highlights, parse_moment
from numpro_plugin.answers.moments import parse_moment_reference

# Written by scene, as chatty models answer, without a look at the parser.
SCENES = json.loads(Path(__file__).with_name("scene_shapes.json").read_text())
ALL_MOMENTS = MOMENTS | {scene: {text: want and tuple(want) for text, want in texts.items()} for scene, texts in SCENES["moments"].items()}
ALL_HIGHLIGHTS = HIGHLIGHTS | SCENES["highlights"]


def read(text, last_number=None):
    answer = parse_moment(text, last_number=last_number)
    return (("s", *answer.span) if answer.unit == "seconds" else answer.span), answer.reason


@pytest.mark.parametrize("kind", ALL_MOMENTS)
def test_moments(kind):
    wrong = {text: (want, read(text)) for text, want in ALL_MOMENTS[kind].items() if read(text)[0] != want}
    assert not wrong


@pytest.mark.parametrize("text", WITH_LAST_NUMBER)
def test_with_the_last_number_the_end_is_a_number(text):
    assert read(text, 14)[0] == WITH_LAST_NUMBER[text], read(text, 14)


@pytest.mark.parametrize("kind", ALL_HIGHLIGHTS)
def test_highlights(kind):
    for text, want in ALL_HIGHLIGHTS[kind].items():
        answer = parse_highlights(text)
        expected = tuple(tuple(map(float, part.split())) for part in want.split(":")) if want else ((), ())
        assert (answer.frames, answer.scores) == expected, (text, answer)


@pytest.mark.parametrize("last_number", [None, 60])
def test_never_wrong_where_the_reference_is_right(last_number):
    """What NumPro's own pattern reads as a person would, no further stage may spoil; also not with the last number of the video."""
    shapes = {text: want for kind in ALL_MOMENTS.values() for text, want in kind.items() if want is not None}
    right = [text for text, want in shapes.items() if parse_moment_reference(text).span == want]
    assert len(right) > 150
    assert not {text: read(text, last_number) for text in right if read(text, last_number)[0] != shapes[text]}


@pytest.mark.shared
def test_moments_of_the_shared_cases(shared):
    for case in json.loads((shared / "cases/answers/moments.json").read_text()):
        want = case["want"]
        several = isinstance(want, list) and any(one is None or isinstance(one, list) for one in want)
        rights = [one if one is None else tuple(one) for one in (want if several else [want])]
        assert read(case["text"])[0] in rights, (case, read(case["text"]))


@pytest.mark.shared
def test_highlights_of_the_shared_cases(shared):
    for case in json.loads((shared / "cases/answers/highlights.json").read_text()):
        answer = parse_highlights(case["text"])
        assert [list(answer.frames), list(answer.scores)] == case["want"], case


def test_every_span_of_the_believed_tier_is_kept():
    answer = parse_moment("Frames 0-2: he sits.\n1. From Frame 6 to Frame 9\n2. From Frame 12 to Frame 10")
    assert answer.span == (6, 9)
    assert answer.spans == ((6, 9), (12, 10))
    assert "2 spans" in answer.reason


def test_a_span_that_is_repeated_is_one():
    assert parse_moment("From Frame 6 to Frame 9. " * 40).spans == ((6, 9),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<think>From frame 0 to frame 5", "raise max_new_tokens"),
        ("From frame 0 to 5. <answer>None</answer>", "marked as the answer has no number"),
        ("From Frame 6 to the end", "last number of the video is not known"),
        ("The video has 75 frames (0-74).", "only tells which frames there are"),
        ("It lasts 3 to 4 frames.", "is a count"),
        ("It is not visible from Frame 0 to Frame 5.", "denies"),
        ("Frames 0-5: he sits.\nFrames 6-9: he stands up.", "does not say which"),
    ],
)
def test_the_reason_says_why_nothing_is_read(text, reason):
    answer = parse_moment(text)
    assert (answer.span, answer.spans) == (None, ())
    assert reason in answer.reason


PIECES = ["1,", "[", "(", " ", "9", "frame 1 ", "from ", "1 to ", "#", "<think>", "answer: ", "\\boxed{", "\n", "so, ", "*", "1-", "not "]
PIECES += ["frame 1, ", "30/ ", "第1帧到", "first a: ", "1-2; ", "not until ", "3 4.5\n"]


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.slow
def test_long_texts_take_linear_time(piece):
    text = piece * (100_000 // len(piece))
    start = time.process_time()
    parse_moment(text, last_number=14)
    parse_highlights(text)
    parse_moment_reference(text)
    assert time.process_time() - start < 10  # 0.4 s here; what is quadratic takes minutes


STRANGE = {
    "surrogates": "\ud800From Frame 3 to Frame 9\udfff",
    "NULs": "\0From Frame 3\0 to Frame 9\0",
    "more digits than int() takes": f"From Frame 3 to Frame 9. {'7' * 4301}",
    "one megabyte": "From Frame 3 to Frame 9. " + "The dog runs to the 2 men. " * 40_000,
    "one long word": "From Frame 3 to Frame 9" + "x" * 100_000,
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.slow
def test_no_text_raises(name):
    assert parse_moment(STRANGE[name], last_number=14).reason
    assert parse_highlights(STRANGE[name], "2 men").reason
    assert parse_moment_reference(STRANGE[name]).reason


@pytest.mark.parametrize("parse", [parse_moment, parse_moment_reference])
def test_numbers_of_any_length(parse):
    assert parse(f"From Frame 0 to Frame {'9' * 5000}").span == (0, 10**15)
    assert parse(f"From Frame {'0' * 5000}3 to Frame 9").span == (3, 9)
