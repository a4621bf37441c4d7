"""Samples 48 valid but odd videos and compares every frame with plain decoding of the same file and with the counter in its pictures.

    python tests/benchmarks/crafted_videos.py
    python tests/benchmarks/crafted_videos.py --decoder decord --keep DIR

Codecs, containers and oddities: B-frames, open groups, no time stamps, edit lists, rotation, variable rate, two streams, cover art,
one frame, none, odd sizes, 10 bits, interlacing, transparency, strange clocks, few key frames or only those. The script encodes them; what
the installed FFmpeg cannot encode is named. A fault is a wrong frame without a warning, a refusal of a good file, or a warning about one.
With decord, which rounds otherwise, values may be 2 apart, and refusals and warnings are no faults.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
from PIL import Image

from numpro_plugin import sample_frames

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support.full_decode import SAMPLINGS, Outcome, print_summary, try_files
from support.videos import counter_frame, read_counter, set_display_matrix, textured_counter_frame, write_counter_video

RATE = 25
STEADY = range(100)
UNEVEN = np.cumsum(np.random.default_rng(3).integers(1, 9, 60)).tolist()
GAPS = [*range(40), *range(90, 130)]
CLOSED = {"g": "25", "bf": "2", "preset": "veryfast"}
VPX = {"g": "25", "b": "500k", "deadline": "good", "cpu-used": "5"}


@dataclass(frozen=True)
class Crafted:
    """How one file is made and what should come of it."""

    name: str
    """File name; the oddity is in it."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of `write_counter_video`."""
    places: Sequence[int] = STEADY
    """When frame k is shown, in 25ths of a second."""
    change: Callable[[Path], Sequence[int] | None] | None = None
    """Done to the file afterwards; may return the places and counters that hold from then on."""
    outcome: str = "equal"


# ---- what is done to files -------------------------------------------------------------------------------------------------------


def remux(path: Path, change: Callable[[av.Packet, int], object], **options: Any) -> None:
    """Write a file's packets again, each changed before."""
    source = path.with_stem("source")
    path.rename(source)
    with av.open(str(source)) as old, av.open(str(path), "w", **options) as new:
        stream = new.add_stream_from_template(old.streams.video[0], opaque=True)
        for k, packet in enumerate(p for p in old.demux(video=0) if p.size):
            change(packet, k)
            packet.stream = stream
            new.mux(packet)
    source.unlink()


def cut_half_a_second(path: Path) -> Sequence[int]:
    """The muxer writes an edit list for packets before zero: the first 13 frames, up to 0.48 s, are only decoded."""

    def shift(packet: av.Packet, _: int) -> None:
        half = int(Fraction(1, 2) / packet.time_base)
        packet.pts -= half
        packet.dts -= half

    remux(path, shift)
    return [k - 13 for k in STEADY]


def drop_the_list_of_key_frames(path: Path) -> None:
    """Without its table of key frames an mp4 says that every frame is one."""
    path.write_bytes(path.read_bytes().replace(b"stss", b"free"))


