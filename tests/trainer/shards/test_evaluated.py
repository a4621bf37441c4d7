"""Videos that are evaluated or held out are not trained on, whatever their file and their source are called."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.shards import video_row, write_shard
from support.videos import write_counter_video

from numpro_plugin import NumProError
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.settings import NumProSettings
from numpro_plugin.trainer.shards.evaluated import EvaluatedVideos, check_not_evaluated, video_key
from numpro_plugin.trainer.shards.index import ShardIndex
from numpro_plugin.trainer.shards.make import make_shards
from numpro_plugin.trainer.shards.rows import FrameOptions

SIZE = (16, 16)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four videos of different lengths."""
    folder = tmp_path_factory.mktemp("videos")
    for k, name in enumerate("abcd"):
        write_counter_video(folder / f"{name}.mp4", [j * 500 for j in range(2 * (8 + 4 * k))], rate=2, size=(64, 32))
    return folder


def prepare_custom(tmp_path: Path, videos: Path, names: str, split: str = "test") -> None:
    rows = [{"video": f"{name}.mp4", "query": "it moves", "start_time": 1, "end_time": 3} for name in names]
    file = tmp_path / f"{split}.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    prepare(BENCHMARKS["custom"], file, videos=videos, split=split, out=tmp_path / "numpro-data", progress=False)


def shards_of(tmp_path: Path, folder: Path, names: list[str], **more: Any) -> dict[str, Any]:
    rows = [{"video": name, "query": "it moves", "start_time": 1, "end_time": 3} for name in names]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    options = FrameOptions(frame_size=SIZE, max_frames=8)
    return make_shards(
        [tmp_path / "train.jsonl"], tmp_path / "out", videos={"own": folder}, options=options, workers=0, progress=False, **more
    )


def test_shards_of_evaluated_videos_are_refused_or_left_out(tmp_path: Path, videos: Path) -> None:
    prepare_custom(tmp_path, videos, "abc")
    prepare_custom(tmp_path, videos, "d", split="train")  # what is not evaluated may be trained on
    other = tmp_path / "other"
    other.mkdir()
    (other / "link.mp4").symlink_to(videos / "a.mp4")
    shutil.copy(videos / "b.mp4", other / "copy.mp4")
    write_counter_video(other / "c.mp4", [k * 250 for k in range(64)], rate=4, size=(48, 32))  # encoded again: other bytes, the same length
    shutil.copy(videos / "d.mp4", other / "d.mp4")
    write_counter_video(other / "v_a.mp4", [k * 250 for k in range(200)], rate=4, size=(48, 32))  # another video of the same name
    names = ["link.mp4", "copy.mp4", "c.mp4", "d.mp4", "v_a.mp4"]
    message = "3 training videos are also evaluated: " + ", ".join(rf"own/{name} \(custom/test\)" for name in ("link", "copy", "c"))
    with pytest.raises(NumProError, match=rf"{message}\. .*--evaluated leave-out"):
        shards_of(tmp_path, other, names)
    assert not (tmp_path / "out").exists()
    own = shards_of(tmp_path, other, names, evaluated="leave-out")["sources"]["own"]
    assert (own["rows_in"], own["conversations"], own["rows_skipped"]) == (5, 2, 3)
    assert {name: one["reason"] for name, one in own["skipped_videos"].items()} == dict.fromkeys(
        ("link", "copy", "c"), "is evaluated in custom/test"
    )
    with pytest.raises(NumProError, match="evaluated='never' is unknown; allowed: refuse, leave-out, allow"):
        shards_of(tmp_path, other, names, evaluated="never")
    shutil.rmtree(tmp_path / "out")
    assert shards_of(tmp_path, other, names, evaluated="allow")["sources"]["own"]["rows_skipped"] == 0


def index_of(file: Path, *rows: tuple[str, float]) -> ShardIndex:
    write_shard(file, [video_row(name, length_s, size=SIZE, max_frames=8) for name, length_s in rows], size=SIZE, max_frames=8)
    return ShardIndex.read([str(file)], NumProSettings(frame_size=SIZE, max_frames=8))


def test_a_run_on_evaluated_or_held_out_videos_is_refused(tmp_path: Path, videos: Path) -> None:
    train = index_of(tmp_path / "train.parquet", ("a", 8.0), ("x", 30.0), ("y@10-20", 10.0))
    check_not_evaluated(train, index_of(tmp_path / "held.parquet", ("z", 30.0)), EvaluatedVideos.of_tables())
    with pytest.raises(NumProError, match=r"1 training video is also evaluated: made/y@10-20 \(data\.held_out\)\. .*data\.evaluated=allow"):
        check_not_evaluated(train, index_of(tmp_path / "held.parquet", ("y", 31.0)), EvaluatedVideos())
    prepare_custom(tmp_path, videos, "ab")
    with pytest.raises(NumProError, match=r"made/a \(custom/test\)"):
        check_not_evaluated(train, None, EvaluatedVideos.of_tables())
    longer = index_of(tmp_path / "longer.parquet", ("a", 80.0))  # another video of this name
    check_not_evaluated(longer, None, EvaluatedVideos.of_tables())


@pytest.mark.parametrize("name", ["abc", "v_abc", "anet/v_abc.mp4", "abc.webm", "v_abc@10-41", "/data/abc.MP4"])
def test_ids(name: str) -> None:
    assert video_key(name) == "abc"
    assert video_key("clip_60.0_210.0") == "clip_60.0_210.0"
