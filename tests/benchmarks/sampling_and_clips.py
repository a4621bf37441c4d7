"""Speed and memory of sampling frames, drawing numbers and making clips, beside what else could do the same job.

    python tests/benchmarks/sampling_and_clips.py [--videos DIR] [--runs 7] [--only NAME ...] [--json FILE]

    frames       the frames at 336x336 of a video: this library, decord, torchcodec, PyAV decoding everything, and the limit: opening
                 the file and decoding exactly the packets that are needed, without and with converting the wanted frames
                 The limit has no conversion of colours, no resizing and no reading of times: where a video is short or small, these are
                 most of what ours is above it (see "limit and conversion"). A damaged file is decoded twice, up to the damage with
                 skipping and then wholly, because its pixels must be those of decoding everything; its limit knows of no damage.
                 torchcodec decodes the same packets without Python in between, so it is about even with ours where nothing can be skipped.
    drawing      numbers, seconds and clock times on 75 frames: this library, Pillow
    cached_clip  a numbered clip that has to be made, and one that is in the cache
    memory_many  memory of one process while it makes the clips of 200 videos
    memory_hour  peak memory and CPU time for one hour of 1080p video

What is compared takes turns (A B C D A B C D ...), so that whatever else the machine does falls on all alike. After a round of
warm-up the medians are printed: CPU time (user + system, of all threads of this process) first, wall time second. Nothing is
asserted; the goal stands beside each figure. Without ``--videos`` everything is made in a temporary folder, which is removed at
the end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from numpro_plugin import NumProError, Timeline, draw_numbers, numbered_clip, sample_frames
from numpro_plugin.clips.cache import ClipCache
from numpro_plugin.demo.rendering import random_events, render_video
from numpro_plugin.encoding import TimeEncoding
from numpro_plugin.numbering import draw_marks
from numpro_plugin.video import h264, skipping
from numpro_plugin.video.packets import PacketIndex, open_video, read_packets, tagged_packets
from numpro_plugin.video.pictures import PictureConverter

FPS = 0.5
SIDE = 336
GOALS = {
    "frames": "limit <= 1.15, torchcodec <= 1, decord <= 0.65 with B-frames",
    "drawing": "<= 40 us",
    "times": "<= 1.5 of a number (ours / it >= 0.67)",
    "cached_clip": "<= 2 %",
    "memory_many": "< 20 MB",
    "memory_hour": "< 300 MB",
}

X264 = {"g": "250", "bf": "3", "preset": "medium"}
SYNTHETIC = {"30 s": (30, (640, 360)), "150 s": (150, (640, 360)), "120 s upright": (120, (480, 854))}
"""Name -> (seconds, (width, height)), at 30 frames a second."""

CONTAINERS = (".avi", ".flv", ".mkv", ".mov", ".mp4", ".mpg", ".ts", ".webm")

SHORT = ((320, 240), (640, 360), (480, 854), (854, 480), (1280, 720))
"""Sizes of the short videos of `memory_many`: different ones, so that freed memory does not fit the next video by luck."""
SHORT_S = 8
CLIPS = 200
STOPS = (20, 60, 100, 140, 180, 200)

SEGMENT_S, SEGMENTS = 10, 360

MATRICES = (1, 4, 5, 6, 7, 9, 10)
"""The values of FFmpeg's ``AVCOL_SPC_*`` for which swscale has a YCbCr matrix."""

STATUS = Path("/proc/self/status")

Pixels = NDArray[np.uint8]
Row = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What was asked for on the command line, and where files may be put."""

    folder: Path
    videos: Path | None
    runs: int
    fps: float


# ---- measuring -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """Medians over the runs, in seconds."""

    cpu_s: float
    wall_s: float


def take_turns(work: Mapping[str, Callable[[], object]], runs: int, *, repeat: int = 1) -> dict[str, Cost | str]:
    """The cost of each piece of work, or in one line why it cannot be done here."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
    reasons: dict[str, str] = {}
    for turn in range(runs + 1):
        for name, do in work.items():
            if name in reasons:
                continue
            try:
                cost = _time(do, repeat)
            except Exception as error:  # readers fail in ways of their own; one that does must not end the comparison
                reasons[name] = _first_line(error)
                continue
            if turn > 0:  # the first turn imports libraries and fills caches
                spent[name].append(cost)
    return {name: reasons[name] if name in reasons else _medians(spent[name]) for name in work}


