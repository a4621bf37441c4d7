from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpro_plugin import NumProError, Timeline
from numpro_plugin.timeline import kept_numbers

durations = st.floats(0, 20_000, allow_nan=False)
rates = st.sampled_from([0.25, 0.5, 1, 2, 10, 29.97])


def test_paper_protocol():
    timeline = Timeline(30.697)
    assert timeline.count == 16
    assert timeline.seconds(15) == 30.0
    assert timeline.span_seconds(3, 9) == (6.0, 18.0)


@pytest.mark.parametrize(
    ("duration_s", "fps", "count"), [(0, 0.5, 1), (0.01, 0.5, 1), (2, 0.5, 1), (2.001, 0.5, 2), (2.2, 25, 55), (30, 0.5, 15)]
)
def test_count(duration_s, fps, count):
    assert Timeline(duration_s, fps).count == count


@given(durations, rates)
def test_every_number_lies_within_the_video(duration_s, fps):
    timeline = Timeline(duration_s, fps)
    assert timeline.count >= 1
    assert timeline.seconds(timeline.count - 1) <= duration_s
    assert timeline.seconds(timeline.count) >= duration_s - 1e-6


@given(durations, rates, st.data())
def test_number_of_seconds_is_the_number(duration_s, fps, data):
    timeline = Timeline(duration_s, fps)
    number = data.draw(st.integers(0, timeline.count - 1))
    assert timeline.number(timeline.seconds(number)) == number


@given(durations, rates, st.floats(-100, 30_000))
def test_number_is_the_nearest_one_drawn(duration_s, fps, seconds):
    timeline = Timeline(duration_s, fps)
    number = timeline.number(seconds)
    assert 0 <= number < timeline.count
    nearest = min(abs(timeline.seconds(k) - seconds) for k in {max(0, number - 1), number, min(timeline.count - 1, number + 1)})
    assert abs(timeline.seconds(number) - seconds) <= nearest + 1e-6


def test_halves_go_up():
    assert Timeline(100).number([1.0, 3.0, 5.0, 4.999]).tolist() == [1, 2, 3, 2]


def test_arrays_come_back_as_arrays():
    timeline = Timeline(100)
    assert timeline.seconds([0, 1, 2]).tolist() == [0.0, 2.0, 4.0]
    assert timeline.number(np.array([0.0, 99.0])).dtype == np.int64
    assert isinstance(timeline.seconds(3), float)
    assert isinstance(timeline.number(3), int)


def test_spans_are_ordered_and_only_numbers_are_clamped():
    timeline = Timeline(10)
    assert timeline.span_seconds(9, 3) == (6.0, 18.0)
    assert timeline.span_numbers(99, 2) == (1, 4)


@pytest.mark.parametrize(
    "wrong", [{"duration_s": -1}, {"duration_s": math.nan}, {"duration_s": 1, "fps": 0}, {"duration_s": 1, "fps": math.inf}]
)
def test_wrong_values_are_named(wrong):
    with pytest.raises(NumProError, match="got"):
        Timeline(**wrong)


@given(st.integers(1, 5000), st.integers(1, 300))
def test_kept_numbers_by_the_reference_rule(count, max_frames):
    kept = kept_numbers(count, max_frames)
    assert len(kept) == min(count, max_frames)
    assert (np.diff(kept) > 0).all()
    assert kept[0] == 0
    if max_frames > 1:
        assert kept[-1] == count - 1
    if count > max_frames > 1:
        step = (count - 1) / (max_frames - 1)
        assert all(abs(k - i * step) <= 1 for i, k in enumerate(kept.tolist()))
