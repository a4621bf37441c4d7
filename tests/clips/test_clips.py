from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import av
import cv2
import numpy as np
import pytest
from support.digits import read_number
from support.videos import write_counter_video

from numpro_plugin import NumberStyle, NumProError, NumProSettings, draw_numbers, numbered_clip, sample_frames
from numpro_plugin.clips import clip as clip_module
from numpro_plugin.clips.cache import ClipCache
from numpro_plugin.clips.clip import blank_clip, write_clip
from numpro_plugin.clips.metadata import read_clip_info


def video_of(tmp_path, seconds, name="a.mp4"):
    return write_counter_video(tmp_path / name, [k * 100 for k in range(seconds * 10)], rate=10)


def read_with_av(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def read_with_opencv(path):
    reader = cv2.VideoCapture(str(path))
    frames = []
    while True:
        good, frame = reader.read()
        if not good:
            return np.stack(frames)
        frames.append(frame[..., ::-1])


def read_with_decord(path):
    decord = pytest.importorskip("decord")
    reader = decord.VideoReader(str(path))
    return reader.get_batch(list(range(len(reader)))).asnumpy()


def read_with_torchcodec(path):
    try:
        from torchcodec.decoders import VideoDecoder
    except (ImportError, RuntimeError, OSError) as error:
        pytest.skip(f"torchcodec cannot be loaded here: {str(error).splitlines()[0]}")
    return VideoDecoder(str(path))[:].permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("read", [read_with_av, read_with_opencv, read_with_decord, read_with_torchcodec])
def test_every_reader_gets_the_very_pixels(tmp_path, read):
    video = video_of(tmp_path, 30)
    expected = sample_frames(video)
    draw_numbers(expected.pixels, expected.numbers)
    assert len(expected) == 15
    frames = read(numbered_clip(video))
    assert np.array_equal(frames[:15], expected.pixels)
    assert np.array_equal(frames[15], expected.pixels[14])  # an even number of frames: the last one again
    assert len(frames) == 16
    assert [read_number(f) for f in frames] == [*range(15), 14]


@pytest.mark.parametrize(("seconds", "frames"), [(1, 2), (3, 2), (5, 4), (8, 4)])
def test_even_and_at_least_two(tmp_path, seconds, frames):
    clip = numbered_clip(video_of(tmp_path, seconds))
    assert len(read_with_av(clip)) == frames
    assert len(read_clip_info(clip).numbers) == -(-seconds // 2)


def test_every_frame_is_a_key_frame_at_the_grids_rate(tmp_path):
    clip = numbered_clip(video_of(tmp_path, 20), NumProSettings(fps=2))
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        packets = [p for p in container.demux(stream) if p.size]
        assert all(p.is_keyframe for p in packets)
        assert [float(p.pts * p.time_base) for p in packets] == [k / 2 for k in range(40)]
        assert stream.average_rate == 2


def test_clock_stays_true_when_frames_are_left_out(tmp_path):
    clip = numbered_clip(video_of(tmp_path, 40), NumProSettings(fps=1, max_frames=10))
    info = read_clip_info(clip)
    assert info.numbers == tuple(np.linspace(0, 39, 10).astype(int).tolist())
    with av.open(str(clip)) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(10 / 40, rel=1e-3)


def test_metadata_says_what_was_done(tmp_path):
    settings = NumProSettings(fps=1, style=NumberStyle(color="blue", position="top_left"))
    info = read_clip_info(numbered_clip(video_of(tmp_path, 6), settings))
    assert info.numbers == (0, 1, 2, 3, 4, 5)
    assert info.times_s == (0, 1, 2, 3, 4, 5)
    assert info.duration_s == pytest.approx(6)
    assert info.settings == json.loads(json.dumps(settings.pixel_dict()))
    assert read_clip_info(video_of(tmp_path, 1, "other.mp4")) is None


def test_without_numbers_the_frames_are_the_same(tmp_path):
    video = video_of(tmp_path, 10)
    plain = read_with_av(numbered_clip(video, NumProSettings(numbers=False)))
    assert np.array_equal(plain[:5], sample_frames(video).pixels)
    assert [read_number(f) for f in plain] == [None] * 6


def test_never_numbered_twice(tmp_path):
    clip = numbered_clip(video_of(tmp_path, 10))
    assert numbered_clip(clip) == clip
    with pytest.raises(NumProError, match="already a NumPro clip.*fps: the clip has 0.5, you ask for 1.0"):
        numbered_clip(clip, NumProSettings(fps=1))


def count_decodes(monkeypatch):
    calls = []
    original = clip_module.sampled_frames

    def counted(video, settings, **options):
        calls.append(video)
        return original(video, settings, **options)

    monkeypatch.setattr(clip_module, "sampled_frames", counted)
    return calls


def test_made_once_for_many_queries_and_threads(tmp_path, monkeypatch):
    calls = count_decodes(monkeypatch)
    video = video_of(tmp_path, 10)
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: numbered_clip(video), range(24)))
    assert len(paths) == len(calls) == 1


