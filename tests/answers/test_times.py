"""Answers in seconds and clock times: every way of writing a span, other units than asked, and laws that hold for all."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from time_shapes import SHAPES

from numpro_plugin.answers.reading import read_moment, read_set
from numpro_plugin.answers.times import parse_times
from numpro_plugin.encoding import mark_of
from numpro_plugin.reports.seconds_text import timelens_span
from numpro_plugin.timeline import Timeline

MINUTE = Timeline(60, 0.5)


@pytest.mark.parametrize(("unit", "text", "expected"), SHAPES, ids=[text[:40] for _, text, _ in SHAPES])
def test_shapes(unit, text, expected):
    found = read_set(text, unit, MINUTE)
    assert (None if found.spans is None else list(found.spans_s)) == expected, found.reason
    first = read_moment(text, unit, MINUTE)
    assert first.span_s == (expected[0] if expected else None)
    assert (first.unit is None) == (first.span is None)


@pytest.mark.parametrize(
    ("asked", "text", "unit", "reason"),
    [
        ("seconds", "6 - 18 seconds", "seconds", "times, from '6s - 18s'"),
        ("seconds", "00:06 - 00:18", "clock", "the question asks for seconds, the answer names clock times"),
        ("clock", "6 - 18 s", "seconds", "the question asks for clock times, the answer names seconds"),
        ("clock", "6 - 18", "seconds", "'6 - 18', where nothing says what the numbers count; they are read as seconds"),
        ("seconds", "From Frame 3 to Frame 9", "frames", "the question asks for seconds, the answer names frames, which were converted"),
        ("clock", "frames 3 to 9", "frames", "the question asks for clock times, the answer names frames, which were converted"),
    ],
)
def test_an_answer_in_another_unit_is_reported_and_converted_where_the_unit_is_written(asked, text, unit, reason):
    found = read_moment(text, asked, MINUTE)
    assert (found.span_s, found.unit) == ((6, 18), unit)
    assert reason in found.reason
    assert found.span == ((3, 9) if unit == "frames" else (6, 18))


def test_a_question_for_frames_takes_frames_only():
    """What the paper's question asks for are numbers that are shown; a span in seconds is reported and counts as not understood."""
    found = read_moment("From 6 to 18 seconds.", "frames", MINUTE)
    assert (found.span, found.span_s, found.unit) == ((6, 18), None, "seconds")
    assert read_set("6 - 18 seconds", "frames", MINUTE).spans is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("<think>He enters at 6 s", "unclosed thought"),
        ("It happens in 10% to 30% of the video.", "no number"),
        ("from -5 s to 18 s", "times start at 0"),
        ("The event does not occur in this video.", "the answer says that the video does not show it"),
    ],
)
def test_why_nothing_is_read(text, reason):
    assert reason in read_moment(text, "seconds", MINUTE).reason


def test_to_the_end_needs_the_length_of_the_video():
    assert read_moment("from 6 s to the end", "seconds", MINUTE).span_s == (6, 60)
    assert "the length of the video is not known" in read_moment("from 6 s to the end", "seconds", Timeline(0, 0.5)).reason
    assert "the last number of the video is not known" in read_moment("From Frame 3 to the end", "frames", Timeline(0, 0.5)).reason


def plain(time_s):
    return mark_of("seconds", time_s)


def minutes(time_s):
    return f"{int(time_s) // 60} minutes {plain(time_s % 60)} seconds"


def clock(time_s):
    return f"{int(time_s) // 3600:02}:{int(time_s) // 60 % 60:02}:{int(time_s) % 60:02}.{round(time_s % 1 * 1000):03}"


