"""A training run with transformers' Trainer, PEFT and DeepSpeed: from a recipe to an adapter."""

# mypy: allow-untyped-calls

from __future__ import annotations

import logging
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import torch
import torch.distributed as dist
from accelerate.utils import gather_object
from torch.utils.data import DataLoader
from transformers import Trainer, set_seed

from numpro_plugin.errors import NumProError
from numpro_plugin.families import base_model_of
from numpro_plugin.weights.record import read_record

from ..batches.collator import Collator
from ..batches.dataset import ArrowRows, ParquetRows, Samples, ShuffledBatches, StreamingBatches
from ..shards.index import ShardIndex
from .arguments import deepspeed_used, processes, training_arguments
from .callbacks import CURVE, LOG, JsonLog, Meter, draw_loss_curve, read_log, summarise
from .checkpoints import checkpoints, claim_output, forget_old, save_whole
from .export import training_record, write_record
from .held_out import HeldOut
from .loss import answer_loss
from .model import open_for_training

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from numpro_plugin.families import Loaded

    from ..recipe.record import Recipe

log = logging.getLogger(__name__)


def run(recipe: Recipe) -> Path:
    """Train with a recipe. A single process calls this, or every process of a launcher (torchrun, deepspeed, accelerate).

    Returns the folder of the result: ``output/adapter``, or ``output/model`` with ``tuning: full``. ``output`` also contains
    ``recipe.yaml``, ``log.jsonl``, ``loss.png`` and the last checkpoints.

    Raises:
        NumProError: the recipe, the shards or the output folder cannot be used, the loss is not finite, too many samples are unreadable,
            or a checkpoint cannot be written.
    """
    for key, value in (("model", recipe.model), ("output", recipe.output), ("data.shards", recipe.data.shards)):
        if not value:
            raise NumProError(f"{key} is missing: set it in the recipe or pass {key}=...")
    output = Path(recipe.output)
    result = output / ("adapter" if recipe.tuning == "lora" else "model")
    index = ShardIndex.read(recipe.data.shards, recipe.numpro)
    held_out = ShardIndex.read(recipe.data.held_out, recipe.numpro) if recipe.data.held_out else None
    if _rank() == 0:
        claim_output(recipe, output, result, _record(recipe, index))
    args = training_arguments(recipe)  # before the model: ZeRO-3 partitions weights while they are loaded
    _barrier()
    set_seed(recipe.seed)
    loaded = open_for_training(recipe)
    trainer = NumProTrainer(recipe, loaded, args, index, held_out)
    trainer.train_from(_newest(output))
    trainer.export(result)
    last = trainer.state.global_step
    if held_out is not None and not any("eval_mIoU" in entry and entry["step"] == last for entry in trainer.state.log_history):
        trainer.evaluate()  # after the export, so that the result exists even if this fails
    if trainer.is_world_process_zero():
        draw_loss_curve(read_log(output / LOG), output / CURVE)
    return result


