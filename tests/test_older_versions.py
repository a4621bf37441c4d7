"""What the first version (0.1.0, before the modules moved) wrote is still read: an adapter, shards, a prepared table, a clip.

``tests/data/made_by_0_1_0`` was written by that version's own commands: two synthetic videos and their instructions, shards made of them,
the tiny model that it came with, a LoRA of rank 2 that was trained on them until it knew both answers, a table made without videos, and
a numbered clip.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from numpro_plugin.clips.clip import read_clip_info

OLD = Path(__file__).parent / "data" / "made_by_0_1_0"
TINY_MODEL = OLD / "tiny_longva"


def run(module: str, *arguments: object) -> str:
    done = subprocess.run([sys.executable, "-m", module, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_an_adapter_answers_as_it_was_taught():
    for video, query, wanted in (("tiny0000", "a white circle", (15, 35)), ("tiny0001", "a green square", (15, 42))):
        out = run(
            *("numpro_plugin.cli", "ask", OLD / "videos" / f"{video}.mp4", query, "--model", TINY_MODEL, "--adapter", OLD / "adapter"),
            *("--dtype", "float32", "--json"),
        )
        (answer,) = json.loads(out)["answers"]
        assert answer["text"] == "From Frame {} to Frame {}.".format(*wanted)
        assert answer["span_s"] == [2.0 * number for number in wanted]


@pytest.mark.slow
def test_shards_are_trained_on(tmp_path: Path):
    out = tmp_path / "out"
    run(
        *("numpro_plugin.trainer.cli", "run", "tiny_ft", f"model={TINY_MODEL}", f"data.shards={OLD / 'shards'}", f"output={out}"),
        *("optimizer.max_steps=1", "lora.rank=2"),
    )
    record = json.loads((out / "adapter" / "numpro.json").read_text())
    assert record["data"]["samples"] == 2
    assert record["data"]["fingerprint"] == json.loads((OLD / "adapter" / "numpro.json").read_text())["data"]["fingerprint"]


@pytest.mark.slow
def test_finished_shards_are_not_made_again(tmp_path: Path):
    shards = tmp_path / "shards"
    shutil.copytree(OLD / "shards", shards)
    before = {path.name: path.stat().st_mtime_ns for path in shards.glob("*.parquet")}
    run(
        *("numpro_plugin.trainer.cli", "shards", OLD / "instructions.json", "--videos", f"tiny={OLD / 'videos'}", "--out", shards),
        *("--frame-size", "48", "--max-frames", "12", "--workers", "0"),
    )
    assert {path.name: path.stat().st_mtime_ns for path in shards.glob("*.parquet")} == before


def test_a_table_is_read(tmp_path: Path):
    run("numpro_plugin.cli", "ceiling", "custom", "--out", OLD / "tables", "--fps", "0.5", "--json", tmp_path / "ceiling.json")
    assert json.loads((tmp_path / "ceiling.json").read_text())["0.5"]["R@0.5"] == 100.0


def test_a_clip_is_known_as_one():
    info = read_clip_info(OLD / "clip.mp4")
    assert info is not None
    assert len(info.numbers) == 12
    assert info.settings["frame_size"] == [48, 48]
