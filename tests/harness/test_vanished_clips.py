"""Clips that are damaged or vanish while a base reads them are made again; the run goes on with the right frames."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from support.videos import read_counter, write_counter_video

from numpro_plugin import NumProSettings
from numpro_plugin.clips.cache import ClipCache
from numpro_plugin.clips.fitted import clip_pictures
from numpro_plugin.harness.sources import VideoFile
from numpro_plugin.harness.wrap.clip_maker import ClipMaker
from numpro_plugin.harness.wrap.messages import Replacer
from numpro_plugin.harness.wrap.readers import FrameArguments, Reader

SETTINGS = NumProSettings(fps=1, frame_size=(192, 96))


@pytest.fixture
def source(tmp_path):
    return VideoFile(str(write_counter_video(tmp_path / "v.mp4", [k * 1000 for k in range(4)], rate=1)))


@pytest.fixture
def clips():
    return ClipMaker(SETTINGS, {})


def counters(pictures):
    return [read_counter(np.asarray(picture)) for picture in pictures]


def clear(*_):
    shutil.rmtree(ClipCache().folder)


def test_the_cache_is_cleared_before_a_clip_is_read(clips, source):
    clears = iter([clear, None])

    def read(clip):
        if act := next(clears):
            act()
        return counters(clip_pictures(clip))

    assert clips.read(source, read) == [0, 1, 2, 3]


def test_the_cache_is_cleared_between_two_requests(clips, source):
    assert counters(clip_pictures(clips.shown(source).path)) == [0, 1, 2, 3]
    clear()
    shown = clips.shown(source)
    assert (shown.problem, counters(clip_pictures(shown.path))) == (None, [0, 1, 2, 3])


def test_a_clip_is_damaged_between_two_requests(clips, source):
    path = clips.shown(source).path
    path.write_bytes(bytes(path.stat().st_size))
    shown = clips.shown(source)
    assert (shown.problem, counters(clip_pictures(shown.path))) == (None, [0, 1, 2, 3])


@pytest.mark.parametrize("reader", [Reader(pictures=True), Reader(spare=True), Reader(least_rate=7.0)])
def test_every_way_of_showing_a_clip_survives_a_cleared_cache(clips, source, monkeypatch, reader):
    """The cache is cleared after each clip is announced, before it is read."""
    shown = clips.shown
    pending = [True]

    def shown_and_cleared(wanted):
        found = shown(wanted)
        if pending and pending.pop():
            clear()
        return found

    replacer = Replacer(clips, FrameArguments(reader))
    monkeypatch.setattr(clips, "shown", shown_and_cleared)
    (*visuals,) = replacer.visuals([source.path])
    pictures = visuals if reader.pictures else clip_pictures(visuals[0])
    assert counters(pictures) == [0, 1, 2, 3]
