from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from numpro_plugin import parse_moment
from numpro_plugin.answers.moments import parse_moment_reference

FRAMES = {
    "From Frame 3 to Frame 9.": (3, 9),
    "from 3 to 9": (3, 9),
    "FROM FRAME 3 TO FRAME 9": (3, 9),
    "from3to9": (3, 9),
    "From Frame3 to Frame9.": (3, 9),
    "From Frame\n3\nto\nFrame 9": (3, 9),
    "From Frame ３ to Frame ９": (3, 9),
    "frames 3 to 9": (3, 9),
    "Frames 3-9": (3, 9),
    "frame #3 - #9": (3, 9),
    "From Frame #3 to Frame #9.": (3, 9),
    "From **Frame 3** to **Frame 9**.": (3, 9),
    "`Frame 3` → `Frame 9`": (3, 9),
    "between frame 3 and frame 9": (3, 9),
    "Between frames 3 and 9.": (3, 9),
    "From Frame 3 – Frame 9": (3, 9),
    "From Frame 3 — Frame 9": (3, 9),
    "From Frame 3 until Frame 9.": (3, 9),
    "from frame 3 through frame 9": (3, 9),
    "From Frame 3 up to Frame 9": (3, 9),
    "From the Frame 3 to the Frame 9.": (3, 9),
    "From Frame 3.5 to Frame 9.25": (3.5, 9.25),
    "from 0 to 7.7": (0, 7.7),
    "From Frame 003 to Frame 009.": (3, 9),
    "From Frame 1,007 to Frame 1,012.": (1007, 1012),
    "from frame number 3 to frame number 9": (3, 9),
    "from the 3rd frame to the 9th frame": (3, 9),
    "the 3rd to 9th frames": (3, 9),
    "The event starts at frame 3 and ends at frame 9.": (3, 9),
    "Start: Frame 3, End: Frame 9": (3, 9),
    '{"start_frame": 3, "end_frame": 9}': (3, 9),
    '```json\n{"start": 3, "end": 9}\n```': (3, 9),
    "[3, 9]": (3, 9),
    "3-9": (3, 9),
    "From frame 3 (6 s) to frame 9 (18 s)": (3, 9),
    "frames 3 - 9 (6-18 seconds)": (3, 9),
    "6-18 seconds (frames 3-9)": (3, 9),
    "From frame 0 to frame 15 (0.0s to 30.0s)": (0, 15),
    "frames 3, 4, 5 and 6": (3, 6),
    "It is visible in frame 5.": (5, 5),
    "The person moves from 1 to 2 o'clock position. From Frame 4 to Frame 7.": (4, 7),
    "It changes from frame to frame. From Frame 6 to Frame 13.": (6, 13),
    "From Frame 0 to Frame 7. The red numbers show the frame number; the video has 16 frames.": (0, 7),
    "From Frame 5 to Frame 9 to Frame 12.": (5, 9),
    "From Frame 8 to Frame 9 and from Frame 11 to Frame 13.": (8, 9),
    "From Frame 9 to Frame 3": (9, 3),
    "From Frame 0 to Frame 99999999999.": (0, 99999999999),
    "The event begins at Frame 3 and continues until Frame 9.": (3, 9),
    "from frame 3 all the way to frame 9": (3, 9),
    "From Frame 3 to at least Frame 9": (3, 9),
    "Frame 3 => Frame 9": (3, 9),
    "First seen in frame 3; last seen in frame 9": (3, 9),
    "The start is frame 3, the end is frame 9": (3, 9),
    "From Frame 3 to the last frame (Frame 9)": (3, 9),
    "From Frame 3/16 to Frame 9/16": (3, 9),
    "<think>frame 0 to frame 15?</think>From Frame 3 to Frame 9": (3, 9),
    "Looking at Frame 0 to Frame 15, the answer is: From Frame 3 to Frame 9.": (3, 9),
    "<answer>From Frame 3 to Frame 9</answer>": (3, 9),
    "From Frame {3} to Frame $9$": (3, 9),
    "<3> to <9>": (3, 9),
    "- Start: 3\n- End: 9": (3, 9),
    "The 1,007 others 3 to 9": (3, 9),
}
SECONDS = {
    "From 4 to 8 seconds.": (4, 8),
    "From 10s to 18s.": (10, 18),
    "6.0 - 18.5 seconds": (6, 18.5),
    "From 00:06 to 00:20.": (6, 20),
    "1:02:03 - 1:02:04": (3723, 3724),
    "The given query happens in 6.0 - 18.0 seconds.": (6, 18),
    "from 2 minutes to 3 minutes": (120, 180),
    '{"start_time": 8.0, "end_time": 16.0}': (8, 16),
    "Seconds 8 to 16": (8, 16),
    "From 8 to 16 (seconds)": (8, 16),
}
NOT_UNDERSTOOD = {
    "": "empty",
    "   \n": "empty",
    "From Frame x to Frame y.": "repeats the format",
    "The event does not appear in the video.": "does not show it",
    "From Frame -1 to Frame 4.": "negative",
    "From Frame 3 to 18 seconds": "mixes frames and seconds",
    "The video has 16 frames.": "no range",
    "from frame 10 to the end": "last number",
    "I see 2 people.": "no range",
    "From Frame 4 to Frame": "no range",
    "From the beginning to Frame 8": "no range",
    "Frame 4 is where it begins. Frame 8 shows the door.": "no range",
    "None of the frames 0 to 15 show it.": "does not show it",
}


