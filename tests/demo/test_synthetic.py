"""Synthetic videos: what is said to be visible is visible, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageColor

from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.demo.rendering import COLORS, SHAPES, Event, Scene, random_events, render_video
from numpro_plugin.demo.world import (
    ENVIRONMENT,
    LEAST_SHARE,
    SETTINGS,
    TINY_COLORS,
    around,
    best_visible,
    blind,
    render,
    shown_numbers,
    tiny_videos,
    write_queries,
)
from numpro_plugin.environment import settings_from_environment
from numpro_plugin.errors import NumProError
from numpro_plugin.numbering import draw_numbers
from numpro_plugin.video.sampling import sample_frames


def color_share(picture, color):
    """How much of a picture is nearly this colour."""
    wanted = np.array(ImageColor.getrgb(COLORS[color]))
    return float((np.abs(picture.astype(int) - wanted).max(axis=-1) < 70).mean())


@given(st.integers(0, 2**32 - 1), st.floats(12, 200), st.integers(1, 3), st.sampled_from([0.0, 0.1, 0.2]))
@settings(max_examples=100, deadline=None)
def test_events_do_not_overlap_and_last_long_enough(seed, duration_s, count, least):
    events = random_events(np.random.default_rng(seed), duration_s, count, least=least)
    ends = [time for event in events for time in (event.start_s, event.end_s)]
    assert ends == sorted(ends)
    assert ends[0] > 0
    assert ends[-1] <= duration_s
    assert all(event.end_s - event.start_s >= max(0.1, least * int(duration_s * 10) / 10) - 1e-9 for event in events)
    assert len({event.query for event in events}) == count
    assert events == random_events(np.random.default_rng(seed), duration_s, count, least=least)


def test_too_many_events_are_refused():
    with pytest.raises(NumProError, match="6 events of at least 20% each do not fit into 30 s"):
        random_events(np.random.default_rng(0), 30, 6, least=0.2)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("color", TINY_COLORS)
def test_a_shape_is_there_exactly_while_its_event_lasts(shape, color):
    scene = Scene([Event(shape, color, 2.0, 5.0)], np.random.default_rng(1), size=(96, 96))
    shares = {time_s: color_share(scene.picture(time_s), color) for time_s in (0.0, 1.99, 2.0, 3.3, 4.99, 5.0)}
    assert all((share > 0.02) == (2.0 <= time_s < 5.0) for time_s, share in shares.items())
    assert not np.array_equal(scene.picture(0.0), scene.picture(1.0))  # the background moves


def test_a_rendered_video_shows_its_events_and_never_hides_them_behind_the_number(tmp_path):
    events = [Event("square", "yellow", 3.0, 9.0), Event("circle", "blue", 12.0, 18.0)]
    render_video(tmp_path / "v.mp4", events, duration_s=20, fps=2, size=(96, 96))
    frames = sample_frames(tmp_path / "v.mp4", frame_size=(48, 48))
    bare = frames.pixels.copy()
    draw_numbers(frames.pixels, frames.numbers, SETTINGS.style)
    for before, after, number in zip(bare, frames.pixels, frames.numbers.tolist(), strict=True):
        for event in events:
            visible = event.start_s <= 2 * number < event.end_s
            assert (color_share(before, event.color) > 0.02) == visible
            assert color_share(after, event.color) >= color_share(before, event.color) - 0.01


def test_numbers_of_the_tiny_world_are_whole_and_differ():
    pixels = np.zeros((100, 48, 48, 3), dtype=np.uint8)
    draw_numbers(pixels, range(100), SETTINGS.style)
    assert len({frame.tobytes() for frame in pixels}) == 100
    assert not pixels[:, 0].any()
    assert not pixels[:, :, 0].any()
    assert (pixels[10:] > 128).any(axis=(0, 1, 3)).sum() >= 20  # two digits are 20 pixels wide


def test_the_environment_says_what_the_settings_say():
    assert settings_from_environment(ENVIRONMENT) == SETTINGS


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Six videos, rendered, with the table of their events."""
    folder = tmp_path_factory.mktemp("world")
    videos = tiny_videos(6, seed=3)
    render(videos, folder / "videos")
    write_queries(videos, folder / "queries.jsonl")
    table, report = prepare(BENCHMARKS["custom"], folder / "queries.jsonl", videos=folder / "videos", out=folder, progress=False)
    return videos, folder, table, report


def test_tiny_videos_are_as_long_as_said_and_show_twelve_frames(world):
    videos, folder, _, report = world
    assert report.n_used == sum(len(video.events) for video in videos)
    assert not report.beyond_end
    for video in videos:
        frames = sample_frames(folder / "videos" / f"{video.name}.mp4", frame_size=SETTINGS.frame_size, max_frames=SETTINGS.max_frames)
        assert frames.timeline.duration_s == pytest.approx(video.duration_s)
        assert frames.numbers.tolist() == shown_numbers(video.duration_s)
        assert len(frames) == 12
        for event in video.events:
            assert event.end_s - event.start_s > (LEAST_SHARE - 0.01) * video.duration_s


def test_tiny_videos_follow_from_their_seed():
    assert tiny_videos(5, seed=1) == tiny_videos(5, seed=1)
    assert not set(tiny_videos(5, seed=1)) & set(tiny_videos(5, seed=2))


def test_nobody_beats_the_best_shown_answer_and_the_blind_are_far_below(world):
    *_, table, _ = world
    best, taught, unread = best_visible(table), around(table), blind(table)
    assert 70 < taught["mIoU"] < best["mIoU"] < 100
    assert 10 < unread["mIoU"] < best["mIoU"] - 20
    assert all(max(unread[name], taught[name]) <= best[name] for name in best)
