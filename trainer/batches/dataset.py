"""The samples of shards and their order: every sample of an epoch exactly once, with any number of processes and workers.

A row of a shard is a video; each of its conversations is one sample. The order depends on seed and epoch only. It is divided into
micro-batches that are distributed to the processes in turn, so that an optimizer step sees the same samples on one process or many::

    order        7 2 5 0 | 3 6 1 4 | 8 . . .        four samples a step; "." is a filler without labels
    process 0    7   5   | 3   1   | 8   .
    process 1      2   0 |   6   4 |   .   .
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import Dataset, Sampler

from ..shard_format import SCHEMA
from ..shards.index import open_shard
from .collator import RawSample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    import pyarrow.parquet as pq
    from numpy.typing import NDArray

    from ..shards.index import ShardIndex
    from ..shards.mixture import Mixture

FILLER = -1
"""Index of a sample that completes the last batches."""

Key = tuple[int, int]
"""(epoch, index of the sample): the keys that samplers pass to the dataset."""


class ArrowRows:
    """Rows of the copy of the shards that ``datasets`` makes in its cache (or in the folder ``cache``): random access, memory-mapped."""

    def __init__(self, files: Sequence[str], *, cache: str | None = None) -> None:
        import datasets

        features = datasets.Features.from_arrow_schema(SCHEMA)  # shards of version 1 lack times, which are None then
        self._rows = datasets.load_dataset("parquet", data_files=list(files), split="train", cache_dir=cache, features=features)

    def __getitem__(self, row: int) -> dict[str, Any]:
        values: dict[str, Any] = self._rows[row]
        return values


class ParquetRows:
    """Rows read directly from the shards, one row group at a time; the last ``keep`` row groups stay in memory."""

    def __init__(self, index: ShardIndex, *, keep: int) -> None:
        self._index, self._keep = index, keep
        self._groups: OrderedDict[int, pa.Table] = OrderedDict()
        self._files: dict[str, pq.ParquetFile] = {}

    def __getitem__(self, row: int) -> dict[str, Any]:
        first_rows = self._index.group_rows[:, 2]
        group = int(np.searchsorted(first_rows, row, side="right")) - 1
        if group not in self._groups:
            file, group_in_file, _ = self._index.group_rows[group].tolist()
            name = self._index.files[file]
            if name not in self._files:
                self._files = {name: open_shard(name)}
            self._groups[group] = self._files[name].read_row_group(group_in_file, columns=SCHEMA.names)
            while len(self._groups) > self._keep:
                self._groups.popitem(last=False)
        self._groups.move_to_end(group)
        values: dict[str, Any] = self._groups[group].slice(row - int(first_rows[group]), 1).to_pylist()[0]
        return values

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_groups": OrderedDict(), "_files": {}}


class Samples(Dataset[RawSample]):
    """Map-style dataset: ``samples[epoch, k]`` is sample k as a ``RawSample``; the collator decodes its pictures."""

    def __init__(self, index: ShardIndex, rows: ArrowRows | ParquetRows) -> None:
        self._rows, self._row_of_sample = rows, index.sample_rows
        self._first_sample_of_row = np.concatenate([[0], np.cumsum(index.conversations)])

    def __len__(self) -> int:
        return len(self._row_of_sample)

    def __getitem__(self, key: Key) -> RawSample:
        epoch, sample = key
        if sample == FILLER:
            return RawSample("filler", None)
        row = int(self._row_of_sample[sample])
        conversation = sample - int(self._first_sample_of_row[row])
        values = self._rows[row]
        return RawSample(f"{values['source']}/{values['video']}#{conversation}", values, conversation, epoch)


def shuffled_order(lengths: NDArray[np.int64], *, seed: int, epoch: int, batch_size: int, group: bool) -> NDArray[np.int64]:
    """A permutation of all samples (N,). With ``group``, the samples of a batch have similar ``lengths`` (N,).

    Then the longest sample is in the first batch, so that a lack of memory shows at once.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    if not group:
        return order
    parts = []
    for window in np.split(order, range(32 * batch_size, len(order), 32 * batch_size)):
        by_length = window[np.argsort(-lengths[window], kind="stable")]
        full = len(by_length) // batch_size * batch_size
        batches = by_length[:full].reshape(-1, batch_size)
        parts += [batches[rng.permutation(len(batches))].ravel(), by_length[full:]]
    order = np.concatenate(parts)
    first = int(np.argmax(lengths[order])) // batch_size * batch_size
    if 0 < first <= len(order) - batch_size:
        batch = order[first : first + batch_size].copy()
        order[first : first + batch_size], order[:batch_size] = order[:batch_size].copy(), batch
    return order


