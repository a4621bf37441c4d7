"""`numpro-train shards`: videos and what is said about them -> parquet files that training reads.

The work is cut into units (`units.py`), each a file of its own; rows are made side by side (`workers.py`, or on a cluster,
`ray_engine.py`) and written in order, so the shards of the same inputs are the same however they were made.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from tqdm import tqdm

from numpro_plugin.errors import NumProError

from ..instructions.sources import read_work
from ..instructions.video_files import VideoFiles
from ..shard_format import SHARD_VERSION
from .manifest import claim, write_manifest
from .rows import FrameOptions
from .units import Unit, UnitWriter, read_record, remove_leftovers, units_of
from .workers import default_workers, make_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .rows import MadeRow

Engine = Literal["local", "ray"]


def make_shards(
    inputs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    videos: Mapping[str, str | os.PathLike[str]] | None = None,
    yfcc_hash: str | os.PathLike[str] | None = None,
    options: FrameOptions | None = None,
    rows_per_file: int = 128,
    file_mb: float = 1000,
    shard: tuple[int, int] = (0, 1),
    workers: int | None = None,
    engine: Engine = "local",
    retry_skipped: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Make the shards of some inputs, or what is still missing of them.

    Args:
        inputs: instruction files of NumPro or VTimeLLM, prepared tables, or their names (``charades:train``).
        out: folder of the shards; made if need be.
        videos: folder of videos by source; tables know theirs.
        yfcc_hash: DiDeMo's ``yfcc100m_hash.txt``.
        options: what decides the content of a row.
        rows_per_file: videos per file.
        file_mb: megabytes (10^6) of frames after which a file is closed before it has all of its videos.
        shard: ``(i, n)``: do only every n-th unit, from the i-th. The n jobs together do each unit once.
        workers: processes; None takes one per core, 0 works in this one.
        engine: ``local``, or ``ray`` for Ray Data on this machine or the cluster that Ray is connected to.
        retry_skipped: do those units again of which videos were left out.
        progress: show a progress bar.

    Returns:
        The manifest of the folder, also in ``OUT/manifest.json``.

    Raises:
        NumProError: inputs or options that cannot be used, or a folder that holds other shards.
    """
    options = options or FrameOptions()
    if rows_per_file < 1 or not file_mb > 0:
        raise NumProError(f"a file needs at least one row and more than 0 MB, got rows_per_file={rows_per_file}, file_mb={file_mb}")
    if not 0 <= shard[0] < shard[1]:
        raise NumProError(f"shard {shard[0]}/{shard[1]}: i/n counts from 0 to n - 1")
    if engine not in get_args(Engine):
        raise NumProError(f"engine {engine!r} is unknown; allowed: {', '.join(get_args(Engine))}")
    if workers is not None and workers < 0:
        raise NumProError(f"workers must be 0 (this process) or more, got {workers}")
    work = read_work([os.fspath(one) for one in inputs], VideoFiles(videos or {}, yfcc_hash=yfcc_hash))
    units = units_of(work.videos, rows_per_file)
    folder = Path(out)
    (folder / "units").mkdir(parents=True, exist_ok=True)
    settings = {"shard_version": SHARD_VERSION, **options.to_dict(), "rows_per_file": rows_per_file, "file_mb": file_mb}
    claim(folder, settings, work.inputs)
    own = units[shard[0] :: shard[1]]
    missing = [unit for unit in own if not _is_done(folder, unit, retry_skipped)]
    with tqdm(
        total=sum(len(unit.videos) for unit in own),
        initial=sum(len(unit.videos) for unit in own) - sum(len(unit.videos) for unit in missing),
        desc="making shards",
        unit="video",
        disable=not progress,
    ) as bar:
        file_bytes = int(file_mb * 1e6)
        if engine == "ray":
            from .ray_engine import write_units_on_ray

            write_units_on_ray(folder, missing, options, file_bytes=file_bytes, workers=workers, advance=bar.update)
        else:
            every = (video for unit in missing for video in unit.videos)
            rows = make_rows(every, options, workers=default_workers() if workers is None else workers)
            for unit in missing:
                write_unit(folder, unit, islice(rows, len(unit.videos)), options, file_bytes=file_bytes, advance=bar.update)
    manifest = write_manifest(folder, settings, work, units)
    if manifest["complete"]:
        remove_leftovers(folder)
    return manifest


def write_unit(
    out: Path, unit: Unit, rows: Iterator[MadeRow], options: FrameOptions, *, file_bytes: int, advance: Callable[[int], object]
) -> None:
    """Write the file and the record of one unit from the rows of its videos, in order."""
    writer = UnitWriter(out, unit, options, file_bytes=file_bytes)
    try:
        for video, made in zip(unit.videos, rows, strict=True):
            writer.add(video, made)
            advance(1)
        writer.finish()
    except BaseException:
        writer.discard()
        raise


def _is_done(out: Path, unit: Unit, retry_skipped: bool) -> bool:
    record = read_record(out, unit)
    return record is not None and not (retry_skipped and record["skipped_videos"])
