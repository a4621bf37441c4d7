"""The folder of clips: what is damaged is made again, what is in use stays, and neither locks nor many files are in the way."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
from support.videos import write_counter_video

from numpro_plugin import NumProError, NumProSettings, numbered_clip
from numpro_plugin.clips import cache as cache_module
from numpro_plugin.clips import clip as clip_module
from numpro_plugin.clips.cache import ClipCache, reading
from numpro_plugin.clips.checksum import _BOX, verify_checksum
from numpro_plugin.clips.clip import blank_clip
from numpro_plugin.clips.fitted import clip_pictures, fitted_clip
from numpro_plugin.clips.metadata import read_clip_info
from numpro_plugin.clips.stills import stills_clip

SMALL = NumProSettings(frame_size=(64, 48))


def video_of(folder, seconds, name="a.mp4"):
    return write_counter_video(folder / name, [k * 100 for k in range(seconds * 10)], rate=10)


def aged(path, seconds):
    os.utime(path, (time.time() - seconds,) * 2)
    return path


def frames_of(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_least_recently_used_go_first(tmp_path):
    cache = ClipCache(tmp_path / "cache")
    videos = [video_of(tmp_path, 10, f"{k}.mp4") for k in range(5)]
    made = [numbered_clip(video, cache=cache) for video in videos[:4]]
    for age, clip in zip((4000, 3000, 2000, 1000), made, strict=True):
        os.utime(clip, (time.time() - age,) * 2)
    assert numbered_clip(videos[0], cache=cache) == made[0]  # used again: the oldest is now the second
    small = ClipCache(tmp_path / "cache", limit_gb=made[0].stat().st_size * 3.5 / 1e9)
    numbered_clip(videos[4], cache=small)
    assert [clip.exists() for clip in made] == [True, False, False, True]


def test_clips_in_use_stay_even_over_the_limit(tmp_path, caplog):
    cache = ClipCache(tmp_path / "cache", limit_gb=1e-9)
    made = [numbered_clip(video_of(tmp_path, 4, f"{k}.mp4"), cache=cache) for k in range(3)]
    assert all(clip.exists() for clip in made)
    assert "NUMPRO_CACHE_GB" in caplog.text


def test_clear_removes_what_is_not_in_use(tmp_path):
    cache = ClipCache(tmp_path / "cache")
    assert cache.info().clips == 0
    old, used = (numbered_clip(video_of(tmp_path, 4, f"{k}.mp4"), cache=cache) for k in range(2))
    aged(old, 3600)
    aged(Path(shutil.copy(old, cache.folder / ".left.behind.part")), 3600)
    (cache.folder / ".being.written.part").write_bytes(b"x")
    size = old.stat().st_size
    removed = cache.clear()
    assert (removed.clips, removed.bytes) == (1, size)
    assert cache.info().clips == 1
    assert used.exists()
    assert [path.name for path in cache.folder.glob(".*.part")] == [".being.written.part"]


def test_a_clip_being_written_survives_clear_and_eviction(tmp_path):
    cache = ClipCache(tmp_path / "cache", limit_gb=1e-9)
    key = "0" * 40
    with cache.writing(key) as part:
        part.write_bytes(b"first half, ")
        cache.clear()
        with cache.writing("1" * 40) as other:
            other.write_bytes(b"x")
        with part.open("ab") as file:
            file.write(b"second half")
    assert cache.get(key).read_bytes().startswith(b"first half, second half")


def test_a_clip_that_is_used_again_while_the_folder_is_looked_through_stays(tmp_path, monkeypatch):
    cache = ClipCache(tmp_path / "cache")
    clip = aged(numbered_clip(video_of(tmp_path, 4), cache=cache), 3600)
    entries = cache._entries

    def then_used():
        found = entries()
        os.utime(clip)
        return found

    monkeypatch.setattr(cache, "_entries", then_used)
    cache.clear()
    assert clip.exists()


def test_wrong_limit_is_named(monkeypatch):
    monkeypatch.setenv("NUMPRO_CACHE_GB", "much")
    with pytest.raises(NumProError, match="NUMPRO_CACHE_GB='much'"):
        ClipCache()


def test_an_empty_file_in_the_cache_is_made_again(tmp_path):
    video = video_of(tmp_path, 4)
    clip = numbered_clip(video)
    clip.write_bytes(b"")
    assert len(frames_of(numbered_clip(video))) == 2


DAMAGES = {
    "cut in half": lambda data: data[: len(data) // 2],
    "last byte lost": lambda data: data[:-1],
    "a hole": lambda data: data[:900] + bytes(200) + data[1100:],
    "all zero": lambda data: bytes(len(data)),
    "one bit": lambda data: data[:1000] + bytes([data[1000] ^ 4]) + data[1001:],
    "checksum lost": lambda data: data[: -_BOX.size] + bytes(_BOX.size),
    "another file": lambda data: b"<html>quota exceeded</html>",
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("make", ["video", "stills", "blank", "fitted"])
def test_a_damaged_clip_is_made_again(tmp_path, make, damage):
    video = video_of(tmp_path, 8)
    original = numbered_clip(video, SMALL)
    makers = {
        "video": lambda: numbered_clip(video, SMALL),
        "stills": lambda: stills_clip([np.full((48, 64, 3), k, np.uint8) for k in range(4)], SMALL),
        "blank": lambda: blank_clip(SMALL),
        "fitted": lambda: fitted_clip(original, spare=True),
    }
    clip = makers[make]()
    good, frames = clip.read_bytes(), frames_of(clip)
    clip.write_bytes(DAMAGES[damage](good))
    again = makers[make]()
    assert again == clip
    assert np.array_equal(frames_of(again), frames)
    assert verify_checksum(again) == "intact"


def test_a_damaged_clip_is_reported(tmp_path, caplog):
    video = video_of(tmp_path, 8)
    clip = numbered_clip(video, SMALL)
    clip.write_bytes(DAMAGES["a hole"](clip.read_bytes()))
    numbered_clip(video, SMALL)
    assert f"{clip}: the cached clip is damaged (its checksum differs); it is made again" in caplog.text


def test_an_old_cached_clip_without_checksum_is_made_again_once(tmp_path, monkeypatch):
    video = video_of(tmp_path, 8)
    clip = numbered_clip(video, SMALL)
    whole = clip.read_bytes()
    clip.write_bytes(whole[: -_BOX.size])  # all that the older version wrote
    assert numbered_clip(video, SMALL).read_bytes() == whole
    monkeypatch.setattr(clip_module, "sampled_frames", None)
    assert numbered_clip(video, SMALL) == clip


def test_keys_are_those_of_older_versions(tmp_path):
    """So that a cache that was filled before keeps its names."""

    def old(*values):
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:40]

    video = video_of(tmp_path, 4)
    stat, real, pixels = video.stat(), os.path.realpath(video), SMALL.pixel_dict()
    source = (2, "pyav", real, stat.st_size, stat.st_mtime_ns, pixels)
    assert numbered_clip(video, SMALL).stem == old(*source, None)
    assert numbered_clip(video, SMALL, end_s=3.0).stem == old(*source, 3.0)
    assert numbered_clip(video, SMALL, start_s=1.0, end_s=3.0).stem == old(*source, 3.0, 1.0)
    assert blank_clip(SMALL).stem == hashlib.sha256(b"blank 2 64 48").hexdigest()[:40]
    clip = numbered_clip(video, SMALL)
    assert fitted_clip(clip, least_rate=3.0).stem == hashlib.sha256(f"fitted 2 {clip.name} 0 3".encode()).hexdigest()[:40]
    picture = np.zeros((48, 64, 3), np.uint8)
    stills = hashlib.sha256(json.dumps([2, "stills", [0], pixels], sort_keys=True).encode())
    stills.update(repr(picture.shape).encode() + hashlib.sha256(picture.tobytes()).digest())
    assert stills_clip([picture], SMALL).stem == stills.hexdigest()[:40]


def test_a_clip_that_vanished_is_made_again(tmp_path):
    video = video_of(tmp_path, 8)
    shutil_calls = []

    def read(clip):
        if not shutil_calls:
            shutil_calls.append(clip)
            shutil.rmtree(ClipCache().folder)  # somebody clears the cache between making and reading
        return clip_pictures(clip)

    assert len(reading(lambda: numbered_clip(video, SMALL), read)) == 4


def test_an_error_about_a_clip_that_is_there_is_not_repeated(tmp_path):
    calls = []

    def read(clip):
        calls.append(clip)
        raise NumProError("no")

    with pytest.raises(NumProError, match="no"):
        reading(lambda: numbered_clip(video_of(tmp_path, 4), SMALL), read)
    assert len(calls) == 1


def listings(monkeypatch):
    calls = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda *path: (calls.append(path), scandir(*path))[1])
    return calls


def write_one(cache, key, size=1000):
    with cache.writing(f"{key:040x}") as part:
        part.write_bytes(b"x" * size)


def test_the_folder_is_not_listed_for_every_clip(tmp_path, monkeypatch):
    calls = listings(monkeypatch)
    for key in range(50):
        write_one(ClipCache(tmp_path, limit_gb=1), key)  # as from many processes: each has its own object
    assert len(calls) <= 2
    assert ClipCache(tmp_path).info().clips == 50


def test_it_is_listed_again_when_it_is_full_or_the_count_is_old(tmp_path, monkeypatch):
    for key in range(10):
        write_one(ClipCache(tmp_path, limit_gb=1), key)
        aged(ClipCache(tmp_path).path(f"{key:040x}"), 5000 - key)
    write_one(ClipCache(tmp_path, limit_gb=6e-6), 10)
    info = ClipCache(tmp_path, limit_gb=6e-6).info()
    assert info.bytes <= info.limit_bytes
    assert sorted(int(path.stem, 16) for path in tmp_path.glob("*.mp4")) == [6, 7, 8, 9, 10]
    for key in range(20, 40):  # copied into the folder by hand
        aged(Path(shutil.copy(tmp_path / f"{10:040x}.mp4", tmp_path / f"{key:040x}.mp4")), 5000)
    later = time.time() + 4000
    monkeypatch.setattr(time, "time", lambda: later)
    write_one(ClipCache(tmp_path, limit_gb=6e-6), 11)
    assert ClipCache(tmp_path).info().bytes <= 6000


def test_a_full_cache_in_use_is_not_listed_for_every_clip(tmp_path, monkeypatch, caplog):
    cache = ClipCache(tmp_path, limit_gb=1e-3)
    write_one(cache, 0, 2_000_000)
    calls = listings(monkeypatch)
    for key in range(1, 101):
        write_one(cache, key)
    assert len(calls) <= 30  # clips and parts, once for every hundredth of the limit: not 200
    assert "NUMPRO_CACHE_GB" in caplog.text


def test_an_unreadable_count_is_made_anew(tmp_path):
    cache = ClipCache(tmp_path, limit_gb=5e-6)
    for key in range(3):
        write_one(cache, key)
        aged(cache.path(f"{key:040x}"), 5000)
    for broken in ("", "[1", "[1, 2]", '{"a": 1}', "[null, 1, 2]"):
        (tmp_path / "locks/usage.json").write_text(broken)
        write_one(cache, 5)
    assert cache.info().bytes <= 5000


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_flock_it_works_and_says_so_once(tmp_path, monkeypatch, caplog, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    cache_module._warn_without_lock.cache_clear()
    for k in range(2):
        assert len(frames_of(numbered_clip(video_of(tmp_path, 4, f"{k}.mp4"), SMALL))) == 2
    assert caplog.text.count("clips cannot be locked here") == 1
    assert os.strerror(code) in caplog.text


@contextmanager
def as_nobody():
    """Root may write everywhere, so as root another user is taken for a while."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)


