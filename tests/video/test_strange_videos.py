"""Videos whose containers say what is not so: the frames are those of decoding everything, or there is a clear word."""

from __future__ import annotations

import json
import logging
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support.videos import read_counter, set_display_matrix, textured_counter_frame, write_counter_video

from numpro_plugin import NumProError, sample_frames
from numpro_plugin.video import skipping
from numpro_plugin.video.packets import read_packets

CFR = [round(k * 1000 / 25) for k in range(200)]


def remuxed(source: Path, target: Path, change: Any = lambda packet, index: True) -> Path:
    """The packets of a video in another file; those for which ``change`` gives False are left out."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0], opaque=True)
        for index, packet in enumerate(p for p in old.demux(video=0) if p.size):
            if change(packet, index):
                packet.stream = stream
                new.mux(packet)
    return target


def everything(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


WRONGLY_MARKED = [("libx264", {"bf": "2"}), ("libx264", {"bf": "0"}), ("mpeg4", {"bf": "2"}), ("libx265", {})]


@pytest.mark.parametrize(("codec", "options"), WRONGLY_MARKED)
def test_packets_that_are_wrongly_marked_as_key_frames(tmp_path: Path, codec: str, options: dict[str, str]):
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no {codec}")
    source = write_counter_video(tmp_path / "a.mp4", CFR, codec=codec, options={"g": "60", **options})

    def every_packet(packet: av.Packet, index: int) -> bool:
        packet.is_keyframe = True
        return True

    path = remuxed(source, tmp_path / "marked.mp4", every_packet)
    frames = sample_frames(path, fps=2, frame_size=None)
    truth = sample_frames(source, fps=2, frame_size=None)
    assert np.array_equal(frames.pixels, truth.pixels)


def test_a_lost_packet_changes_no_pixel_of_the_others(tmp_path: Path):
    """What a decoder makes of the frames after a gap depends on what it decoded before."""
    source = write_counter_video(tmp_path / "a.mkv", CFR, options={"g": "50", "bf": "2"})
    path = remuxed(source, tmp_path / "gap.mkv", lambda packet, index: index not in (60, 61, 130))
    index = read_packets(path)
    whole = everything(path)
    assert len(whole) <= len(index.pts)
    frames = sample_frames(path, fps=5, frame_size=None, max_frames=None)
    shown = index.on_screen(frames.timeline.seconds(frames.numbers))
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        times = [frame.pts for frame in container.decode(video=0)]
    for pixels, position in zip(frames.pixels, shown, strict=True):
        if index.pts[position] in times:
            assert np.array_equal(pixels, whole[times.index(index.pts[position])])


def test_flipped_bits_are_concealed_as_by_decoding_everything(tmp_path: Path):
    source = write_counter_video(tmp_path / "a.mp4", CFR, options={"g": "50", "bf": "2", "crf": "12"})
    data = bytearray(source.read_bytes())
    rng = np.random.default_rng(0)
    with av.open(str(source)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    for position, size in places[20:160:20]:
        data[position + int(rng.integers(size // 2, size))] ^= 1 << int(rng.integers(8))
    path = tmp_path / "flipped.mp4"
    path.write_bytes(data)
    frames = sample_frames(path, fps=5, frame_size=None, max_frames=None)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        shown: dict[int, np.ndarray] = {}
        for packet in container.demux(stream):
            try:
                shown |= {frame.pts: frame.to_ndarray(format="rgb24") for frame in packet.decode()}
            except av.error.FFmpegError:
                continue
    index = read_packets(path)
    for pixels, position in zip(frames.pixels, index.on_screen(frames.timeline.seconds(frames.numbers)), strict=True):
        held = max((pts for pts in shown if pts <= index.pts[position]), default=min(shown))
        assert np.array_equal(pixels, shown[held])


def test_a_clock_that_starts_again(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    piece = write_counter_video(tmp_path / "piece.ts", CFR[:100])
    path = tmp_path / "all.ts"
    path.write_bytes(3 * piece.read_bytes())
    frames = sample_frames(path, fps=1, frame_size=None)
    assert frames.timeline.duration_s == pytest.approx(12, abs=0.1)
    assert [read_counter(p) for p in frames.pixels] == [25 * k % 100 for k in range(12)]
    assert "its clock restarts" in caplog.text


@pytest.mark.parametrize("suffix", ["mkv", "nut"])
def test_pictures_far_apart_and_out_of_order_are_no_new_clock(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture):
    """Two frames a second with B-frames: the first packets have no decoding time, and their presentation times jump by seconds."""
    path = write_counter_video(tmp_path / f"a.{suffix}", range(20), time_base=Fraction(1, 2), rate=2)
    frames = sample_frames(path, fps=2, frame_size=None)
    assert [read_counter(p) for p in frames.pixels] == list(range(20))
    assert not caplog.records


def test_pieces_of_matroska(tmp_path: Path):
    """The second one's decoding times are those of its presentation."""
    piece = write_counter_video(tmp_path / "piece.mkv", CFR[:50])
    path = tmp_path / "both.mkv"
    path.write_bytes(2 * piece.read_bytes())
    frames = sample_frames(path, fps=25, frame_size=None)
    assert [read_counter(p) for p in frames.pixels] == [*range(50), *range(50)]


