"""The demo's evaluations: the tasks through lmms-eval, the control with random numbers, and the report of all answers."""

# mypy: allow-untyped-calls

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpro_plugin.demo.reading import reading_scores
from numpro_plugin.demo.world import ENVIRONMENT, SETTINGS, tiny_model_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from numpro_plugin.demo.world import TinyVideo

METRICS = ("R@0.3", "R@0.5", "R@0.7", "mIoU", "parse_fail")

TASKS = {"with numbers": "numpro_custom", "without": "numpro_custom_plain"}

RANDOM = "random ascending numbers"
"""The row of the control in which numbers do not follow from the order of frames."""

_BATCH_SIZE = 64
_LOG_DATE = "demo"  # lmms-eval puts it where it usually puts the date


@dataclass(frozen=True)
class Evaluated:
    """One model's scores and logs."""

    scores: dict[str, dict[str, float]]
    """"with numbers", "random ascending numbers", "without" -> metric -> percent."""
    logs: dict[str, Path]
    """"with numbers", "without" -> lmms-eval's log of the answers."""


def evaluate(root: Path, name: str, videos: Sequence[TinyVideo], adapter: Path | None) -> Evaluated:
    """Evaluate the tiny model, with an adapter on it if one is given, on the demo's table and videos.

    Args:
        root: the demo's folder, with ``data`` and ``videos`` in it.
        name: the model's name in the paths of its logs.
        videos: those of the table.
        adapter: the adapter's folder, or None.
    """
    output = root / "runs" / name.replace(" ", "-")
    with _environment(**ENVIRONMENT, **_paths(root)):
        results = _through_lmms_eval(root, output, adapter)
    rows = {kind: {metric: float(results[task][f"{metric},none"]) for metric in METRICS} for kind, task in TASKS.items()}
    random = _with_random_numbers(root, videos, adapter)
    logs = {kind: next(output.rglob(f"*_samples_{task}.jsonl")) for kind, task in TASKS.items()}
    return Evaluated({"with numbers": rows["with numbers"], RANDOM: random, "without": rows["without"]}, logs)


def _through_lmms_eval(root: Path, output: Path, adapter: Path | None) -> dict[str, Any]:
    """Evaluate with numbers and without; the answers are logged as `lmms_eval --log_samples` does it."""
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.loggers import EvaluationTracker

    arguments = f"pretrained={tiny_model_folder()},dtype=float32" + (f",adapter={adapter}" if adapter else "")
    tracker = EvaluationTracker(output_path=str(output))
    try:
        results: Any = simple_evaluate(
            model="numpro_hf",
            model_args=arguments,
            tasks=list(TASKS.values()),
            batch_size=_BATCH_SIZE,
            log_samples=True,
            evaluation_tracker=tracker,
            bootstrap_iters=0,
        )
    except Exception as error:  # lmms-eval tries again when a task cannot be loaded, and then speaks of that
        if isinstance(cause := error.__cause__, OSError):  # a full disk, a folder that has become read-only
            raise OSError(cause.errno, cause.strerror or str(cause), cause.filename or str(root)) from error
        raise
    samples = results.pop("samples")
    scores: dict[str, Any] = results["results"]
    tracker.save_results_aggregated(results=results, samples=samples, datetime_str=_LOG_DATE)
    for task in TASKS.values():
        tracker.save_results_samples(task_name=task, samples=samples[task])
    return scores


def _with_random_numbers(root: Path, videos: Sequence[TinyVideo], adapter: Path | None) -> dict[str, float]:
    from numpro_plugin.families import load_model
    from numpro_plugin.video.sampling import sample_frames

    def pixels_of(video: TinyVideo) -> NDArray[Any]:
        path = root / "videos" / f"{video.name}.mp4"
        return sample_frames(path, fps=SETTINGS.fps, frame_size=SETTINGS.frame_size, max_frames=SETTINGS.max_frames).pixels

    loaded = load_model(tiny_model_folder(), adapter, dtype="float32")
    scores = reading_scores(loaded, videos, pixels_of, batch_size=_BATCH_SIZE)
    return {metric: scores[metric] for metric in METRICS}


def write_demo_report(evaluated: dict[str, Evaluated], path: Path) -> Path:
    """One page about all answers, to look at in a browser: the models' runs side by side, with the frames of some videos."""
    from numpro_plugin.views.report import write_report
    from numpro_plugin.views.runs import read_runs

    named = [f"{name}, {kind}={log}" for name, one in evaluated.items() for kind, log in one.logs.items()]
    return write_report(read_runs(named), path).path


def _paths(root: Path) -> dict[str, str]:
    return {
        "NUMPRO_DATA": str(root / "data"),
        "NUMPRO_CACHE": str(root / "cache"),
        "LMMS_EVAL_DATASETS_CACHE": str(root / "cache" / "datasets"),
    }


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
