from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from support.digits import read_number

from numpro_plugin import NumberStyle, NumProError, draw_numbers
from numpro_plugin.numbering import POSITIONS

FONT = str(files("numpro_plugin") / "data" / "DejaVuSans-Bold.ttf")
COLORS = ["red", "blue", "Black", "#0f0", "#12abf0", "rgb(1,2,3)", "hsl(30,50%,50%)", "rgba(10,200,30,128)"]


def drawn_by_pillow(frame, text, style):
    """The definition, in Pillow's own words."""
    picture = Image.fromarray(frame)
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    font = ImageFont.truetype(FONT, style.font_size * height / 336)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    w, h = right - left, bottom - top
    xy = {
        "bottom_right": (width - w, height - h - h / 3),
        "bottom_left": (0, height - h - h / 3),
        "top_right": (width - w, 0),
        "top_left": (0, 0),
        "center": ((width - w) // 2, (height - h) // 2),
    }[style.position]
    stroke = {"stroke_width": style.stroke_width * height / 336, "stroke_fill": style.stroke_color} if style.stroke_width else {}
    draw.text(xy, text, font=font, fill=style.color, **stroke)
    return np.array(picture)


def noise(shape=(336, 336), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.slow
def test_every_number_is_pixel_identical(position):
    style = NumberStyle(position=position)
    frame = noise()
    for number in range(1000):
        ours = draw_numbers(frame[None].copy(), [number], style)[0]
        assert np.array_equal(ours, drawn_by_pillow(frame, str(number), style)), number


@settings(max_examples=150, deadline=None)
@given(
    number=st.integers(0, 999),
    position=st.sampled_from(POSITIONS),
    font_size=st.one_of(st.integers(20, 80), st.floats(20, 80)),
    color=st.sampled_from(COLORS),
    stroke_width=st.sampled_from([0, 1, 2, 5]),
    stroke_color=st.sampled_from(COLORS),
    shape=st.sampled_from([(336, 336), (240, 320), (97, 193), (720, 576), (48, 48)]),
)
def test_any_style_is_pixel_identical(number, position, font_size, color, stroke_width, stroke_color, shape):
    style = NumberStyle(position, font_size, color, stroke_width, stroke_color)
    frame = noise(shape, seed=number)
    assert np.array_equal(draw_numbers(frame[None].copy(), [number], style)[0], drawn_by_pillow(frame, str(number), style))


@pytest.mark.slow
def test_numbers_can_be_read_back():
    frames = np.random.default_rng(0).integers(0, 170, (1000, 336, 336, 3), dtype=np.uint8)
    draw_numbers(frames, range(1000))
    assert [read_number(frame) for frame in frames] == list(range(1000))
    assert read_number(np.zeros((336, 336, 3), np.uint8)) is None


def test_in_place_or_into_out():
    frames = noise()[None]
    before = frames.copy()
    out = np.empty_like(frames)
    assert draw_numbers(frames, [7], out=out) is out
    assert np.array_equal(frames, before)
    assert draw_numbers(frames, [7]) is frames
    assert np.array_equal(frames, out)


def test_views_are_drawn_on():
    """A slice of a larger array, and one with negative strides."""
    whole = np.zeros((4, 400, 400, 3), np.uint8)
    draw_numbers(whole[::2, 10:346, 10:346], [1, 2])
    assert read_number(whole[2, 10:346, 10:346]) == 2
    assert not whole[1].any()
    assert not whole[:, 346:].any()


def test_a_number_larger_than_the_frame_is_clipped():
    frame = noise((20, 20))
    style = NumberStyle(font_size=336)
    assert np.array_equal(draw_numbers(frame[None].copy(), [123456], style)[0], drawn_by_pillow(frame, "123456", style))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"position": "middle"}, "'middle'.*bottom_right"),
        ({"font_size": 0}, "font_size=0"),
        ({"font_size": 1000}, "font_size=1000"),
        ({"color": "reed"}, "'reed'"),
        ({"color": 7}, "color=7"),
        ({"stroke_width": -1}, "stroke_width=-1"),
    ],
)
def test_wrong_styles_are_named(wrong, message):
    with pytest.raises(NumProError, match=message):
        NumberStyle(**wrong)


@pytest.mark.parametrize(
    ("pixels", "numbers", "message"),
    [
        (np.zeros((1, 8, 8, 3), np.float32), [0], "uint8"),
        (np.zeros((8, 8, 3), np.uint8), [0], "shape"),
        (np.zeros((2, 8, 8, 3), np.uint8), [0], "2 frames but 1 numbers"),
        (np.zeros((1, 8, 8, 3), np.uint8), [-1], "-1"),
        (np.zeros((1, 8, 8, 3), np.uint8), [1.5], "1.5"),
    ],
)
def test_wrong_input_is_named(pixels, numbers, message):
    with pytest.raises(NumProError, match=message):
        draw_numbers(pixels, numbers)