def test_key_follows_file_settings_and_end(tmp_path):
    video = video_of(tmp_path, 10)
    first = numbered_clip(video)
    link = tmp_path / "link.mp4"
    link.symlink_to(video)
    assert numbered_clip(link) == first
    others = {
        numbered_clip(video, NumProSettings(fps=1)),
        numbered_clip(video, end_s=4),
        numbered_clip(video, NumProSettings(numbers=False)),
    }
    assert len(others | {first}) == 4
    assert numbered_clip(video, NumProSettings(prompt="ft")) == first
    os.utime(video, ns=(0, 0))
    assert numbered_clip(video) != first


WORKER = """
import sys
from numpro_plugin import numbered_clip
print("ready", flush=True)
for video in sys.argv[1:]:
    numbered_clip(video)
"""


def test_two_processes_at_once(tmp_path):
    videos = [str(video_of(tmp_path, 20, f"{k}.mp4")) for k in range(4)]
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, *videos], stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [worker.wait(120) for worker in workers] == [0, 0]
    cache = ClipCache()
    assert cache.info().clips == 4
    assert not list(cache.folder.glob("*.part"))
    for video in videos:
        assert [read_number(f) for f in read_with_av(numbered_clip(video))] == list(range(10))


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path):
    """SIGKILL while clips are being written; the next run has every clip right."""
    videos = [str(video_of(tmp_path, 60, f"{k}.mp4")) for k in range(6)]
    rng = np.random.default_rng(0)
    for _ in range(6):
        worker = subprocess.Popen([sys.executable, "-c", WORKER, *videos], stdout=subprocess.PIPE)
        worker.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.35))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        worker.stdout.close()
        for clip in ClipCache().folder.glob("*.mp4"):  # whatever is in place is whole
            assert len(read_with_av(clip)) == 30
    for video in videos:
        assert [read_number(f) for f in read_with_av(numbered_clip(video))] == list(range(30))


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    video = video_of(tmp_path, 10)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(clip_module, "_encode", full)
    with pytest.raises(OSError, match="No space"):
        numbered_clip(video)
    folder = ClipCache().folder
    assert [p.name for p in folder.iterdir() if p.is_file()] == []


def test_blank_clip_says_that_nothing_is_drawn():
    clip = blank_clip(NumProSettings(frame_size=(64, 48)))
    assert read_with_av(clip).shape == (2, 48, 64, 3)
    assert read_clip_info(clip).numbers == ()


def test_missing_video_is_named(tmp_path):
    with pytest.raises(NumProError, match="nowhere.mp4"):
        numbered_clip(tmp_path / "nowhere.mp4")


def test_write_clip_to_a_place_of_ones_own(tmp_path):
    info = write_clip(video_of(tmp_path, 10), tmp_path / "out.mp4")
    assert read_clip_info(tmp_path / "out.mp4") == info
    assert len(read_with_av(tmp_path / "out.mp4")) == 6


def test_write_clip_replaces_what_a_link_points_to_and_refuses_devices(tmp_path):
    video, link, other = video_of(tmp_path, 4), tmp_path / "out.mp4", tmp_path / "elsewhere.mp4"
    link.symlink_to(other)
    (tmp_path / "out.mp4.part").write_text("mine")
    write_clip(video, link)
    assert link.is_symlink()
    assert len(read_with_av(other)) == 2
    assert (tmp_path / "out.mp4.part").read_text() == "mine"
    with pytest.raises(NumProError, match="is a device"):
        write_clip(tmp_path / "not even looked for.mp4", "/dev/null")
