"""Shards made by Ray Data: one task per chunk, on this machine or on the cluster that Ray is connected to ($RAY_ADDRESS).

All machines must see the videos and the folder of shards under the same paths.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.errors import NumProError

from .chunks import write_chunk
from .workers import make_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .chunks import Chunk
    from .rows import FrameOptions


def write_chunks_on_ray(
    out: Path,
    chunks: Sequence[Chunk],
    options: FrameOptions,
    *,
    file_bytes: int,
    workers: int | None,
    advance: Callable[[int], object],
) -> None:
    """Write chunks wherever Ray has a free processor; ``advance`` is called with a chunk's number of videos when it is done.

    Raises:
        NumProError: Ray is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise NumProError("--engine ray needs Ray Data; run: pip install 'numpro-plugin[ray]' (or omit --engine)") from error
    if not chunks:
        return
    if not ray.is_initialized():
        # Under $RAY_ADDRESS this joins a cluster, which knows its own number of processors.
        ray.init(configure_logging=False, log_to_driver=False, include_dashboard=False)
    ray.data.DataContext.get_current().enable_progress_bars = False  # the caller shows one
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    folder = str(out.resolve())

    def write(row: dict[str, Any]) -> dict[str, Any]:
        chunk = row["item"]
        # In a process of its own: a video that kills it costs that video, not the task.
        rows = make_rows(chunk.videos, options, workers=1)
        write_chunk(Path(folder), chunk, rows, options, file_bytes=file_bytes, advance=lambda _: None)
        return {"videos": len(chunk.videos)}

    work = ray.data.from_items(list(chunks), override_num_blocks=len(chunks))
    done = work.map(write, num_cpus=1, concurrency=workers or None)
    for row in done.iter_rows():
        advance(row["videos"])
