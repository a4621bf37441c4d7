"""`numpro-train shards`: videos and their conversations -> parquet files that training reads.

The work is cut into chunks (`chunks.py`), each a file of its own. Rows are made in parallel (`workers.py`, or `ray_engine.py` on a
cluster) and written in order, so the same inputs give the same shards however they were made.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args

from tqdm import tqdm

from numpro_plugin.errors import NumProError
from numpro_plugin.processes import usable_cores

from ..instructions.sources import read_inputs
from ..instructions.video_files import VideoFiles
from ..shard_format import SHARD_VERSION
from .chunks import RECORDS_FOLDER, Chunk, cut_into_chunks, read_chunk_record, write_chunk
from .evaluated import EvaluatedVideos, check_videos, refusal
from .jobs import Job
from .manifest import claim, remove_leftovers, write_manifest
from .rows import FrameOptions
from .workers import make_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..instructions.merged import MergedVideos

Engine = Literal["local", "ray"]
Evaluated = Literal["refuse", "leave-out", "allow"]


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
    evaluated: Evaluated = "refuse",
    progress: bool = True,
) -> dict[str, Any]:
    """Make the shards of the inputs, or what is still missing of them.

    Args:
        inputs: instruction files in one of the layouts of the field (docs/shards.md), prepared tables, or their names (``charades:train``).
        out: folder of the shards; created if it does not exist.
        videos: folder of videos by source, ``any`` for all others; tables name their own videos.
        yfcc_hash: DiDeMo's ``yfcc100m_hash.txt``.
        options: what determines the content of a row.
        rows_per_file: videos per file.
        file_mb: megabytes (10^6 bytes) of frames after which a chunk continues in a further file.
        shard: ``(i, n)``: do only every n-th chunk, starting with the i-th. All n jobs do each chunk once.
        workers: number of processes; None: one per core; 0: work in this process.
        engine: ``local``, or ``ray`` for Ray Data on this machine or the cluster that Ray is connected to.
        retry_skipped: redo the chunks that lack some of their videos.
        evaluated: what becomes of videos that are in a prepared table of a split that is evaluated: they are refused, left out, or allowed.
        progress: show a progress bar.

    Returns:
        The manifest of the folder, also in ``OUT/manifest.json``.

    Raises:
        NumProError: unusable inputs or options, a folder that holds other shards, or one in which another run makes the same files.
    """
    options = options or FrameOptions()
    _check(rows_per_file=rows_per_file, file_mb=file_mb, shard=shard, workers=workers, engine=engine)
    training = read_inputs([os.fspath(one) for one in inputs], VideoFiles(videos or {}, yfcc_hash=yfcc_hash))
    _leave_out_evaluated(training.videos, evaluated)
    chunks = cut_into_chunks(training.videos, rows_per_file)
    folder = Path(out)
    (folder / RECORDS_FOLDER).mkdir(parents=True, exist_ok=True)
    settings = {"shard_version": SHARD_VERSION, **options.to_dict(), "rows_per_file": rows_per_file, "file_mb": file_mb}
    with Job(folder, shard, len(chunks)) as job:
        settings = claim(folder, settings, training.inputs)
        own = chunks[shard[0] :: shard[1]]
        missing = [chunk for chunk in own if not _is_done(folder, chunk, retry_skipped)]
        with _progress_bar(own, missing, shown=progress) as bar:
            _write(folder, missing, options, file_bytes=int(file_mb * 1e6), workers=workers, engine=engine, advance=bar.update)
        manifest = write_manifest(folder, settings, training, chunks)
        if manifest["complete"] and job.is_alone():
            remove_leftovers(folder)
    return manifest


def _check(*, rows_per_file: int, file_mb: float, shard: tuple[int, int], workers: int | None, engine: str) -> None:
    if rows_per_file < 1 or not file_mb > 0:
        raise NumProError(f"a file needs at least one row and more than 0 MB; got rows_per_file={rows_per_file}, file_mb={file_mb}")
    if not 0 <= shard[0] < shard[1]:
        raise NumProError(f"shard {shard[0]}/{shard[1]}: i of i/n must be 0 to n - 1")
    if engine not in get_args(Engine):
        raise NumProError(f"engine {engine!r} is unknown; allowed: {', '.join(get_args(Engine))}")
    if workers is not None and workers < 0:
        raise NumProError(f"workers must be 0 (this process) or more, got {workers}")


def _leave_out_evaluated(videos: MergedVideos, evaluated: Evaluated) -> None:
    """Mark the videos that are evaluated as left out. Raises NumProError if there are some and they are to be refused."""
    if evaluated not in get_args(Evaluated):
        raise NumProError(f"evaluated={evaluated!r} is unknown; allowed: {', '.join(get_args(Evaluated))}")
    found = check_videos(videos, EvaluatedVideos.of_tables()) if evaluated != "allow" else {}
    if found and evaluated == "refuse":
        raise refusal(videos, found)
    for position, table in found.items():
        videos.leave_out(position, f"is evaluated in {table}")


def _progress_bar(own: Sequence[Chunk], missing: Sequence[Chunk], *, shown: bool) -> tqdm[NoReturn]:
    """Over the videos of this run's chunks; those that are done count from the start."""
    total, left = (sum(len(chunk.videos) for chunk in chunks) for chunks in (own, missing))
    return tqdm(total=total, initial=total - left, desc="making shards", unit="video", disable=not shown)


def _write(
    folder: Path,
    chunks: Sequence[Chunk],
    options: FrameOptions,
    *,
    file_bytes: int,
    workers: int | None,
    engine: Engine,
    advance: Callable[[int], object],
) -> None:
    if engine == "ray":
        from .ray_engine import write_chunks_on_ray

        write_chunks_on_ray(folder, chunks, options, file_bytes=file_bytes, workers=workers, advance=advance)
        return
    videos_to_read = (video for chunk in chunks for video in chunk.videos)
    rows = make_rows(videos_to_read, options, workers=usable_cores() if workers is None else workers)
    for chunk in chunks:
        write_chunk(folder, chunk, islice(rows, len(chunk.videos)), options, file_bytes=file_bytes, advance=advance)


def _is_done(out: Path, chunk: Chunk, retry_skipped: bool) -> bool:
    record = read_chunk_record(out, chunk)
    return record is not None and not (retry_skipped and record["skipped_videos"])
