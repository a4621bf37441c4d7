"""Seconds and clocks in texts become frame numbers; durations and other numbers do not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpro_plugin.trainer.instructions.conversations import TimePoint
from numpro_plugin.trainer.instructions.questions import ask_for_frames, without_examples
from numpro_plugin.trainer.instructions.times import clock_s, times_to_frames


def told(text: str, *, bare: bool = False) -> str:
    """The text with every time in braces."""
    parts = times_to_frames(text, bare=bare).parts
    return "".join(f"{{{part.time_s:g}}}" if isinstance(part, TimePoint) else str(part) for part in parts)


# Written by hand: what a person takes for a time of the video, in the words that a person would use.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("28 - 36 seconds, he whisks eggs.", "Frames {28} - {36}, he whisks eggs."),
        ("The given query happens in 1.7 - 12.1 seconds.", "The given query happens in frames {1.7} - {12.1}."),
        ("It happens from 3.2 to 8 seconds.", "It happens from frame {3.2} to frame {8}."),
        ("From 3.2s until 8s", "From frame {3.2} until frame {8}"),
        ("between 3 and 8 s", "between frames {3} and {8}"),
        ("from 3–8 seconds", "from frames {3}–{8}"),
        ("12.5s-20.1s", "Frames {12.5}-{20.1}"),
        ("1.7 - 12.1, 20.5 - 30.0 seconds", "Frames {1.7} - {12.1}, frames {20.5} - {30}"),
        (
            "from 3.2 seconds to 8.0 seconds, and again from 10s to 12s.",
            "from frame {3.2} to frame {8}, and again from frame {10} to frame {12}.",
        ),
        (
            "90 - 102 seconds, spread it. 114 - 127 seconds, cut 2 slices.",
            "Frames {90} - {102}, spread it. Frames {114} - {127}, cut 2 slices.",
        ),
        ("1. 12.5s - 20.1s: he runs\n2. 00:30 - 00:40: sits", "1. Frames {12.5} - {20.1}: he runs\n2. Frames {30} - {40}: sits"),
        ("At 12.5s he falls.", "At frame {12.5} he falls."),
        ("12.5 seconds", "Frame {12.5}"),
        ("28.0s, he whisks", "Frame {28}, he whisks"),
        ("at 12.5 and 20.0 seconds", "at frames {12.5} and {20}"),
        ("at second 12", "at frame {12}"),
        ("It happens at around 12 seconds.", "It happens at around frame {12}."),
        ("at 00:12, he falls", "at frame {12}, he falls"),
        ("00:12 - 00:20", "Frames {12} - {20}"),
        ("from 00:01:02.500 to 00:01:10", "from frame {62.5} to frame {70}"),
        ("from 1 min 5 s to 2 minutes 3 seconds", "from frame {65} to frame {123}"),
        ("from 1,007.5 to 1,010 seconds", "from frame {1007.5} to frame {1010}"),
        ("start: 12.5, end: 20.1", "start: frame {12.5}, end: frame {20.1}"),
        ("It starts at 12.5 and ends at 20.1 seconds.", "It starts at frame {12.5} and ends at frame {20.1}."),
        ("Start time: 00:12, end time: 00:20", "Start time: frame {12}, end time: frame {20}"),
        ('{"start": 12.5, "end": 20.1}', '{"start": {12.5}, "end": {20.1}}'),
        ("[[28, 36], [40, 50.5]]", "[[{28}, {36}], [{40}, {50.5}]]"),
        (
            "<think>It opens at <timestep>12.54 to 17.83</timestep>.</think><answer>12.54 to 17.83</answer>",
            "<think>It opens at frame {12.54} to frame {17.83}.</think><answer>frame {12.54} to frame {17.83}</answer>",
        ),
        (
            "There are 3 highlights in the 82.0, 84.0, 86.0 second. Their saliency scores are 1.3, 1.1, 2.0.",
            "There are 3 highlights in the {82}, {84}, {86} frames. Their saliency scores are 1.3, 1.1, 2.0.",
        ),
        ("from <TIME_ZERO><TIME_ONE><TIME_DOT><TIME_FIVE> to <TIME_ONE><TIME_TWO>", "from frame {1.5} to frame {12}"),
        ("１２．５秒到20秒", "Frames {12.5}到{20}"),
        ("36 - 28 seconds", "Frames {28} - {36}"),
        ("from second 3 to second 8", "from frame {3} to frame {8}"),
        ("in 3.2 sec. to 8 sec.", "in frame {3.2} to frame {8}."),
        ("the time span 3.2 s to 8 s", "the time span frame {3.2} to frame {8}"),
        ("from 3.2 to 8 seconds (of 70.3 s)", "from frame {3.2} to frame {8} (of 70.3 s)"),
        ("[3.2 s, 8.0 s]", "[{3.2}, {8}]"),
        ("[00:12-00:20] he sits (12.5s)", "[Frames {12}-{20}] he sits (frame {12.5})"),
        ("From 00:00:03,200 to 00:00:08,000", "From frame {3.2} to frame {8}"),
        ("It occurs at 12.5s, 30s and 45s.", "It occurs at frames {12.5}, {30} and {45}."),
    ],
)
def test_times_become_frames(text: str, expected: str) -> None:
    assert told(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "He waits for 5 seconds and leaves.",
        "The video is 70.3 seconds long.",
        "a 5-second clip",
        "It lasts 3 to 5 seconds.",
        "2 men, 10:30 am",
        "It is 3:2 for them, 50% of 1.5 m",
        "the 2nd time, 3 men in 4x4 cars",
        "From 3 to 9, a man runs.",
        "",
        "no digits — 没有",
    ],
)
def test_other_numbers_stay(text: str) -> None:
    assert told(text) == text


def test_what_may_be_a_time_is_reported() -> None:
    found = times_to_frames("He sits down 12 seconds in, then from 3 to 5 seconds he sings.")
    assert found.unsure == ("He sits down 12 seconds in, then from 3 to 5 seconds ",)
    assert times_to_frames("36 - 28 seconds").turned_round == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1.7 - 12.1", "Frames {1.7} - {12.1}"), ("12.54 to 17.83", "Frame {12.54} to frame {17.83}"), ("[3.5, 9]", "[{3.5}, {9}]")],
)
def test_bare_numbers_are_times_only_where_time_was_asked_for(text: str, expected: str) -> None:
    assert told(text, bare=True) == expected
    assert told(text) == text
    assert told(f"{text} men", bare=True) == f"{text} men"


@given(st.text(st.sampled_from("0123456789 ,.-–:/[](){}\"'<>timesto秒\n&"), max_size=80), st.booleans())
def test_no_text_breaks_it_and_nothing_but_times_changes(text: str, bare: bool) -> None:
    parts = times_to_frames(text, bare=bare).parts
    assert all(part.time_s >= 0 for part in parts if isinstance(part, TimePoint))
    if not any(isinstance(part, TimePoint) for part in parts):
        kept = re.sub(r"<\s*/?\s*(?:timestep|timestamp|time_?span|time)s?\s*>", "", text)
        assert "".join(map(str, parts)) == kept


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (
            "Find 'he runs', determining its starting and ending times. The format should be: 'in <start time> - <end time> seconds'.",
            "Find 'he runs', determining its first and last frame numbers. The format should be: 'in <start frame> - <end frame> frames'.",
        ),
        (
            "You are given a video with multiple frames. The numbers before each video frame indicate its sampling timestamp (in seconds). "
            "When?",
            "You are given a video with multiple frames. When?",
        ),
        (
            'Provide the start and end times (in seconds, precise to two decimal places) in the format "start time to end time". '
            'For example: "12.54 to 17.83".',
            'Provide the first and last frame numbers in the format "start frame to end frame".',
        ),
        (
            "When does 'he sits' happen?\nReturn a JSON array of [start, end] pairs, all of them timestamps in seconds. Example: "
            "[[0.0, 3.5]] for one segment, or [[0.0, 3.5], [10.0, 12.0]] for multiple.",
            "When does 'he sits' happen?\nReturn a JSON array of [start, end] pairs, all of them frame numbers.",
        ),
        ("What does the second man do for a second, or for 5 seconds?", "What does the second man do for a second, or for 5 seconds?"),
        ("When does he whisk?", "When does he whisk?"),
    ],
)
def test_questions_ask_for_what_is_answered(question: str, expected: str) -> None:
    assert "".join(map(str, ask_for_frames((without_examples(question),))[0])) == expected


def test_clocks() -> None:
    assert [clock_s(text) for text in ("1:05", "00:12.5", "01:02:03.250", "00:00:02.000")] == [65, 12.5, 3723.25, 2]
    with pytest.raises(ValueError, match="'1:2:3:4' is not a clock time"):
        clock_s("1:2:3:4")
