"""The samples of shards and their order, on any number of processes and workers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.shards import video_row, write_shard

from numpro_plugin.errors import NumProError
from numpro_plugin.settings import NumProSettings
from numpro_plugin.trainer.batches.dataset import (
    FILLER,
    ArrowRows,
    ParquetRows,
    Samples,
    ShuffledBatches,
    StreamingBatches,
    shuffled_order,
)
from numpro_plugin.trainer.shards.index import ShardIndex, find_shards

SIZE = (16, 16)
SETTINGS = NumProSettings(frame_size=SIZE, max_frames=8)
WORLDS = st.integers(1, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shards")
    rng = np.random.default_rng(0)
    for file in range(3):
        rows = [
            video_row(f"v{file}_{k}", float(rng.integers(3, 40)), conversations=int(rng.integers(1, 4)), size=SIZE, max_frames=12)
            for k in range(5 + file)
        ]
        write_shard(root / f"made-{file}.parquet", rows, size=SIZE, max_frames=12, row_group_size=3)
    return root


@pytest.fixture(scope="module")
def index(folder: Path) -> ShardIndex:
    return ShardIndex.read([str(folder)], SETTINGS)


def made_index(conversations: list[int], group: int) -> ShardIndex:
    """An index of videos with these numbers of conversations, without files."""
    rows = len(conversations)
    starts = np.arange(0, rows, group)
    groups = np.stack([np.zeros_like(starts), np.arange(len(starts)), starts], 1)
    frames = np.arange(rows) % 7 + 1
    return ShardIndex(("made",), groups, frames, np.array(conversations))


# --- which samples -----------------------------------------------------------------------------------------------------------------


def test_the_index_counts_without_reading_pictures(folder: Path, index: ShardIndex) -> None:
    table = pa.concat_tables([pq.read_table(file) for file in sorted(folder.iterdir())])
    assert index.frames.tolist() == [len(frames) for frames in table["frames"].to_pylist()]
    assert index.conversations.tolist() == [len(c) for c in table["conversations"].to_pylist()]
    assert index.samples == sum(index.conversations) == len(index.sample_frames)


@pytest.mark.usefixtures("datasets_cache")
def test_arrow_and_parquet_rows_give_the_same_samples(index: ShardIndex) -> None:
    copied, in_place = (Samples(index, rows) for rows in (ArrowRows(index.files), ParquetRows(index, keep=2)))
    expected = [(row, k) for row, count in enumerate(index.conversations) for k in range(count)]
    assert len(copied) == len(in_place) == len(expected)
    names = []
    for sample in np.random.default_rng(0).permutation(len(expected)):
        raw = copied[3, sample]
        assert raw == in_place[3, sample]
        assert (raw.conversation, raw.epoch) == (expected[sample][1], 3)
        assert len(raw.row["frames"]) == index.frames[expected[sample][0]]
        names.append(raw.id)
    assert len(set(names)) == len(expected)
    assert copied[0, FILLER].row is None


@pytest.mark.usefixtures("datasets_cache")
def test_shards_of_before_are_read_beside_new_ones_and_say_what_they_lack(tmp_path: Path) -> None:
    old = Path(__file__).parents[2] / "data" / "made_by_0_1_0" / "shards" / "tiny-00000-of-00001.parquet"
    new = video_row("new", 4.0, size=(48, 48), max_frames=12)
    new["conversations"][0][1]["spans_s"] = [[0.5, 3.25]]
    files = [str(old), str(write_shard(tmp_path / "new.parquet", [new], size=(48, 48), max_frames=12, times=True))]
    for order in (files, files[::-1]):
        both = ShardIndex.read(order, NumProSettings(frame_size=(48, 48), max_frames=12))
        assert both.without_times == (str(old),)
        assert [both.sources[code] for code in both.row_sources] == [
            Samples(both, ArrowRows(order))[0, k].id.split("/")[0] for k in range(3)
        ]
        for rows in (ArrowRows(order), ParquetRows(both, keep=2)):
            samples = [Samples(both, rows)[0, k] for k in range(both.samples)]
            spans = {raw.id: raw.row["conversations"][raw.conversation][1].get("spans_s") for raw in samples}
            assert spans.pop("made/new#0") == [[0.5, 3.25]]
            assert set(spans.values()) == {None}
            assert all(raw.row["conversations"][raw.conversation][1]["numbers"] for raw in samples)


def test_shards_are_found_by_pattern_folder_and_file(folder: Path) -> None:
    files = [str(file) for file in sorted(folder.iterdir())]
    assert find_shards([str(folder)]) == find_shards([str(folder / "*.parquet")]) == find_shards([*files, str(folder)]) == files
    with pytest.raises(NumProError, match="no shards at .*nothing"):
        find_shards([str(folder / "nothing")])
    with pytest.raises(NumProError, match="set data.shards"):
        find_shards([])


def test_an_incomplete_folder_of_shards_is_refused(folder: Path, tmp_path: Path) -> None:
    incomplete = shutil.copytree(folder, tmp_path / "incomplete")
    manifest = {"settings": {}, "inputs": [], "complete": False, "units": {"done": 3, "all": 7}}
    (incomplete / "manifest.json").write_text(json.dumps(manifest))
    for pattern in (str(incomplete), str(incomplete / "*.parquet"), str(tmp_path)):
        with pytest.raises(NumProError, match=r"incomplete is not complete \(manifest\.json: 3 of 7 files are made\)"):
            ShardIndex.read([pattern], SETTINGS)
    files = sorted(str(file) for file in incomplete.glob("*.parquet"))
    assert find_shards(files) == files
    (incomplete / "manifest.json").write_text(json.dumps({**manifest, "complete": True}))
    assert find_shards([str(incomplete)]) == files


def test_the_fingerprint_depends_on_the_content_of_shards_only(folder: Path, index: ShardIndex, tmp_path: Path) -> None:
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert ShardIndex.read([str(moved)], SETTINGS).fingerprint == index.fingerprint
    added = write_shard(moved / "made-3.parquet", [video_row("z", 9.0, size=SIZE)], size=SIZE, max_frames=12)
    assert ShardIndex.read([str(moved)], SETTINGS).fingerprint != index.fingerprint
    added.unlink()
    write_shard(moved / "made-0.parquet", [video_row(f"y{k}", 9.0, size=SIZE) for k in range(5)], size=SIZE, max_frames=12)
    assert ShardIndex.read([str(moved)], SETTINGS).fingerprint != index.fingerprint


# --- every sample once ---------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    conversations=st.lists(st.integers(0, 4), min_size=1, max_size=40).filter(any),
    group=st.integers(1, 9),
    world=WORLDS,
    micro=st.integers(1, 5),
    accumulation=st.integers(1, 3),
    workers=st.integers(0, 4),
    rows=st.integers(1, 20),
    epoch=st.integers(0, 3),
)
def test_every_sample_comes_exactly_once_per_epoch(
    conversations: list[int], group: int, world: int, micro: int, accumulation: int, workers: int, rows: int, epoch: int
) -> None:
    index = made_index(conversations, group)
    for rank_batches in (
        lambda rank: ShuffledBatches(
            index.sample_frames, seed=5, batch_size=micro * world * accumulation, micro_batch_size=micro, rank=rank, world=world
        ),
        lambda rank: StreamingBatches(index, seed=5, micro_batch_size=micro, rows=rows, workers=workers, rank=rank, world=world),
    ):
        seen, lengths = [], set()
        for rank in range(world):
            sampler = rank_batches(rank)
            sampler.set_epoch(epoch)
            batches = list(sampler)
            assert len(batches) == len(sampler)
            assert all(len(batch) == micro for batch in batches)
            lengths.add(len(batches))
            seen += [sample for batch in batches for in_epoch, sample in batch if sample != FILLER]
            assert all(in_epoch == epoch for batch in batches for in_epoch, _ in batch)
        assert sorted(seen) == list(range(index.samples))
        assert len(lengths) == 1  # equal numbers of batches, so no process waits for another


@settings(deadline=None, max_examples=40)
@given(count=st.integers(1, 90), world=WORLDS, micro=st.sampled_from([1, 2, 4]), group=st.booleans())
def test_a_step_holds_the_same_samples_on_one_process_or_many(count: int, world: int, micro: int, group: bool) -> None:
    batch = 24  # a multiple of every micro-batch times every number of processes here
    lengths = np.random.default_rng(count).integers(1, 50, count)

    def steps(world: int, micro: int) -> list[set[int]]:
        ranks = [
            list(ShuffledBatches(lengths, seed=1, batch_size=batch, micro_batch_size=micro, rank=r, world=world, group=group))
            for r in range(world)
        ]
        per_step = batch // micro // world
        made = []
        for start in range(0, len(ranks[0]), per_step):
            made.append({k for rank in ranks for one in rank[start : start + per_step] for _, k in one} - {FILLER})
        return made

    assert steps(world, micro) == steps(1, 1)


def test_samples_of_a_batch_have_similar_length_and_the_longest_comes_first() -> None:
    lengths = np.random.default_rng(0).integers(1, 241, 1000)
    batches = lengths[shuffled_order(lengths, seed=0, epoch=0, batch_size=8, group=True)][:1000].reshape(-1, 8)
    assert np.ptp(batches, axis=1).mean() < 0.15 * np.ptp(lengths)
    assert lengths.max() in batches[0]
    mixed = lengths[shuffled_order(lengths, seed=0, epoch=0, batch_size=8, group=False)].reshape(-1, 8)
    assert np.ptp(mixed, axis=1).mean() > 0.5 * np.ptp(lengths)


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    index = made_index([2] * 50, 5)

    def order(seed: int, epoch: int) -> list[list[tuple[int, int]]]:
        sampler = StreamingBatches(index, seed=seed, micro_batch_size=1, rows=8, workers=2)
        sampler.set_epoch(epoch)
        return [[sample for _, sample in batch] for batch in sampler]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_streaming_reads_each_row_group_about_once_per_epoch(index: ShardIndex) -> None:
    rows = ParquetRows(index, keep=3)
    samples, opened = Samples(index, rows), []
    real = pq.ParquetFile.read_row_group
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pq.ParquetFile, "read_row_group", lambda self, *a, **k: opened.append(a) or real(self, *a, **k))
        for batch in StreamingBatches(index, seed=0, micro_batch_size=2, rows=4, workers=1):
            for key in batch:
                samples[key]
    assert len(opened) <= 2 * len(index.group_rows)


# --- errors ------------------------------------------------------------------------------------------------------------------------


def test_shards_that_do_not_fit_the_recipe_are_refused(folder: Path, tmp_path: Path) -> None:
    for changed, message in (
        (NumProSettings(fps=1, frame_size=SIZE, max_frames=8), r"fps=0\.5, the recipe says numpro\.fps=1\.0"),
        (NumProSettings(frame_size=(32, 32), max_frames=8), r"frame_size=\(16, 16\), the recipe says .*\(32, 32\)"),
        (NumProSettings(frame_size=SIZE, max_frames=13), r"at most 12 frames .*max_frames=13"),
    ):
        with pytest.raises(NumProError, match=message):
            ShardIndex.read([str(folder)], changed)
    source = next(iter(sorted(folder.iterdir())))
    table = pq.read_table(source)
    other = tmp_path / "other.parquet"
    pq.write_table(table.replace_schema_metadata({"numpro_shard": '{"version": 0}'}), other)
    with pytest.raises(NumProError, match=r"other\.parquet is a shard of version 0, this release reads versions 1 and 2"):
        ShardIndex.read([str(other)], SETTINGS)
    pq.write_table(table.replace_schema_metadata(None), other)
    with pytest.raises(NumProError, match="is not a shard of this project"):
        ShardIndex.read([str(other)], SETTINGS)
    other.write_bytes(source.read_bytes()[:1000])
    with pytest.raises(NumProError, match="cannot be read as parquet"):
        ShardIndex.read([str(other)], SETTINGS)
