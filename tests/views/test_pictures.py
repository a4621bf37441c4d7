"""The frames of a report and of a sheet are those that the model saw."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image
from support.layout import differs
from support.logs import SMALL

from numpro_plugin import draw_numbers, sample_frames
from numpro_plugin.encoding import PRESETS
from numpro_plugin.errors import NumProError
from numpro_plugin.settings import NumProSettings
from numpro_plugin.showing import sampled_frames, show, show_video
from numpro_plugin.timeline import Timeline, kept_numbers
from numpro_plugin.views.lettering import Lettering
from numpro_plugin.views.pictures import MOST_FRAMES, sprite_or_reason, telling_numbers, video_sprite
from numpro_plugin.views.sheet import SheetText, read_answer, sheet_pages, write_sheet

spans = st.lists(st.tuples(st.floats(-5, 500), st.floats(-5, 500)), max_size=12)


def test_a_sprite_holds_the_frames_as_the_model_saw_them(video):
    sprite = video_sprite(str(video), SMALL, [(2, 6)])
    seen = sample_frames(video, fps=SMALL.fps, frame_size=SMALL.frame_size)
    draw_numbers(seen.pixels, seen.numbers, SMALL.style)
    assert sprite.numbers == seen.numbers.tolist()
    sheet = Image.open(io.BytesIO(sprite.jpeg))
    assert sheet.size == (4 * sprite.width, 3 * sprite.height)
    for k, frame in enumerate(seen.pixels):
        left, top = sprite.width * (k % 4), sprite.height * (k // 4)
        shown = np.asarray(sheet.crop((left, top, left + sprite.width, top + sprite.height)), dtype=float)
        wanted = np.asarray(Image.fromarray(frame).resize((sprite.width, sprite.height), Image.Resampling.LANCZOS), dtype=float)
        assert np.abs(shown - wanted).mean() < 8  # JPEG


@pytest.mark.parametrize("name", ["seconds", "bar", "plain", "grid"])
def test_a_sprite_has_the_marks_of_every_encoding(video, name):
    settings = NumProSettings(fps=1.0, frame_size=(96, 96), encoding=PRESETS[name].encoding)
    sprite = video_sprite(str(video), settings, [(2, 6)])
    shown = show_video(video, settings).pictures.pixels
    if name == "grid":  # frames stand alone, in the size that they have in the grid
        shown = np.stack([shown[0, 32 * row : 32 * row + 32, 24 * column : 24 * column + 24] for row in (0, 1) for column in range(4)])
    sheet = Image.open(io.BytesIO(sprite.jpeg))
    assert len(sprite.numbers) == 10
    for k, frame in enumerate(shown):
        left, top = sprite.width * (k % 4), sprite.height * (k // 4)
        cell = np.asarray(sheet.crop((left, top, left + sprite.width, top + sprite.height)), dtype=float)
        wanted = np.asarray(Image.fromarray(frame).resize((sprite.width, sprite.height), Image.Resampling.LANCZOS), dtype=float)
        assert np.abs(cell - wanted).mean() < 8  # JPEG


@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(count=st.integers(1, 400), most=st.integers(1, 300), spans=spans)
def test_the_telling_numbers_are_shown_ones_with_the_ends_of_the_spans(count, most, spans):
    timeline = Timeline(float(count), 1.0)
    shown = kept_numbers(timeline.count, most)
    chosen = telling_numbers(shown, timeline, spans)
    assert set(chosen) <= set(shown)
    assert len(chosen) == min(len(shown), MOST_FRAMES)
    assert (np.diff(chosen) > 0).all()
    for time_s in itertools.chain(*spans[:4]):
        assert shown[np.abs(shown - time_s).argmin()] in chosen


def test_a_missing_video_has_a_reason_instead_of_a_picture(tmp_path):
    sprite, reason = sprite_or_reason(str(tmp_path / "gone.mp4"), SMALL, [])
    assert sprite is None
    assert "gone.mp4" in reason
    assert sprite_or_reason("x.mp4", None, [])[0] is None


def test_a_sheet_has_thirty_frames_a_page(video, tmp_path):
    pages = write_sheet(video, tmp_path / "sheet.png", NumProSettings(fps=4, frame_size=(64, 64)), SheetText("a door"))
    assert [page.name for page in pages] == ["sheet.png", "sheet-2.png"]
    assert all(Image.open(page).size[0] == 1280 for page in pages)


def test_bars_stand_under_the_frames_of_truth_and_answer(video):
    (page,) = sheet_pages(video, SMALL, SheetText("a door", ((2, 6),), "From Frame 5 to Frame 8."))
    pixels = np.asarray(page).astype(int)
    truth, answer = (np.abs(pixels - color).sum(axis=2) == 0 for color in ((0x00, 0x7A, 0x5A), (0x0B, 0x62, 0xB0)))
    wide = (1280 - 2 * 36 - 4 * 14) // 5
    columns = lambda mask, rows: [mask[rows, 36 + k * (wide + 14) : 36 + k * (wide + 14) + wide].mean() > 0.01 for k in range(5)]  # noqa: E731
    high = wide  # frames are square
    head = 36 + 38 + 30
    first, second = slice(head + high, head + high + 20), slice(head + 2 * high + 58, head + 2 * high + 78)
    assert columns(truth, first) == [False, False, True, True, True]
    assert columns(truth, second) == [True, True, False, False, False]
    assert columns(answer, first) == [False] * 5
    assert columns(answer, second) == [True, True, True, True, False]


def test_answers_are_read_as_the_tasks_read_them():
    timeline = Timeline(10.0, 1.0)
    read = read_answer(SheetText("", ((2, 6),), "From Frame 2 to Frame 4."), timeline)
    assert read is not None
    assert (read.spans_s, read.iou, read.is_read) == (((2.0, 4.0),), 0.5, True)
    unread = read_answer(SheetText("", (), "no idea"), timeline)
    assert unread is not None
    assert (unread.spans_s, unread.is_read) == ((), False)
    assert read_answer(SheetText(), timeline) is None


def test_sheets_are_png(video, tmp_path):
    with pytest.raises(NumProError, match=r"name it .*sheet\.png"):
        write_sheet(video, tmp_path / "sheet.jpg")


def test_text_of_any_script_is_drawn_without_boxes():
    letters = Lettering(20)
    runs = "".join(piece for piece, _ in letters._runs("door 日本 \U0010ffff שלום"))
    assert "\U0010ffff" not in runs
    assert runs.startswith("door ")
    assert letters.wrapped("a" * 400, 100, 2)[-1].endswith("…")
    assert all(letters.width(line) <= 100 for line in letters.wrapped("word " * 40 + "日本語" * 30, 100, 50))


def test_of_a_part_of_a_video_only_the_part_is_shown(video):
    """Times and numbers count from the part's start, as the model was shown them."""
    sprite = video_sprite(str(video), SMALL, [(1, 2)], start_s=3.5, end_s=8.0)
    seen = sample_frames(video, fps=SMALL.fps, frame_size=SMALL.frame_size, start_s=3.5, end_s=8.0)
    draw_numbers(seen.pixels, seen.numbers, SMALL.style)
    assert (sprite.numbers, sprite.times_s) == (list(range(5)), [0, 1, 2, 3, 4])
    sheet = Image.open(io.BytesIO(sprite.jpeg))
    for k, frame in enumerate(seen.pixels):
        left, top = sprite.width * (k % 4), sprite.height * (k // 4)
        shown = np.asarray(sheet.crop((left, top, left + sprite.width, top + sprite.height)), dtype=float)
        wanted = np.asarray(Image.fromarray(frame).resize((sprite.width, sprite.height), Image.Resampling.LANCZOS), dtype=float)
        assert np.abs(shown - wanted).mean() < 8  # JPEG
    (page,) = sheet_pages(video, SMALL, SheetText("a door", ((1, 2),), "From Frame 1 to Frame 2."), start_s=3.5, end_s=8.0)
    (whole,) = sheet_pages(video, SMALL, SheetText("a door", ((1, 2),), "From Frame 1 to Frame 2."))
    assert page.size != whole.size or np.asarray(page).tobytes() != np.asarray(whole).tobytes()


@pytest.mark.parametrize("name", ["seconds", "clock", "bar", "plain", "text", "grid"])
def test_pictures_show_the_marks_that_the_model_saw(video, name):
    """Frames of a grid stand by themselves, in the size that they have in it."""
    settings = replace(SMALL, frame_size=(128, 96), encoding=PRESETS[name].encoding)
    sampled = sampled_frames(video, settings)
    seen = show(sampled, replace(settings, encoding=replace(settings.encoding, layout="frames"), frame_size=settings.tile_size))
    if name == "bar":
        seen = show(sampled_frames(video, settings), settings)
    sprite = video_sprite(str(video), settings, [(2, 6)])
    sheet = Image.open(io.BytesIO(sprite.jpeg))
    for k, frame in enumerate(seen.pictures.pixels):
        left, top = sprite.width * (k % 4), sprite.height * (k // 4)
        shown = np.asarray(sheet.crop((left, top, left + sprite.width, top + sprite.height)), dtype=float)
        wanted = np.asarray(Image.fromarray(frame).resize((sprite.width, sprite.height), Image.Resampling.LANCZOS), dtype=float)
        assert np.abs(shown - wanted).mean() < 8, k  # JPEG


def test_a_sheet_reads_the_answer_in_the_unit_of_its_encoding(video):
    text = SheetText("a door", ((2, 6),), "The event happens in 00:02 - 00:05.")
    clock = replace(SMALL, encoding=PRESETS["clock"].encoding)
    reading = read_answer(text, Timeline(10, 1.0), unit="clock")
    assert (reading.spans_s, reading.iou) == (((2, 5),), 0.75)
    assert read_answer(replace(text, answer="2 - 5 seconds"), Timeline(10, 1.0)).spans_s == ()
    (drawn,), (numbers,) = sheet_pages(video, clock, text), sheet_pages(video, SMALL, text)
    assert drawn.tobytes() != numbers.tobytes()


def test_a_sheet_keeps_its_layout(video):
    (page,) = sheet_pages(video, SMALL, SheetText("a door", ((2, 6),), "From Frame 5 to Frame 8."))
    assert differs(page, "sheet") < 4
    (other,) = sheet_pages(video, SMALL, SheetText("a door", ((2, 6),)))
    assert differs(other, "sheet") > 4  # a page without the answer's bar is another one
