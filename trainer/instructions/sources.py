"""Readers of training data: instruction files and prepared tables -> videos with what is said about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.table import read_report, sha256_of, table_path
from numpro_plugin.errors import NumProError

from .conversations import BadRow
from .files import instruction_rows
from .tables import table_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conversations import Video
    from .video_files import VideoFiles


@dataclass
class Work:
    """Everything that the inputs ask for."""

    inputs: list[dict[str, Any]] = field(default_factory=list)
    """``file``, ``sha256`` and ``rows`` of each input."""

    videos: list[Video] = field(default_factory=list)
    """In the order in which the inputs first name them."""

    bad_rows: list[BadRow] = field(default_factory=list)


def read_work(inputs: list[str], files: VideoFiles) -> Work:
    """Read all inputs; rows about the same video (or part of it) become one.

    Args:
        inputs: instruction files (``.json``, ``.jsonl``, ``.gz`` may follow), prepared tables (``.parquet``), or names of prepared
            tables (``charades:train``).
        files: where instructions find their videos; tables name theirs.

    Raises:
        NumProError: an input that does not exist or is of another kind, a source for which there is no folder of videos, or
            nothing to do.
    """
    work = Work()
    found: dict[tuple[str, str, float, float | None], Video] = {}
    for one in inputs:
        path, rows = _open(one, files)
        count = 0
        for row in rows:
            count += 1
            if isinstance(row, BadRow):
                work.bad_rows.append(row)
                continue
            key = (row.source, row.name, row.start_s, row.end_s)
            if key in found:
                found[key].conversations.extend(row.conversations)
            else:
                found[key] = row
        work.inputs.append({"file": str(path.resolve()), "sha256": sha256_of(path), "rows": count})
    work.videos = list(found.values())
    if not work.videos:
        why = f"; the first of {len(work.bad_rows)} rows: {work.bad_rows[0].reason}" if work.bad_rows else ""
        raise NumProError(f"{', '.join(inputs)}: no row can be used{why}")
    return work


def _open(name: str, files: VideoFiles) -> tuple[Path, Iterator[Video | BadRow]]:
    benchmark, _, split = name.partition(":")
    if benchmark in BENCHMARKS and not Path(name).exists():
        splits = BENCHMARKS[benchmark].splits
        split = split or ("train" if "train" in splits else splits[0])
        if split == splits[0] and "train" in splits:
            raise NumProError(f"{name}: this split is the one that is evaluated; train on {benchmark}:train (or name the table's file)")
        path = table_path(benchmark, split)
        read_report(path)  # which says how a table that is not there is made
        return path, table_rows(path)
    path = Path(name)
    kind = path.name.removesuffix(".gz")
    if path.is_file() and kind.endswith(".parquet"):
        return path, table_rows(path)
    if kind.endswith((".json", ".jsonl")):
        return path, instruction_rows(path, files)
    tables = ", ".join(f"{key}:train" for key in BENCHMARKS)
    raise NumProError(f"{name}: is neither an instruction file (.json, .jsonl) nor a prepared table (.parquet; {tables})")