@pytest.mark.parametrize("text", FRAMES)
def test_frames(text):
    answer = parse_moment(text)
    assert (answer.span, answer.unit, answer.numbers) == (FRAMES[text], "frames", FRAMES[text])


@pytest.mark.parametrize("text", SECONDS)
def test_seconds_are_never_taken_for_frames(text):
    answer = parse_moment(text)
    assert (answer.span, answer.unit, answer.numbers) == (SECONDS[text], "seconds", None)


@pytest.mark.parametrize("text", NOT_UNDERSTOOD)
def test_why_not(text):
    answer = parse_moment(text)
    assert (answer.span, answer.unit) == (None, None)
    assert NOT_UNDERSTOOD[text] in answer.reason


numbers = st.integers(0, 10**6)
wordings = st.sampled_from(
    [
        "From Frame {} to Frame {}.",
        "from {} to {}",
        "Frames {}-{}",
        "Frames {} – {}",
        "between frame {} and frame {}",
        "**From Frame {} to Frame {}**",
        "The answer is: from frame #{} until frame #{}, I think.",
        "It starts at frame {} and ends at frame {}.",
    ]
)


@settings(deadline=None)
@given(numbers, numbers, wordings)
def test_parse_of_format_is_the_same(first, last, wording):
    assert parse_moment(wording.format(first, last)).numbers == (first, last)


@settings(deadline=None)
@given(st.decimals(0, 999, places=2), st.decimals(0, 999, places=2))
def test_decimals(first, last):
    assert parse_moment(f"From Frame {first} to Frame {last}.").numbers == (float(first), float(last))


@settings(deadline=None)
@given(st.one_of(st.text(), st.text("from to fame 0123456789.,:-#*()[]s\n"), st.binary().map(repr)))
@example("from" + " " * 5000 + "to")
@example("frame 1 " * 3000)
@example("9" * 5000 + " to " + "9" * 5000)
@example("(" * 3000 + "1 to 2")
@example("#" * 20000)
@example("1 and " * 5000)
@pytest.mark.slow
def test_never_raises_and_says_why(text):
    answer = parse_moment(text)
    assert answer.reason
    assert (answer.span is None) == (answer.unit is None)


@settings(deadline=None)
@given(st.text("from t fame 0123456789.s-\n", max_size=60))
@example("from6to10")
def test_nothing_that_the_reference_reads_is_lost(text):
    """What its pattern finds is a span here too, unless the text speaks of seconds or mixes units or signs."""
    if parse_moment_reference(text).span:
        ours = parse_moment(text)
        assert ours.span or "mixes" in ours.reason or "negative" in ours.reason


@pytest.mark.parametrize("text", [None, 7, b"From Frame 1 to Frame 2"])
def test_no_text(text):
    assert "empty" in parse_moment(text).reason


@pytest.mark.shared
def test_answers_of_the_golden_file(shared):
    items = json.loads((shared / "golden/metrics/numpro_mr_synthetic/dev/input.json").read_text())
    unread = {item["kind"] for item in items if parse_moment(item["response"]).span is None}
    assert unread == {"empty", "echo", "refusal", "negative"}
    for item in items:
        ours, reference = parse_moment(item["response"]), parse_moment_reference(item["response"])
        if re.search(r"second|\ds\b|\d:\d", item["response"]):
            assert ours.unit == "seconds"
        elif reference.span and item["kind"] not in {"distractor_first", "decimal_end"}:
            assert ours.numbers == reference.span
