"""`numpro demo`: the whole loop, offline, on videos made for it."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.errors import NumProError
from numpro_plugin.synthetic import random_events, render_video

if TYPE_CHECKING:
    from collections.abc import Iterator

TASKS = ("numpro_charades", "numpro_charades_plain")
METRICS = ("R@0.3", "R@0.5", "R@0.7", "mIoU", "parse_fail", "request_fail")


def run_demo(folder: str | os.PathLike[str] | None = None, *, videos: int = 6, seed: int = 0) -> dict[str, dict[str, float]]:
    """Render videos, prepare the table, evaluate with and without numbers through lmms-eval, and print the scores.

    Args:
        folder: where everything goes; a new temporary folder if None.
        videos: how many to make.
        seed: of the videos.

    Returns:
        Scores by task and metric, in percent.
    """
    root = Path(folder) if folder else Path(tempfile.mkdtemp(prefix="numpro-demo-"))
    if root.exists() and any(root.iterdir()):
        raise NumProError(f"{root} is not empty; the demo wants a folder of its own")
    print(f"1. rendering {videos} videos with known events ...", flush=True)
    annotations = make_dataset(root, videos=videos, seed=seed)
    print("2. preparing the table ...", flush=True)
    table, report = prepare(BENCHMARKS["charades"], annotations, videos=root / "videos", out=root / "data", progress=False)
    print(f"3. evaluating {report.n_used} queries through lmms-eval, with numbers and without ...", flush=True)
    scores = _evaluate(root)
    _print_scores(scores)
    print(f"""
numpro_oracle is no model: it knows the truth and reads the numbers drawn on the frames, so its row is the best that integer
frame numbers can reach on these videos. Where no numbers are drawn it has nothing to answer with.

videos       {root / "videos"}
annotations  {annotations}
table        {table}
clips        {root / "cache" / "clips"}  (what a model sees)""")
    return scores


def make_dataset(root: Path, *, videos: int, seed: int) -> Path:
    """Synthetic videos in ``root/videos`` and a file of their events in Charades-STA's format; returns the latter."""
    (root / "videos").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    lines = []
    for k in range(videos):
        duration_s = float(rng.integers(150, 400)) / 10
        events = random_events(rng, duration_s, count=int(rng.integers(1, 4)))
        render_video(root / "videos" / f"demo{k:02d}.mp4", events, duration_s=duration_s, seed=seed + k)
        lines += [f"demo{k:02d} {event.start_s:.1f} {event.end_s:.1f}##{event.query}" for event in events]
    annotations = root / "charades_sta_test.txt"
    annotations.write_text("\n".join(lines) + "\n")
    return annotations


def _evaluate(root: Path) -> dict[str, dict[str, float]]:
    with _environment(
        NUMPRO_DATA=str(root / "data"), NUMPRO_CACHE=str(root / "cache"), LMMS_EVAL_DATASETS_CACHE=str(root / "cache" / "datasets")
    ):
        from lmms_eval.evaluator import simple_evaluate

        results: Any = simple_evaluate(model="numpro_oracle", tasks=list(TASKS), log_samples=False, bootstrap_iters=0)
    return {task: {metric: results["results"][task][f"{metric},none"] for metric in METRICS} for task in TASKS}


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _print_scores(scores: dict[str, dict[str, float]]) -> None:
    print("\n" + f"{'':24}" + "".join(f"{metric:>14}" for metric in METRICS))
    for task, row in scores.items():
        print(f"{task:24}" + "".join(f"{row[metric]:14.2f}" for metric in METRICS))
