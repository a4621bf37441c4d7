"""What `sample_frames` should give, found by decoding everything; and trials of strange files in a process of their own.

The oracle takes no shortcut of the library: one thread, every packet, FFmpeg's own time stamps, then for each number the last frame whose
time is not later. It is written for `mutated_videos.py` and `crafted_videos.py`.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import av
import cv2
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from numpro_plugin import Frames, NumProError, sample_frames

Pixels = NDArray[np.uint8]

MATRICES = (1, 4, 5, 6, 7, 9, 10)
"""The values of FFmpeg's ``AVCOL_SPC_*`` for which swscale has a YCbCr matrix."""
BT601 = 5
LIMIT_S = 60
SAMPLINGS = (1.0, 5.0)
"""Numbers per second: few, so that much is skipped, and many."""


@dataclass(frozen=True)
class Decoded:
    """Every frame of a file."""

    times_s: list[float]
    """After the first frame's time, ascending."""
    pictures: list[Pixels]
    tick_s: float


Memory = Literal["reused", "blank", "filled"]
"""What is in the memory that a picture is decoded into: an earlier picture, as usual; zeros; or one value, `FILLING`.

Of a damaged picture some decoders (HEVC's, without reporting an error) leave parts as they find them. What is there depends on which
earlier picture's memory was free, so on when Python let go of it: nothing is right or wrong there. Such parts are found by decoding into
blank and into filled memory: they differ for certain, whatever reuse gave by chance.
"""

FILLING = 0xAA


def decode_fully(path: Path, *, memory: Memory = "reused") -> Decoded:
    """Plain decoding in one thread, into memory of this kind. Frames are kept until the end unless it is ``reused``."""
    keep = memory != "reused"
    with av.open(str(path), metadata_errors="replace") as container:
        stream = container.streams.best("video")
        if stream is None:
            raise ValueError("no video stream")
        stream.codec_context.thread_count = 1
        if memory == "filled":
            _fill_memory(stream.codec_context, path)
        packets: list[_Stamps] = []
        frames: list[tuple[int | None, Any]] = []
        turn: list[int] = []
        is_avi = container.format.name == "avi"
        tick = stream.time_base
        rate = stream.codec_context.framerate or stream.average_rate or stream.guessed_rate or Fraction(25)
        for packet in _packets(container, stream):
            if packet is not None:
                shown = bool(packet.size) and not packet.is_discard
                first, second = packet.pts, packet.dts
                if is_avi:
                    packet.pts = len(packets)  # frames bring it with them
                    if not stream.codec_context.has_b_frames:
                        first, second = second, first
                packets.append(_Stamps(first, second, packet.pts, shown))
            try:
                for frame in stream.codec_context.decode(packet):
                    # Only once: a frame that was asked for its side data refers to itself and is freed late.
                    turn = turn or _display_matrix(frame)
                    frames.append((frame.pts, frame if keep else upright_rgb(frame, turn)))
                    del frame
            except FFmpegError:
                continue
    times = _times(frames, packets, is_avi=is_avi, step=1 / (rate * tick))
    kept = [k for k, time in enumerate(times) if time is not None]
    order = sorted(kept, key=times.__getitem__)  # of equal times the later comes last
    # The file begins with its first packet, even if that cannot be decoded.
    stamped = [packet.stamp for packet in packets if packet.shown and packet.stamp is not None]
    own = times == [pts for pts, _ in frames]
    first = min([*stamped, *(times[k] for k in kept[:1])], default=0) if own else min((times[k] for k in kept), default=0)
    pictures = [upright_rgb(frames[k][1], turn) if keep else frames[k][1] for k in order]
    return Decoded([float((times[k] - first) * tick) for k in order], pictures, float(tick))


def _fill_memory(context: Any, path: Path) -> None:
    """Decode the file once and fill all its pictures, whose memory the decoder then uses again."""
    frames = []
    with av.open(str(path), metadata_errors="replace") as container:
        for packet in _packets(container, container.streams.best("video")):
            try:
                frames += context.decode(packet)
            except FFmpegError:
                continue
    context.flush_buffers()
    for frame in frames:
        for plane in frame.planes:
            np.frombuffer(plane, dtype=np.uint8)[:] = FILLING


