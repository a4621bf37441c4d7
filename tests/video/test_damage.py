"""Files that were cut off or damaged: what is shown is what decoding everything gives, and there is a word about it, one."""

from __future__ import annotations

import gc
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support.videos import read_counter, textured_counter_frame, write_counter_video

from numpro_plugin import sample_frames
from numpro_plugin.video import everything, skipping
from numpro_plugin.video.h264 import clears_memory, is_unreferenced, length_size
from numpro_plugin.video.packets import read_packets

RATE = Fraction(1, 25)

CUT = {
    "avi": ("a.avi", {"codec": "mpeg4"}),
    "flv": ("a.flv", {"codec": "flv"}),
    "transport stream": ("a.ts", {}),
    "transport stream of a camera": ("a.m2ts", {}),
    "program stream": ("a.mpg", {"codec": "mpeg2video"}),
    "gif": ("a.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
    "matroska": ("a.mkv", {}),
    "asf": ("a.asf", {"codec": "wmv2"}),
    "mp4 with its index in front": ("a.mp4", {"container_options": {"movflags": "faststart"}}),
    "mp4 in fragments": ("a.mp4", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
}


def whole_and_cut(folder: Path, name: str, options: dict[str, Any], share: float) -> tuple[Path, Path]:
    whole = write_counter_video(folder / name, range(60), time_base=RATE, options={"g": "10"}, **options)
    cut = folder / f"cut{whole.suffix}"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    return whole, cut


@pytest.mark.parametrize("kind", CUT)
def test_a_file_that_was_cut_off_is_noticed(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture):
    whole, cut = whole_and_cut(tmp_path, *CUT[kind], share=0.63)
    assert read_packets(whole).damage is None
    index = read_packets(cut)
    assert index.duration_s < 2.3
    assert "is it truncated?" in str(index.damage)
    assert str(index.damage) in caplog.text


def test_a_transport_stream_that_was_cut_between_packets(tmp_path: Path):
    whole, cut = whole_and_cut(tmp_path, "a.ts", {"picture": textured_counter_frame}, share=1)
    data = whole.read_bytes()
    cut.write_bytes(data[: 188 * (len(data) // 188 // 2)])
    assert "is it truncated?" in str(read_packets(cut).damage)


def test_a_clock_far_from_zero_is_no_promise(tmp_path: Path):
    path = write_counter_video(tmp_path / "a.mkv", [25_000_000 + k for k in range(20)], time_base=RATE)
    assert read_packets(path).damage is None


def decoded(path: Path) -> dict[int, np.ndarray]:
    """The pictures by time stamp, by plain decoding."""
    pictures: dict[int, np.ndarray] = {}
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for packet in container.demux(stream):
            try:
                pictures |= {frame.pts: frame.to_ndarray(format="rgb24") for frame in packet.decode()}
            except av.error.FFmpegError:
                continue
    return pictures


def damaged_at(path: Path, number: int, how: str) -> Path:
    """Damage one packet: the bit of its header that must be 0, or its second half."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    at, size = places[number]
    if how == "header":
        data[at + 4] |= 0x80
    else:
        data[at + size // 2 : at + size] = bytes(b ^ 0x5A for b in data[at + size // 2 : at + size])
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("how", ["header", "payload"])
@pytest.mark.parametrize("number", [30, 31, 32, 33])
@pytest.mark.slow
def test_a_damaged_packet_is_concealed_as_by_decoding_everything(tmp_path: Path, number: int, how: str, caplog: pytest.LogCaptureFixture):
    """Every frame around it, each sampled alone: what is skipped for it must not change it. One warning at most."""
    path = write_counter_video(
        tmp_path / "a.mp4",
        range(60),
        time_base=RATE,
        picture=textured_counter_frame,
        options={"g": "50", "bf": "2", "crf": "20", "preset": "veryfast"},
    )
    pictures = decoded(damaged_at(path, number, how))
    index = read_packets(path)
    for position in range(24, 40):
        caplog.clear()
        ((_, pixels),) = skipping.decode_skipping(index, np.array([position]))
        held = max((pts for pts in pictures if pts <= index.pts[position]), default=min(pictures))
        assert np.array_equal(pixels, pictures[held]), position
        assert len(caplog.records) <= 1
    if how == "header":  # what is in the payload can be read as something else
        list(skipping.decode_skipping(index, np.arange(60)))
        assert f"packet {number} cannot be decoded" in caplog.text
        assert "every frame is decoded" in caplog.text


def test_pictures_that_come_later_than_their_time_stamps_say(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    source = write_counter_video(tmp_path / "source.mkv", range(60), time_base=RATE, options={"g": "50", "bf": "0"})
    path = tmp_path / "a.mkv"
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0], opaque=True)
        for k, packet in enumerate(p for p in old.demux(video=0) if p.size):
            packet.pts += 210 if k == 20 else 0
            packet.stream = stream
            new.mux(packet)
    pictures = dict(everything.decode_everything(read_packets(path), np.arange(60)))
    # The picture of 0.8 s says 1.01 s, so the five after it come too late.
    assert [read_counter(pictures[k]) for k in range(60)] == [*range(20), *[19] * 5, 20, *range(26, 60)]
    assert "5 pictures come later than their time stamps say" in caplog.text


def test_what_h264_headers_say(tmp_path: Path):
    """Packets that nobody refers to and key frames, in both ways of writing units."""
    for name in ("a.mp4", "a.h264"):
        path = write_counter_video(tmp_path / name, range(40), time_base=RATE, options={"g": "20", "bf": "3"})
        index = read_packets(path)
        assert index.packets is not None
        size_bytes = length_size(index.context.extradata)
        assert size_bytes == (4 if name == "a.mp4" else 0)
        assert [clears_memory(packet, size_bytes) for packet in index.packets] == index.keyframe.tolist()
        unreferenced = [is_unreferenced(packet, size_bytes) for packet in index.packets]
        assert 5 < sum(unreferenced) < 35
        assert not any(np.array(unreferenced) & index.keyframe)
        broken = av.Packet(b"\0\0\0\x09\x01" if size_bytes else b"\0\0\1\x81\xff")
        assert not is_unreferenced(broken, size_bytes)


def test_time_stamps_that_contradict_the_order_of_the_pictures(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """From the key frame in the middle on, a damaged mp4 has wrong display times: the first one then seems to come before the key frame."""
    options = {"g": "25", "bf": "2", "crf": "20", "preset": "veryfast"}
    path = write_counter_video(tmp_path / "a.mp4", range(60), time_base=RATE, picture=textured_counter_frame, options=options)
    data = bytearray(path.read_bytes())
    at = data.index(b"ctts") + 8
    entries = int.from_bytes(data[at : at + 4], "big")
    counts = [int.from_bytes(data[at + 4 + 8 * k : at + 8 + 8 * k], "big") for k in range(entries)]
    after_key = int(np.searchsorted(np.cumsum(counts), 26, side="right"))
    for k in range(after_key, entries):
        data[at + 8 + 8 * k : at + 12 + 8 * k] = (100).to_bytes(4, "big")
    path.write_bytes(data)
    pictures = decoded(path)
    index = read_packets(path)
    frames = sample_frames(path, fps=5, frame_size=None)
    for pixels, position in zip(frames.pixels, index.on_screen(frames.timeline.seconds(frames.numbers)), strict=True):
        held = max((pts for pts in pictures if pts <= index.pts[position]), default=min(pictures))
        assert np.array_equal(pixels, pictures[held])
    assert "contradict the order of the pictures" in caplog.text


@pytest.mark.slow
def test_frames_are_freed_at_once(tmp_path: Path):
    """A frame that was asked for its side data refers to itself; if each one were, hundreds would wait for the garbage collector."""
    path = write_counter_video(tmp_path / "a.mp4", range(60), time_base=RATE)
    gc.collect()
    gc.disable()
    try:
        sample_frames(path, fps=25)
        assert sum(type(thing).__name__ == "SideDataContainer" for thing in gc.get_objects()) <= 2
    finally:
        gc.enable()


def test_open_groups_are_no_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """After a key frame that does not clear the decoder's memory, pictures may name earlier ones without using them."""
    options = {"g": "25", "bf": "3", "refs": "4", "x264-params": "open-gop=1", "crf": "20"}
    path = write_counter_video(tmp_path / "a.mkv", range(100), time_base=RATE, picture=textured_counter_frame, options=options)
    pictures = decoded(path)
    frames = sample_frames(path, fps=5, frame_size=None)
    assert [read_counter(pixels) for pixels in frames.pixels] == list(range(0, 100, 5))
    assert all(np.array_equal(pixels, pictures[200 * k]) for k, pixels in enumerate(frames.pixels))
    assert not caplog.records