def test_a_cache_that_may_only_be_read(tmp_path, caplog):
    with tempfile.TemporaryDirectory() as name:  # a place that other users can reach
        root = Path(name)
        root.chmod(0o755)
        videos = [video_of(root, 4, f"{k}.mp4") for k in range(2)]
        cache = ClipCache(root / "cache")
        clip = numbered_clip(videos[0], SMALL, cache=cache)
        shutil.rmtree(cache.folder / "locks")
        cache.folder.chmod(0o555)
        cache_module._warn_without_lock.cache_clear()
        with as_nobody():
            assert numbered_clip(videos[0], SMALL, cache=cache) == clip
            for video in (videos[1], videos[1]):
                with pytest.raises(PermissionError, match="a clip that is not in the cache has to be made; set NUMPRO_CACHE"):
                    numbered_clip(video, SMALL, cache=cache)
            assert numbered_clip(clip, SMALL, cache=cache) == clip  # a clip needs no new one
        cache.folder.chmod(0o755)
    assert caplog.text.count("clips cannot be locked here") == 1


def test_a_clock_that_goes_back_or_leaps_forward_costs_a_count_only(tmp_path, monkeypatch):
    now = time.time()
    cache = ClipCache(tmp_path, limit_gb=5e-6)
    for key, leap_s in enumerate([0, -10 * 365 * 86400, 0, 10 * 365 * 86400, -7200, 0, 1e9, -1e9]):
        monkeypatch.setattr(time, "time", lambda leap_s=leap_s: now + leap_s)
        for old in tmp_path.glob("*.mp4"):
            aged(old, 5000)
        write_one(cache, key)
        assert cache.get(f"{key:040x}") is not None
        assert cache.info().bytes <= 5000
    assert cache.clear().clips <= 5


