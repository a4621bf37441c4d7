"""The training data of one process: samples, their order and the data loader."""

# mypy: allow-untyped-calls

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import cv2
import torch
from torch.utils.data import DataLoader

from ..batches.dataset import ArrowRows, ParquetRows, Samples, ShuffledBatches, StreamingBatches
from ..batches.encoded import usable_samples
from ..shards.mixture import Mixture
from .stop import let_worker_finish

if TYPE_CHECKING:
    from collections import Counter

    from ..batches.collator import Collator
    from ..recipe.record import Recipe
    from ..shards.index import ShardIndex


class EpochLoader(DataLoader[Any]):
    """A data loader that passes the epoch to its sampler."""

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]


def mixture_of(recipe: Recipe, index: ShardIndex) -> tuple[Mixture, Counter[str]]:
    """Which samples an epoch has, and why others are left out for good, with their numbers.

    Raises:
        NumProError: the recipe's sources do not fit the shards, or no sample can be put into its encoding.
    """
    usable, left_out = usable_samples(index, recipe.numpro)
    return Mixture.of(index, recipe.data.sources, seed=recipe.seed, usable=usable), left_out


def training_loader(
    recipe: Recipe,
    index: ShardIndex,
    samples: Samples,
    collator: Collator,
    *,
    mixture: Mixture | None = None,
    workers: int,
    rank: int,
    world: int,
) -> EpochLoader:
    """The micro-batches of process ``rank`` of ``world``; ``mixture``: which samples an epoch has (None: all, once)."""
    return EpochLoader(
        samples,
        batch_sampler=_batches(recipe, index, mixture, rank=rank, world=world),
        collate_fn=collator,
        num_workers=workers,
        # Starting workers takes seconds, which a small set would pay in every epoch.
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_start_worker,
        # Its own generator, so that starting an epoch does not advance the one that dropout uses.
        generator=torch.Generator().manual_seed(recipe.seed),
    )


def training_samples(recipe: Recipe, index: ShardIndex) -> Samples:
    """All samples of the shards, copied by ``datasets`` or streamed."""
    if not recipe.data.streaming:
        return Samples(index, ArrowRows(index.files))
    rows_per_group = max(1, len(index.conversations) // len(index.group_rows))
    return Samples(index, ParquetRows(index, keep=math.ceil(recipe.data.shuffle_buffer / rows_per_group) + 2))


def _batches(recipe: Recipe, index: ShardIndex, mixture: Mixture | None, *, rank: int, world: int) -> ShuffledBatches | StreamingBatches:
    data, optimizer = recipe.data, recipe.optimizer
    common = {"seed": recipe.seed, "micro_batch_size": optimizer.micro_batch_size, "rank": rank, "world": world}
    if data.streaming:
        return StreamingBatches(index, rows=data.shuffle_buffer, workers=data.workers, mixture=mixture, **common)
    lengths = index.sample_frames
    return ShuffledBatches(lengths, group=data.group_by_length, batch_size=optimizer.batch_size, mixture=mixture, **common)


def _start_worker(_: int) -> None:
    cv2.setNumThreads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    let_worker_finish()
