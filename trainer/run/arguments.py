"""The arguments of transformers' Trainer and DeepSpeed for a recipe."""

# mypy: allow-untyped-calls

from __future__ import annotations

import json
import os
import socket
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainingArguments

from numpro_plugin.errors import NumProError
from numpro_plugin.internals.of_transformers import one_gpu_only

if TYPE_CHECKING:
    from ..recipe.record import Recipe


def training_arguments(recipe: Recipe) -> TrainingArguments:
    """Trainer's arguments for this process. Building them also starts the communication between the processes.

    Raises:
        NumProError: the batch size is not divisible by the number of processes, or the DeepSpeed configuration cannot be read.
    """
    optimizer, intervals, memory = recipe.optimizer, recipe.run, recipe.memory
    world = processes()
    accumulation, remainder = divmod(optimizer.batch_size, optimizer.micro_batch_size * world)
    if remainder or not accumulation:
        raise NumProError(
            f"optimizer.batch_size={optimizer.batch_size} cannot be divided into optimizer.micro_batch_size={optimizer.micro_batch_size} "
            f"on {world} processes: it must be a multiple of {optimizer.micro_batch_size * world}"
        )
    cpu = not torch.accelerator.is_available()
    args = TrainingArguments(
        output_dir=recipe.output,
        per_device_train_batch_size=optimizer.micro_batch_size,
        gradient_accumulation_steps=accumulation,
        optim="adamw_torch",
        learning_rate=optimizer.lr,
        lr_scheduler_type=optimizer.schedule,
        warmup_steps=optimizer.warmup,
        weight_decay=optimizer.weight_decay,
        adam_beta1=optimizer.betas[0],
        adam_beta2=optimizer.betas[1],
        max_grad_norm=optimizer.max_grad_norm,
        num_train_epochs=optimizer.epochs,
        max_steps=optimizer.max_steps or -1,
        bf16=memory.dtype == "bfloat16",
        use_cpu=cpu,
        seed=recipe.seed,
        deepspeed=_deepspeed(deepspeed_used(recipe)),
        ddp_find_unused_parameters=False,
        ddp_backend="gloo" if cpu and world > 1 else None,
        dataloader_num_workers=recipe.data.workers,
        remove_unused_columns=False,
        logging_steps=intervals.log_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # compute_loss stops the run when the loss is not finite
        save_strategy="steps" if intervals.save_steps else "no",
        save_steps=intervals.save_steps or 1,
        eval_strategy="steps" if intervals.eval_steps and recipe.data.held_out else "no",
        eval_steps=intervals.eval_steps or None,
        report_to=list(intervals.report_to) or "none",
    )
    _ = args.device
    if args.deepspeed:
        import deepspeed

        deepspeed.init_distributed()  # before the model: ZeRO-3 partitions weights while they are loaded
    one_gpu_only(args)
    return args


def processes() -> int:
    """The number of processes that the launcher started; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def deepspeed_used(recipe: Recipe) -> str:
    """``memory.deepspeed``, but ``none`` for ``zero2`` and ``zero3`` in a single process without a launcher."""
    choice = recipe.memory.deepspeed
    return "none" if choice in ("zero2", "zero3") and "WORLD_SIZE" not in os.environ else choice


def _deepspeed(choice: str) -> dict[str, Any] | None:
    """DeepSpeed's configuration for a value of ``deepspeed_used``."""
    if choice == "none":
        return None
    try:
        import deepspeed  # noqa: F401
    except Exception as error:
        raise NumProError(
            f"memory.deepspeed={choice} needs DeepSpeed ({error}): pip install 'numpro-plugin[train]', or set it to none"
        ) from None
    file = files("numpro_plugin.trainer") / "deepspeed" / f"{choice}.json" if choice in ("zero2", "zero3") else Path(choice)
    try:
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NumProError(f"memory.deepspeed={choice}: {error}; it is zero2, zero3, none or the path of a JSON file") from None
    if "WORLD_SIZE" not in os.environ:  # a single process with a configuration file, for example to offload to RAM
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        os.environ.update({"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})
    return config
