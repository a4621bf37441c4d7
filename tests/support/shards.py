"""Small shards made by hand: flat frames of random colours, one or more conversations a video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from numpro_plugin.prompts import moment_prompt
from numpro_plugin.timeline import Timeline, kept_numbers
from numpro_plugin.trainer.shard_format import ShardInfo, turn


def jpeg(seed: int, size: tuple[int, int]) -> bytes:
    """A flat picture of a random colour without red."""
    colour = np.random.default_rng(seed).integers((60, 60, 0), (256, 256, 60), 3).astype(np.uint8)  # BGR
    done, data = cv2.imencode(".jpg", np.broadcast_to(colour, (size[1], size[0], 3)))
    assert done
    return data.tobytes()


def question(number: int, first: int, last: int) -> list[dict[str, Any]]:
    """A conversation of one question and its answer."""
    return [turn("user", moment_prompt(f"event {number}")), turn("assistant", "From Frame ", first, " to Frame ", last, ".")]


def video_row(
    name: str, duration_s: float, *, conversations: int = 1, fps: float = 0.5, size: tuple[int, int] = (336, 336), max_frames: int = 240
) -> dict[str, Any]:
    """A row whose k-th answer is from frame k (or the last there is) to the last one."""
    count = Timeline(duration_s, fps).count
    numbers = kept_numbers(count, max_frames)
    seed = sum(name.encode())
    return {
        "video": name,
        "source": "made",
        "duration_s": duration_s,
        "fps": fps,
        "frames": [jpeg(seed * 1000 + k, size) for k in range(len(numbers))],
        "conversations": [question(k, min(k, count - 1), count - 1) for k in range(conversations)],
    }


def write_shard(
    file: Path,
    rows: list[dict[str, Any]],
    *,
    fps: float = 0.5,
    size: tuple[int, int] = (336, 336),
    max_frames: int = 240,
    row_group_size: int = 4,
    times: bool = False,
) -> Path:
    """One parquet file of these rows; ``times``: their turns say for which times their numbers stand."""
    file.parent.mkdir(parents=True, exist_ok=True)
    schema = ShardInfo(fps, size, max_frames, times).schema()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), file, row_group_size=row_group_size, compression="NONE")
    return file
