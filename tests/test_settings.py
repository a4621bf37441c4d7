from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpro_plugin import NumberStyle, NumProError, NumProSettings
from numpro_plugin.encoding import PLAIN
from numpro_plugin.environment import fps_is_automatic, settings_from_environment
from numpro_plugin.numbering import POSITIONS
from numpro_plugin.settings import SettingsByVideo, auto_fps, parse_frame_size


def test_defaults_are_the_papers_protocol():
    settings = NumProSettings()
    assert (settings.fps, settings.frame_size, settings.max_frames) == (0.5, (336, 336), 240)
    assert settings.style == NumberStyle("bottom_right", 40, "red", 0)


@given(
    st.builds(
        NumProSettings,
        fps=st.floats(0.01, 240),
        frame_size=st.tuples(st.integers(16, 4096), st.integers(16, 4096)),
        max_frames=st.integers(1, 10_000),
        numbers=st.booleans(),
        style=st.builds(NumberStyle, position=st.sampled_from(POSITIONS), font_size=st.floats(4, 336)),
        prompt=st.sampled_from(["zeroshot", "ft"]),
    )
)
def test_survives_json(settings):
    assert NumProSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_one_and_one_point_zero_are_one_setting():
    assert json.dumps(NumProSettings(fps=1).to_dict()) == json.dumps(NumProSettings(fps=1.0).to_dict())


def test_style_does_not_matter_without_numbers():
    plain = {NumProSettings(numbers=False, style=NumberStyle(color=c)).pixel_dict().__repr__() for c in ("red", "blue")}
    numbered = {NumProSettings(style=NumberStyle(color=c)).pixel_dict().__repr__() for c in ("red", "blue")}
    assert (len(plain), len(numbered)) == (1, 2)


def test_from_environment():
    settings = settings_from_environment(
        {
            "NUMPRO_FPS": "1",
            "NUMPRO_FRAME_SIZE": "448x336",
            "NUMPRO_COLOR": "blue",
            "NUMPRO_FONT_SIZE": "60",
            "NUMPRO_DATA": "/x",
            "HOME": "/",
        }
    )
    assert settings == NumProSettings(fps=1, frame_size=(448, 336), style=NumberStyle(color="blue", font_size=60))
    assert settings_from_environment({"NUMPRO_FRAME_SIZE": "384"}, encoding=PLAIN) == NumProSettings(frame_size=(384, 384), numbers=False)


def test_a_rate_by_the_length_of_the_video(monkeypatch):
    lengths = (10, 60, 60.3, 120, 121, 240, 250, 480, 500, 3600)
    assert [auto_fps(length, 240) for length in lengths] == [4, 4, 2, 2, 1, 1, 0.5, 0.5, 0.5, 0.5]
    by_video = SettingsByVideo(NumProSettings(fps=4, max_frames=100), auto=True)
    assert [by_video.of(length).fps for length in (20, 40, 100, 101)] == [4, 2, 1, 0.5]
    assert by_video.of(20).max_frames == 100
    assert by_video.to_dict()["fps"] == "auto"
    for one in (by_video, SettingsByVideo(NumProSettings(fps=1))):
        assert SettingsByVideo.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    with pytest.raises(NumProError, match="unknown setting"):
        SettingsByVideo.from_dict({"fps": "auto", "colour": "red"})
    monkeypatch.setenv("NUMPRO_FPS", "auto")
    assert fps_is_automatic()
    assert settings_from_environment().fps == 4  # what no video exceeds


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"NUMPRO_FPSS": "1"}, "NUMPRO_FPSS is unknown; did you mean NUMPRO_FPS"),
        ({"NUMPRO_FPS": "fast"}, "NUMPRO_FPS='fast'"),
        ({"NUMPRO_FPS": "0"}, "fps=0.0"),
        ({"NUMPRO_FPS": "nan"}, "fps=nan"),
        ({"NUMPRO_FRAME_SIZE": "8"}, "frame_size"),
        ({"NUMPRO_FRAME_SIZE": "axb"}, "NUMPRO_FRAME_SIZE='axb'"),
        ({"NUMPRO_MAX_FRAMES": "0"}, "max_frames=0"),
        ({"NUMPRO_COLOR": "reddish"}, "'reddish'"),
        ({"NUMPRO_POSITION": "left"}, "'left'.*bottom_left"),
        ({"NUMPRO_PROMPT": "long"}, "'long'.*zeroshot"),
    ],
)
def test_wrong_environment_is_named(environ, message):
    with pytest.raises(NumProError, match=message):
        settings_from_environment(environ)


def test_unknown_keys_are_named():
    with pytest.raises(NumProError, match="fpss"):
        NumProSettings.from_dict({"fpss": 1})


SIDES = st.integers(16, 4096)


@given(width=SIDES, height=SIDES)
def test_a_frame_size_may_be_written_in_several_ways(width, height):
    for value in (f"{width}x{height}", f" {width} X {height} ", [width, height], (width, height)):
        assert parse_frame_size(value) == (width, height)
    for value in (width, str(width)):
        assert parse_frame_size(value) == (width, width)


@pytest.mark.parametrize(
    "value", ["", "big", "336x", "x336", "1x2x3", "-336", "3_36", "٣٣٦", "336.0", 336.0, True, None, [336], [336, True], "9" * 5000]
)
def test_another_text_is_not_a_frame_size(value):
    with pytest.raises(NumProError, match="^--frame-size=.* must be pixels as N or WIDTHxHEIGHT, for example 336 or 448x336$"):
        parse_frame_size(value, name="--frame-size")