@dataclass(frozen=True)
class _Stamps:
    """What a packet says of its time."""

    pts: int | None
    dts: int | None
    tag: int | None
    """What its frames have as their time stamp."""
    shown: bool

    @property
    def stamp(self) -> int | None:
        return self.pts if self.pts is not None else self.dts


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """To the end or to the first error; then None, which asks the decoder for its last frames."""
    try:
        for packet in container.demux(stream):
            if packet.size or packet.pts is not None or packet.dts is not None:
                yield packet
    except (FFmpegError, IndexError):
        pass
    yield None


def _times(frames: list[tuple[int | None, Any]], packets: list[_Stamps], *, is_avi: bool, step: Fraction) -> list[Fraction | int | None]:
    """A time for each frame in the order in which they were decoded; None for a frame of a packet that is not to be shown.

    The frame's own time stamp. In AVI and raw streams, which have none, the k-th frame has the k-th place; a packet without a picture keeps
    its place. So it is where the stamps only repeat the decoding order.
    """
    own = [pts for pts, _ in frames]
    ascends = all(a is not None and b is not None and a <= b for a, b in pairwise(own))
    repeats = len({p.pts - p.dts for p in packets[1:] if p.pts is not None and p.dts is not None}) < 2
    if not is_avi and None not in own and (ascends or not repeats):
        return list(own)
    shown = [k for k, packet in enumerate(packets) if packet.shown]
    stamps = [packets[k].dts if repeats and not is_avi else packets[k].stamp for k in shown]
    places = sorted(stamp for stamp in stamps if stamp is not None)
    if 2 * len(places) < len(shown):
        places = [k * step for k in range(len(shown))]
    number_of = {tag: k for k, tag in enumerate(packet.tag for packet in packets) if tag is not None}
    numbers = [number_of.get(pts) for pts in own]
    decoded, newest, rank, times = set(numbers), -1, 0, []
    for number in numbers:
        if number is not None and not packets[number].shown:
            times.append(None)
            continue
        newest = max(newest, number or 0)
        lost = sum(k not in decoded for k in shown if k < newest) if None not in numbers else 0
        times.append(places[min(rank + lost, len(places) - 1)])
        rank += 1
    return times


