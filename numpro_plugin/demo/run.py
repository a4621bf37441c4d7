"""`numpro demo`: the whole loop, offline, on rendered videos, with the included tiny model."""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.cli import tables
from numpro_plugin.demo.evaluation import METRICS, RANDOM, Evaluated, evaluate, write_demo_report
from numpro_plugin.demo.training import TRAINING_SEED, make_shards, train_adapter, write_training_videos
from numpro_plugin.demo.world import around, best_visible, blind, render, tiny_videos, write_queries
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence


@dataclass(frozen=True)
class DemoResult:
    """What the demo found; ``--json`` writes it."""

    queries: int
    scores: dict[str, dict[str, float]]
    """Row of the table -> metric -> score in percent."""

    settings: dict[str, Any] = field(default_factory=dict)
    """How many videos, the seed, which model, and how long each step took in seconds."""

    report: str = ""
    """Path of the page that shows every answer."""


def run_demo(
    folder: str | os.PathLike[str] | None = None,
    *,
    videos: int = 60,
    seed: int = 0,
    train: bool = False,
    training_videos: int = 1000,
    overrides: Sequence[str] = (),
) -> DemoResult:
    """Render videos, prepare a table, evaluate the tiny model with and without numbers through lmms-eval, print the scores, write a report.

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
        with took.step(f"rendering {training_videos} videos to train on"):
            write_training_videos(root / "training", training_videos, seed=TRAINING_SEED + seed)
        with took.step("making shards"):
            make_shards(root / "training")
        with took.step("training"):
            models["fine-tuned model"] = train_adapter(root / "training", seed=seed, overrides=overrides)
    evaluated: dict[str, Evaluated] = {}
    for name, adapter in models.items():
        with took.step(f"evaluating the {name} through lmms-eval: {report.n_used} queries, with numbers, random numbers and without"):
            evaluated[name] = evaluate(root, name, made, adapter)
    with took.step("writing the report"):
        page = write_demo_report(evaluated, root / "report.html")
    scores = {f"{name}, {kind}": row for name, one in evaluated.items() for kind, row in one.scores.items()}
    scores |= {"best answer in shown numbers": best_visible(table), "numbers around each event": around(table)}
    scores["perfect order, no numbers"] = blind(table)
    print("\n" + tables.table(scores, METRICS))
    print(_EXPLANATION)
    print("\n" + conclusion(scores, name))
    print(_NEXT_AFTER_TRAINING if train else _NEXT)
    print(f"\nlook at every answer: open {page} in a browser\neverything is in {root}")
    settings = {"videos": videos, "seed": seed, "train": train, "training_videos": training_videos if train else 0}
    return DemoResult(report.n_used, scores, {**settings, "seconds": took.seconds}, str(page))


_EXPLANATION = """
The tiny model is LongVA's architecture with 0.8 million parameters; it sees 12 frames of a video and is asked when a shape is there.
'random ascending numbers' are drawn instead of the usual ones: a model that guesses from the order of frames fails on them.
'best answer in shown numbers' is the upper limit of every answer. 'numbers around each event' are those of the last frame before it and
the first one after it: what the model was taught, without a mistake. 'perfect order, no numbers' knows which two of the twelve frames are
right, but not how far apart frames are, and assumes the one distance that scores best."""

_NEXT = "Next: `numpro demo --train` fine-tunes the model on other videos first (some minutes)."

_NEXT_AFTER_TRAINING = """\
This shows that the loop works; it does not estimate what numbers do for a real video LLM.
Next: `numpro ask VIDEO.mp4 "a person opens a door" --model FOLDER` asks a real one about a video of yours."""


def conclusion(scores: Mapping[str, Mapping[str, float]], name: str) -> str:
    """What the numbers show, in one sentence.

    Args:
        scores: the rows of the demo's table.
        name: the model that the sentence is about.
    """
    usual, random, without = (scores[f"{name}, {kind}"]["mIoU"] for kind in ("with numbers", RANDOM, "without"))
    order = scores["perfect order, no numbers"]["mIoU"]
    what = f"The {name} reaches {usual:.1f} mIoU with numbers, {random:.1f} with random ones and {without:.1f} without"
    if without >= 0.5 * usual:
        return f"{what}: it does without them, so these figures do not show that it reads them."
    if random < 0.5 * usual:
        return f"{what}: it needs them, but leans on their usual pattern more than it reads them."
    beats = "more" if usual > order else "less"
    return f"{what}: it tells time by reading them, and gets {beats} than perfect order without numbers ({order:.1f})."


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
