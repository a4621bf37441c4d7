"""Pictures instead of a video: a folder of frames, a list of them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from support.digits import read_number
from support.videos import counter_frame, read_counter

from numpro_plugin import NumProError, NumProSettings
from numpro_plugin.clips.fitted import clip_pictures
from numpro_plugin.clips.metadata import read_clip_info
from numpro_plugin.clips.stills import folder_pictures, stills_clip


def counters_and_numbers(clip):
    frames = [np.asarray(picture) for picture in clip_pictures(clip)]
    return [read_counter(frame) for frame in frames], [read_number(frame) for frame in frames]


def test_files_images_and_arrays_are_the_same_pictures(tmp_path):
    for k in range(3):
        Image.fromarray(counter_frame(k)).save(tmp_path / f"{k}.png")
    files = [tmp_path / f"{k}.png" for k in range(3)]
    for pictures in (files, [Image.open(file) for file in files], [counter_frame(k) for k in range(3)], np.stack([counter_frame(0)] * 2)):
        clip = stills_clip(pictures)
        count = len(pictures)
        assert counters_and_numbers(clip) == ([0, 1, 2][:count] if count == 3 else [0, 0], list(range(count)))
        assert read_clip_info(clip).times_s == ()  # pictures have no clock
        assert stills_clip(pictures) == clip


def test_too_many_are_thinned_and_keep_their_numbers(tmp_path):
    clip = stills_clip([counter_frame(k) for k in range(100)], NumProSettings(max_frames=4, frame_size=(224, 112)))
    assert counters_and_numbers(clip)[0] == list(read_clip_info(clip).numbers) == [0, 33, 66, 99]


def test_a_folder_is_in_the_order_in_which_people_count(tmp_path):
    for name in ("f10.jpg", "f9.jpg", "f1.jpg", "f100.jpg", "a.png"):
        Image.fromarray(counter_frame(1)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    assert [path.name for path in folder_pictures(tmp_path)] == ["a.png", "f1.jpg", "f9.jpg", "f10.jpg", "f100.jpg"]


def test_a_changed_picture_is_another_clip(tmp_path):
    file = tmp_path / "0.png"
    Image.fromarray(counter_frame(1)).save(file)
    first = stills_clip([file])
    Image.fromarray(counter_frame(1234)).save(file)
    assert counters_and_numbers(stills_clip([file]))[0] == [1234]
    assert counters_and_numbers(first)[0] == [1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: [], "has no frames"),
        (lambda folder: [folder / "absent.png"], r"absent\.png: no such file"),
        (lambda folder: [folder / "broken.png"], r"broken\.png: cannot be read as a picture"),
        (lambda folder: [np.zeros((4, 4), dtype=np.uint8)], r"must be uint8 of shape \(H, W, 3\), got uint8 \(4, 4\)"),
        (lambda folder: [7], "a frame of type int cannot be read"),
    ],
)
def test_bad_pictures(tmp_path, make, message):
    (tmp_path / "broken.png").write_bytes(b"rubbish")
    with pytest.raises(NumProError, match=message):
        stills_clip(make(tmp_path))


def test_a_folder_without_pictures(tmp_path):
    with pytest.raises(NumProError, match="the folder has no pictures"):
        folder_pictures(tmp_path)
