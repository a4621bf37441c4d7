"""A found moment as a file of its own: exactly its frames and its sound, copied where that is possible."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support.videos import read_counter, set_display_matrix, write_counter_video

from numpro_plugin import NumProError
from numpro_plugin.video.packets import read_packets
from numpro_plugin.video.sampling import frames_at
from numpro_plugin.views.cut import cut_moment


def shown(path: Path) -> list[int]:
    index = read_packets(path)
    times_s = (index.pts - index.pts[0]) * float(index.time_base)
    return [read_counter(frame) for frame in frames_at(index, times_s, frame_size=None)]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds, four frames a second, a key frame every two seconds, B-frames between them."""
    path = tmp_path_factory.mktemp("cut") / "counter.mp4"
    options = {"g": "8", "keyint_min": "8", "bf": "2", "sc_threshold": "0"}
    return write_counter_video(path, [250 * k for k in range(40)], rate=4, options=options)


@pytest.mark.parametrize(
    ("start_s", "end_s", "frames", "copied"),
    [
        (2, 4, range(8, 16), True),  # from one key frame to the next
        (8, 10, range(32, 40), True),
        (8, 99, range(32, 40), True),
        (2.1, 4, range(8, 16), True),  # the frame on screen at 2.1 s is the key frame
        (3, 5, range(12, 20), False),
        (4.25, 4.3, [17], False),
        (6, 6, [24], None),
        (10, 10, [39], False),
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_clip_has_exactly_the_frames_of_the_moment(video, tmp_path, start_s, end_s, frames, copied, suffix):
    cut = cut_moment(video, tmp_path / f"out{suffix}", start_s, end_s)
    assert shown(cut.path) == list(frames)
    assert cut.frames == len(frames)
    assert copied in (None, cut.copied)
    assert read_packets(cut.path).duration_s == pytest.approx(len(frames) / 4, abs=0.02)


def test_a_copy_holds_the_pixels_of_the_video_and_an_encoded_clip_nearly(video, tmp_path):
    exact, near = cut_moment(video, tmp_path / "a.mp4", 2, 4), cut_moment(video, tmp_path / "b.mp4", 2.5, 4.5)
    for cut, start_s, most in ((exact, 2, 0), (near, 2.5, 3)):
        times_s = np.arange(8) / 4
        clip, original = (frames_at(read_packets(p), times_s + t, frame_size=None) for p, t in ((cut.path, 0), (video, start_s)))
        assert abs(clip.astype(int) - original).mean() <= most


def test_open_groups_of_pictures_are_not_copied(tmp_path):
    options = {"g": "8", "bf": "3", "b_strategy": "0", "sc_threshold": "0", "x264-params": "open-gop=1"}
    video = write_counter_video(tmp_path / "open.mp4", [100 * k for k in range(60)], rate=10, options=options)
    for first in range(0, 40, 4):
        cut = cut_moment(video, tmp_path / f"{first}.mp4", first / 10, first / 10 + 1)
        assert shown(cut.path) == list(range(first, first + 10))


def test_a_rotated_video_is_upright(tmp_path):
    video = write_counter_video(tmp_path / "turned.mp4", [250 * k for k in range(16)], rate=4, options={"g": "4", "bf": "0"})
    set_display_matrix(video, "180")
    original = frames_at(read_packets(video), np.array([1.0, 1.5]), frame_size=None)
    for cut, k in ((cut_moment(video, tmp_path / "a.mp4", 1, 2), 0), (cut_moment(video, tmp_path / "b.mp4", 1.5, 2), 1)):
        clip = frames_at(read_packets(cut.path), np.array([0.0]), frame_size=None)[0]
        assert abs(clip.astype(int) - original[k]).mean() < 3


def with_sound(path: Path, codec: str = "aac") -> Path:
    """Six seconds; the sound is a tone whose pitch rises every second."""
    with av.open(str(path), "w") as out:
        pictures, sound = out.add_stream("libx264", rate=10, options={"g": "10", "bf": "0"}), out.add_stream(codec, rate=16000)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 64, "yuv420p"
        for k in range(60):
            out.mux(pictures.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), 4 * k, np.uint8), format="rgb24")))
        out.mux(pictures.encode(None))
        for k in range(0, 96000, 1000):
            wave = (8000 * np.sin(2 * np.pi * (400 + 200 * (k // 16000)) * np.arange(k, k + 1000) / 16000)).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, k, Fraction(1, 16000)
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
    return path


@pytest.mark.parametrize(("start_s", "copied"), [(3.0, True), (3.2, False)])
def test_the_sound_goes_along(tmp_path, start_s, copied):
    cut = cut_moment(with_sound(tmp_path / "loud.mp4"), tmp_path / "out.mp4", start_s, 5)
    assert (cut.copied, cut.sound) == (copied, True)
    with av.open(str(cut.path)) as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert len(sound) / 16000 == pytest.approx(5 - start_s, abs=0.15)
    middle = sound[int(16000 * (4.5 - start_s)) :][:4000]  # in the fourth second the tone is 400 + 4 * 200 Hz
    assert abs(np.abs(np.fft.rfft(middle)).argmax() * 4 - 1200) < 12


def test_sound_that_does_not_fit_is_left_out_with_a_warning(tmp_path, caplog):
    cut = cut_moment(with_sound(tmp_path / "loud.avi", "adpcm_ima_wav"), tmp_path / "out.mp4", 1, 2)
    assert not cut.sound
    assert "the clip has no sound, because adpcm_ima_wav cannot stand in mp4" in caplog.text


def test_other_codecs_and_odd_sizes(tmp_path):
    video = write_counter_video(tmp_path / "old.avi", [100 * k for k in range(30)], rate=10, size=(193, 97), codec="ffv1", pix_fmt="bgr0")
    assert shown(cut_moment(video, tmp_path / "out.mp4", 1, 2).path) == list(range(10, 20))


def test_what_is_wrong_is_an_error(video, tmp_path):
    with pytest.raises(NumProError, match=r"out\.avi: a clip is a video; name it .*out\.mp4 \(or \.mov\)"):
        cut_moment(video, tmp_path / "out.avi", 1, 2)
    with pytest.raises(NumProError, match="lasts 10.00 s, so there is nothing from 11 to 12 s"):
        cut_moment(video, tmp_path / "out.mp4", 11, 12)
    with pytest.raises(NumProError, match="does not exist; create it first"):
        cut_moment(video, tmp_path / "no" / "out.mp4", 1, 2)
    assert list(tmp_path.iterdir()) == []
