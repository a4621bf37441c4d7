"""Reads training data: instruction files and prepared tables -> videos with their conversations."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.table import read_report, table_path
from numpro_plugin.errors import NumProError
from numpro_plugin.files import sha256_of

from .conversations import BadRow
from .files import instruction_rows
from .merged import MergedVideos
from .tables import table_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conversations import TrainingVideo
    from .video_files import VideoFiles


@dataclass
class TrainingInputs:
    """Everything that is in the inputs."""

    inputs: list[dict[str, Any]] = field(default_factory=list)
    """``file``, ``sha256`` and ``rows`` of each input; a row that lists several events counts as one for each."""

    videos: MergedVideos = field(default_factory=MergedVideos)
    """In the order in which the inputs first name them."""

    bad_rows: list[BadRow] = field(default_factory=list)


def read_inputs(inputs: list[str], files: VideoFiles) -> TrainingInputs:
    """Read all inputs; rows about the same video (or the same part of one) are merged.

    Args:
        inputs: instruction files (``.json`` or ``.jsonl``, also with ``.gz``), prepared tables (``.parquet``), or names of prepared
            tables (``charades:train``).
        files: where the videos of instructions are; tables name their own.

    Raises:
        NumProError: an input is missing or of another kind, a source has no folder of videos, or no row can be used.
    """
    training = TrainingInputs()
    for name in inputs:
        path, rows = _open_input(name, files)
        count = 0
        for row in rows:
            if isinstance(row, BadRow):
                count += 1
                training.bad_rows.append(row)
                continue
            count += len(row.conversations)
            training.videos.add(row)
        training.inputs.append({"file": str(path.resolve()), "sha256": sha256_of(path), "rows": count})
    if not training.videos:
        why = f"; the first of {len(training.bad_rows)} rows: {training.bad_rows[0].reason}" if training.bad_rows else ""
        raise NumProError(f"{', '.join(inputs)}: no row can be used{why}")
    return training


def _open_input(name: str, files: VideoFiles) -> tuple[Path, Iterator[TrainingVideo | BadRow]]:
    benchmark, _, split = name.partition(":")
    if benchmark in BENCHMARKS and not Path(name).exists():
        splits = BENCHMARKS[benchmark].splits
        split = split or ("train" if "train" in splits else splits[0])
        if split == splits[0]:
            other = f"train on {benchmark}:train (or pass" if "train" in splits else "it has none to train on (all the same? Pass"
            raise NumProError(f"{name}: models are evaluated on this split; {other} the file of the table, with --evaluated allow)")
        path = table_path(benchmark, split)
        read_report(path)  # raises with instructions if the table is missing
        return path, table_rows(path)
    path = Path(name)
    kind = path.name.removesuffix(".gz")
    if path.is_file() and kind.endswith(".parquet"):
        return path, table_rows(path)
    if kind.endswith((".json", ".jsonl")):
        return path, instruction_rows(path, files)
    tables = ", ".join(f"{key}:train" for key, benchmark in BENCHMARKS.items() if "train" in benchmark.splits)
    raise NumProError(f"{name}: is neither an instruction file (.json, .jsonl) nor a prepared table (.parquet; {tables})")
