"""What making shards costs: CPU time by step, JPEG settings, and memory as the number of videos grows.

    python tests/benchmarks/shards.py [--videos DIR] [--runs 5]

    steps    CPU time of a video's frames alone, of its whole row, and of the finished file
    jpeg     size, time to encode and to decode, and PSNR of one 336x336 frame by quality and chroma
    memory   peak memory of the whole work over 20, 100 and 400 videos, each in an interpreter of its own (Linux)

Medians of CPU time (user + system of the process). Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from numpro_plugin import sample_frames
from numpro_plugin.demo.rendering import random_events, render_video
from numpro_plugin.trainer.instructions.conversations import Conversation, TrainingVideo, TurnTemplate
from numpro_plugin.trainer.shards.make import make_shards
from numpro_plugin.trainer.shards.rows import Chroma, FrameOptions, encode_jpeg, make_row


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, metavar="DIR", help="mp4 files of your own (default: synthetic ones)")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        videos = sorted(args.videos.glob("*.mp4")) if args.videos else [_render(Path(folder), s) for s in (30, 150)]
        steps(videos, args.runs, Path(folder))
        jpeg(videos, args.runs)
        memory(Path(folder))


def _render(folder: Path, duration_s: int) -> Path:
    path = folder / f"{duration_s}s.mp4"
    events = random_events(np.random.default_rng(0), duration_s, 2)
    render_video(path, events, duration_s=duration_s, fps=25, size=(640, 360), options={"g": "250", "bf": "3", "preset": "veryfast"})
    return path


def _cpu_ms(work: Callable[[], object], runs: int) -> float:
    taken = []
    for _ in range(runs):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return 1e3 * statistics.median(taken)


def steps(videos: list[Path], runs: int, folder: Path) -> None:
    """Print CPU milliseconds of each step."""
    print(f"\nsteps, CPU ms a video\n{'video':40}{'frames':>8}{'sampled':>10}{'row':>10}{'shard':>10}{'MB':>8}")
    talk = [Conversation("row", (TurnTemplate("user", ("When?",)), TurnTemplate("assistant", ("From ", 0, " to ", 0, "."))))]
    for number, path in enumerate(videos):
        video = TrainingVideo("bench", path.stem, str(path), 0.0, None, None, talk)
        instruct = folder / f"instruct{number}.json"
        row = {
            "video": path.stem,
            "source": "bench",
            "conversations": [{"from": "human", "value": "When?"}, {"from": "gpt", "value": "Then."}],
        }
        instruct.write_text(json.dumps([row]))
        outs = iter(folder / f"out{number}-{k}" for k in range(runs))
        make = lambda: make_shards([instruct], next(outs), videos={"bench": path.parent}, workers=0, progress=False)  # noqa: B023, E731
        frames = len(sample_frames(path))
        times = [_cpu_ms(work, runs) for work in (lambda: sample_frames(path), lambda: make_row(video, FrameOptions()), make)]  # noqa: B023
        size = next((folder / f"out{number}-0").glob("*.parquet")).stat().st_size / 1e6
        print(f"{path.stem[:39]:40}{frames:8}" + "".join(f"{t:10.1f}" for t in times) + f"{size:8.2f}")


def jpeg(videos: list[Path], runs: int) -> None:
    """Print what a frame costs by quality and chroma."""
    frames = np.concatenate([sample_frames(path).pixels[::4] for path in videos])
    print(f"\njpeg, one frame of 336x336 (mean of {len(frames)})")
    print(f"{'quality':10}{'chroma':8}{'bytes':>8}{'encode ms':>11}{'decode ms':>11}{'PSNR':>7}")
    chromas: tuple[Chroma, ...] = ("420", "444")
    for quality in (85, 90, 95):
        for chroma in chromas:
            options = FrameOptions(quality=quality, chroma=chroma)
            files = [np.frombuffer(encode_jpeg(frame, options), np.uint8) for frame in frames]
            encode = _cpu_ms(lambda: [encode_jpeg(frame, options) for frame in frames], runs) / len(frames)  # noqa: B023
            decode = _cpu_ms(lambda: [cv2.imdecode(file, cv2.IMREAD_COLOR_RGB) for file in files], runs) / len(frames)  # noqa: B023
            decoded = np.stack([cv2.imdecode(file, cv2.IMREAD_COLOR_RGB) for file in files]).astype(float)
            psnr = 10 * np.log10(255**2 / np.mean((decoded - frames) ** 2))
            print(f"{quality:<10}{chroma:8}{np.mean([len(f) for f in files]):8.0f}{encode:11.2f}{decode:11.2f}{psnr:7.1f}")


_MEMORY = """
import resource, sys
from pathlib import Path
from numpro_plugin.trainer.shards.make import make_shards
folder = Path(sys.argv[1])
make_shards([folder / "instruct.json"], folder / "out", videos={"m": folder}, workers=0, rows_per_file=16, progress=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def memory(folder: Path) -> None:
    """Print the peak resident memory by number of videos."""
    video = folder / "memory.mp4"
    render_video(video, random_events(np.random.default_rng(0), 60, 2), duration_s=60, fps=10, size=(320, 240))
    print("\nmemory, peak MB of the process")
    for count in (20, 100, 400):
        work = folder / f"memory{count}"
        work.mkdir()
        talk = [{"from": "human", "value": "When?"}, {"from": "gpt", "value": "From 0 to 1."}]
        for k in range(count):
            (work / f"m{k}.mp4").symlink_to(video)
        (work / "instruct.json").write_text(json.dumps([{"video": f"m{k}", "source": "m", "conversations": talk} for k in range(count)]))
        peak = subprocess.run([sys.executable, "-c", _MEMORY, str(work)], capture_output=True, text=True, check=True).stdout
        print(f"{count:6} videos  {float(peak):7.0f}")


if __name__ == "__main__":
    main()