def repeat_stamps(path: Path) -> Sequence[int]:
    """Pairs of frames with one time; the later is shown."""

    def pair(packet: av.Packet, k: int) -> None:
        packet.pts = packet.dts = int(Fraction(k // 2 * 2, RATE) / packet.time_base)

    remux(path, pair)
    return [k // 2 * 2 for k in STEADY]


def concatenate(times: int) -> Callable[[Path], None]:
    """``cat`` a file behind itself."""
    return lambda path: path.write_bytes(times * path.read_bytes()) and None


def concatenate_with_an_earlier_clock(path: Path) -> None:
    """The second piece's clock is before the first one's, which FFmpeg takes for a counter that ran over."""
    first = path.with_stem("first")
    write_counter_video(first, [RATE * 3600 + t for t in STEADY], time_base=Fraction(1, RATE), options={**CLOSED, "bf": "0"})
    path.write_bytes(first.read_bytes() + path.read_bytes())
    first.unlink()


def add_a_stream(path: Path) -> None:
    """Two streams of different size, both with the counter: the oracle tells which one is read."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=RATE, options=CLOSED) for _ in range(2)]
        for stream, size in zip(streams, ((96, 48), (192, 96)), strict=True):
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
        for k in STEADY:
            for stream in streams:
                picture = counter_frame(k, (stream.width, stream.height))
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = k, Fraction(1, RATE)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))


def add_cover_art(path: Path) -> None:
    """A picture as the first stream."""
    source = path.with_stem("source")
    path.rename(source)
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        cover = new.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 320, 320, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic.value
        stream = new.add_stream_from_template(old.streams.video[0], opaque=True)
        picture = av.VideoFrame.from_ndarray(np.full((320, 320, 3), 128, np.uint8), format="rgb24").reformat(format="yuvj420p")
        picture.pts = 0
        for packet in [*cover.encode(picture), *cover.encode(None)]:
            new.mux(packet)
        for packet in (p for p in old.demux(video=0) if p.size):
            packet.stream = stream
            new.mux(packet)
    source.unlink()


def only_sound(path: Path) -> None:
    """A video stream that was opened and never written to."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000)
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))


def animate(path: Path) -> None:
    """Pictures by Pillow."""
    pictures = [Image.fromarray(textured_counter_frame(k)) for k in range(10)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)


def turn(name: str) -> Callable[[Path], None]:
    """Write a display matrix."""
    return lambda path: set_display_matrix(path, name)


def h264(**options: str) -> dict[str, Any]:
    """Options of `write_counter_video`."""
    return {"options": {**CLOSED, **options}}


def coded(codec: str, pix_fmt: str = "yuv420p", size: tuple[int, int] = (192, 96), **options: str) -> dict[str, Any]:
    """Options of `write_counter_video`."""
    return {"codec": codec, "pix_fmt": pix_fmt, "size": size, "options": options}


CRAFTED = [
    Crafted("h264_b_frames.mp4", h264(bf="4")),
    Crafted("h264_open_groups.mkv", h264(bf="3", **{"x264-params": "open-gop=1"})),
    Crafted("h264_one_key_frame.mp4", h264(g="999", bf="3", **{"x264-params": "b-pyramid=normal"})),
    Crafted("h264_only_key_frames.mp4", h264(g="1")),
    Crafted("h264_no_key_frames_but_refresh.mkv", h264(bf="0", **{"x264-params": "intra-refresh=1"})),
    Crafted("h264_interlaced.mp4", h264(**{"x264-params": "tff=1"})),
    Crafted("h264_10_bit.mp4", {"pix_fmt": "yuv420p10le", **h264()}),
    Crafted("h264_odd_size.mkv", {"pix_fmt": "yuv444p", "size": (193, 97), **h264()}),
    Crafted("h264_raw.h264", h264()),
    Crafted("h264_fragments.mp4", {**h264(), "container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    Crafted("h264_variable_rate.mp4", h264(), UNEVEN),
    Crafted("h264_long_gaps.mkv", h264(), GAPS),
    Crafted("h264_far_from_zero.mkv", h264(), [25_000_000 + k for k in STEADY]),
    Crafted("h264_before_zero.mkv", h264(), [k - 60 for k in STEADY]),
    Crafted("h264_edit_list.mp4", h264(g="50", bf="0"), change=cut_half_a_second),
    Crafted("h264_rotated.mp4", h264(), change=turn("90")),
    Crafted("h264_mirrored.mp4", h264(), change=turn("mirrored")),
    Crafted("h264_two_streams.mkv", change=add_a_stream),
    Crafted("h264_cover_art.mp4", h264(), change=add_cover_art),
    Crafted("h264_one_frame.mp4", h264(), [0]),
    Crafted("h264_two_frames.mkv", h264(), [0, 100]),
    Crafted("h264_no_frame.mkv", change=only_sound, outcome="refused"),
    Crafted("h264_equal_stamps.mkv", h264(bf="0"), change=repeat_stamps),
    Crafted("mpeg4_false_keys.mp4", coded("mpeg4", g="60", bf="2", b="1M"), change=drop_the_list_of_key_frames, outcome="equal, warned"),
    Crafted("h264_three_clocks.ts", h264(bf="0"), change=concatenate(3), outcome="counters, warned"),
    Crafted("h264_earlier_clock.ts", h264(bf="0"), change=concatenate_with_an_earlier_clock, outcome="counters, warned"),
    Crafted("h264.flv", h264()),
    Crafted("h264.avi", h264(bf="0")),
    Crafted("hevc_open_groups.mp4", coded("libx265", **{"x265-params": "log-level=error:keyint=25:open-gop=1", "preset": "ultrafast"})),
    Crafted("hevc_raw.hevc", coded("libx265", **{"x265-params": "log-level=error:keyint=25", "preset": "ultrafast"})),
    Crafted("mpeg4_b_frames.avi", coded("mpeg4", g="25", bf="2", b="1M")),
    Crafted("mpeg4_lost_places.avi", coded("mpeg4", g="25", bf="0", b="1M"), GAPS),
    Crafted("mjpeg.avi", coded("mjpeg", "yuvj420p", b="2M")),
    Crafted("mpeg2_program_stream.mpg", coded("mpeg2video", g="12", bf="2", b="1M")),
    Crafted("mpeg2_two_clocks.mpg", coded("mpeg2video", g="12", bf="0", b="1M"), change=concatenate(2), outcome="counters, warned"),
    Crafted("mpeg2_interlaced.ts", coded("mpeg2video", g="12", bf="2", b="1M", flags="+ildct+ilme")),
    Crafted("flv1.flv", coded("flv", g="25", b="1M")),
    Crafted("h263_phone.3gp", coded("h263", size=(176, 144), g="25", b="1M")),
    Crafted("wmv2.asf", coded("wmv2", g="25", b="1M")),
    Crafted("vp8_hidden_frames.webm", coded("libvpx", **VPX, **{"auto-alt-ref": "1", "lag-in-frames": "16"})),
    Crafted("vp9_transparent.webm", coded("libvpx-vp9", "yuva420p", **VPX, **{"auto-alt-ref": "0"})),
    Crafted("av1.mp4", coded("libsvtav1", g="25", preset="10", **{"svtav1-params": "lp=1"})),
    Crafted("prores_transparent.mov", coded("prores_ks", "yuva444p10le")),
    Crafted("cinepak.avi", coded("cinepak", "rgb24", g="12")),
    Crafted("qtrle.mov", coded("qtrle", "rgb24", g="12")),
    Crafted("ffv1.mkv", coded("ffv1", g="12")),
    Crafted("animation.gif", coded("gif", "rgb8")),
    Crafted("animation.webp", change=animate, outcome="refused"),
]


def build(crafted: Crafted, folder: Path) -> tuple[Path, list[tuple[int, int]]]:
    """Write the file; returns it with the place (25ths of a second after the first frame) and the counter of each picture, in order."""
    path = folder / crafted.name
    new_places = None
    if crafted.options:
        picture = counter_frame if crafted.name.endswith(".gif") else textured_counter_frame
        write_counter_video(path, crafted.places, time_base=Fraction(1, RATE), rate=RATE, picture=picture, **crafted.options)
    if crafted.change is not None:
        new_places = crafted.change(path)
    places = list(new_places if new_places is not None else crafted.places)
    first = min([p for p in places if p >= 0] if new_places is not None else places)
    shown = [(place - first, counter) for counter, place in enumerate(places)]
    if crafted.outcome.startswith("counters"):  # the pieces, one after the other
        pieces = 3 if "three" in crafted.name else 2
        shown = [(piece * len(STEADY) + place, counter) for piece in range(pieces) for place, counter in shown]
    return path, shown


def wrong_counters(path: Path, shown: list[tuple[int, int]]) -> list[str]:
    """Numbers whose picture has not the counter of the picture on screen; one picture of leeway where clocks are coarser than the rate."""
    wrong = []
    for fps in SAMPLINGS:
        frames = sample_frames(path, fps=fps, frame_size=None, max_frames=200)
        for number, pixels in zip(frames.numbers.tolist(), frames.pixels, strict=True):
            place = Fraction(number * RATE) / Fraction(fps)
            expected = [counter for at, counter in shown if at <= place][-1]
            stored = np.rot90(pixels) if "rotated" in path.name else pixels[:, ::-1] if "mirrored" in path.name else pixels
            if (got := read_counter(stored)) != expected:
                wrong.append(f"{fps:g} fps, number {number}: {got} instead of {expected}")
    return wrong


def judge(crafted: Crafted, path: Path, shown: list[tuple[int, int]], outcome: Outcome, *, strict: bool) -> Outcome:
    """Turn what is not as it should be into a fault."""
    if outcome.is_fault or outcome.kind == "refused":
        expected = outcome.is_fault or crafted.outcome == "refused" or not strict
        return outcome if expected else Outcome("REFUSED A GOOD FILE", outcome.detail, outcome.seconds)
    if wrong := wrong_counters(path, shown):
        return Outcome("WRONG COUNTERS", f"{len(wrong)}: {'; '.join(wrong[:3])}; {outcome.kind}: {outcome.detail}", outcome.seconds)
    if crafted.outcome.startswith("counters"):
        return (
            Outcome(crafted.outcome, outcome.detail, outcome.seconds)
            if "warned" in outcome.kind
            else Outcome("NO WARNING", "", outcome.seconds)
        )
    if strict and outcome.kind != crafted.outcome:
        return Outcome("UNEXPECTED", f"{outcome.kind} instead of {crafted.outcome}: {outcome.detail}", outcome.seconds)
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decoder", choices=("pyav", "decord"), default="pyav")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="files whose names contain one of these")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="copy the files there")
    args = parser.parse_args()
    os.environ["NUMPRO_DECODER"] = args.decoder
    os.environ.setdefault("SVT_LOG", "1")  # only errors
    logging.disable(logging.ERROR)
    outcomes, built, missing = [], [], []
    with TemporaryDirectory(prefix="numpro-crafted-") as name:
        for crafted in CRAFTED:
            if args.only and not any(word in crafted.name for word in args.only):
                continue
            try:
                built.append((crafted, *build(crafted, Path(name))))
            except (av.error.FFmpegError, ValueError) as error:
                missing.append(f"{crafted.name} ({error})")
                continue
            if args.keep:
                args.keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(built[-1][1], args.keep)
        tried = try_files((path for _, path, _ in built), levels=2 if args.decoder == "decord" else 0)
        for (crafted, path, shown), (_, outcome) in zip(built, tried, strict=True):
            judged = judge(crafted, path, shown, outcome, strict=args.decoder == "pyav")
            print(f"{judged.kind:20} {crafted.name}: {judged.detail[:160].replace(name + '/', '')}", flush=True)
            outcomes.append((crafted.name, judged))
    print(*(f"not made here: {line}" for line in missing), sep="\n")
    faults = print_summary(outcomes)
    print(f"{len(outcomes)} files, {faults} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
