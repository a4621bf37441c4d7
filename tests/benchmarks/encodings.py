"""Small models that are made in the same way under several encodings, and compared by `numpro sweep`.

    python tests/benchmarks/encodings.py OUT [--encodings plain,number,seconds,text,number+text] [--seeds 0,1] [--steps 1200] [--videos 200]

For each encoding and seed a model of the demo's size is made from nothing (`numpro_plugin.trainer.tiny_base`) with the same rows, steps and
order; only what is drawn, written, asked and answered differs. Marks are random integers from 0 to 99, so no encoding has digits that
another lacks: in ``number`` and ``text_number`` they are frame numbers, in ``seconds`` and ``text`` they are seconds. Then each model is
asked about rendered videos of 24 to 98 seconds at 0.5 frames a second, of which it sees 12 frames, in its own encoding.

``OUT/results.json`` has one row a model, and the table is printed. What is finished is not made again. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.cli.tables import table
from numpro_plugin.demo.rendering import random_events
from numpro_plugin.demo.world import ENVIRONMENT, LEAST_SHARE, SETTINGS, TINY_COLORS, TinyVideo, render, write_queries
from numpro_plugin.encoding import PRESETS, TimeEncoding
from numpro_plugin.numbering import draw_numbers
from numpro_plugin.prompts.questions import moment_question
from numpro_plugin.settings import NumProSettings
from numpro_plugin.trainer.batches.encoded import span_sentence
from numpro_plugin.trainer.tiny_base.make import make_base
from numpro_plugin.trainer.tiny_base.marks import Marks, mixed_marks


def marks_of(name: str) -> Marks:
    """What a row shows, asks and answers in an encoding whose marks are integers."""
    encoding = PRESETS[name].encoding
    settings = NumProSettings(encoding=encoding, style=SETTINGS.style)
    shows = encoding.draws or encoding.text != "native"
    timed = encoding.answer == "seconds"

    def answer(first: int, last: int) -> str:
        return span_sentence([(first, last)], "seconds") if timed else f"From Frame {first} to Frame {last}."

    def picture_answer(description: str, mark: int) -> str:
        return f"We see {description} with number {mark}." if shows else f"We see {description}."

    return Marks(
        name=name,
        choose=mixed_marks if shows else lambda _, count: np.arange(count),
        draw=(lambda pixels, marks: draw_numbers(pixels, marks, settings.style)) if encoding.draws else None,
        before_frame=None if encoding.text == "native" else lambda mark: text_of(encoding, mark),
        question=lambda description: moment_question(description, settings),
        answer=answer,
        picture_answer=picture_answer,
    )


def text_of(encoding: TimeEncoding, mark: int) -> str:
    """The text before a frame whose mark is this integer (of seconds or frames)."""
    texts = encoding.texts([mark], 1.0)
    assert texts is not None
    return texts[0]


def videos_below_99_s(count: int, seed: int) -> list[TinyVideo]:
    """As the demo's, but no longer than marks of two digits can tell in seconds."""
    rng = np.random.default_rng(seed)
    videos = []
    for k in range(count):
        duration_s = round(int(rng.integers(SETTINGS.max_frames, 50)) / SETTINGS.fps - 0.2, 2)
        events = random_events(rng, duration_s, int(rng.integers(1, 4)), least=LEAST_SHARE, colors=TINY_COLORS)
        videos.append(TinyVideo(f"short{k:04d}", duration_s, tuple(events), int(rng.integers(2**31))))
    return videos


def prepared(out: Path, count: int) -> None:
    """Render the videos and prepare their table, once."""
    if (out / "data").exists():
        return
    made = videos_below_99_s(count, seed=7)
    render(made, out / "videos")
    write_queries(made, out / "queries.jsonl")
    prepare(BENCHMARKS["custom"], out / "queries.jsonl", videos=out / "videos", out=out / "data", force=True, progress=False)


def evaluated(out: Path, model: Path, encoding: str, folder: Path) -> dict[str, Any]:
    """The row that `numpro sweep` gives a model in its own encoding."""
    command = [sys.executable, "-m", "numpro_plugin.cli", "sweep", "--tasks", "numpro_custom", "--encodings", encoding, "-o", str(folder)]
    command += ["--model_args", f"pretrained={model},dtype=float32", "--batch_size", "64"]
    places = {"NUMPRO_DATA": str(out / "data"), "NUMPRO_CACHE": str(out / "cache"), "LMMS_EVAL_DATASETS_CACHE": str(out / "datasets")}
    subprocess.run(command, check=True, env={**os.environ, **ENVIRONMENT, **places}, stdout=subprocess.DEVNULL)
    (found,) = json.loads((folder / "table.json").read_text())["tables"]
    return dict(found["rows"][0])


def main() -> int:
    """Make and evaluate what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--encodings", default="plain,number,seconds,text,number+text")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--videos", type=int, default=200)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    prepared(args.out, args.videos)
    results_file = args.out / "results.json"
    results: dict[str, Any] = json.loads(results_file.read_text()) if results_file.exists() else {}
    for seed in map(int, args.seeds.split(",")):
        for encoding in args.encodings.split(","):
            name = f"{encoding}, seed {seed}"
            if name in results:
                continue
            start = time.monotonic()
            folder = args.out / f"{encoding}_{seed}"
            if not (folder / "model").exists():
                made = make_base(folder, seed=seed, steps=args.steps, marks=marks_of(encoding), curve_steps=args.steps, curve_videos=50)
                print(f"{name}: {made}, {time.monotonic() - start:.0f} s", flush=True)
            results[name] = evaluated(args.out, folder / "model", encoding, args.out / f"sweep_{encoding}_{seed}")
            results_file.write_text(json.dumps(results, indent=1))
    print(table({name: row["metrics"] for name, row in results.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