def streaming_order(
    index: ShardIndex, *, seed: int, epoch: int, streams: int, rows: int, mixture: Mixture | None = None
) -> list[NDArray[np.int64]]:
    """The samples of an epoch as ``streams`` sequences that each read one row group after the other, for shards that are not copied.

    Row groups are in random order, and samples are shuffled within about ``rows`` videos. The sequences differ in length by at most one.
    """
    rng = np.random.default_rng([seed, epoch])
    starts = np.append(index.group_rows[:, 2], len(index.conversations))
    first = np.concatenate([[0], np.cumsum(index.conversations)])
    groups = rng.permutation(len(index.group_rows))
    sequence = np.concatenate([np.arange(first[starts[g]], first[starts[g + 1]]) for g in groups])
    if mixture is not None:
        sequence = np.repeat(sequence, mixture.counts(epoch)[sequence])
    window_samples = max(1, round(len(sequence) / max(1, len(index.conversations)) * rows))
    sequences = []
    for stream in np.array_split(sequence, streams):
        shuffled = [rng.permutation(window) for window in np.split(stream, range(window_samples, len(stream), window_samples))]
        sequences.append(np.concatenate(shuffled) if shuffled else stream)
    return sequences


class ShuffledBatches(Sampler[list[Key]]):
    """The micro-batches of one process in ``shuffled_order``; ``mixture``: which samples an epoch has (None: all, once)."""

    def __init__(
        self,
        lengths: NDArray[np.int64],
        *,
        seed: int,
        batch_size: int,
        micro_batch_size: int,
        rank: int = 0,
        world: int = 1,
        group: bool = True,
        mixture: Mixture | None = None,
    ) -> None:
        self._lengths, self._seed, self._batch, self._micro, self._group = lengths, seed, batch_size, micro_batch_size, group
        self._mixture, self._samples = mixture, len(lengths) if mixture is None else mixture.samples
        self._rank, self._world, self.epoch = rank, world, 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(self._samples / (self._micro * self._world))

    def __iter__(self) -> Iterator[list[Key]]:
        chosen = None if self._mixture is None else self._mixture.epoch(self.epoch)
        lengths = self._lengths if chosen is None else self._lengths[chosen]
        order = shuffled_order(lengths, seed=self._seed, epoch=self.epoch, batch_size=self._batch, group=self._group)
        order = order if chosen is None else chosen[order]
        padded = np.full(len(self) * self._micro * self._world, FILLER)
        padded[: len(order)] = order
        for batch in padded.reshape(-1, self._micro)[self._rank :: self._world].tolist():
            yield [(self.epoch, sample) for sample in batch]


class StreamingBatches(Sampler[list[Key]]):
    """The micro-batches of one process in ``streaming_order``; each of its workers reads its own share of the shards."""

    def __init__(
        self,
        index: ShardIndex,
        *,
        seed: int,
        micro_batch_size: int,
        rows: int,
        workers: int,
        rank: int = 0,
        world: int = 1,
        mixture: Mixture | None = None,
    ) -> None:
        self._index, self._seed, self._micro, self._rows, self._workers = index, seed, micro_batch_size, rows, max(1, workers)
        self._rank, self._world, self.epoch = rank, world, 0
        self._mixture, self._samples = mixture, index.samples if mixture is None else mixture.samples

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        longest = math.ceil(self._samples / (self._world * self._workers))
        return math.ceil(longest / self._micro) * self._workers

    def __iter__(self) -> Iterator[list[Key]]:
        streams = self._world * self._workers
        sequences = streaming_order(self._index, seed=self._seed, epoch=self.epoch, streams=streams, rows=self._rows, mixture=self._mixture)
        own = sequences[self._rank * self._workers : (self._rank + 1) * self._workers]
        padded = np.full((self._workers, len(self) // self._workers, self._micro), FILLER)
        for sequence, batches in zip(own, padded, strict=True):
            batches.reshape(-1)[: len(sequence)] = sequence
        for batch in padded.swapaxes(0, 1).reshape(-1, self._micro).tolist():  # the loader distributes batches to its workers in turn
            yield [(self.epoch, sample) for sample in batch]