def test_small_pictures_that_share_a_time_stamp(tmp_path: Path):
    """In a program stream only the first picture that begins in a unit has one."""
    rate, options = Fraction(1, 25), {"bf": "2", "b": "250k", "maxrate": "250k", "bufsize": "40k"}
    path = write_counter_video(tmp_path / "a.mpg", range(50), time_base=rate, options=options, picture=textured_counter_frame)
    with av.open(str(path)) as container:
        stamped = [packet.dts is not None for packet in container.demux(video=0) if packet.size]
    assert len(stamped) / 2 < sum(stamped) < len(stamped)
    frames = sample_frames(path, fps=25, frame_size=None)
    assert [read_counter(p) for p in frames.pixels] == list(range(50))


def test_a_packet_that_has_lost_its_time_stamp_moves_no_other(tmp_path: Path):
    """Of a transport stream: the flags of one packet's header are cleared."""
    path = write_counter_video(tmp_path / "a.ts", range(50), time_base=Fraction(1, 25), options={"bf": "2"})
    whole = read_packets(path)
    data, starts = path.read_bytes(), b"\x00\x00\x01\xe0"
    places = [k for k in range(len(data)) if data.startswith(starts, k)]
    flags = places[20] + 7
    path.write_bytes(data[:flags] + b"\x00" + data[flags + 1 :])
    index = read_packets(path)
    assert index.trusted
    assert len(whole.pts) - len(index.pts) == 1
    assert set(index.pts.tolist()) < set(whole.pts.tolist())


def test_a_raw_stream_has_the_rate_that_it_was_coded_with(tmp_path: Path):
    """FFmpeg's average rate of raw streams is 25, whatever they hold."""
    path = write_counter_video(tmp_path / "a.h264", range(12), time_base=Fraction(1, 5), rate=5, options={"bf": "2"})
    frames = sample_frames(path, fps=5, frame_size=None)
    assert frames.timeline.duration_s == pytest.approx(2.4)
    assert [read_counter(p) for p in frames.pixels] == list(range(12))


@pytest.mark.parametrize("count", [12, 50])
@pytest.mark.parametrize("codec", ["libx264", "mpeg1video", "mpeg2video", "mpeg4"])
def test_asf_has_decoding_times_alone(tmp_path: Path, codec: str, count: int):
    rate, options = Fraction(1, 25), {"bf": "2", "b": "1M"}
    path = write_counter_video(tmp_path / "a.asf", range(count), time_base=rate, codec=codec, options=options)
    frames = sample_frames(path, fps=25, frame_size=None)
    assert frames.timeline.duration_s == pytest.approx(count / 25, abs=0.021)  # the last packet's duration is FFmpeg's guess
    assert [read_counter(p) for p in frames.pixels] == list(range(count))


