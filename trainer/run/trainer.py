"""transformers' Trainer with this project's data, loss, checkpoints and held-out evaluation."""

# mypy: allow-untyped-calls

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from accelerate.utils import gather_object

from numpro_plugin.cli.terminal import say
from numpro_plugin.errors import NumProError
from numpro_plugin.families import base_model_of
from numpro_plugin.weights.record import read_record

from ..batches.collator import Collator
from ..memory.sharding import ShardingTrainer
from ..output.answers import write_answers
from ..output.checkpoints import delete_old, save_whole
from ..output.export import training_record, write_record
from ..output.resume import extend_schedule
from ..output.status import write_status
from ..output.trace import ProfileCallback
from .arguments import deepspeed_used, processes
from .callbacks import CurveCallback, JsonLog, Meter, summarise
from .held_out import HeldOut
from .loader import mixture_of, training_loader, training_samples
from .loss import answer_loss
from .preemption import LOST_LOCK
from .stop import Stopped, request_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.utils.data import DataLoader
    from transformers import TrainingArguments

    from numpro_plugin.families import Loaded

    from ..recipe.record import Recipe
    from ..shards.index import ShardIndex
    from .preemption import StopCallback
    from .train import RunState

log = logging.getLogger(__name__)


class NumProTrainer(ShardingTrainer):
    """transformers' Trainer with this project's data, loss, checkpoints and held-out evaluation."""

    def __init__(
        self,
        recipe: Recipe,
        loaded: Loaded,
        args: TrainingArguments,
        index: ShardIndex,
        held_out: ShardIndex | None,
        *,
        run: RunState,
        stopping: StopCallback,
    ) -> None:
        self.recipe, self.loaded, self.index = recipe, loaded, index
        self.mixture, self._left_out = mixture_of(recipe, index)
        self.run_state, self.stopping = run, stopping
        self.meter = Meter()
        base = base_model_of(loaded.model)
        self.collator = Collator(loaded.family, loaded.processor, recipe, pixels_dtype=next(base.parameters()).dtype)
        self.held_out = None
        if held_out is not None:
            self.held_out = HeldOut(held_out, self.collator, max_new_tokens=recipe.run.max_new_tokens, scores=recipe.run.held_out)
        self.samples = training_samples(recipe, index)
        self._saving_to: str | None = None
        self._unreadable: dict[str, Any] = {}
        self._unreadable_logged = 0
        super().__init__(
            model=loaded.model,
            args=args,
            fsdp=recipe.memory.dtype if recipe.memory.fsdp else None,
            data_collator=self.collator,
            train_dataset=self.samples,
            eval_dataset=None if self.held_out is None else self.held_out.samples,
            callbacks=[JsonLog(Path(recipe.output)), CurveCallback(Path(recipe.output)), stopping],
        )
        if recipe.run.profile:
            self.add_callback(ProfileCallback(Path(recipe.output), recipe.run.profile))
        self.model_accepts_loss_kwargs = True  # so that compute_loss gets the learned tokens of the whole accumulated batch

    def get_train_dataloader(self) -> DataLoader[Any]:
        """This process's micro-batches. The loader is not passed to accelerate, which would divide them again."""
        process = {"rank": self.args.process_index, "world": self.args.world_size}
        workers = self.args.dataloader_num_workers
        mixture = self.mixture if self.mixture.parts else None
        return training_loader(self.recipe, self.index, self.samples, self.collator, mixture=mixture, workers=workers, **process)

    def train_from(self, checkpoint: str | None) -> None:
        """Train to the end, from a checkpoint or from the beginning. The checkpoint's record of unreadable samples is restored."""
        if checkpoint is not None:
            data = (read_record(checkpoint) or {"data": {}})["data"]
            self.meter.unreadable |= data.get("unreadable", {})
            self.meter.unreadable_in_epoch = data.get("unreadable_in_epoch", 0) if self.is_world_process_zero() else 0
        if self.stopping.lock is not None:
            write_status(Path(self.recipe.output), "running", resumed_from=checkpoint and Path(checkpoint).name)
        if self.is_world_process_zero():
            say(str(self.mixture))
            for reason, count in self._left_out.items():
                say(f"  left out: {count:,} samples, because {reason}")
        self.train(resume_from_checkpoint=checkpoint)
        if self.stopping.code == LOST_LOCK:
            if self.stopping.lock is not None:
                self.stopping.lock.check()
            raise NumProError(f"output={self.recipe.output} was taken over by another run: this run ends and writes nothing more")
        self._check_unreadable()
        if self.stopping.code:
            raise self._stopped(self.stopping.code)

    def _stopped(self, code: int) -> Stopped:
        """Record that the run was stopped, and say how to continue."""
        step, last, name = self.state.global_step, self.state.max_steps, request_name(code)
        folder = Path(self.recipe.output) / f"checkpoint-{step}"
        if self.stopping.lock is not None:
            write_status(folder.parent, "stopped", step=step, max_steps=last, checkpoint=folder.name, reason=name)
        command = "run the same command again" if self.recipe.resume else "run the same command with resume=true"
        return Stopped(f"stopped by {name} after step {step} of {last}; {folder} is complete. To continue, {command}", code)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        if self.state.global_step >= self.state.max_steps:  # resumed after the last step: only the export is missing
            self.control.should_training_stop = True
            return
        resumed = kwargs["epoch"] == kwargs["epochs_trained"] and kwargs["steps_trained_in_current_epoch"]
        if not resumed:
            self.meter.unreadable_in_epoch = 0
        self._unreadable_logged = 0
        super()._run_epoch(*args, **kwargs)
        self._check_unreadable()

    def _check_unreadable(self, count: int | None = None) -> None:
        """Stop the run if too many samples of this epoch are unreadable; ``count``: their number over all processes, if known."""
        if count is None:  # between two log entries, or at the end
            own = torch.tensor([self.meter.unreadable_in_epoch], device=self.args.device)
            count = int(self.accelerator.gather(own).sum())
            if count > self._unreadable_logged:
                self.log({"unreadable": count})
        self._unreadable_logged = count
        if count > self.recipe.data.max_unreadable * self.mixture.samples:
            raise NumProError(
                f"{count} of {self.mixture.samples} samples are unreadable, more than data.max_unreadable="
                f"{self.recipe.data.max_unreadable:g} allows; {_example(self.meter.unreadable)}. Make their shards again, or raise "
                "data.max_unreadable"
            )

    def _maybe_log_save_evaluate(self, tr_loss: Any, grad_norm: Any, *args: Any, **kwargs: Any) -> None:
        # Gradients that are not finite show in the next step's loss. Until then they must not be saved in a checkpoint or the result.
        saves = self.control.should_save or self.state.global_step >= self.state.max_steps
        if saves and grad_norm is not None and not math.isfinite(grad_norm):
            raise NumProError(
                f"the gradient norm is {float(grad_norm)} at step {self.state.global_step}: a lower optimizer.lr or memory.dtype=float32 "
                "may help. Earlier checkpoints are unchanged"
            )
        super()._maybe_log_save_evaluate(tr_loss, grad_norm, *args, **kwargs)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> Any:
        """The micro-batches of one optimizer step, and the number of learned tokens in them over all processes."""
        start = time.perf_counter()
        batches = [batch for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        self.meter.waited_s += time.perf_counter() - start
        return batches, self._get_num_items_in_batch(batches, device)

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """Cross entropy per learned token of the whole step. Gradients are averaged over processes, hence the division by their number."""
        inputs = dict(inputs)
        ids = inputs.pop("ids")
        self.meter.count(inputs.pop("tokens"), inputs.pop("frames"), inputs.pop("unreadable"))
        loss = answer_loss(model, inputs, num_items=num_items_in_batch.clamp(min=1) / self.args.world_size)
        if not torch.isfinite(loss):
            raise NumProError(
                f"the loss is {loss.item()} at step {self.state.global_step + 1}, on the samples {', '.join(ids)}: check them; if they "
                "are correct, a lower optimizer.lr or memory.dtype=float32 may help. Earlier checkpoints are unchanged"
            )
        return loss

    def floating_point_ops(self, inputs: Any) -> int:
        """0: not counted, because transformers' estimate ignores frozen weights and logits that are not computed."""
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log speed, time waited for data and memory with the loss; stop the run when too many samples are unreadable."""
        if "loss" in logs:
            own = torch.tensor([self.meter.take()], dtype=torch.float32, device=self.args.device)
            logs = {**logs, **summarise(self.accelerator.gather(own).cpu())}
            self._check_unreadable(int(logs["unreadable"]))
        super().log(logs, start_time)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """mIoU on the held-out questions, from generated answers, and the loss of the held-out answers."""
        if self.held_out is None:
            return {}
        start = time.perf_counter()
        options = {"synced_gpus": True} if self._partitioned else {}
        process = {"rank": self.args.process_index, "world": self.args.world_size}
        self.loaded.model.eval()
        with self.accelerator.autocast():
            scores = self.held_out.evaluate(
                self.loaded,
                **process,
                gather=gather_object,
                equal_rounds=self._partitioned,
                stop=lambda: self.stopping.agreed_code(self.args.device),
                **options,
            )
        self.loaded.model.train()
        if scores is None:
            log.warning("the held-out evaluation at step %d was interrupted", self.state.global_step)
            self.control.should_evaluate = False
            code = self.stopping.agreed_code(self.args.device)
            if self.state.global_step < self.state.max_steps:
                self.stopping.end(code, self.control)
            return {}
        took_s = round(time.perf_counter() - start, 2)
        if self.held_out.answers and self.stopping.lock is not None:
            self.stopping.lock.check()
            step = self.state.global_step
            write_answers(Path(self.recipe.output), self.held_out.answers, self.recipe, step=step, scores=scores, seconds=took_s)
        metrics = {f"eval_{name}": value for name, value in scores.items()} | {"eval_seconds": took_s}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self.meter.take()  # so that the time of the evaluation does not count as training time
        self.stopping.ready()
        return metrics

    @property
    def _partitioned(self) -> bool:
        """Whether all processes must run the model equally often, because each has only its part of the weights."""
        return self.fsdp is not None or self._zero3

    @property
    def _zero3(self) -> bool:
        plugin = getattr(self.accelerator.state, "deepspeed_plugin", None)
        return plugin is not None and plugin.zero_stage == 3

    def _get_output_dir(self, trial: Any) -> str:
        return self._saving_to or super()._get_output_dir(trial)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        start = time.monotonic()
        folder = Path(self.recipe.output) / f"checkpoint-{self.state.global_step}"

        def write(part: Path) -> None:
            self._saving_to = str(part)
            try:
                super(NumProTrainer, self)._save_checkpoint(model, trial)
            finally:
                self._saving_to = None

        self._save_whole(folder, write, inner=folder.name)
        if self.stopping.lock is not None:
            delete_old(folder.parent, self.recipe.run.save_total_limit, token=self.run_state.token)
        self.stopping.saved(time.monotonic() - start)
        self.stopping.ready()

    def _save_whole(self, folder: Path, write: Callable[[Path], None], *, inner: str = "") -> None:
        """Write a folder of the output, if it is still this run's."""
        lock = self.stopping.lock
        if lock is not None:
            lock.check()
        # Gathered before anything is written: a process that cannot write must not leave the others waiting for it here.
        unreadable = dict(gather_object(list(self.meter.unreadable.items())))
        in_epoch = sum(gather_object([self.meter.unreadable_in_epoch]))
        self._unreadable = {"unreadable": unreadable, "unreadable_in_epoch": in_epoch}
        save_whole(folder, write, main=self.is_world_process_zero(), barrier=_barrier, token=self.run_state.token, inner=inner)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            message = extend_schedule(Path(checkpoint), self.lr_scheduler, self.recipe, max_steps=self.state.max_steps)
            if message and self.is_world_process_zero():
                log.warning(message)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As in ``Trainer``, but under ZeRO-2 without a copy of the whole base model in memory."""
        if self.is_deepspeed_enabled and not self._zero3:
            self._save(output_dir)
        else:
            super().save_model(output_dir, _internal_call)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        if self.args.should_save and output_dir is not None:
            folder = Path(output_dir)
            (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle whose content is in the record as well
            if self.recipe.tuning == "full":
                self.loaded.processor.save_pretrained(folder)
            record = training_record(self.recipe, self.index, processes=processes(), deepspeed=deepspeed_used(self.recipe))
            record |= {"run": self.run_state.id, "step": self.state.global_step}
            if self.run_state.contains:
                record["contains"] = list(self.run_state.contains)
            record["data"] |= self._unreadable
            record["data"]["samples_per_epoch"] = self.mixture.samples
            record["data"]["left_out"] = dict(self._left_out)
            write_record(folder, record)

    def export(self, folder: Path) -> None:
        """Write the result: the adapter with its projector, or the whole model. It replaces that of a run that was extended."""
        self._save_whole(folder, lambda part: self.save_model(str(part)))


def _example(unreadable: dict[str, str]) -> str:
    """A sample that this process could not read; others may have been read by other processes."""
    if not unreadable:
        return "the output of the other processes names them"
    sample, reason = next(iter(unreadable.items()))
    return f"for example {sample}: {reason}"


def _barrier() -> None:
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