def upright_rgb(frame: av.VideoFrame, display_matrix: list[int]) -> Pixels:
    """Colours as the frame declares them, turned as its file's display matrix (a, b, 0, c, d) says."""
    matrix = frame.colorspace if frame.colorspace in MATRICES else BT601
    rgb = frame.reformat(format="rgb24", src_colorspace=matrix, dst_colorspace=BT601, src_color_range=frame.color_range).to_ndarray()
    a, b, _, c, d = display_matrix
    if a * d == b * c:  # a damaged matrix
        return rgb
    turned = np.rot90(rgb, frame.rotation // 90)
    return np.ascontiguousarray(turned[::-1] if a * d < b * c else turned)  # turned, then mirrored


def _display_matrix(frame: av.VideoFrame) -> list[int]:
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return np.frombuffer(matrix, dtype=np.int32)[:5].tolist() if matrix else [1, 0, 0, 0, 1]


def expected_pictures(decoded: Decoded, frames: Frames, fps: float) -> list[int]:
    """Which picture is on screen for each number of ``frames``: the last whose time is not later, within half a tick."""
    tick_s = decoded.tick_s
    steps = np.diff(np.unique(decoded.times_s))
    slack_s = 1e-6 if len(steps) and float(np.median(steps)) < 2 * tick_s else tick_s / 2 + 1e-9
    ends = np.searchsorted(np.asarray(decoded.times_s), frames.numbers / fps + slack_s, side="right")
    return [max(0, int(end) - 1) for end in ends]


def _same(pixels: Pixels, picture: Pixels, levels: int) -> bool:
    height, width = pixels.shape[:2]
    resized = picture if picture.shape == pixels.shape else cv2.resize(picture, (width, height))
    return int(np.abs(pixels.astype(np.int16) - resized).max()) <= levels


# ---- trials ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What came of one file."""

    kind: str
    """``equal``, ``differs, warned``, ``refused`` and the like, or a fault in capitals. ``FFmpeg varies``: the wrong ones are
    pictures that plain decoding leaves in part as it finds their memory (`Memory`)."""
    detail: str = ""
    seconds: float = 0.0

    @property
    def is_fault(self) -> bool:
        """Whether it must not happen: a crash, a hang, an exception of another class, another frame without a word."""
        return self.kind.isupper()


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def try_file(path: Path, levels: int = 0) -> Outcome:
    """Sample a file and compare each frame with plain decoding; ``levels`` is how far apart values may be."""
    logger = logging.getLogger("numpro_plugin")
    logger.propagate = False
    heard = _Warnings()
    logger.addHandler(heard)
    try:
        sampled = {fps: sample_frames(path, fps=fps, frame_size=None, max_frames=200) for fps in SAMPLINGS}
    except NumProError as error:
        return Outcome("refused", str(error))
    except Exception as error:  # any other class is what is looked for
        return Outcome("RAISED", f"{type(error).__name__}: {error}")
    finally:
        logger.removeHandler(heard)
    words = "; ".join(dict.fromkeys(heard.lines)).replace(f"{path}: ", "")
    decoded = decode_fully(path)
    count = len(decoded.pictures)
    differing, varies = [], False
    for fps, frames in sampled.items():
        expected = expected_pictures(decoded, frames, fps)
        wrong = [k for pixels, k in zip(frames.pixels, expected, strict=True) if not _same(pixels, decoded.pictures[k], levels)]
        others = [decode_fully(path, memory=memory).pictures for memory in ("blank", "filled")] if wrong else []
        defined = [k for k in wrong if all(len(other) != count or np.array_equal(decoded.pictures[k], other[k]) for other in others)]
        varies = varies or len(defined) < len(wrong)
        differing += [f"{fps:g} fps: {len(defined)} of {len(frames)}"] if defined else []
    if not differing:
        return Outcome("equal" + ", FFmpeg varies" * varies + ", warned" * bool(words), words)
    return Outcome("differs, warned" if words else "DIFFERS", f"{', '.join(differing)}: {words}" if words else ", ".join(differing))


def try_files(paths: Iterable[Path], levels: int = 0) -> Iterator[tuple[Path, Outcome]]:
    """Try each file in a worker process, which is replaced when a file crashes it or takes more than `LIMIT_S` seconds."""
    worker: tuple[multiprocessing.process.BaseProcess, Connection] | None = None
    context = multiprocessing.get_context("spawn")
    for path in paths:
        if worker is None:
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, levels), daemon=True)
            process.start()
            theirs.close()
            worker = process, ours
        process, connection = worker
        began = time.monotonic()
        connection.send(os.fspath(path))
        try:
            outcome = connection.recv() if connection.poll(LIMIT_S) else Outcome("HUNG", f"more than {LIMIT_S} s")
        except EOFError:
            process.join()
            outcome = Outcome("CRASHED", f"exit status {process.exitcode}")
        if outcome.kind in ("HUNG", "CRASHED"):
            process.kill()
            process.join()
            worker = None
        yield path, Outcome(outcome.kind, outcome.detail, time.monotonic() - began)
    if worker is not None:
        worker[1].send(None)
        worker[0].join()


def _work(connection: Connection, levels: int) -> None:
    cv2.setNumThreads(1)
    while (path := connection.recv()) is not None:
        try:
            outcome = try_file(Path(path), levels)
        except Exception as error:  # the oracle itself may fail on what the library refused to trust
            outcome = Outcome("ORACLE FAILED", f"{type(error).__name__}: {error}")
        connection.send(outcome)


def print_summary(outcomes: list[tuple[str, Outcome]]) -> int:
    """Print how many files came to what, and the faults in full; return the number of faults."""
    for kind in sorted({outcome.kind for _, outcome in outcomes}):
        print(f"{sum(outcome.kind == kind for _, outcome in outcomes):5}  {kind}")
    faults = [(name, outcome) for name, outcome in outcomes if outcome.is_fault]
    for name, outcome in faults:
        print(f"{outcome.kind}  {name}: {outcome.detail}")
    slowest = max(outcomes, key=lambda pair: pair[1].seconds)
    print(f"slowest: {slowest[0]}, {slowest[1].seconds:.1f} s, with the oracle")
    return len(faults)