def test_old_clips_that_cannot_be_removed_are_said_once(tmp_path, monkeypatch, caplog):
    cache = ClipCache(tmp_path, limit_gb=2.5e-6)
    for key in range(2):
        write_one(cache, key)
        aged(cache.path(f"{key:040x}"), 5000)

    def refuse(path, *_, **__):
        raise PermissionError(errno.EPERM, "Operation not permitted", path)

    monkeypatch.setattr(os, "unlink", refuse)
    for key in range(2, 5):
        write_one(cache, key)
    assert caplog.text.count("old clips cannot be removed (Operation not permitted)") == 1
    assert cache.info().clips == 5


def test_a_folder_that_becomes_read_only_while_a_clip_is_written_is_named(tmp_path, monkeypatch):
    cache = ClipCache(tmp_path)

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    def write():
        with cache.writing("0" * 40) as part:
            part.write_bytes(b"x")
            monkeypatch.setattr(os, "replace", refuse)
            monkeypatch.setattr(Path, "unlink", refuse)

    with pytest.raises(OSError, match=rf"Read-only file system \(while the clip {'0' * 40}.mp4 was written\): '{tmp_path}'"):
        write()


def test_every_cached_file_is_a_clip_with_an_intact_checksum(tmp_path):
    clip = numbered_clip(video_of(tmp_path, 4), SMALL)
    assert verify_checksum(clip) == "intact"
    assert read_clip_info(clip).numbers == (0, 1)