def test_a_clock_that_starts_again_before_the_first(tmp_path: Path):
    """FFmpeg takes it for one that ran over, 26.5 hours later."""
    rate = Fraction(1, 25)
    first = write_counter_video(tmp_path / "first.ts", [25 * 3600 + k for k in range(50)], time_base=rate, options={"bf": "0"})
    second = write_counter_video(tmp_path / "second.ts", range(50), time_base=rate, options={"bf": "0"})
    path = tmp_path / "all.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    frames = sample_frames(path, fps=5, frame_size=None)
    assert frames.timeline.duration_s == pytest.approx(4, abs=0.05)
    assert [read_counter(p) for p in frames.pixels] == [*range(0, 50, 5), *range(0, 50, 5)]


def test_an_hour_without_frames_is_pointed_out(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_counter_video(tmp_path / "a.mkv", [0, 40, 80, 2 * 3_600_000])
    assert read_packets(tmp_path / "a.mkv").duration_s > 7000
    assert "jumps forward by 2.0 hours" in caplog.text


def test_of_frames_with_one_time_the_later_is_shown(tmp_path: Path):
    source = write_counter_video(tmp_path / "a.mkv", CFR, options={"bf": "0"})

    def pairs(packet: av.Packet, index: int) -> bool:
        packet.pts = packet.dts = CFR[index // 2 * 2]
        return True

    path = remuxed(source, tmp_path / "pairs.mkv", pairs)
    frames = sample_frames(path, fps=1, frame_size=None)
    assert [read_counter(p) for p in frames.pixels] == [25 * k // 2 * 2 + 1 for k in range(8)]


def test_a_packet_without_picture_keeps_its_place_in_avi(tmp_path: Path):
    path = write_counter_video(tmp_path / "a.avi", range(200), codec="mpeg4", options={"g": "25", "bf": "0"}, time_base=Fraction(1, 25))
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    for k in (30, 31, 90):
        start, size = packets[k]
        data[start : start + size] = bytes(size)
    path.write_bytes(data)
    frames = sample_frames(path, fps=1, frame_size=None)
    assert [read_counter(p) for p in frames.pixels] == [25 * k for k in range(8)]


PLACES = [*range(50), *range(60, 100)]
AVI = {
    "mpeg4": ({"bf": "0", "g": "25"}, "yuv420p"),
    "libx264": ({"bf": "0", "g": "25"}, "yuv420p"),
    "msvideo1": ({"g": "12"}, "rgb555le"),
    "mjpeg": ({"b": "1M"}, "yuvj420p"),
    "huffyuv": ({"b": "1M"}, "yuv422p"),
}


@pytest.mark.parametrize("codec", AVI)
def test_empty_places_in_avi(tmp_path: Path, codec: str, caplog: pytest.LogCaptureFixture):
    """Frames that were dropped while recording: the one before stays on screen. Only pictures that stand alone are skipped."""
    options, pix_fmt = AVI[codec]
    path = write_counter_video(tmp_path / "a.avi", PLACES, codec=codec, pix_fmt=pix_fmt, options=options, time_base=Fraction(1, 25))
    frames = sample_frames(path, fps=5, frame_size=None, max_frames=None)
    shown = [max(k for k, place in enumerate(PLACES) if place <= 5 * number) for number in frames.numbers]
    assert [read_counter(p) for p in frames.pixels] == shown
    assert read_packets(path).trusted == (codec in ("mjpeg", "huffyuv"))
    assert not caplog.records


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "container"), [("qtrle", "rgb24", "mov"), ("flashsv", "bgr24", "flv"), ("svq1", "yuv410p", "mov")]
)
def test_decoders_that_do_not_say_which_pictures_are_key_frames(
    tmp_path: Path, codec: str, pix_fmt: str, container: str, caplog: pytest.LogCaptureFixture
):
    """Everything is decoded, which is no reason to warn; unless every packet is a key frame."""
    for keys, skips in (("12", False), ("1", container == "mov")):
        path = write_counter_video(
            tmp_path / f"{keys}.{container}", range(50), codec=codec, pix_fmt=pix_fmt, options={"g": keys}, time_base=Fraction(1, 25)
        )
        index = read_packets(path)
        assert index.keyframe.all() == (keys == "1")
        assert bool((skipping.plan(index, np.array([30]))[0][:20] == skipping.SKIP).any()) == skips
        frames = sample_frames(path, fps=2, frame_size=None)
        whole = everything(path)
        assert all(np.array_equal(pixels, whole[k]) for pixels, k in zip(frames.pixels, (0, 12, 25, 37), strict=True))
    assert not caplog.records


def test_the_stream_that_players_choose(tmp_path: Path):
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=25, options={"crf": "30"}) for _ in range(2)]
        for stream, side in zip(streams, (64, 128), strict=True):
            stream.width = stream.height = side
            stream.pix_fmt = "yuv420p"
        for k in range(50):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(np.full((stream.height, stream.width, 3), 4 * k, np.uint8), format="rgb24")
                frame.pts, frame.time_base = k, Fraction(1, 25)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        best = container.streams.best("video")
        assert best is not None
        assert sample_frames(path, frame_size=None).pixels.shape[1] == best.height


