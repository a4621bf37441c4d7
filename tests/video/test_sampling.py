from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.videos import MATRICES, as_displayed, counter_frame, read_counter, set_display_matrix, write_counter_video

from numpro_plugin import Frames, NumProError, Timeline, sample_frames
from numpro_plugin.video import everything, packets, skipping
from numpro_plugin.video.packets import read_packets
from numpro_plugin.video.skipping import decode_skipping

CFR = [round(k * 1000 / 25) for k in range(200)]
NTSC = [k * 1001 for k in range(240)]
rng = np.random.default_rng(3)
VFR = np.cumsum(rng.integers(15, 400, 90)).tolist()
SHAPES = {
    "constant rate": ("a.mp4", CFR, {}),
    "29.97": ("a.mp4", NTSC, {"time_base": Fraction(1, 30000), "rate": Fraction(30000, 1001)}),
    "23.976": ("a.mp4", NTSC, {"time_base": Fraction(1, 24000), "rate": Fraction(24000, 1001)}),
    "variable rate": ("a.mp4", [t - VFR[0] for t in VFR], {}),
    "first timestamp not 0": ("a.mkv", [5000 + t for t in CFR], {}),
    "transport stream": ("a.ts", CFR, {}),
    "no frame count": ("a.mkv", CFR, {}),
    "odd size": ("a.mp4", CFR, {"size": (193, 97), "pix_fmt": "yuv444p"}),
    "4:4:4": ("a.mp4", CFR, {"pix_fmt": "yuv444p"}),
    "10 bit": ("a.mp4", CFR, {"pix_fmt": "yuv420p10le"}),
    "open groups of pictures": ("a.mkv", CFR, {"options": {"g": "20", "bf": "3", "x264-params": "open-gop=1", "crf": "12"}}),
    "key frames only": ("a.mp4", CFR, {"options": {"g": "1", "crf": "12"}}),
    "one key frame": ("a.mp4", CFR, {"options": {"g": "999", "bf": "3", "crf": "12"}}),
    "fragmented": ("a.mp4", CFR, {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    "hevc": ("a.mp4", CFR, {"codec": "libx265", "options": {"x265-params": "log-level=error:keyint=30", "crf": "12"}}),
    "vp8 with hidden frames": (
        "a.webm",
        CFR,
        {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "1M", "deadline": "realtime"}},
    ),
    "vp9": ("a.webm", CFR, {"codec": "libvpx-vp9", "options": {"b": "1M", "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "16"}}),
    "mpeg4 in avi": (
        "a.avi",
        list(range(200)),
        {"time_base": Fraction(1, 25), "codec": "mpeg4", "options": {"bf": "2", "b": "2M", "g": "40"}},
    ),
    "h264 in avi": ("a.avi", list(range(200)), {"time_base": Fraction(1, 25)}),
}


def expected_counters(path, pts, time_base, fps, count):
    """By the definition: the last frame whose time is <= k / fps, within half a tick of the container's clock."""
    with av.open(str(path)) as container:
        tick = container.streams.video[0].time_base
    times = [(t - pts[0]) * Fraction(time_base) for t in pts]
    wanted = [Fraction(k) / Fraction(fps) for k in range(count)]
    rounding = 0 if pts[1] - pts[0] == 1 else tick / 2  # a clock as coarse as the frames is a counter, and exact
    return [max(i for i, t in enumerate(times) if t <= w or t < w + rounding) for w in wanted]


@pytest.mark.parametrize("fps", [0.5, 2, 7])
@pytest.mark.parametrize("shape", SHAPES)
def test_frame_on_screen(tmp_path, shape, fps):
    name, pts, options = SHAPES[shape]
    path = write_counter_video(tmp_path / name, pts, **options)
    frames = sample_frames(path, fps=fps, frame_size=None)
    time_base = options.get("time_base", Fraction(1, 1000))
    assert [read_counter(p) for p in frames.pixels] == expected_counters(path, pts, time_base, fps, len(frames))
    assert frames.numbers.tolist() == list(range(len(frames)))
    length = (pts[-1] - pts[0]) * float(time_base)
    assert length < frames.timeline.duration_s < length + 0.5


@pytest.mark.parametrize(
    "shape", ["constant rate", "29.97", "variable rate", "first timestamp not 0", "odd size", "4:4:4", "one key frame"]
)
def test_decord_returns_the_same_frames(tmp_path, shape, monkeypatch):
    pytest.importorskip("decord")
    name, pts, options = SHAPES[shape]
    path = write_counter_video(tmp_path / name, pts, **options)
    ours = sample_frames(path, fps=2, frame_size=None)
    monkeypatch.setenv("NUMPRO_DECODER", "decord")
    theirs = sample_frames(path, fps=2, frame_size=None)
    assert [read_counter(p) for p in theirs.pixels] == [read_counter(p) for p in ours.pixels]
    assert np.abs(theirs.pixels.astype(int) - ours.pixels).max() <= 2


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.slow
def test_skipping_changes_no_pixel(tmp_path, data):
    """Any set of wanted frames, any structure of groups: pixels are those of decoding everything."""
    options = {
        "g": str(data.draw(st.integers(1, 60))),
        "bf": str(data.draw(st.integers(0, 5))),
        "x264-params": f"open-gop={data.draw(st.integers(0, 1))}:b-pyramid={data.draw(st.sampled_from(['none', 'strict', 'normal']))}",
        "crf": "30",
    }
    path = write_counter_video(tmp_path / "a.mkv", CFR[:90], options=options)
    index = read_packets(path)
    wanted = np.array(sorted(data.draw(st.sets(st.integers(0, 89), min_size=1, max_size=12))))
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    got = list(decode_skipping(index, wanted))
    left = np.setdiff1d(wanted, [position for position, _ in got])
    got += list(everything.decode_everything(index, left))
    assert [position for position, _ in got] == wanted.tolist()
    assert all(np.array_equal(pixels, pictures[position]) for position, pixels in got)


@pytest.mark.parametrize("name", MATRICES)
def test_rotated_and_mirrored_videos_come_upright(tmp_path, name):
    path = write_counter_video(tmp_path / "a.mp4", CFR[:50])
    set_display_matrix(path, name)
    with av.open(str(path)) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
    frames = sample_frames(path, frame_size=None)
    assert np.array_equal(frames.pixels[0], as_displayed(stored, name))


MATRIX_WEIGHTS = {"bt709": (1, 0.2126, 0.0722), "bt601": (5, 0.299, 0.114), "bt2020": (9, 0.2627, 0.0593), "not said": (2, 0.299, 0.114)}


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", MATRIX_WEIGHTS)
def test_colours_are_those_the_file_declares(tmp_path, matrix, full_range):
    """A flat frame of known YUV; the expected RGB from the standards' own formula."""
    code, red, blue = MATRIX_WEIGHTS[matrix]
    yuv = (120, 90, 180)
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv444p"
        stream.options = {"qp": "0"}
        stream.codec_context.colorspace, stream.codec_context.color_range = code, 2 if full_range else 1
        frame = av.VideoFrame.from_ndarray(np.stack([np.full((64, 64), v, np.uint8) for v in yuv]), format="yuv444p")
        frame.colorspace, frame.color_range = code, 2 if full_range else 1
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    low, span, chroma = (0, 255, 255) if full_range else (16, 219, 224)
    y, u, v = (yuv[0] - low) / span, (yuv[1] - 128) / chroma, (yuv[2] - 128) / chroma
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    g = (y - red * r - blue * b) / (1 - red - blue)
    expected = np.clip(np.array([r, g, b]) * 255, 0, 255)
    assert np.abs(sample_frames(path, frame_size=None).pixels[0, 32, 32] - expected).max() <= 2


def test_edit_list_frames_are_not_shown(tmp_path):
    """Frames that a cut keeps only for decoding (marked to be discarded) have no place on the timeline."""
    path = write_counter_video(tmp_path / "a.mp4", CFR, options={"g": "50", "bf": "0", "crf": "12"})
    cut = tmp_path / "cut.mp4"
    with av.open(str(path)) as source, av.open(str(cut), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                packet.pts -= 8000  # half a second before zero: the muxer writes an edit list
                packet.dts -= 8000
                target.mux(packet)
    frames = sample_frames(cut, fps=1, frame_size=None)
    assert [read_counter(p) for p in frames.pixels][:3] == [13, 38, 63]


def test_end_beyond_the_video_changes_nothing(tmp_path):
    path = write_counter_video(tmp_path / "a.mp4", CFR)
    assert sample_frames(path, end_s=100).timeline == sample_frames(path).timeline


def test_what_nobody_needs_is_not_decoded(tmp_path):
    path = write_counter_video(tmp_path / "a.mp4", CFR, options={"g": "50", "bf": "3", "b": "1M"})
    action, restart = skipping.plan(read_packets(path), np.array([0, 60, 110]))
    assert (action == skipping.SKIP).sum() > 100
    assert (action == skipping.SHOW).sum() == 3
    assert restart.any()


@pytest.mark.parametrize("wrong", [{"frame_size": (0, 0)}, {"frame_size": 336}, {"max_frames": 0}])
def test_wrong_options_are_named(tmp_path, wrong):
    path = write_counter_video(tmp_path / "a.mp4", CFR[:5])
    with pytest.raises(NumProError, match=next(iter(wrong))):
        sample_frames(path, **wrong)


def test_a_name_with_a_colon_is_a_file(tmp_path, monkeypatch):
    write_counter_video(tmp_path / "a.mp4", CFR[:5]).rename(tmp_path / "10:30.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(sample_frames("10:30.mp4")) == 1


def test_a_codec_without_decoder_is_named(tmp_path):
    path = write_counter_video(tmp_path / "a.mp4", CFR[:5])
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzz1"))
    with pytest.raises(NumProError, match="no decoder|no video stream|cannot be opened"):
        sample_frames(path)


def test_opencv_keeps_its_threads(tmp_path):
    path = write_counter_video(tmp_path / "a.mp4", CFR[:50])
    before = cv2.getNumThreads()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: sample_frames(path), range(12)))
    assert cv2.getNumThreads() == before


def test_files_too_large_to_keep_are_read_again(tmp_path, monkeypatch):
    path = write_counter_video(tmp_path / "a.mp4", CFR)
    kept = sample_frames(path, fps=5)
    monkeypatch.setattr(packets, "_KEPT_BYTES", 1000)
    assert read_packets(path).packets is None
    assert np.array_equal(sample_frames(path, fps=5).pixels, kept.pixels)


def test_more_numbers_than_frames(tmp_path):
    path = write_counter_video(tmp_path / "a.mp4", [0, 1000, 2000, 3000])
    frames = sample_frames(path, fps=2, frame_size=None)
    assert [read_counter(p) for p in frames.pixels][:6] == [0, 0, 1, 1, 2, 2]


def test_max_frames_keeps_numbers(tmp_path):
    path = write_counter_video(tmp_path / "a.mp4", CFR)
    frames = sample_frames(path, fps=5, max_frames=7, frame_size=None)
    assert frames.timeline.count == 40
    assert frames.numbers.tolist() == np.linspace(0, 39, 7).astype(int).tolist()
    assert [read_counter(p) for p in frames.pixels] == [5 * n for n in frames.numbers]


def test_end_limits_the_video(tmp_path):
    path = write_counter_video(tmp_path / "a.mp4", CFR)
    frames = sample_frames(path, fps=1, end_s=3)
    assert frames.timeline == Timeline(3, 1)
    assert len(frames) == 3
    with pytest.raises(NumProError, match="end_s"):
        sample_frames(path, end_s=0)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, 780), length=st.integers(1, 800), fps=st.sampled_from([0.5, 1, 2.5, 25]))
def test_a_part_of_a_video_starts_its_grid_where_it_starts(cfr_video, start, length, fps):
    """Number k of the part [start, end) is the frame on screen at start + k / fps."""
    start_s, end_s = start / 100, (start + length) / 100
    frames = sample_frames(cfr_video, fps=fps, start_s=start_s, end_s=end_s)
    assert frames.timeline == Timeline(min(8.0, end_s) - start_s, fps)
    shown = [min(199, int(25 * (start_s + k / fps) + 0.02)) for k in range(frames.timeline.count)]
    assert [read_counter(frame) for frame in frames.pixels] == shown


def test_a_part_that_the_video_does_not_have(cfr_video):
    with pytest.raises(NumProError, match=r"lasts 8\.00 s, so start_s must be below that, got 8"):
        sample_frames(cfr_video, start_s=8)
    with pytest.raises(NumProError, match="end_s must be above 5 seconds"):
        sample_frames(cfr_video, start_s=5, end_s=5)
    with pytest.raises(NumProError, match="start_s must be 0 seconds or more"):
        sample_frames(cfr_video, start_s=-1)


@pytest.fixture(scope="module")
def cfr_video(tmp_path_factory):
    return write_counter_video(tmp_path_factory.mktemp("part") / "a.mp4", CFR)


def test_resize_is_opencv_bilinear(tmp_path):
    path = write_counter_video(tmp_path / "a.mp4", CFR[:50])
    own_size, resized = sample_frames(path, frame_size=None), sample_frames(path, frame_size=(64, 48))
    assert resized.pixels.shape[1:] == (48, 64, 3)
    assert np.array_equal(resized.pixels[0], cv2.resize(own_size.pixels[0], (64, 48), interpolation=cv2.INTER_LINEAR))


def test_truncated_file_is_read_as_far_as_it_goes(tmp_path, caplog):
    path = write_counter_video(tmp_path / "a.mkv", CFR)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    frames = sample_frames(path, fps=5, frame_size=None)
    assert 2 < frames.timeline.duration_s < 7
    assert "its header promises 8.00 s" in caplog.text
    assert [read_counter(p) for p in frames.pixels][:-1] == [5 * n for n in frames.numbers][:-1]


def test_damaged_frames_show_the_one_before(tmp_path, caplog):
    """A packet of rubbish in the middle: its frame cannot be decoded, and a player holds the last one."""
    path = write_counter_video(tmp_path / "a.mp4", CFR, options={"g": "1", "crf": "12"})
    index = read_packets(path)
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        damaged = packets[100]
        start, size = damaged.pos, damaged.size
    data = bytearray(path.read_bytes())
    data[start : start + size] = b"\xff" * size
    path.write_bytes(data)
    assert len(index.pts) == 200
    frames = sample_frames(path, fps=25, frame_size=None, max_frames=None)
    counters = [read_counter(p) for p in frames.pixels]
    assert counters == [*range(100), 99, *range(101, 200)]
    assert "1 wanted frames are damaged" in caplog.text


BAD = {
    "missing": (None, "no such file"),
    "empty": (b"", "empty"),
    "garbage": (bytes(range(256)) * 50, "cannot be opened as a video"),
    "text": (b"hello world\n" * 100, "cannot be opened as a video|no video stream"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_named(tmp_path, kind):
    data, message = BAD[kind]
    path = tmp_path / "bad.mp4"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(NumProError, match=message) as error:
        sample_frames(path)
    assert str(path) in str(error.value)


def test_folder_truncated_header_and_audio_only(tmp_path):
    with pytest.raises(NumProError, match="is a folder"):
        sample_frames(tmp_path)
    path = write_counter_video(tmp_path / "a.mp4", CFR)
    path.write_bytes(path.read_bytes()[:-400])  # an mp4's index is at its end
    with pytest.raises(NumProError, match="cannot be opened as a video"):
        sample_frames(path)
    audio = tmp_path / "audio.mp4"
    with av.open(str(audio), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(NumProError, match="no video stream .*audio"):
        sample_frames(audio)


def test_video_stream_without_frames(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        audio = container.add_stream("aac", rate=8000)
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    with pytest.raises(NumProError, match="holds no frame|no video stream"):
        sample_frames(path)


def test_size_that_changes_on_the_way(tmp_path):
    """Two H.264 streams of different size, one after the other: the first frame's size holds."""
    data = b""
    for k, size in enumerate(((192, 96), (96, 48))):
        with av.open(str(tmp_path / f"{k}.ts"), "w", format="mpegts") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            stream.options = {"bf": "0"}  # so that both files shift their times by the same
            for n in range(20):
                frame = av.VideoFrame.from_ndarray(counter_frame(20 * k + n, size), format="rgb24")
                frame.pts, frame.time_base = 20 * k + n, Fraction(1, 10)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        data += (tmp_path / f"{k}.ts").read_bytes()
    (tmp_path / "a.ts").write_bytes(data)
    frames = sample_frames(tmp_path / "a.ts", fps=1, frame_size=None)
    assert frames.pixels.shape[1:] == (96, 192, 3)
    assert [read_counter(p) for p in frames.pixels] == [0, 10, 20, 30]


def test_one_frame(tmp_path):
    frames = sample_frames(write_counter_video(tmp_path / "a.mp4", [0]), frame_size=None)
    assert frames.numbers.tolist() == [0]
    assert 0 <= frames.timeline.duration_s < 0.1


def test_unknown_decoder_is_named(tmp_path, monkeypatch):
    path = write_counter_video(tmp_path / "a.mp4", CFR[:5])
    monkeypatch.setenv("NUMPRO_DECODER", "decrod")
    with pytest.raises(NumProError, match="'decrod'.*pyav, decord"):
        sample_frames(path)


def test_frames_check_their_shapes():
    with pytest.raises(NumProError, match="one per frame"):
        Frames(np.zeros((2, 4, 4, 3), np.uint8), np.arange(3), Timeline(4))
    with pytest.raises(NumProError, match="uint8"):
        Frames(np.zeros((2, 4, 4, 3), np.float32), np.arange(2), Timeline(4))


def test_no_file_is_left_open(tmp_path):
    path = write_counter_video(tmp_path / "a.mp4", CFR)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        sample_frames(path)
    assert len(os.listdir("/proc/self/fd")) <= before + 1


@pytest.mark.shared
@pytest.mark.parametrize("fps", [0.5, 1, 5, 7])
@pytest.mark.slow
def test_counter_video_shows_the_right_frame(shared, fps):
    """The file has 'Frame = n' (from 1) burned in, 10 frames a second; every decoded frame is compared with all frames of the file."""
    path = shared / "videos" / "pyscenedetect_counter.mp4"
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    frames = sample_frames(path, fps=fps, frame_size=None)
    for number, pixels in zip(frames.numbers.tolist(), frames.pixels, strict=True):
        shown = int(number / fps * 10 + 1e-6)  # frame n (from 0) is on screen from n / 10 s
        assert np.array_equal(pixels, pictures[shown])
        assert [k for k, other in enumerate(pictures) if np.array_equal(pixels, other)] == [shown]


REAL = [
    "Y1HGC.mp4",
    "malmm_video.mp4",
    "pyscenedetect_counter.mp4",
    "pyscenedetect_testvideo.mp4",
    "pyscenedetect_issue-134-rotate.mp4",
    "longva_jobs.mp4",
    "mmaction2_test.avi",
    "decord_flipping_a_pancake.mkv",
    "decord_corrupted.mp4",
    "mdn_flower.mp4",
    "mdn_flower.webm",
    "derived_flower_vfr_odd481x271.mp4",
]
NOT_FOR_DECORD = {"mmaction2_test.avi", "decord_corrupted.mp4"}


def rgb(frame):
    """A frame in the colours its file declares (PyAV's own default is BT.601 whatever the file says)."""
    declared = frame.colorspace if frame.colorspace != 2 else 5
    return frame.reformat(format="rgb24", src_colorspace=declared, dst_colorspace=5, src_color_range=frame.color_range).to_ndarray()


def decode_everything(path):
    """(time in seconds, upright RGB) of every frame, by plain decoding; in AVI the k-th frame is shown at k / rate."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        frames = []
        for packet in container.demux(stream):
            try:
                frames += packet.decode()
            except av.error.InvalidDataError:
                continue
        pictures = [rgb(f) for f in frames]
        if frames[0].rotation == -90:
            pictures = [np.rot90(p, -1) for p in pictures]
        if container.format.name == "avi":
            return [(k / stream.average_rate, p) for k, p in enumerate(pictures)], Fraction(0)
        first = min(f.pts for f in frames)
        return [((f.pts - first) * stream.time_base, p) for f, p in zip(frames, pictures, strict=True)], stream.time_base


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("name", REAL)
def test_real_videos_against_plain_decoding(shared, name):
    path = shared / "videos" / name
    everything, tick = decode_everything(path)
    for fps in (0.5, 2, 7) if "malmm" not in name else (0.5,):
        frames = sample_frames(path, fps=fps, frame_size=None, max_frames=None)
        for number, pixels in zip(frames.numbers.tolist(), frames.pixels, strict=True):
            wanted = Fraction(number) / Fraction(fps)
            shown = [p for time, p in everything if time < wanted + tick / 2 or time <= wanted][-1]
            assert np.array_equal(pixels, shown), (fps, number)


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("name", [name for name in REAL if name not in NOT_FOR_DECORD])
def test_decord_agrees_on_real_videos(shared, name, monkeypatch):
    pytest.importorskip("decord")
    ours = sample_frames(shared / "videos" / name, fps=1, frame_size=(160, 120))
    monkeypatch.setenv("NUMPRO_DECODER", "decord")
    theirs = sample_frames(shared / "videos" / name, fps=1, frame_size=(160, 120))
    assert ours.timeline == theirs.timeline
    assert np.abs(ours.pixels.astype(int) - theirs.pixels).max() <= 2


def test_counter_of_the_tests_reads_itself():
    assert all(read_counter(counter_frame(k)) == k for k in range(0, 4096, 7))
