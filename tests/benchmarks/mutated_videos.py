"""Samples damaged copies of small videos and compares every frame with plain decoding of the same file.

    python tests/benchmarks/mutated_videos.py --files 1000

Each file is an mp4, avi, webm or ts that the script encodes, in which bytes are flipped, cut out, zeroed, inserted or swapped, in the
headers or in the packets. A fault is a crash, a hang, an exception that is not `NumProError`, or a frame that differs without a warning.
The same seed makes the same files. ``--keep DIR`` keeps the faulty files, ``--list`` prints every file's outcome.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support.full_decode import print_summary, try_files
from support.videos import textured_counter_frame, write_counter_video

FRAMES = 100
"""At 25 frames a second."""

VPX = {"g": "25", "b": "500k", "deadline": "good", "cpu-used": "5"}

BASES: dict[str, tuple[str, dict]] = {
    "mp4 h264": ("mp4", {"options": {"g": "25", "bf": "2", "crf": "20", "preset": "veryfast"}}),
    "mp4 h264 fragmented": ("mp4", {"options": {"g": "25", "bf": "0"}, "container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    "mp4 mpeg4": ("mp4", {"codec": "mpeg4", "options": {"g": "25", "bf": "2", "b": "1M"}}),
    "mp4 hevc": ("mp4", {"codec": "libx265", "options": {"x265-params": "log-level=error:keyint=25", "preset": "ultrafast"}}),
    "avi mpeg4": ("avi", {"codec": "mpeg4", "options": {"g": "25", "bf": "0", "b": "1M"}}),
    "avi mpeg4 with B-frames": ("avi", {"codec": "mpeg4", "options": {"g": "25", "bf": "2", "b": "1M"}}),
    "avi mjpeg": ("avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p", "options": {"b": "2M"}}),
    "avi h264": ("avi", {"options": {"g": "25", "bf": "0"}}),
    "webm vp8": (
        "webm",
        {"codec": "libvpx", "options": {"g": "25", "b": "500k", "deadline": "good", "cpu-used": "4", "auto-alt-ref": "1"}},
    ),
    "webm vp9": ("webm", {"codec": "libvpx-vp9", "options": {"g": "25", "b": "500k", "deadline": "good", "cpu-used": "5"}}),
    "webm av1": ("webm", {"codec": "libsvtav1", "options": {"g": "25", "preset": "10", "svtav1-params": "lp=1"}}),
    "ts h264": ("ts", {"options": {"g": "25", "bf": "2", "crf": "20", "preset": "veryfast"}}),
    "ts mpeg2": ("ts", {"codec": "mpeg2video", "options": {"g": "12", "bf": "2", "b": "1M"}}),
}
"""Name -> (container, options of `write_counter_video`)."""

CONTAINERS = ("mp4", "avi", "webm", "ts")


def write_bases(folder: Path) -> dict[str, list[bytes]]:
    """The undamaged files, by container."""
    os.environ.setdefault("SVT_LOG", "1")  # only errors
    bases: dict[str, list[bytes]] = {container: [] for container in CONTAINERS}
    for name, (container, options) in BASES.items():
        path = folder / f"{name.replace(' ', '_')}.{container}"
        write_counter_video(path, range(FRAMES), time_base=Fraction(1, 25), picture=textured_counter_frame, **options)
        bases[container].append(path.read_bytes())
    return bases


def mutate(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Damage a file in one to three places; returns it and what was done."""
    changed = bytearray(data)
    words = []
    for _ in range(int(rng.integers(1, 4))):
        size = len(changed)
        # A third of the damage goes into the first kilobyte, where headers are, and some into the end, where indexes are.
        where = str(rng.choice(["anywhere", "anywhere", "beginning", "end"], p=[0.35, 0.2, 0.3, 0.15]))
        low, high = {"anywhere": (0, size), "beginning": (0, min(size, 1200)), "end": (max(0, size - 3000), size)}[where]
        at = int(rng.integers(low, max(low + 1, high)))
        length = int(2 ** rng.uniform(0, 11))
        how = str(rng.choice(["flip", "flip", "cut", "zero", "insert", "swap", "truncate"], p=[0.25, 0.2, 0.12, 0.15, 0.1, 0.13, 0.05]))
        if how == "flip":
            for k in rng.integers(0, max(1, min(length, size - at)), size=int(rng.integers(1, 9))):
                changed[min(size - 1, at + int(k))] ^= 1 << int(rng.integers(8))
        elif how == "cut":
            del changed[at : at + length]
        elif how == "zero":
            stop = min(size, at + length)
            changed[at:stop] = bytes(stop - at)
        elif how == "insert":
            changed[at:at] = rng.integers(0, 256, length, dtype=np.uint8).tobytes()
        elif how == "swap":
            other = int(rng.integers(0, size))
            length = min(length, size - at, size - other)
            changed[at : at + length], changed[other : other + length] = changed[other : other + length], changed[at : at + length]
        else:
            del changed[max(1, at) :]
        words.append(f"{how} {at}+{length}")
        if len(changed) < 64:
            break
    return bytes(changed), ", ".join(words)


def mutated_files(folder: Path, count: int, seed: int, only: list[int] | None) -> Iterator[tuple[Path, str]]:
    """Write one file after the other; each is removed when the next is asked for."""
    bases = write_bases(folder)
    names = {container: [name for name, (kind, _) in BASES.items() if kind == container] for container in CONTAINERS}
    for k in only or range(count):
        rng = np.random.default_rng([seed, k])
        container = CONTAINERS[k % len(CONTAINERS)]
        base = int(rng.integers(len(bases[container])))
        data, words = mutate(bases[container][base], rng)
        path = folder / f"{k:04d}.{container}"
        path.write_bytes(data)
        yield path, f"{names[container][base]}: {words}"
        path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="+", metavar="K", help="only the files of these numbers")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="copy the faulty files there")
    parser.add_argument("--list", action="store_true", help="print every file's outcome")
    args = parser.parse_args()
    began, outcomes = time.monotonic(), []
    about: dict[Path, str] = {}

    def paths(files: Iterator[tuple[Path, str]]) -> Iterator[Path]:
        for path, words in files:
            about[path] = words
            yield path

    with TemporaryDirectory(prefix="numpro-mutated-") as folder:
        for path, outcome in try_files(paths(mutated_files(Path(folder), args.files, args.seed, args.only))):
            name = f"{path.name} ({about[path]})"
            outcomes.append((name, outcome))
            if args.list:
                print(f"{outcome.kind:16} {name}: {outcome.detail[:300]}", flush=True)
            if args.keep and (outcome.is_fault or args.only):
                args.keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, args.keep)
    faults = print_summary(outcomes)
    print(f"{len(outcomes)} files, {faults} faults, {time.monotonic() - began:.0f} s")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