class NumProTrainer(Trainer):
    """transformers' Trainer with this project's data, loss, checkpoints and held-out evaluation."""

    def __init__(self, recipe: Recipe, loaded: Loaded, args: TrainingArguments, index: ShardIndex, held_out: ShardIndex | None) -> None:
        self.recipe, self.loaded, self.index = recipe, loaded, index
        self.meter = Meter()
        base = base_model_of(loaded.model)
        collator = Collator(loaded.family, loaded.processor, recipe, pixels_dtype=next(base.parameters()).dtype)
        self.held_out = None if held_out is None else HeldOut(held_out, collator, max_new_tokens=recipe.run.max_new_tokens)
        self.samples = _samples(recipe, index)
        self._saving_to: str | None = None
        self._unreadable_logged = 0
        super().__init__(
            model=loaded.model,
            args=args,
            data_collator=collator,
            train_dataset=self.samples,
            eval_dataset=None if self.held_out is None else self.held_out.samples,
            callbacks=[JsonLog(Path(recipe.output))],
        )
        self.model_accepts_loss_kwargs = True  # so that compute_loss gets the learned tokens of the whole accumulated batch

    def get_train_dataloader(self) -> DataLoader[Any]:
        """This process's micro-batches. The loader is not passed to accelerate, which would divide them again."""
        process = {"rank": self.args.process_index, "world": self.args.world_size}
        return _Loader(
            self.samples,
            batch_sampler=_batches(self.recipe, self.index, **process),
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_start_worker,
            # Its own generator, so that starting an epoch does not advance the one that dropout uses.
            generator=torch.Generator().manual_seed(self.recipe.seed),
        )

    def train_from(self, checkpoint: str | None) -> None:
        """Train to the end, from a checkpoint or from the beginning. The checkpoint's record of unreadable samples is restored."""
        if checkpoint is not None:
            data = (read_record(checkpoint) or {"data": {}})["data"]
            self.meter.unreadable |= data.get("unreadable", {})
            self.meter.unreadable_in_epoch = data.get("unreadable_in_epoch", 0) if self.is_world_process_zero() else 0
        self.train(resume_from_checkpoint=checkpoint)
        self._check_unreadable()

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
        if count > self.recipe.data.max_unreadable * self.index.samples:
            raise NumProError(
                f"{count} of {self.index.samples} samples are unreadable, more than data.max_unreadable="
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
        """mIoU on the held-out questions, from generated answers."""
        if self.held_out is None:
            return {}
        start = time.perf_counter()
        options = {"synced_gpus": True} if self._zero3 else {}
        process = {"rank": self.args.process_index, "world": self.args.world_size}
        self.loaded.model.eval()
        with self.accelerator.autocast():
            scores = self.held_out.scores(self.loaded, **process, gather=gather_object, equal_rounds=self._zero3, **options)
        self.loaded.model.train()
        metrics = {f"eval_{name}": value for name, value in scores.items()} | {"eval_seconds": round(time.perf_counter() - start, 2)}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self.meter.take()  # so that the time of the evaluation does not count as training time
        return metrics

    @property
    def _zero3(self) -> bool:
        plugin = getattr(self.accelerator.state, "deepspeed_plugin", None)
        return plugin is not None and plugin.zero_stage == 3

    def _get_output_dir(self, trial: Any) -> str:
        return self._saving_to or super()._get_output_dir(trial)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self.recipe.output) / f"checkpoint-{self.state.global_step}"
        if folder.exists():
            return

        def write(part: Path) -> None:
            self._saving_to = str(part)
            try:
                super(NumProTrainer, self)._save_checkpoint(model, trial)
            finally:
                self._saving_to = None

        save_whole(folder, write, main=self.is_world_process_zero(), barrier=_barrier, inner=folder.name)
        if self.is_world_process_zero():
            forget_old(folder.parent, self.recipe.run.save_total_limit)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As in ``Trainer``, but under ZeRO-2 without a copy of the whole base model in memory."""
        if self.is_deepspeed_enabled and not self._zero3:
            self._save(output_dir)
        else:
            super().save_model(output_dir, _internal_call)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        unreadable = dict(gather_object(list(self.meter.unreadable.items())))  # every process takes part in gathering
        in_epoch = sum(gather_object([self.meter.unreadable_in_epoch]))
        if self.args.should_save and output_dir is not None:
            folder = Path(output_dir)
            (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle whose content is in the record as well
            if self.recipe.tuning == "full":
                self.loaded.processor.save_pretrained(folder)
            record = _record(self.recipe, self.index)
            record["data"] |= {"unreadable": unreadable, "unreadable_in_epoch": in_epoch}
            write_record(folder, record)

    def export(self, folder: Path) -> None:
        """Write the result: the adapter with its projector, or the whole model."""
        save_whole(folder, lambda part: self.save_model(str(part)), main=self.is_world_process_zero(), barrier=_barrier)


class _Loader(DataLoader[Any]):
    """A data loader that passes the epoch to its sampler."""

    def set_epoch(self, epoch: int) -> None:
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]


def _record(recipe: Recipe, index: ShardIndex) -> dict[str, Any]:
    return training_record(recipe, index, processes=processes(), deepspeed=deepspeed_used(recipe))


def _samples(recipe: Recipe, index: ShardIndex) -> Samples:
    if not recipe.data.streaming:
        return Samples(index, ArrowRows(index.files))
    rows_per_group = max(1, len(index.conversations) // len(index.group_rows))
    return Samples(index, ParquetRows(index, keep=math.ceil(recipe.data.shuffle_buffer / rows_per_group) + 2))


def _batches(recipe: Recipe, index: ShardIndex, *, rank: int, world: int) -> ShuffledBatches | StreamingBatches:
    data, optimizer = recipe.data, recipe.optimizer
    common = {"seed": recipe.seed, "micro_batch_size": optimizer.micro_batch_size, "rank": rank, "world": world}
    if data.streaming:
        return StreamingBatches(index, rows=data.shuffle_buffer, workers=data.workers, **common)
    return ShuffledBatches(index.sample_frames, group=data.group_by_length, batch_size=optimizer.batch_size, **common)


def _start_worker(_: int) -> None:
    cv2.setNumThreads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def _example(unreadable: dict[str, str]) -> str:
    """A sample that this process could not read; others may have been read by other processes."""
    if not unreadable:
        return "the output of the other processes names them"
    sample, reason = next(iter(unreadable.items()))
    return f"for example {sample}: {reason}"


def _newest(output: Path) -> str | None:
    complete = checkpoints(output)
    return str(complete[-1]) if complete else None


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def _barrier() -> None:
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
