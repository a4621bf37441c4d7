"""Sources mixed by weight: how often each sample is used, and that it depends on seed and epoch alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpro_plugin.errors import NumProError
from numpro_plugin.trainer.batches.dataset import FILLER, ShuffledBatches, StreamingBatches
from numpro_plugin.trainer.recipe.record import load_recipe
from numpro_plugin.trainer.shards.index import ShardIndex
from numpro_plugin.trainer.shards.mixture import Mixture

NAMES = ("anet", "didemo", "internvid")


def made_index(conversations: list[int]) -> ShardIndex:
    """An index of rows with these numbers of conversations; the sources take turns."""
    rows = len(conversations)
    starts = np.arange(0, rows, 3)
    groups = np.stack([np.zeros_like(starts), np.arange(len(starts)), starts], 1)
    frames, sources = np.arange(rows) % 7 + 1, (np.arange(rows) % 3).astype(np.int32)
    return ShardIndex(("made",), groups, frames, np.array(conversations), sources=NAMES, row_sources=sources)


def mixture(index: ShardIndex, seed: int = 0, **shares: object) -> Mixture:
    return Mixture.of(index, load_recipe("tiny").replace(data__sources=shares).data.sources, seed=seed)


def of_source(index: ShardIndex, name: str) -> set[int]:
    return set(np.flatnonzero(index.row_sources[index.sample_rows] == NAMES.index(name)).tolist())


def test_weights_and_limits() -> None:
    index = made_index([2] * 30)  # 20 samples a source
    mixed = mixture(index, anet=0.5, didemo=2, internvid={"weight": 1.5, "limit": 4})
    assert mixed.samples == 10 + 40 + 6
    epochs = [mixed.epoch(epoch).tolist() for epoch in range(4)]
    anet, didemo, internvid = (of_source(index, name) for name in NAMES)
    halves = [[sample for sample in epoch if sample in anet] for epoch in epochs]
    assert [len(set(half)) for half in halves] == [10] * 4
    assert set(halves[0]) | set(halves[1]) == set(halves[2]) | set(halves[3]) == anet  # what one epoch leaves, the next one uses
    assert Counter(sample for sample in epochs[0] if sample in didemo) == dict.fromkeys(didemo, 2)
    used = Counter(sample for epoch in epochs for sample in epoch if sample in internvid)
    assert sorted(used.values()) == [6] * 4  # 1.5 times in four epochs, and no other sample
    assert set(mixed.used().tolist()) == anet | didemo | set(used)
    assert str(mixed) == (
        "56 samples an epoch\n"
        "  anet: 10 (17.9 %) = weight 0.5 x 20 samples\n"
        "  didemo: 40 (71.4 %) = weight 2 x 20 samples\n"
        "  internvid: 6 (10.7 %) = weight 1.5 x 20 samples, limited to 4"
    )


def test_without_weights_every_sample_is_used_once() -> None:
    mixed = mixture(made_index([2, 0, 1]))
    assert mixed.epoch(0).tolist() == mixed.used().tolist() == [0, 1, 2]
    assert str(mixed) == "3 samples an epoch, every sample of the shards once"


@settings(deadline=None, max_examples=60)
@given(
    conversations=st.lists(st.integers(0, 4), min_size=9, max_size=40).filter(lambda counts: sum(counts[::3]) and sum(counts[1::3])),
    weights=st.tuples(*[st.sampled_from([0, 0.1, 0.5, 1, 1.7, 3])] * 3).filter(lambda weights: weights[0] or weights[1]),
    world=st.integers(1, 3),
    micro=st.integers(1, 4),
    workers=st.integers(0, 3),
    group=st.booleans(),
)
def test_an_epoch_is_the_mixture_on_any_number_of_processes(
    conversations: list[int], weights: tuple[float, ...], world: int, micro: int, workers: int, group: bool
) -> None:
    index = made_index(conversations)
    mixed = mixture(index, seed=7, **dict(zip(NAMES, weights, strict=True)))
    again = mixture(index, seed=7, **dict(zip(NAMES, weights, strict=True)))
    for epoch in (0, 1, 5):
        expected = Counter(again.epoch(epoch).tolist())
        assert sum(expected.values()) == mixed.samples
        for rank_batches in (
            lambda rank: ShuffledBatches(
                index.sample_frames,
                seed=5,
                batch_size=micro * world,
                micro_batch_size=micro,
                rank=rank,
                world=world,
                group=group,
                mixture=mixed,
            ),
            lambda rank: StreamingBatches(
                index, seed=5, micro_batch_size=micro, rows=4, workers=workers, rank=rank, world=world, mixture=mixed
            ),
        ):
            seen: Counter[int] = Counter()
            for rank in range(world):
                sampler = rank_batches(rank)
                sampler.set_epoch(epoch)
                batches = list(sampler)
                assert len(batches) == len(sampler)
                seen.update(sample for batch in batches for _, sample in batch if sample != FILLER)
            assert seen == expected


def test_other_seeds_choose_other_samples() -> None:
    index = made_index([2] * 60)
    assert (
        mixture(index, 0, anet=0.5, didemo=0, internvid=0).epoch(0).tolist()
        != mixture(index, 1, anet=0.5, didemo=0, internvid=0).epoch(0).tolist()
    )


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"anet": 1, "dideno": 1, "internvid": 1}, "names 'dideno', but the shards have anet, didemo, internvid; did you mean 'didemo'?"),
        ({"anet": 1}, r"has no weight for didemo, internvid, .* add data.sources.didemo=1 \(or 0 to leave it out\)"),
        ({"anet": 0, "didemo": 0, "internvid": 0}, "leaves no sample"),
        ({"anet": -1, "didemo": 1, "internvid": 1}, "data.sources.anet.weight=-1 must be at least 0"),
        ({"anet": "much", "didemo": 1, "internvid": 1}, "data.sources.anet='much' must be a weight"),
        ({"anet": {"wieght": 1}}, "wieght"),
    ],
)
def test_wrong_sources(shares: dict[str, object], message: str) -> None:
    with pytest.raises(NumProError, match=message):
        mixture(made_index([1] * 9), **shares)
