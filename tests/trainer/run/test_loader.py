"""The data loader of a training process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support.training import make_world

from numpro_plugin.trainer.batches.dataset import ParquetRows, Samples
from numpro_plugin.trainer.run.loader import training_loader
from numpro_plugin.trainer.shards.index import ShardIndex


def worker_and_samples(raw_samples: list[Any]) -> tuple[int, list[tuple[int, str]]]:
    return os.getpid(), [(raw.epoch, raw.id) for raw in raw_samples]


@pytest.mark.parametrize("streaming", [False, True])
def test_workers_are_kept_from_epoch_to_epoch_and_each_epoch_has_its_own_order(tmp_path: Path, streaming: bool) -> None:
    world = make_world(tmp_path)
    recipe = world.recipe("out", data__streaming=streaming, data__group_by_length=False, data__workers=2)
    index = ShardIndex.read(recipe.data.shards, recipe.numpro)
    samples = Samples(index, ParquetRows(index, keep=8))
    loader = training_loader(recipe, index, samples, worker_and_samples, workers=2, rank=0, world=1)  # type: ignore[arg-type]
    workers, orders = [], []
    for epoch in range(3):
        loader.set_epoch(epoch)
        batches = list(loader)
        workers.append({pid for pid, _ in batches})
        seen = [one for _, part in batches for one in part if one[1] != "filler"]
        assert {one[0] for one in seen} == {epoch}
        orders.append([one[1] for one in seen])
    assert workers[0] == workers[1] == workers[2]
    assert len(workers[0]) == 2
    assert os.getpid() not in workers[0]
    assert all(len(set(order)) == len(order) == index.samples for order in orders)
    assert orders[0] != orders[1]
