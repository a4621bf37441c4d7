"""Prepared tables (`numpro prepare`) as training data: questions and answers in the wording of evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.table import read_report
from numpro_plugin.errors import NumProError
from numpro_plugin.prompts import highlight_prompt, moment_prompt

from .conversations import BadRow, Conversation, Highlights, Part, RowError, TrainingVideo, TurnTemplate, moment_answer

if TYPE_CHECKING:
    from collections.abc import Iterator


def table_rows(path: Path) -> Iterator[TrainingVideo | BadRow]:
    """Each row of a table as a video with one conversation, or the reason why it cannot be used.

    Moments are asked for and answered as in NumPro ("From Frame x to Frame y."); QVHighlights becomes highlight detection.

    Raises:
        NumProError: the parquet file is not a prepared table, or the table was made without videos.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        if missing := {"id", "video", "query", "spans_s", "duration_s"} - set(file.schema_arrow.names):
            raise NumProError(
                f"{path}: is not a prepared table (columns {', '.join(sorted(missing))} are missing); see `numpro prepare --help`"
            )
        source = read_report(path).benchmark if path.with_suffix(".json").exists() else path.parent.name
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                yield _read_table_row(source, f"{source}/{path.name} {row['id']}", row)


def _read_table_row(source: str, where: str, row: dict[str, Any]) -> TrainingVideo | BadRow:
    path = Path(row["video"])
    if not path.is_absolute():
        raise NumProError(f"{where}: the table was made without videos; run `numpro prepare` again with --videos DIR")
    try:
        question, answer = _highlight_texts(row) if row.get("saliency_scores") is not None else _moment_texts(row)
    except ValueError as error:
        return BadRow(source, where, path.stem, str(error))
    return TrainingVideo(
        source=source,
        name=path.stem if row.get("start_s") is None or row["end_s"] is None else f"{path.stem}@{row['start_s']:g}-{row['end_s']:g}",
        path=str(path),
        start_s=row.get("start_s") or 0.0,
        end_s=row.get("end_s"),
        annotated_s=row["duration_s"],
        conversations=[Conversation(where, (TurnTemplate("user", (question,)), TurnTemplate("assistant", answer)))],
    )


def _moment_texts(row: dict[str, Any]) -> tuple[str, tuple[Part, ...]]:
    if len(row["spans_s"]) != 1:
        raise RowError(f"has {len(row['spans_s'])} spans; the answer 'From Frame x to Frame y.' has room for one")
    return moment_prompt(row["query"]), moment_answer(*row["spans_s"][0])


def _highlight_texts(row: dict[str, Any]) -> tuple[str, tuple[Part, ...]]:
    # Annotators score 0 to 4, the prompt asks for 1 to 5.
    scores = tuple(round(sum(three) / len(three) + 1, 1) for three in row["saliency_scores"])
    return highlight_prompt(row["query"], kind="ft"), (Highlights(tuple(row["relevant_clip_ids"]), scores),)
