"""Found moments as subtitles, edit list and table."""

from __future__ import annotations

import csv
import io
from fractions import Fraction

import pytest
from support.videos import write_counter_video

from numpro_plugin import NumProError
from numpro_plugin.video.packets import read_packets
from numpro_plugin.views.moments import Moment, as_csv, as_edl, as_srt, frame_rate_of

MOMENTS = [
    Moment("a cat\n\n2\nis \x1b[31mred", 3725.0, 3727.9996, None, "frames", "From Frame 1, to\nFrame 2"),
    Moment("nothing", None, None, None, "the answer has no number", "Who knows."),
    Moment('日本語, "שלום"', 4.0, 12.5, None, "frames", "2 to 6"),
]


def test_subtitles():
    assert as_srt(MOMENTS) == (
        '1\n00:00:04,000 --> 00:00:12,500\n日本語, "שלום"\n\n2\n01:02:05,000 --> 01:02:08,000\na cat 2 is \\x1b[31mred\n'
    )


def test_an_edit_list_counts_frames():
    lines = as_edl(MOMENTS, "my film.mp4", 30000 / 1001).splitlines()
    assert lines[:3] == ["TITLE: my film.mp4", "FCM: NON-DROP FRAME", ""]
    # 4 s are 119.88 frames, 12.5 s are 374.6: frames 120 and 375 of a counter that runs to 30
    assert lines[3] == "001  AX       V     C        00:00:04:00 00:00:12:15 01:00:00:00 01:00:08:15"
    assert lines[4:7] == ["* FROM CLIP NAME: my film.mp4", '* COMMENT: 日本語, "שלום"', ""]
    assert lines[7].startswith("002  AX       V     C        01:02:01:")
    assert lines[7].split()[6] == "01:00:08:15"


def test_a_table_has_every_query():
    rows = list(csv.DictReader(io.StringIO(as_csv([*MOMENTS, Moment("best", 6.0, None, 4.5)]), newline="")))
    assert [row["query"] for row in rows] == [*(one.query for one in MOMENTS), "best"]
    assert [(row["start_s"], row["end_s"], row["score"]) for row in rows[1:]] == [
        ("", "", ""),
        ("4.000", "12.500", ""),
        ("6.000", "", "4.5"),
    ]
    assert rows[0]["answer"] == "From Frame 1, to\nFrame 2"
    assert rows[1]["reason"] == "the answer has no number"


def test_limits_of_an_edit_list():
    with pytest.raises(NumProError, match=r"fast\.mp4: has 120 frames a second, and an edit list \(EDL\) can hold 99"):
        as_edl(MOMENTS, "fast.mp4", 120)
    with pytest.raises(NumProError, match="1000 moments"):
        as_edl([MOMENTS[2]] * 1000, "a.mp4", 25)


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30000, 1001), 25, 4])
def test_the_frame_rate_is_found_in_the_packets(tmp_path, rate):
    times = [round(k * 1000 / rate) for k in range(60)]
    video = write_counter_video(tmp_path / "a.mp4", times, rate=rate, size=(64, 32))
    assert frame_rate_of(read_packets(video)) == pytest.approx(float(rate), abs=0.01)
