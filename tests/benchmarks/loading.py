"""What loading training samples costs: shards, beside numbered mp4 files read by OpenCV seeks as NumPro's own trainer reads them.

    python tests/benchmarks/loading.py [--videos DIR] [--runs 7] [--json FILE]
    python tests/benchmarks/loading.py --wait MODEL SHARDS [--workers 4] [--steps 40]

The first form prints, side by side, CPU milliseconds a sample (user + system of all threads) for one video of each length:

    seeks     a numbered mp4 (MPEG-4, 336 x 336, one frame a number): seek to each frame, read it, turn BGR into RGB, make a picture of it
    shards    a row of a shard, of eight with the same frames: read it, decode its JPEGs, draw the numbers
    whole     the same row as a whole sample of LongVA's: also normalised and tokenized

What is compared takes turns, after a round of warm-up; medians are printed. The goal for ``shards`` is at least five times the samples per
CPU second of ``seeks``. Without ``--videos`` the videos are rendered.

The second form trains the model on the shards for some steps, every parameter, and prints which part of the time the loop waited for data
(goal: less than 5 %).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from numpro_plugin import draw_numbers, sample_frames
from numpro_plugin.demo.rendering import random_events, render_video
from numpro_plugin.prompts import moment_prompt
from numpro_plugin.trainer.batches.collator import Collator, decode_frames
from numpro_plugin.trainer.batches.dataset import ArrowRows, Samples
from numpro_plugin.trainer.recipe.record import load_recipe
from numpro_plugin.trainer.shard_format import shown_numbers, turn
from numpro_plugin.trainer.shards.index import ShardIndex
from numpro_plugin.trainer.shards.rows import FrameOptions, encode_jpeg

LENGTHS_S = (30, 150, 480)
OPTIONS = FrameOptions()
SIDE = OPTIONS.frame_size
ROWS = 8


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, metavar="DIR", help="mp4 files of your own (default: rendered ones)")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--wait", nargs=2, metavar=("MODEL", "SHARDS"), help="train for a few steps instead, and see how long it waits")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--steps", type=int, default=40)
    args = parser.parse_args()
    cv2.setNumThreads(1)  # as in the loader's workers
    with TemporaryDirectory() as folder:
        if args.wait:
            wait(*args.wait, Path(folder), workers=args.workers, steps=args.steps)
            return
        videos = sorted(args.videos.glob("*.mp4")) if args.videos else [_render(Path(folder), s) for s in LENGTHS_S]
        figures = [loading(video, Path(folder), args.runs) for video in videos]
    seeks, shards = (sum(one[name] for one in figures) for name in ("seeks", "shards"))
    print(f"all {len(figures)} together: {seeks / shards:.1f} times the samples per CPU second (goal: >= 5)")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def _render(folder: Path, duration_s: int) -> Path:
    path = folder / f"{duration_s}s.mp4"
    events = random_events(np.random.default_rng(0), duration_s, 2)
    render_video(path, events, duration_s=duration_s, fps=5, size=(640, 360), options={"g": "50", "preset": "veryfast"})
    return path


def loading(video: Path, folder: Path, runs: int) -> dict[str, Any]:
    """One video's figures."""
    frames = sample_frames(video, fps=OPTIONS.fps, frame_size=SIDE, max_frames=OPTIONS.max_frames)
    row = {
        "video": video.stem,
        "source": "benchmark",
        "duration_s": frames.timeline.duration_s,
        "fps": OPTIONS.fps,
        "frames": [encode_jpeg(frame, OPTIONS) for frame in frames.pixels],
        "conversations": [[turn("user", moment_prompt("a red circle")), turn("assistant", "From Frame ", 0, " to Frame ", 1, ".")]],
    }
    shard = folder / f"{video.stem}.parquet"
    pq.write_table(pa.Table.from_pylist([row] * ROWS, schema=OPTIONS.info.schema()), shard, compression="NONE")
    numbered = folder / f"{video.stem}-numbered.mp4"
    draw_numbers(frames.pixels, frames.numbers)
    writer = cv2.VideoWriter(str(numbered), cv2.VideoWriter.fourcc(*"mp4v"), OPTIONS.fps, SIDE)
    for frame in frames.pixels:
        writer.write(frame[..., ::-1])
    writer.release()

    recipe = load_recipe("tiny", ["numpro.frame_size=336", f"data.shards={shard}"])
    index = ShardIndex.read(recipe.data.shards, recipe.numpro)
    collator = Collator(*_longva(), recipe)

    samples = Samples(index, ArrowRows(index.files, cache=str(folder / "cache")))

    def ours() -> None:
        for k in range(ROWS):
            found = samples[0, k].row
            assert found is not None
            pixels = decode_frames(found["frames"], SIDE)
            draw_numbers(pixels, shown_numbers(found))

    def whole() -> None:
        for k in range(ROWS):
            collator([samples[0, k]])

    taken = _take_turns({"seeks": lambda: seek_frames(numbered), "shards": ours, "whole": whole}, runs)
    taken |= {name: taken[name] / ROWS for name in ("shards", "whole")}
    ratio = taken["seeks"] / taken["shards"]
    print(
        f"{video.stem}: {len(frames)} frames   seeks {taken['seeks']:.1f} ms   shards {taken['shards']:.1f} ms   "
        f"whole {taken['whole']:.1f} ms   {ratio:.1f} times the samples per CPU second"
    )
    return {"video": video.stem, "frames": len(frames), **taken, "ratio": ratio}


def seek_frames(file: Path) -> list[Image.Image]:
    """Every frame of a numbered mp4, each by a seek of its own."""
    capture = cv2.VideoCapture(str(file))
    pictures = []
    for position in range(int(capture.get(cv2.CAP_PROP_FRAME_COUNT))):
        capture.set(cv2.CAP_PROP_POS_FRAMES, position)
        done, frame = capture.read()
        assert done
        pictures.append(Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)))
    capture.release()
    return pictures


def _longva() -> tuple[Any, Any]:
    """LongVA's family and processor (the model itself is not needed), with a tokenizer of bytes."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from support.tiny_families import _longva as made

    from numpro_plugin.families import family_of

    model, processor = made()
    return family_of(model.config), processor


def _take_turns(jobs: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for turn_ in range(runs + 1):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            if turn_:
                taken[name].append(1e3 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in taken.items()}


def wait(model: str, shards: str, folder: Path, *, workers: int, steps: int) -> None:
    """Train for some steps and print how long the loop waited for data."""
    from numpro_plugin.trainer.recipe.record import recipe_names
    from numpro_plugin.trainer.run.callbacks import LOG, read_log
    from numpro_plugin.trainer.run.start import run

    name = "tiny_base" if "tiny_base" in recipe_names() else "tiny"
    changes = [f"model={model}", f"data.shards={shards}", f"output={folder / 'run'}", f"data.workers={workers}"]
    run(load_recipe(name, [*changes, f"optimizer.max_steps={steps}", "run.log_steps=10", "run.save_steps=0"]))
    waits = [line["data_wait"] for line in read_log(folder / "run" / LOG) if "data_wait" in line]
    # The first steps wait for the workers to start.
    print(f"{workers} workers: waited for data {100 * statistics.mean(waits[2:]):.2f} % of the time after the first 20 steps (goal: < 5 %)")


if __name__ == "__main__":
    main()