def _time(do: Callable[[], object], repeat: int) -> tuple[float, float]:
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    for _ in range(repeat):
        do()
    return (time.process_time() - cpu_s) / repeat, (time.perf_counter() - wall_s) / repeat


def _medians(costs: Sequence[tuple[float, float]]) -> Cost:
    cpu_s, wall_s = zip(*costs, strict=True)
    return Cost(statistics.median(cpu_s), statistics.median(wall_s))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:70]


def memory_mb(field: str) -> float:
    """``VmRSS`` (memory now) or ``VmHWM`` (its peak) of this process, in megabytes of 10**6 bytes."""
    fields = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(fields[field].split()[0]) * 1024 / 1e6


def in_own_process(function: Callable[..., Any], *args: object) -> Any:
    """Call a function in a new interpreter: its memory is then its own, and so is its peak."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def print_table(title: str, rows: Sequence[Row]) -> None:
    """Print rows of equal keys as aligned columns, numbers to the right."""
    print(f"\n{title}\n", flush=True)
    if not rows:
        return
    cells = [list(rows[0])] + [[_cell(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [isinstance(value, (int, float)) and not isinstance(value, bool) for value in rows[0].values()]
    cells.insert(1, ["-" * width for width in widths])
    for line in cells:
        aligned = (cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in zip(line, widths, right, strict=True))
        print("  ".join(aligned).rstrip(), flush=True)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return str(value)


def _ms(cost: Cost | str) -> Row:
    """The two columns of a cost."""
    if isinstance(cost, str):
        return {"CPU ms": None, "wall ms": None}
    return {"CPU ms": 1e3 * cost.cpu_s, "wall ms": 1e3 * cost.wall_s}


def _ratio(part: Cost | str, whole: Cost | str) -> float | None:
    return None if isinstance(part, str) or isinstance(whole, str) else part.cpu_s / whole.cpu_s


# ---- videos ----------------------------------------------------------------------------------------------------------------------


def all_videos_of(plan: Plan) -> dict[str, Path]:
    """Name -> file: those of ``--videos``, else synthetic ones."""
    if plan.videos is None:
        return videos_of(plan)
    return {path.name: path for path in sorted(plan.videos.iterdir()) if path.suffix in CONTAINERS}


def videos_of(plan: Plan) -> dict[str, Path]:
    """Name -> H.264 file: those of ``--videos``, else synthetic ones."""
    if plan.videos is None:
        return {name: _synthetic(plan.folder, name, seconds, size) for name, (seconds, size) in SYNTHETIC.items()}
    found = {path.name: path for path in sorted(plan.videos.glob("*.mp4"))}
    kinds = {name: _codec(path) for name, path in found.items()}
    for name, kind in kinds.items():
        if kind != "h264":
            print(f"left out, not H.264: {name} ({kind})")
    return {name: path for name, path in found.items() if kinds[name] == "h264"}


def _codec(path: Path) -> str:
    try:
        container, stream = open_video(path)
    except NumProError as error:
        return str(error)
    with container:
        return str(stream.codec_context.name)


def _synthetic(
    folder: Path, name: str, seconds: int, size: tuple[int, int], *, fps: int = 30, seed: int = 0, options: Mapping[str, str] = X264
) -> Path:
    path = folder / f"{name.replace(' ', '_')}.mp4"
    if not path.exists():
        print(f"rendering {name}, {size[0]}x{size[1]} ...", flush=True)
        events = random_events(np.random.default_rng(seed), seconds, count=min(8, max(1, seconds // 5)))
        render_video(path, events, duration_s=seconds, fps=fps, size=size, seed=seed, options=options)
    return path


def has_b_frames(index: PacketIndex) -> bool:
    """Whether frames are stored in another order than they are shown in."""
    shown = index.decode_order[index.decode_order >= 0]
    return bool((np.diff(shown) < 0).any())


# ---- frames ----------------------------------------------------------------------------------------------------------------------


def read_ours(video: Path, fps: float, positions: list[int]) -> Pixels:
    """Finds out by itself which frames are wanted; the others are told."""
    return sample_frames(video, fps=fps, frame_size=(SIDE, SIDE), max_frames=None).pixels


@cache
def needed_packets(video: Path, positions: tuple[int, ...]) -> tuple[list[int], list[bool], list[int]]:
    """What is done with each packet, before which ones the decoder restarts, and whose pictures are wanted."""
    index = read_packets(video)
    action, restart = skipping.plan(index, np.array(sorted(set(positions))))
    if not index.trusted:
        action, restart = np.full(len(action), skipping.SHOW), np.zeros(len(restart), dtype=bool)
    if index.context.name == "h264" and index.packets is not None:
        size = h264.length_size(index.context.extradata)
        for k in np.flatnonzero(action == skipping.REFERENCE):
            action[k] = skipping.SKIP if h264.is_unreferenced(index.packets[k], size) else skipping.SHOW
    return action.tolist(), restart.tolist(), np.flatnonzero(np.isin(index.decode_order, positions)).tolist()


def read_limit(video: Path, fps: float, positions: list[int]) -> None:
    """Nobody who decodes in one thread can be faster: which packets are needed is known before."""
    for _ in _needed_frames(video, positions):
        pass


def read_limit_converted(video: Path, fps: float, positions: list[int]) -> None:
    """The same, and the wanted frames are converted and resized as ours are: what is left to ours is reading times, planning, checking."""
    wanted, picture = set(needed_packets(video, tuple(positions))[2]), PictureConverter()
    for frame in _needed_frames(video, positions):
        if frame.pts in wanted:
            _resize(picture.rgb(frame))


def _needed_frames(video: Path, positions: list[int]) -> Iterator[av.VideoFrame]:
    action, restart, _ = needed_packets(video, tuple(positions))
    container, stream = open_video(video)
    with container:
        context = stream.codec_context
        context.thread_count = 1
        context.open(strict=False)
        for k, packet in enumerate(tagged_packets(container, stream, len(action))):
            if action[k] == skipping.SKIP:
                continue
            if restart[k]:
                yield from context.decode(None)
                context.flush_buffers()
            context.skip_frame = "NONREF" if action[k] == skipping.REFERENCE else "DEFAULT"
            with suppress(av.error.FFmpegError):
                yield from context.decode(packet)
        yield from context.decode(None)


def read_decord(video: Path, fps: float, positions: list[int]) -> Pixels:
    import decord

    reader = decord.VideoReader(str(video), ctx=decord.cpu(0), width=SIDE, height=SIDE, num_threads=1)
    return reader.get_batch(positions).asnumpy()


def read_torchcodec(video: Path, fps: float, positions: list[int]) -> Pixels:
    import torch
    from torchcodec.decoders import VideoDecoder

    torch.set_num_threads(1)
    decoder = VideoDecoder(str(video), seek_mode="exact", num_ffmpeg_threads=1, dimension_order="NHWC")
    return np.stack([_resize(picture) for picture in decoder.get_frames_at(positions).data.numpy()])


def read_everything(video: Path, fps: float, positions: list[int]) -> Pixels:
    """PyAV from the first frame to the last; the pixels that every other way should give."""
    wanted, pictures = set(positions), {}
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for k, frame in enumerate(container.decode(stream)):
            if k in wanted:
                pictures[k] = _resize(np.ascontiguousarray(np.rot90(_rgb(frame), frame.rotation // 90)))
    return np.stack([pictures[k] for k in positions])


def _rgb(frame: av.VideoFrame) -> Pixels:
    """Colours as the stream declares them (matrix and range), as decord, torchcodec and OpenCV do; PyAV alone assumes BT.601."""
    matrix = frame.colorspace if frame.colorspace in MATRICES else "DEFAULT"
    # The target must be named as well: PyAV leaves the matrix alone when source and target have the same one, as they have by default.
    rgb = frame.reformat(format="rgb24", src_colorspace=matrix, dst_colorspace="DEFAULT", src_color_range=frame.color_range)
    return rgb.to_ndarray()


def _resize(picture: Pixels) -> Pixels:
    return cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)


READERS: dict[str, Callable[[Path, float, list[int]], Pixels | None]] = {
    "ours": read_ours,
    "limit": read_limit,
    "limit and conversion": read_limit_converted,
    "decord": read_decord,
    "torchcodec": read_torchcodec,
    "PyAV, all frames": read_everything,
}


def frames(plan: Plan) -> list[Row]:
    """Every reader on every video."""
    rows = []
    for name, video in all_videos_of(plan).items():
        index = read_packets(video)
        timeline = Timeline(index.duration_s, plan.fps)
        positions = index.on_screen(timeline.seconds(np.arange(timeline.count))).tolist()
        work = {reader: partial(read, video, plan.fps, positions) for reader, read in READERS.items()}
        costs = take_turns(work, plan.runs)
        about = {"video": name, "s": index.duration_s, "frames": len(positions), "B-frames": has_b_frames(index)}
        rows += _rows_of_readers(about, work, costs)
    print_table(f"frames: {plan.fps:g} fps at {SIDE}x{SIDE}, one thread; goal for ours / it: {GOALS['frames']}", rows)
    print("\n'difference': mean grey levels from decoding everything; readers that scale or convert colours in another way differ a little")
    return rows


def _rows_of_readers(about: Row, work: Mapping[str, Callable[[], Pixels | None]], costs: Mapping[str, Cost | str]) -> list[Row]:
    expected = None if isinstance(costs["PyAV, all frames"], str) else work["PyAV, all frames"]()
    rows = []
    for reader, cost in costs.items():
        got = None if isinstance(cost, str) or expected is None else work[reader]()
        goals = {"limit": "<= 1.15", "torchcodec": "<= 1", "decord": "<= 0.65" if about["B-frames"] else ""}
        rows.append(
            {
                **about,
                "reader": reader,
                **_ms(cost),
                "ours / it": _ratio(costs["ours"], cost),
                "goal": goals.get(reader, ""),
                "difference": None if got is None or got.shape != expected.shape else _difference(got, expected),
                "note": f"not available: {cost}" if isinstance(cost, str) else "",
            }
        )
    return rows


def _difference(got: Pixels, expected: Pixels) -> float:
    return float(np.abs(got.astype(np.int16) - expected).mean())


# ---- drawing ---------------------------------------------------------------------------------------------------------------------


def drawing(plan: Plan) -> list[Row]:
    """75 frames, two digits each, again and again on the same frames: how often a frame was drawn on does not change the work."""
    pixels = np.random.default_rng(0).integers(0, 256, (75, SIDE, SIDE, 3), dtype=np.uint8)
    numbers = list(range(10, 85))
    seconds, clocks = (TimeEncoding().marks(kind, numbers, FPS) for kind in ("seconds", "clock"))
    font = ImageFont.truetype(str(files("numpro_plugin") / "data" / "DejaVuSans-Bold.ttf"), 40)
    work = {
        "ours, in place": lambda: draw_numbers(pixels, numbers),
        "ours, seconds": lambda: draw_marks(pixels, seconds),
        "ours, clock times": lambda: draw_marks(pixels, clocks),
        "Pillow": lambda: [_draw_with_pillow(frame, str(number), font) for frame, number in zip(pixels, numbers, strict=True)],
    }
    costs = take_turns(work, plan.runs, repeat=10)
    rows = [
        {
            "way": way,
            "CPU us/frame": 1e3 * _ms(cost)["CPU ms"] / len(numbers),
            "wall us/frame": 1e3 * _ms(cost)["wall ms"] / len(numbers),
            "goal": "" if way == "Pillow" else GOALS["drawing"] if way == "ours, in place" else GOALS["times"],
            "ours / it": _ratio(costs["ours, in place"], cost),
        }
        for way, cost in costs.items()
    ]
    print_table(f"drawing: {len(numbers)} frames {SIDE}x{SIDE}, two digits, default style", rows)
    return rows


def _draw_with_pillow(frame: Pixels, text: str, font: ImageFont.FreeTypeFont) -> Pixels:
    picture = Image.fromarray(frame)
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    draw.text((SIDE - (right - left), SIDE - (bottom - top) * 4 / 3), text, fill="red", font=font)
    return np.asarray(picture)


# ---- clips -----------------------------------------------------------------------------------------------------------------------


def cached_clip(plan: Plan) -> list[Row]:
    """The clip of each video, made and found."""
    rows = []
    for name, video in videos_of(plan).items():
        kept = ClipCache(plan.folder / "kept")
        costs = take_turns({"cold": partial(_cold_clip, video, plan.folder), "warm": partial(_warm_clips, video, kept, 20)}, plan.runs)
        cold, warm = costs["cold"], costs["warm"]
        if isinstance(warm, Cost):
            warm = Cost(warm.cpu_s / 20, warm.wall_s / 20)
        ratio = _ratio(warm, cold)
        rows.append(
            {
                "video": name,
                "cold CPU ms": _ms(cold)["CPU ms"],
                "cold wall ms": _ms(cold)["wall ms"],
                "warm CPU ms": _ms(warm)["CPU ms"],
                "warm wall ms": _ms(warm)["wall ms"],
                "warm / cold %": None if ratio is None else 100 * ratio,
                "goal": GOALS["cached_clip"],
                "note": f"not available: {cold}" if isinstance(cold, str) else "",
            }
        )
    print_table("cached_clip: numbered_clip with the paper's settings, cache empty (cold) and filled (warm)", rows)
    return rows


def _cold_clip(video: Path, folder: Path) -> None:
    with TemporaryDirectory(dir=folder) as fresh:
        numbered_clip(video, cache=ClipCache(fresh))


def _warm_clips(video: Path, cache: ClipCache, count: int) -> None:
    """Many at once: one takes less than the clock can tell well."""
    for _ in range(count):
        numbered_clip(video, cache=cache)


# ---- memory ----------------------------------------------------------------------------------------------------------------------


def memory_many(plan: Plan) -> list[Row]:
    """Clips of many videos, one after the other in one process."""
    if not STATUS.exists():
        print_table(f"memory_many: not available, there is no {STATUS} here", [])
        return []
    originals = [_synthetic(plan.folder, f"short {size[0]}x{size[1]}", SHORT_S, size, seed=k) for k, size in enumerate(SHORT)]
    copies = plan.folder / "copies"
    copies.mkdir()
    # Copies, not links: a clip is named after the real path of its source, and each of the videos must get a clip of its own.
    videos = [Path(shutil.copyfile(originals[k % len(originals)], copies / f"{k:03d}.mp4")) for k in range(CLIPS)]
    at_stop = in_own_process(_memory_at_stops, videos, plan.folder / "many")
    rows = [{"videos done": stop, "memory MB": mb, "since 20 MB": mb - at_stop[STOPS[0]], "goal": ""} for stop, mb in at_stop.items()]
    rows[-1]["goal"] = GOALS["memory_many"]
    print_table(f"memory_many: resident memory of one process that makes {CLIPS} clips", rows)
    return rows


def _memory_at_stops(videos: Iterable[Path], cache: Path) -> dict[int, float]:
    at_stop = {}
    for done, video in enumerate(videos, start=1):
        numbered_clip(video, cache=ClipCache(cache))
        if done in STOPS:
            at_stop[done] = memory_mb("VmRSS")
    return at_stop


def memory_hour(plan: Plan) -> list[Row]:
    """The longest video that is likely to come: an hour in full HD, 240 frames of it kept."""
    if not STATUS.exists():
        print_table(f"memory_hour: not available, there is no {STATUS} here", [])
        return []
    cheap = {"g": "250", "bf": "3", "preset": "veryfast", "crf": "33"}
    segment = _synthetic(plan.folder, "segment 1080p", SEGMENT_S, (1920, 1080), options=cheap)
    hour = plan.folder / "hour.mp4"
    repeat_packets(segment, hour, SEGMENTS, Fraction(SEGMENT_S))
    rows = []
    for task in ("sample_frames", "numbered_clip"):
        before, peak, cpu_s, wall_s = in_own_process(_peak_of, task, hour, plan.folder / "hour")
        rows.append(
            {
                "task": task,
                "before MB": before,
                "peak MB": peak,
                "above before MB": peak - before,
                "goal": GOALS["memory_hour"],
                "CPU s": cpu_s,
                "wall s": wall_s,
            }
        )
    size_mb = hour.stat().st_size / 1e6
    hour.unlink()
    print_table(f"memory_hour: one hour of 1920x1080 H.264 at 30 frames a second ({size_mb:.0f} MB), 240 frames kept; measured once", rows)
    print(f"\nthe 240 frames themselves are {240 * SIDE * SIDE * 3 / 1e6:.0f} MB")
    return rows


def _peak_of(task: str, video: Path, cache: Path) -> tuple[float, float, float, float]:
    """(memory before, peak memory) in MB, CPU and wall time in seconds."""
    before = memory_mb("VmRSS")
    if task == "sample_frames":
        cost = _time(lambda: sample_frames(video, max_frames=240), 1)
    else:
        cost = _time(lambda: numbered_clip(video, cache=ClipCache(cache)), 1)
    return before, memory_mb("VmHWM"), *cost


def repeat_packets(source: Path, out: Path, times: int, length_s: Fraction) -> None:
    """Write a video ``times`` times behind itself without encoding it again: every round's time stamps are ``length_s`` later."""
    with av.open(str(source)) as container, av.open(str(out), "w") as target:
        stream = container.streams.video[0]
        copy = target.add_stream_from_template(stream)
        packets = [packet for packet in container.demux(stream) if packet.size]
        length = int(length_s / stream.time_base)
        for shift in range(0, times * length, length):
            for packet in packets:
                again = av.Packet(bytes(packet))
                again.stream, again.time_base, again.duration = copy, packet.time_base, packet.duration
                again.pts, again.dts = packet.pts + shift, packet.dts + shift
                again.is_keyframe = packet.is_keyframe
                target.mux(again)