WAYS = [
    *(lambda a, b, unit=unit: f"{plain(a)}{unit} - {plain(b)}{unit}" for unit in ("s", " sec", " secs", " seconds", "秒", " секунд")),
    *(lambda a, b, to=to: f"from {plain(a)} {to} {plain(b)} seconds" for to in ("to", "until", "-", "–", "~")),
    lambda a, b: f"The event happens in {a:.3f} - {b:.3f} seconds.",
    lambda a, b: f"between {plain(a)} and {plain(b)} seconds",
    lambda a, b: f"It starts at {plain(a)} s and ends at {plain(b)} s.",
    lambda a, b: f"{minutes(a)} to {minutes(b)}",
    lambda a, b: f"{clock(a)} --> {clock(b).replace('.', ',')}",
    lambda a, b: f"{plain(a)} - {plain(b)}",
    lambda a, b: f"from {plain(a)} to {plain(b)}.",
    lambda a, b: json.dumps([[a, b]]),
    lambda a, b: json.dumps({"start": a, "end": b}),
    lambda a, b: json.dumps([{"start_time": clock(a), "end_time": clock(b), "event": "opens 2 doors"}]),
    lambda a, b: json.dumps({"timestamp": [plain(a), plain(b)]}),
    lambda a, b: f"<answer>{plain(a)} to {plain(b)}</answer>",
    lambda a, b: f"<timestep>{plain(a)}s-{plain(b)}s</timestep>",
]
BEFORE = ["", "Sure! ", "Answer: ", "<think>Is it 1 to 2 seconds?</think>", "The video is 7200 seconds long. ", "**Answer:** "]
AFTER = ["", "\n", " I hope this helps.", "<|im_end|>", "\nuser\nAnd from 1 to 2 seconds?"]


@settings(deadline=None, max_examples=400)
@given(
    st.integers(0, 3_000_000),
    st.integers(1000, 4_000_000),
    st.sampled_from(WAYS),
    st.sampled_from(BEFORE),
    st.sampled_from(AFTER),
    st.sampled_from(["seconds", "clock"]),
)
def test_every_written_form_reads_back(start_ms, length_ms, way, before, after, unit):
    span = start_ms / 1000, (start_ms + length_ms) / 1000
    text = before + way(*span) + after
    found = read_moment(text, unit, Timeline(7200, 0.5))
    assert found.span_s == pytest.approx(span, abs=1e-6), (text, found.reason)


PIECES = [
    *(
        "The event happens in ",
        " - ",
        " to ",
        " seconds",
        "s",
        "00:06",
        "1:02:03.5",
        "frame ",
        " minutes ",
        ", ",
        "[",
        "]",
        "{",
        '"',
        "until the end",
    ),
    *(
        "<think>",
        "</think>",
        "<answer>",
        "</answer>",
        "not ",
        "no ",
        "lasting ",
        "1m05s",
        "6,5",
        "1,006",
        "-5",
        "9" * 400,
        "秒",
        "第",
        "\n",
        "%",
        ":",
    ),
]
pieces = st.lists(st.one_of(st.sampled_from(PIECES), st.integers(0, 99).map(str), st.text(max_size=3)), max_size=30).map("".join)


@settings(deadline=None, max_examples=300)
@given(st.one_of(pieces, st.text()), st.sampled_from(["seconds", "clock"]), st.sampled_from([0.0, 12.5, 60.0]))
def test_any_answer_is_read_whole(text, unit, duration_s):
    """Never an exception; spans are finite, ordered and not negative."""
    found = parse_times(text, unit=unit, timeline=Timeline(duration_s, 0.5))
    assert found.reason
    assert (found.unit is None) == (not found.spans)
    assert len(found.spans or ()) == len(found.spans_s)
    assert all(math.isfinite(end) and 0 <= start <= end for start, end in found.spans_s)


@pytest.mark.shared
def test_timelens_reads_its_own_answers(shared):
    """Its rule, exactly: the first span, not swapped; what it cannot read is None."""
    for row in json.loads((shared / "golden/metrics/timelens_answers.json").read_text()):
        assert timelens_span(row["text"]) == (tuple(row["spans"][0]) if row["spans"] else None), row["text"]
