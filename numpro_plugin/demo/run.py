"""`numpro demo`: the whole loop, offline, on rendered videos, with the included tiny model."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.cli import tables
from numpro_plugin.demo.world import (
    ENVIRONMENT,
    best_visible,
    blind,
    render,
    tiny_model_folder,
    tiny_videos,
    write_instructions,
    write_queries,
)
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TASKS = {"with numbers": "numpro_custom", "without": "numpro_custom_plain"}
METRICS = ("R@0.3", "R@0.5", "R@0.7", "mIoU", "parse_fail")

_TRAINING_SEED = 1_000_000  # added to the seed of the training videos, so that they differ from those that are evaluated


@dataclass(frozen=True)
class DemoResult:
    """What the demo found; ``--json`` writes it."""

    queries: int
    scores: dict[str, dict[str, float]]
    """Row of the table -> metric -> score in percent."""

    settings: dict[str, Any] = field(default_factory=dict)
    """How many videos, the seed, which model, and how long each step took in seconds."""


def run_demo(
    folder: str | os.PathLike[str] | None = None,
    *,
    videos: int = 60,
    seed: int = 0,
    train: bool = False,
    training_videos: int = 2000,
    overrides: Sequence[str] = (),
) -> DemoResult:
    """Render videos, prepare a table, evaluate the tiny model with and without numbers through lmms-eval, and print the scores.

    Args:
        folder: where everything goes; a new temporary folder if None.
        videos: how many to evaluate on.
        seed: of the videos, and of training.
        train: first fine-tune the model by LoRA on separate videos, then evaluate base and adapter.
        training_videos: how many videos to train on.
        overrides: changes to the recipe ``tiny_ft``, as ``key=value``.

    Raises:
        NumProError: a folder that is not empty, or a number that is too small.
    """
    if videos < 1 or training_videos < 1:
        raise NumProError(f"videos={min(videos, training_videos)} must be 1 or more")
    root = Path(folder) if folder else Path(tempfile.mkdtemp(prefix="numpro-demo-"))
    if root.exists() and any(root.iterdir()):
        raise NumProError(f"{root} is not empty; choose a new or empty folder")
    took = _Steps()
    with took.step(f"rendering {videos} videos with known events"):
        made = tiny_videos(videos, seed=seed)
        render(made, root / "videos")
        write_queries(made, root / "queries.jsonl")
    with took.step("preparing the table"):
        table, report = prepare(
            BENCHMARKS["custom"], root / "queries.jsonl", videos=root / "videos", out=root / "data", force=True, progress=False
        )
    models: dict[str, Path | None] = {"tiny model": None}
    if train:
        models["fine-tuned model"] = _train(root, took, videos=training_videos, seed=seed, overrides=overrides)
    scores: dict[str, dict[str, float]] = {}
    for name, adapter in models.items():
        with took.step(f"evaluating the {name} through lmms-eval: {report.n_used} queries, with numbers and without"):
            scores |= {f"{name}, {kind}": row for kind, row in _evaluate(root, adapter).items()}
    scores |= {"best answer in shown numbers": best_visible(table), "perfect order, no numbers": blind(table)}
    print("\n" + tables.table(scores, METRICS))
    print(_EXPLANATION + (_OF_TRAINING if train else _NEXT) + f"\n\neverything is in {root}")
    settings = {"videos": videos, "seed": seed, "train": train, "training_videos": training_videos if train else 0}
    return DemoResult(report.n_used, scores, {**settings, "seconds": took.seconds})


_EXPLANATION = """
The tiny model is LongVA's architecture with 0.9 million parameters; it sees 12 frames of a video and is asked when a shape is there.
'best answer in shown numbers' is the upper limit of every answer. 'perfect order, no numbers' knows which two of the twelve frames are
right, but not how far apart frames are, and assumes the one distance that scores best."""

_NEXT = " `numpro demo --train` fine-tunes the model first."

_OF_TRAINING = """
The model had learned to read numbers on sequences of pictures; fine-tuning taught it videos. This shows that the loop works and that
the numbers are read. It does not estimate what numbers do for a real video LLM."""


def _train(root: Path, took: _Steps, *, videos: int, seed: int, overrides: Sequence[str]) -> Path:
    """Fine-tune with the commands that a user would type; returns the adapter's folder."""
    with took.step(f"rendering {videos} videos to train on"):
        made = tiny_videos(videos, seed=_TRAINING_SEED + seed, prefix="train")
        render(made, root / "training" / "videos")
        write_instructions(made, root / "training" / "instructions.json")
    training = root / "training"
    size, frames = ENVIRONMENT["NUMPRO_FRAME_SIZE"], ENVIRONMENT["NUMPRO_MAX_FRAMES"]
    with took.step("making shards"):
        _call(
            *("shards", training / "instructions.json", "--videos", f"tiny={training / 'videos'}", "--out", training / "shards"),
            *("--frame-size", size, "--max-frames", frames),
        )
    with took.step("training"):
        given = (f"model={tiny_model_folder()}", f"data.shards={training / 'shards'}", f"output={training / 'out'}", f"seed={seed}")
        _call("run", "tiny_ft", *given, *overrides)
    return training / "out" / "adapter"


_NUMPRO_TRAIN = """
import sys
from numpro_plugin.processes import end_with_standard_input
end_with_standard_input()
from numpro_plugin.trainer.cli import main
sys.exit(main())
"""


def _call(*arguments: object) -> None:
    """Print and run ``numpro-train ...`` in a separate process."""
    words = [str(argument) for argument in arguments]
    print(f"   numpro-train {' '.join(words)}", flush=True)
    command = [sys.executable, "-c", _NUMPRO_TRAIN, *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.read()  # while its standard input stays open: it ends with this process
    if process.returncode:
        last = "\n".join(said.strip().splitlines()[-5:])
        raise NumProError(f"numpro-train {words[0]} failed:\n{last}")


def _evaluate(root: Path, adapter: Path | None) -> dict[str, dict[str, float]]:
    """Kind of task -> metric -> score in percent."""
    paths = {
        "NUMPRO_DATA": str(root / "data"),
        "NUMPRO_CACHE": str(root / "cache"),
        "LMMS_EVAL_DATASETS_CACHE": str(root / "cache" / "datasets"),
    }
    arguments = f"pretrained={tiny_model_folder()},dtype=float32" + (f",adapter={adapter}" if adapter else "")
    with _environment(**ENVIRONMENT, **paths):
        from lmms_eval.evaluator import simple_evaluate

        try:
            results: Any = simple_evaluate(
                model="numpro_hf", model_args=arguments, tasks=list(TASKS.values()), batch_size=64, log_samples=False, bootstrap_iters=0
            )
        except Exception as error:  # lmms-eval tries again when a task cannot be loaded, and then speaks of that
            if isinstance(cause := error.__cause__, OSError):  # a full disk, a folder that has become read-only
                raise OSError(cause.errno, cause.strerror or str(cause), cause.filename or str(root)) from error
            raise
    return {kind: {metric: float(results["results"][task][f"{metric},none"]) for metric in METRICS} for kind, task in TASKS.items()}


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set these variables and unset all other ``NUMPRO_*``: the user's settings are for real models."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("NUMPRO_")]:
        del os.environ[name]
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class _Steps:
    """Prints one line per step and records how long each took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        start = time.monotonic()
        print(f"{len(self.seconds) + 1}. {what} ...", flush=True)
        self.seconds[what] = 0.0
        yield
        self.seconds[what] = round(time.monotonic() - start, 1)
