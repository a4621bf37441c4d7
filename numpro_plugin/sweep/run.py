"""A sweep: every cell evaluated through lmms-eval, kept whole in a folder of its own, and not asked again when it is there."""

# mypy: allow-untyped-calls

from __future__ import annotations

import difflib
import json
import logging
import os
import re
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin import __version__
from numpro_plugin.clips.cache import ClipCache
from numpro_plugin.environment import setting_names
from numpro_plugin.errors import NumProError
from numpro_plugin.files import check_target, folder_state, folder_written_whole, sample_of_folder, write_text_whole
from numpro_plugin.sweep.tasks import table_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpro_plugin.sweep.cells import Cell
    from numpro_plugin.sweep.weights import Weights

log = logging.getLogger(__name__)

RECORD = "cell.json"
"""In the folder of every finished cell: what it was made with, and how long it took."""


@dataclass(frozen=True)
class SweepSettings:
    """What all cells of a sweep have in common."""

    model: str
    model_args: str
    tasks: tuple[str, ...]
    limit: float | None = None
    gen_kwargs: str | None = None
    batch_size: str = "1"
    device: str | None = None

    def identity(self) -> dict[str, Any]:
        """What decides the answers: cells of one folder agree in it."""
        return {
            "model": self.model,
            "model_args": self.model_args,
            "tasks": list(self.tasks),
            "limit": self.limit,
            "gen_kwargs": self.gen_kwargs,
            "environment": {name: value for name, value in sorted(os.environ.items()) if name in setting_names()},
            "tables": {task: table_state(task) for task in self.tasks},
            "adapter": _adapter_state(self.model_args),
            "weights": _weights_state(self.model_args),
            "numpro_version": __version__,
        }


def _adapter_state(model_args: str) -> str | None:
    """A digest of a local adapter's files: training it again makes another one of it."""
    folder = _local(model_args, "adapter")
    return None if folder is None else folder_state(folder, contents=True)


def _weights_state(model_args: str) -> str | None:
    """The same of a local model, which is too large to be read whole."""
    folder = _local(model_args, "pretrained")
    return None if folder is None else sample_of_folder(folder)


def _local(model_args: str, name: str) -> Path | None:
    """The folder that an argument of the model names; None if it is none on this machine."""
    found = re.search(rf"(?:^|,){name}=([^,]+)", model_args)
    return Path(found[1]) if found is not None and Path(found[1]).is_dir() else None


def cells_folder(out: Path) -> Path:
    """Where the folders of a sweep's cells are."""
    return out / "cells"


def check_cells(cells: Sequence[Cell], sweep: SweepSettings, out: Path) -> list[Cell]:
    """The cells that are still to be evaluated.

    Raises:
        NumProError: the folder holds a cell of another sweep, or cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    check_target(out / RECORD)
    waiting = []
    for cell in cells:
        record = read_record(cells_folder(out) / cell.name)
        if record is None:
            waiting.append(cell)
            continue
        ours = {**sweep.identity(), "planned": cell.settings.to_dict() if cell.settings else None}
        there = {name: record.get(name) for name in ours}
        if different := [name for name in ours if json.loads(json.dumps(ours[name])) != there[name]]:
            name = different[0]
            raise NumProError(
                f"{cells_folder(out) / cell.name} was made with {name}={there[name]!r}, now it is {ours[name]!r}: choose another folder "
                "with -o, or remove that one"
            )
    return waiting


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of a finished cell; None if the cell is not finished."""
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record


def shown_settings(cell: Cell, out: Path) -> dict[str, Any] | None:
    """What a cell's videos are shown by: as its record has it, else as planned; None for a cell that is not possible."""
    record = read_record(cells_folder(out) / cell.name)
    if record is not None:
        shown: dict[str, Any] = record["settings"]
        return shown
    return None if cell.settings is None else cell.settings.to_dict()


def run_cells(cells: Sequence[Cell], sweep: SweepSettings, weights: Weights, out: Path) -> dict[str, str]:
    """Evaluate cells one after the other. Under torchrun every process calls this and works on the same cell.

    Returns:
        Why cells failed, by name; the others went on.

    Raises:
        NumProError: a model or task that does not exist.
    """
    from lmms_eval.models import list_available_models  # loads the entry points, which add NumPro's tasks
    from lmms_eval.tasks import TaskManager

    _check_known("--model", sweep.model, list_available_models(include_aliases=True))

    # Made by name, which decides the prompts that tasks have for it. It is an index of task files, the same for all cells.
    manager = TaskManager("WARNING", model_name=sweep.model)
    for task in sweep.tasks:
        _check_known("--tasks", task, manager.all_tasks)
    _join_processes()
    failed = {}
    for k, cell in enumerate(cells):
        log.warning("cell %d of %d: %s", k + 1, len(cells), cell.name)
        problem = None
        try:
            _run(cell, sweep, weights, out, manager)
        except Exception as error:
            problem = str(error)
            if not isinstance(error, NumProError):
                problem = f"{type(error).__name__}: {error}"
                log.exception("cell %s", cell.name)
        if problem := _first_problem(problem):
            log.error("cell %s failed: %s", cell.name, problem)
            failed[cell.name] = problem
    return failed


