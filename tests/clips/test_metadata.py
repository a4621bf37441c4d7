"""A clip is recognised by its metadata only where the file agrees with it."""

from __future__ import annotations

import json
import logging
from fractions import Fraction

import av
import numpy as np
import pytest
from support.videos import write_counter_video

from numpro_plugin import NumProError, NumProSettings, numbered_clip
from numpro_plugin.clips.checksum import _BOX, verify_checksum
from numpro_plugin.clips.clip import blank_clip, write_clip
from numpro_plugin.clips.fitted import clip_pictures, fitted_clip
from numpro_plugin.clips.metadata import is_blank_clip, read_clip_info

SETTINGS = NumProSettings(frame_size=(64, 48), fps=1)


@pytest.fixture
def clip(tmp_path):
    """Six frames of 64 x 48 pixels."""
    video = write_counter_video(tmp_path / "video.mp4", [k * 100 for k in range(60)], rate=10)
    write_clip(video, tmp_path / "clip.mp4", SETTINGS)
    return tmp_path / "clip.mp4"


def comment_of(clip):
    with av.open(str(clip)) as container:
        return container.metadata["comment"]


def write(path, frames, comment, *, codec="libx264rgb", pix_fmt="rgb24", options=None):
    with av.open(str(path), "w") as container:
        container.metadata["comment"] = comment
        stream = container.add_stream(codec, rate=1)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.options = pix_fmt, options or {"qp": "0", "g": "1"}
        for k, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def copied(clip, path, packets=slice(None)):
    """What ``ffmpeg -c copy`` makes of a clip, or of some of its frames; the metadata goes with it."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        target.metadata["comment"] = source.metadata["comment"]
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in [p for p in source.demux(video=0) if p.size][packets]:
            packet.stream = stream
            target.mux(packet)
    return path


@pytest.mark.shared
def test_an_ordinary_video_with_a_clips_comment(shared, tmp_path, caplog):
    pretend = shared / "cases/videos/pretend.mp4"
    assert read_clip_info(pretend) is None
    assert "its frames are 1920 x 1080 pixels, not 336 x 336; it is taken for an ordinary video" in caplog.text
    made = numbered_clip(pretend, NumProSettings(frame_size=(64, 48)))
    assert made != pretend
    assert read_clip_info(made).numbers == (0, 1)


@pytest.mark.parametrize("packets", [slice(1), slice(4), slice(5), slice(1, None), slice(2, 5)])
def test_a_trimmed_clip_is_an_ordinary_video(clip, tmp_path, packets, caplog):
    assert read_clip_info(copied(clip, tmp_path / "t.mp4", packets)) is None
    assert "the comment lists 6" in caplog.text


def test_a_scaled_or_encoded_clip_is_an_ordinary_video(clip, tmp_path, caplog):
    pixels = [np.asarray(picture) for picture in clip_pictures(clip)]
    comment = comment_of(clip)
    assert read_clip_info(write(tmp_path / "same.mp4", pixels, comment)).numbers == tuple(range(6))
    assert read_clip_info(write(tmp_path / "small.mp4", [p[::2, ::2].copy() for p in pixels], comment)) is None
    assert "its frames are 32 x 24 pixels, not 64 x 48" in caplog.text
    assert read_clip_info(write(tmp_path / "lossy.mp4", pixels, comment, codec="libx264", pix_fmt="yuv420p")) is None
    assert "its frames were encoded again (h264, yuv420p)" in caplog.text
    sparse = {"qp": "0", "g": "50", "bf": "0", "sc_threshold": "0"}
    assert read_clip_info(write(tmp_path / "sparse.mp4", pixels, comment, options=sparse)) is None
    assert "not every frame is a key frame" in caplog.text


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_copy_by_another_program_is_still_a_clip(clip, tmp_path, suffix):
    copy = copied(clip, tmp_path / f"copy.{suffix}")
    assert verify_checksum(copy) == "absent"
    assert read_clip_info(copy) == read_clip_info(clip)


def test_clips_for_other_readers_are_clips(clip):
    for options in ({"spare": True}, {"least_rate": 7.0}, {"spare": True, "least_rate": 7.0}):
        fitted = fitted_clip(clip, **options)
        assert fitted != clip
        assert read_clip_info(fitted) == read_clip_info(clip)


def test_clips_of_one_name_in_two_folders_are_not_mixed_up(tmp_path):
    """The fitted clip of the second was once that of the first."""
    made = []
    for k, seconds in enumerate((3, 6)):
        (tmp_path / str(k)).mkdir()
        video = write_counter_video(tmp_path / f"{k}.mp4", [j * 100 for j in range(seconds * 10)], rate=10)
        write_clip(video, tmp_path / str(k) / "clip.mp4", SETTINGS)
        made.append(fitted_clip(tmp_path / str(k) / "clip.mp4", least_rate=5.0))
    assert [len(read_clip_info(clip).numbers) for clip in made] == [3, 6]


def test_a_clip_of_a_version_without_checksums_is_read(clip, tmp_path):
    old = tmp_path / "old.mp4"
    old.write_bytes(clip.read_bytes()[: -_BOX.size])  # all that the older version wrote
    assert verify_checksum(old) == "absent"
    assert read_clip_info(old) == read_clip_info(clip)
    assert numbered_clip(old, SETTINGS) == old


def test_a_damaged_clip_cannot_be_asked_about(clip):
    data = bytearray(clip.read_bytes())
    middle = data.index(b"mdat") + 2000
    data[middle] ^= 1
    clip.write_bytes(data)
    with pytest.raises(NumProError, match=r"clip\.mp4: is a numbered clip whose bytes are not those .*make it again from the original"):
        read_clip_info(clip)
    with pytest.raises(NumProError, match="whose bytes"):
        numbered_clip(clip, SETTINGS)


GOOD = {"numbers": [0, 1], "times_s": [0.0, 1.0], "duration_s": 2.0, "settings": NumProSettings(frame_size=(64, 48)).pixel_dict()}
ODD = [
    *(
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"numpro": ' + "[" * 100_000,
        '{"numpro": {"numbers": [' + "9" * 5000 + "]}}",
        "NaN",
        "null",
        "[]",
    ),
    *(
        {**GOOD, **changed}
        for changed in (
            *({"numbers": value} for value in ([1, 0], [0, 0], [-1, 0], [0.0, 1.0], [True, 2], "01", None, {"0": 1})),
            *({"times_s": value} for value in ([0.0], [0.0, float("nan")], [0, 10**400], ["0", "1"], None)),
            *({"duration_s": value} for value in (None, "2", float("inf"), True)),
            *(
                {"settings": value}
                for value in (None, [], {}, {**GOOD["settings"], "frame_size": [64]}, {**GOOD["settings"], "style": None})
            ),
        )
    ),
]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_odd_comments_are_somebody_elses(tmp_path, odd, caplog):
    comment = odd if isinstance(odd, str) else json.dumps({"numpro": odd})
    path = write(tmp_path / "a.mkv", [np.zeros((48, 64, 3), np.uint8)] * 2, comment)
    caplog.set_level(logging.WARNING)
    assert read_clip_info(path) is None


def test_the_record_that_odd_comments_vary_is_good(tmp_path):
    path = write(tmp_path / "a.mkv", [np.zeros((48, 64, 3), np.uint8)] * 2, json.dumps({"numpro": GOOD}))
    assert read_clip_info(path).numbers == (0, 1)


def test_a_blank_clip_is_recognised_and_never_taken_for_a_video(clip):
    blank = blank_clip(SETTINGS)
    assert is_blank_clip(blank)
    assert is_blank_clip(fitted_clip(blank, spare=True))
    assert not is_blank_clip(clip)
    assert not is_blank_clip(clip.with_name("video.mp4"))
    with pytest.raises(NumProError, match="is the blank clip that stands for a video that could not be read"):
        numbered_clip(blank, SETTINGS)
