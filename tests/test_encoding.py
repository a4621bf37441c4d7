"""How time is shown and asked for: presets, marks, texts, layouts, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpro_plugin import NumProError, NumProSettings
from numpro_plugin.encoding import NUMBER, PLAIN, PRESETS, Grid, TimeEncoding, mark_of, parse_encoding, parse_encodings
from numpro_plugin.environment import settings_from_environment
from numpro_plugin.numbering import draw_marks, draw_numbers
from numpro_plugin.prompts import set_prompt
from numpro_plugin.prompts.questions import highlights_question, moment_question, moments_question, rate_sentence
from numpro_plugin.showing import show
from numpro_plugin.timeline import Timeline
from numpro_plugin.video.sampling import Frames

ENCODINGS = [preset.encoding for preset in PRESETS.values()]


def frames(count: int, settings: NumProSettings, *, gray: int = 90) -> Frames:
    width, height = settings.tile_size
    return Frames(
        np.full((count, height, width, 3), gray, dtype=np.uint8),
        np.arange(count, dtype=np.int64),
        Timeline(count / settings.fps, settings.fps),
    )


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_read_back_by_its_name_and_by_its_fields(name: str) -> None:
    encoding = PRESETS[name].encoding
    written = ",".join(f"{key}={value}" for key, value in encoding.to_dict().items())
    assert parse_encoding(name) == parse_encoding(written) == parse_encoding(written.replace("=", ":").replace(",", ";")) == encoding
    assert encoding.name == name
    assert TimeEncoding.from_dict(encoding.to_dict()) == encoding
    settings = NumProSettings(encoding=encoding)
    assert NumProSettings.from_dict(settings.to_dict()) == settings


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("numbers", "allowed: number, plain"),
        ("", "allowed: number, plain"),
        ("drawn=seconds", "use answer=seconds"),
        ("text=clock", "use answer=clock"),
        ("drawn=bar", "use answer=seconds"),
        ("drawn=digits", "drawn='digits' is unknown; allowed: number"),
        ("draw=number", "unknown field.* draw; allowed: drawn"),
        ("drawn=number,drawn=clock", "says drawn twice"),
        ("text=number,layout=4x", "allowed: frames, or a grid"),
        ("text=number,layout=4x3/13", "stride of 1 up to"),
        ("text=number,layout=1x1", "2 to 64 frames"),
        ("layout=4x3", "before grids"),
        ("drawn=bar,text=none,answer=seconds,layout=4x3", "too small to read"),
    ],
)
def test_an_encoding_that_is_not_possible_is_refused_with_the_reason(text: str, complaint: str) -> None:
    with pytest.raises(NumProError, match=complaint):
        parse_encoding(text, name="NUMPRO_ENCODING")


def test_the_default_stands_in_records_as_it_always_did() -> None:
    assert "encoding" not in NumProSettings().to_dict()
    assert NumProSettings(numbers=False) == NumProSettings(encoding=PLAIN)
    assert replace(NumProSettings(numbers=False), encoding=NUMBER).numbers
    assert not replace(NumProSettings(numbers=False), fps=1.0).numbers
    with pytest.raises(NumProError, match="numbers=False contradicts encoding seconds"):
        NumProSettings(numbers=False, encoding=PRESETS["seconds"].encoding)


@pytest.mark.parametrize(
    ("time_s", "seconds", "clock"),
    [
        (0, "0", "00:00"),
        (6.5, "6.5", "00:06"),
        (3 / 0.3, "10", "00:10"),
        (1 / 3, "0.333", "00:00"),
        (3606, "3606", "1:00:06"),
        (59.999, "59.999", "00:59"),
    ],
)
def test_marks(time_s: float, seconds: str, clock: str) -> None:
    assert mark_of("seconds", time_s) == seconds
    assert mark_of("clock", time_s) == clock


@settings(deadline=None)
@given(st.integers(0, 5000), st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 8.0, 25.0, 240.0]))
def test_a_seconds_mark_is_the_frames_time(number: int, fps: float) -> None:
    assert abs(float(mark_of("seconds", number / fps)) - number / fps) <= 0.0005 + 1e-9
    assert mark_of("seconds", number / fps) != mark_of("seconds", (number + 1) / fps)


def test_clocks_that_would_collide_are_refused() -> None:
    NumProSettings(fps=1, encoding=PRESETS["clock"].encoding)
    with pytest.raises(NumProError, match="at fps=2 frames are 0.5 s apart, so two of them would carry one clock time"):
        NumProSettings(fps=2, encoding=PRESETS["clock"].encoding)
    for automatic in ({"NUMPRO_ENCODING": "clock"}, {"NUMPRO_ENCODING": "drawn=number,text=clock"}):
        with pytest.raises(NumProError, match="fps=auto goes up to 4 numbers per second, where frames are 0.25 s apart"):
            settings_from_environment({"NUMPRO_FPS": "auto", **automatic})
    assert settings_from_environment({"NUMPRO_FPS": "auto", "NUMPRO_ENCODING": "seconds"}).fps == 4


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 6), st.integers(1, 6), st.data())
def test_a_grid_shows_every_frame_and_no_picture_for_nothing(count: int, columns: int, rows: int, data: st.DataObject) -> None:
    grid = Grid(columns, rows, data.draw(st.integers(1, columns * rows)))
    parts = grid.parts(count)
    assert {k for part in parts for k in part} == set(range(count))
    assert all(len(part) == grid.frames for part in parts[:-1])
    assert len(parts) == 1 or parts[-1].stop > parts[-2].stop


def test_texts_before_frames_and_grids() -> None:
    assert PRESETS["number"].encoding.texts([0, 1], 0.5) is None
    assert PRESETS["text"].encoding.texts([0, 1, 3], 0.5) == ("0s", "2s", "6s")
    assert PRESETS["number+text"].encoding.texts([0, 1], 0.5) == ("<Frame 0>", "<Frame 1>")
    assert PRESETS["grid"].encoding.texts(list(range(13)), 1.0) == ("<Frame 0 to Frame 11>", "<Frame 6 to Frame 12>")
    assert parse_encoding("text=none").texts([0, 1], 0.5) == ("", "")


def test_what_is_drawn() -> None:
    for name, marks in (("seconds", ["0", "2", "4"]), ("clock", ["00:00", "00:02", "00:04"])):
        settings = NumProSettings(encoding=PRESETS[name].encoding)
        expected = draw_marks(frames(3, settings).pixels, marks)
        assert (show(frames(3, settings), settings).pictures.pixels == expected).all()
    settings = NumProSettings()
    assert (show(frames(3, settings), settings).pictures.pixels == draw_numbers(frames(3, settings).pixels, [0, 1, 2])).all()
    assert (show(frames(3, settings), replace(settings, encoding=PRESETS["text"].encoding)).pictures.pixels == 90).all()


def test_a_grid_has_its_frames_in_reading_order_and_black_behind_them() -> None:
    settings = NumProSettings(encoding=PRESETS["grid"].encoding)
    made = frames(13, settings)
    made.pixels[:] = (np.arange(13) * 10 + 5)[:, None, None, None]
    grids = show(made, settings).pictures
    assert grids.pixels.shape == (2, 336, 336, 3)
    assert grids.numbers.tolist() == [0, 6]
    assert grids.pixels[0, ::112, ::84, 0].tolist() == [[5, 15, 25, 35], [45, 55, 65, 75], [85, 95, 105, 115]]
    assert grids.pixels[1, ::112, ::84, 0].tolist() == [[65, 75, 85, 95], [105, 115, 125, 0], [0, 0, 0, 0]]
    with pytest.raises(NumProError, match="does not fit frame_size=338x336"):
        replace(settings, frame_size=(338, 336))


def test_a_bar_stands_below_the_frame_and_grows() -> None:
    settings = NumProSettings(encoding=PRESETS["bar"].encoding)
    shown = show(frames(10, settings), settings).pictures.pixels
    assert shown.shape == (10, 336, 336, 3)
    assert (shown[:, :294] == 90).all()
    red = ((shown[:, 294:, :, 0] > 200) & (shown[:, 294:, :, 1] < 60)).sum((1, 2))
    assert (np.diff(red) > 0).all()


def test_a_mark_that_is_wider_than_its_frame_is_an_error_with_the_size_that_fits() -> None:
    settings = NumProSettings(frame_size=(40, 336), encoding=PRESETS["clock"].encoding)
    with pytest.raises(NumProError, match=r"'00:0\d' in font size 40 .* use a font size of at most \d+"):
        show(frames(2, settings), settings)


@pytest.mark.parametrize("encoding", ENCODINGS, ids=PRESETS)
def test_a_question_says_what_is_shown_and_how_to_answer(encoding: TimeEncoding) -> None:
    question = moment_question("A dog runs.", NumProSettings(encoding=encoding), Timeline(30, 0.5))
    assert ("seconds'" in question) == (encoding.answer == "seconds")
    assert ("Frame x" in question or "from x to y" in question) == (encoding.answer == "frames")
    assert ("The red numbers on each frame" in question) == (encoding.drawn in ("number", "seconds", "clock"))
    assert ("before each video frame" in question) == (encoding.text != "native" and encoding.grid is None)


def test_timelens_questions_byte_for_byte() -> None:
    base = (
        "Please find the visual event described by the sentence 'a dog runs', determining its starting and ending times. "
        "The format should be: 'The event happens in <start time> - <end time> seconds'."
    )
    stamps = (
        "You are given a video with multiple frames. The numbers before each video frame indicate its sampling timestamp (in seconds). "
    )
    assert moment_question(" a dog  runs.", NumProSettings(encoding=PRESETS["native"].encoding)) == base
    assert moment_question(" a dog  runs.", NumProSettings(encoding=PRESETS["text"].encoding)) == stamps + base


@pytest.mark.parametrize(
    "encoding", ["text", "text=seconds,answer=clock", "text=seconds,answer=seconds,layout=2x2", "drawn=seconds,text=seconds,answer=seconds"]
)
def test_a_question_for_all_moments_says_once_what_stands_before_the_frames(encoding: str) -> None:
    settings = NumProSettings(encoding=parse_encoding(encoding))
    asked = moments_question("a dog", settings, "retrieval")
    assert asked.count("before each") == (0 if settings.encoding.grid else 1)
    assert (asked == set_prompt("a dog", "retrieval", unit="seconds", stamps=True)) == (encoding == "text")


def test_numbers_with_an_answer_in_seconds_are_explained() -> None:
    asked = moment_question("a dog", NumProSettings(encoding=parse_encoding("drawn=number,answer=seconds")))
    assert "represent the frame number. Number k is shown at 2k seconds. Please find" in asked
    assert [rate_sentence(fps) for fps in (0.5, 1, 2, 0.4)] == [
        "Number k is shown at 2k seconds.",
        "Number k is shown at k seconds.",
        "Number k is shown at k/2 seconds.",
        "Number k is shown at 2.5k seconds.",
    ]


def test_highlights_are_asked_for_in_frames_only() -> None:
    assert "<Frame" not in highlights_question("a dog", NumProSettings(encoding=PRESETS["text_number"].encoding))
    with pytest.raises(NumProError, match="highlight detection asks for frame numbers, but encoding text asks for seconds"):
        highlights_question("a dog", NumProSettings(encoding=PRESETS["text"].encoding))


def test_several_encodings_in_one_word() -> None:
    names = ["native", "drawn=seconds,text=clock,answer=seconds", "drawn=clock,text=native,answer=clock,layout=frames", "number+text"]
    found = parse_encodings(",".join(names))
    assert list(found) == ["native", "drawn=seconds,text=clock,answer=seconds", "clock", "number+text"]
    assert list(found.values()) == [parse_encoding(name) for name in names]
    assert list(parse_encodings("drawn:seconds;answer:seconds,text:clock;answer:clock")) == [
        "seconds",
        "drawn=none,text=clock,answer=clock",
    ]
    for text, complaint in (("number,numbers", "'numbers' is unknown"), ("clock,number,clock", "has clock twice"), ("", "is unknown")):
        with pytest.raises(NumProError, match=f"--encodings=.*{complaint}"):
            parse_encodings(text, name="--encodings")


def test_the_times_that_an_answer_can_name() -> None:
    def times(name: str, fps: float) -> list[float]:
        return parse_encoding(name).answer_times(range(5), fps)

    assert times("number", 0.4) == times("grid", 0.4) == times("drawn=number,text=clock,answer=seconds", 0.4) == [0, 2.5, 5, 7.5, 10]
    assert times("clock", 0.4) == times("drawn=clock,answer=seconds", 0.4) == [0, 2, 5, 7, 10]
    assert times("drawn=number,answer=clock", 2) == [0, 1, 2]
    assert times("seconds", 3) == [0, 0.333, 0.667, 1, 1.333]
    assert times("plain", 1) == times("native", 1) == []