def _check_known(flag: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        raise NumProError(f"{flag} {name} is unknown to lmms-eval" + (f"; did you mean {', '.join(close)}?" if close else ""))


def _run(cell: Cell, sweep: SweepSettings, weights: Weights, out: Path, manager: Any) -> None:
    from lmms_eval.evaluator import simple_evaluate

    assert cell.settings is not None
    target = cells_folder(out) / cell.name
    with _environment({**dict(cell.variables), "NUMPRO_KEEP_FRAMES": "1"}):
        clips = ClipCache()
        there = clips.keys()
        start = time.monotonic()
        model = weights.fresh(_arguments_of(cell, sweep.model))
        loaded_s = time.monotonic() - start
        start = time.monotonic()
        results: Any = simple_evaluate(
            model=model,
            model_args=sweep.model_args,
            tasks=list(sweep.tasks),
            task_manager=manager,
            batch_size=sweep.batch_size,
            device=sweep.device,
            limit=sweep.limit,
            gen_kwargs=sweep.gen_kwargs,
            log_samples=True,
            bootstrap_iters=0,
            distributed_executor_backend=_executor(model),
        )
        seconds = time.monotonic() - start
        made = clips.keys() - there
    if results is None:  # not the first process
        return
    samples = results.pop("samples")
    record = {
        **sweep.identity(),
        "cell": cell.name,
        "encoding": cell.encoding,
        "planned": cell.settings.to_dict(),
        "settings": _settings_of(results, model) or cell.settings.to_dict(),
        "seconds": seconds,
        "clips_made": len(made),
        "seconds_to_load": loaded_s,
        "answers_from_earlier_runs": getattr(model, "answers_from_log", None),
        "queries": {task: len(of_task) for task, of_task in samples.items()},
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    with folder_written_whole(target) as part:
        _write(results, samples, sweep, part)
        write_text_whole(part / RECORD, json.dumps(record, indent=1) + "\n")


def _settings_of(results: dict[str, Any], model: Any) -> dict[str, Any] | None:
    """What the model was really shown, by NumPro's tasks or else by itself; None if neither tells. A plan lacks its size of frames."""
    protocols = [(task.get("metadata") or {}).get("numpro", {}) for task in results["configs"].values()]
    of_model = getattr(model, "shown_settings", None)
    of_tasks: list[dict[str, Any]] = [protocol["settings"] for protocol in protocols if "settings" in protocol]
    return of_tasks[0] if of_tasks else of_model and of_model.to_dict()


def _write(results: dict[str, Any], samples: dict[str, Any], sweep: SweepSettings, part: Path) -> None:
    """What lmms-eval's own command writes, so that `numpro report` and `numpro compare` read it."""
    from lmms_eval.loggers.evaluation_tracker import EvaluationTracker

    tracker = EvaluationTracker(output_path=str(part))
    tracker.general_config_tracker.log_experiment_args(
        model_source=sweep.model, model_args=sweep.model_args, system_instruction="", chat_template="", fewshot_as_multiturn=False
    )
    tracker.save_results_aggregated(results=results, samples=samples, datetime_str=results["date"])
    for task, of_task in samples.items():
        tracker.save_results_samples(task_name=task, samples=of_task)
    if missing := [task for task in samples if not any(part.rglob(f"*samples_{task}.jsonl"))]:
        raise NumProError(f"{part}: lmms-eval could not write the samples of {', '.join(missing)}; is the disk full?")


def _arguments_of(cell: Cell, model: str) -> dict[str, Any]:
    """What ``--model numpro`` is told in its arguments, so that tasks that are not NumPro's follow the cell too."""
    if model != "numpro" or cell.settings is None:
        return {}
    variables = dict(cell.variables)
    given: dict[str, Any] = {"encoding": cell.settings.encoding.name}
    if variables["NUMPRO_FPS"] != "auto":
        given["fps"] = cell.settings.fps
    for name in variables.keys() - {"NUMPRO_ENCODING", "NUMPRO_FPS"}:
        given[name.removeprefix("NUMPRO_").lower()] = getattr(cell.settings.style, name.removeprefix("NUMPRO_").lower())
    return given


def _join_processes() -> None:
    """Without GPUs nobody else connects the processes that torchrun started; with them the model does."""
    import torch
    import torch.distributed as dist

    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.cuda.is_available() and not dist.is_initialized():
        dist.init_process_group("gloo")


def _executor(model: Any) -> str:
    """By what lmms-eval gathers results: the model's own accelerator if that spans the processes."""
    import torch.distributed as dist

    spans = getattr(getattr(model, "accelerator", None), "num_processes", 1) > 1
    return "torchrun" if dist.is_available() and dist.is_initialized() and not spans else "accelerate"


def _first_problem(problem: str | None) -> str | None:
    """The problem of any process, so that a cell that fails in one is ended in all."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return problem
    problems: list[str | None] = [None] * dist.get_world_size()
    dist.all_gather_object(problems, problem)
    return next((f"process {rank}: {one}" for rank, one in enumerate(problems) if one), None)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def join_cells(folders: Sequence[Path], out: Path) -> list[str]:
    """Copy the finished cells of other folders, where this one lacks them.

    Returns:
        The names of the cells that were copied.

    Raises:
        NumProError: a folder without finished cells.
    """
    joined = []
    for folder in folders:
        finished = [cell for cell in sorted(cells_folder(folder).glob("*")) if read_record(cell) is not None]
        if not finished:
            raise NumProError(f"--join {folder}: holds no finished cell of a sweep")
        for cell in finished:
            target = cells_folder(out) / cell.name
            if read_record(target) is None:
                with folder_written_whole(target) as part:
                    shutil.copytree(cell, part, dirs_exist_ok=True)
                joined.append(cell.name)
    return joined