def test_animated_webp_is_refused_by_name(tmp_path: Path):
    from PIL import Image

    pictures = [Image.new("RGB", (32, 32), (k * 40, 0, 0)) for k in range(5)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=100)
    with pytest.raises(NumProError, match="animated WebP pictures are not supported; convert it to a video"):
        sample_frames(tmp_path / "a.webp")


def test_decord_with_other_times_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("decord")
    path = write_counter_video(tmp_path / "a.mp4", CFR)
    index = read_packets(path)
    from numpro_plugin.video import decord_reader

    times_s = index.pts * float(index.time_base)
    decord_reader._check_times(index, times_s + 5)  # another beginning is no other time
    times_s[100:] += 0.04
    with pytest.raises(NumProError, match=r"decord shows frame 100 at 4\.040 s, the packets at 4\.000 s; unset NUMPRO_DECODER"):
        decord_reader._check_times(index, times_s)


def test_decord_with_false_key_frames_or_other_pictures_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("decord")
    monkeypatch.setenv("NUMPRO_DECODER", "decord")
    path = write_counter_video(tmp_path / "a.mp4", CFR, codec="mpeg4", options={"g": "60", "bf": "0", "b": "1M"})
    assert [read_counter(p) for p in sample_frames(path, fps=1, frame_size=None).pixels] == list(range(0, 200, 25))
    path.write_bytes(path.read_bytes().replace(b"stss", b"free"))  # an mp4 without its list of key frames says that all are
    with pytest.raises(NumProError, match=r"packet 25 is marked as a key frame and is none.*unset NUMPRO_DECODER"):
        sample_frames(path, fps=1)
    mirrored = write_counter_video(tmp_path / "b.mp4", CFR[:20], picture=textured_counter_frame)
    set_display_matrix(mirrored, "mirrored")
    with pytest.raises(NumProError, match="decord shows frame 0 otherwise than PyAV"):
        sample_frames(mirrored)


@pytest.mark.shared
def test_handed_videos(shared: Path, caplog: pytest.LogCaptureFixture):
    folder = shared / "cases" / "videos"
    caplog.set_level(logging.ERROR)
    for name, expected in json.loads((folder / "expected.json").read_text()).items():
        frames = sample_frames(folder / name, fps=expected["fps"], frame_size=None, max_frames=None)
        height, width = frames.pixels.shape[1:3]
        rows, columns = ([int((k + 0.5) * side / 4) for k in range(4)] for side in (height, width))
        bits = frames.pixels[:, rows][:, :, columns, 0].reshape(len(frames), 16) > 128
        assert (bits << np.arange(16)).sum(1).tolist() == expected["counters"], name
        assert frames.timeline.duration_s == pytest.approx(expected["duration_s"]), name


@pytest.mark.shared
def test_handed_flipped_bits(shared: Path):
    path = shared / "cases" / "videos" / "flip_master.mp4"
    frames = sample_frames(path, fps=2, frame_size=None, max_frames=None)
    index = read_packets(path)
    shown: dict[int, np.ndarray] = {}
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for packet in container.demux(stream):
            try:
                shown |= {frame.pts: frame.to_ndarray(format="rgb24") for frame in packet.decode()}
            except av.error.FFmpegError:
                continue
    for pixels, position in zip(frames.pixels, index.on_screen(frames.timeline.seconds(frames.numbers)), strict=True):
        held = max((pts for pts in shown if pts <= index.pts[position]), default=min(shown))
        assert np.array_equal(pixels, shown[held])