# ---- command line ----------------------------------------------------------------------------------------------------------------


BENCHMARKS: dict[str, Callable[[Plan], list[Row]]] = {
    "frames": frames,
    "drawing": drawing,
    "cached_clip": cached_clip,
    "memory_many": memory_many,
    "memory_hour": memory_hour,
}


def surroundings() -> dict[str, str]:
    """What the figures depend on besides the library."""
    packages = {}
    for name in ("av", "decord", "torchcodec", "torch", "opencv-python-headless", "numpy", "pillow"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "not installed"
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": str(os.cpu_count()),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
        "NUMPRO_DECODER": os.environ.get("NUMPRO_DECODER", "not set"),
        **packages,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--videos",
        type=Path,
        metavar="DIR",
        help="measure the videos in this folder instead of synthetic ones; for clips the H.264 mp4 files",
    )
    parser.add_argument("--fps", type=float, default=FPS, help=f"numbers per second of `frames` (default: {FPS})")
    parser.add_argument("--runs", type=int, default=7, help="runs of which the median is taken, after one of warm-up (default: 7)")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file as well")
    args = parser.parse_args()
    if args.runs < 1:
        parser.error(f"--runs {args.runs} must be 1 or more")
    if args.videos is not None and not args.videos.is_dir():
        parser.error(f"--videos {args.videos}: no such folder")
    print("; ".join(f"{name} {value}" for name, value in surroundings().items()))
    with TemporaryDirectory(prefix="numpro-benchmarks-") as folder:
        plan = Plan(Path(folder), args.videos, args.runs, args.fps)
        results = {name: BENCHMARKS[name](plan) for name in args.only}
    if args.json is not None:
        args.json.write_text(json.dumps({"surroundings": surroundings(), "goals": GOALS, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
