"""A training run in a locked output folder, with transformers' Trainer, PEFT and DeepSpeed."""

# mypy: allow-untyped-calls

from __future__ import annotations

import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from accelerate.utils import broadcast_object_list
from transformers import set_seed

from numpro_plugin.errors import NumProError
from numpro_plugin.weights.adapter import adapter_identities
from numpro_plugin.weights.folder import local_folder
from numpro_plugin.weights.record import read_record

from ..output.checkpoints import checkpoints, delete_leftovers
from ..output.curve import draw_curve
from ..output.export import training_record
from ..output.hub import make_repository, push
from ..output.resume import claim_output
from ..output.status import write_status
from ..shards.evaluated import EvaluatedVideos, check_not_evaluated
from ..shards.index import ShardIndex
from .arguments import deepspeed_used, processes, training_arguments
from .callbacks import LOG, read_log
from .loader import mixture_of
from .model import check_adapter, check_liger, open_for_training
from .preemption import StopCallback
from .stop import Stopped
from .trainer import NumProTrainer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..output.lock import OutputLock
    from ..output.status import State
    from ..recipe.record import Recipe
    from .stop import StopRequests


def train(recipe: Recipe, *, lock: OutputLock | None, requests: StopRequests) -> Path:
    """Train in a locked output folder; see ``start.run``. ``lock``: None in all processes but the main one."""
    output = Path(recipe.output)
    result = output / ("adapter" if recipe.tuning == "lora" else "model")
    if recipe.adapter and not (recipe.resume and checkpoints(output)):
        check_adapter(recipe)
    index = ShardIndex.read(recipe.data.shards, recipe.numpro)
    if recipe.memory.liger:
        check_liger()
    mixture_of(recipe, index)  # refuses what does not fit before the model is loaded
    held_out = ShardIndex.read(recipe.data.held_out, recipe.numpro) if recipe.data.held_out else None
    checkpoint = None
    if lock is not None and recipe.data.evaluated == "refuse":
        check_not_evaluated(index, held_out, EvaluatedVideos.of_tables())
    if lock is not None:
        checkpoint = claim_output(
            recipe, output, result, training_record(recipe, index, processes=processes(), deepspeed=deepspeed_used(recipe))
        )
        delete_leftovers(output, lock.dead)
    with _failure_recorded(output, lock):
        if lock is not None and recipe.run.push_to_hub:
            recipe = recipe.replace(run__push_to_hub=make_repository(recipe))  # the whole name, also for the model card
        args = training_arguments(recipe)  # before the model: ZeRO-3 partitions weights while they are loaded
        [run] = broadcast_object_list([RunState.of(recipe, checkpoint, lock)])
        set_seed(recipe.seed)
        loaded = open_for_training(recipe, adapter=run.checkpoint if recipe.adapter else None)
        stopping = StopCallback(requests, lock)
        trainer = NumProTrainer(recipe, loaded, args, index, held_out, run=run, stopping=stopping)
        trainer.train_from(run.checkpoint)
        trainer.export(result)
        last = trainer.state.global_step
        if held_out is not None and not any("eval_seconds" in entry and entry["step"] == last for entry in trainer.state.log_history):
            trainer.evaluate()  # after the export, so that the result exists even if this fails
        if lock is not None:
            lock.check()
            draw_curve(read_log(output / LOG), output)
            finished = {"step": last, "max_steps": trainer.state.max_steps, "result": result.name}
            write_status(output, "finished", **finished)
    if lock is not None and recipe.run.push_to_hub:  # the run is finished, whatever becomes of this
        push(recipe, result, **finished)
    return result


@dataclass(frozen=True)
class RunState:
    """What the main process decides for all processes of a run."""

    checkpoint: str | None
    """The folder to resume from."""

    token: str
    """Identifies the main process, in the names of temporary folders."""

    id: str
    """Identifies the run; it stays the same when the run is resumed."""

    contains: tuple[str, ...]
    """Identities of the adapters in the result: of that from which it started, or of those in a model that is tuned in full."""

    @classmethod
    def of(cls, recipe: Recipe, checkpoint: Path | None, lock: OutputLock | None) -> RunState | None:
        """The state of a new or resumed run in the main process; None in others."""
        if lock is None:
            return None
        saved = (read_record(checkpoint) if checkpoint else None) or {}
        contains = saved.get("contains") or ()
        if not saved and recipe.adapter:
            contains = sorted(adapter_identities(local_folder(recipe.adapter)))
        elif not saved and recipe.tuning == "full":
            contains = (read_record(local_folder(recipe.model)) or {}).get("contains") or ()
        return cls(str(checkpoint) if checkpoint else None, lock.owner.token, saved.get("run") or uuid.uuid4().hex, tuple(contains))


@contextmanager
def _failure_recorded(folder: Path, lock: OutputLock | None) -> Iterator[None]:
    """Record in the process that holds the ``lock`` that the run failed, or was interrupted before its first step."""
    try:
        yield
    except BaseException as error:
        if lock is not None and not lock.is_lost() and not isinstance(error, Stopped):
            state: State = "failed" if isinstance(error, Exception) else "stopped"
            with suppress(OSError):
                write_status(folder, state, reason=f"{error}" if isinstance(error, NumProError) else f"{type(error).__name__}: {error}")
        raise
