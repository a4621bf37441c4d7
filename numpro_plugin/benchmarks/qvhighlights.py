"""QVHighlights: ``highlight_{train,val}_release.jsonl``; several windows a query, and saliency scores for clips of two seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import Benchmark, Query, check_ids, check_video_name, read_jsonl, seconds, span, split_in_name
from numpro_plugin.errors import NumProError
from numpro_plugin.metrics.highlights import clip_count

if TYPE_CHECKING:
    from pathlib import Path

_EXPECTED = "use highlight_train_release.jsonl or highlight_val_release.jsonl"
_KEYS = ("qid", "vid", "query", "duration", "relevant_windows", "relevant_clip_ids", "saliency_scores")


def read_annotations(path: Path) -> list[Query]:
    """Read one JSON object a line with ``qid, vid, query, duration, relevant_windows, relevant_clip_ids, saliency_scores``.

    Raises:
        NumProError: another kind of file (the official test file without annotations is), with the line.
    """
    return check_ids(path, [_query(path, number, row) for number, row in read_jsonl(path)])


def _query(path: Path, number: int, row: dict[str, Any]) -> Query:
    if missing := [key for key in _KEYS if key not in row]:
        raise NumProError(f"{path}:{number}: has no {', '.join(missing)}; {_EXPECTED}")
    try:
        name, duration_s = row["vid"], seconds(row["duration"])
        clips, scores = list(row["relevant_clip_ids"]), [list(three) for three in row["saliency_scores"]]
        if problem := check_video_name(name):
            raise ValueError(problem)
        if len(clips) != len(scores) or any(len(three) != 3 for three in scores):
            raise ValueError(f"has {len(clips)} relevant clips but {len(scores)} triples of saliency scores")
        if any(not 0 <= clip < clip_count(duration_s) for clip in clips):
            raise ValueError(f"has relevant clips outside 0 to {clip_count(duration_s) - 1}")
        return Query(
            id=str(row["qid"]),
            video=name,
            query=row["query"],
            spans_s=tuple(span(window) for window in row["relevant_windows"]),
            duration_s=duration_s,
            files=(name, f"v_{name}"),
            extra={"clips": clip_count(duration_s), "relevant_clip_ids": clips, "saliency_scores": scores},
        )
    except (ValueError, TypeError) as error:
        raise NumProError(f"{path}:{number}: qid {row['qid']}: {error}") from None


QVHIGHLIGHTS = Benchmark(
    name="qvhighlights",
    title="QVHighlights",
    read_annotations=read_annotations,
    splits=("val", "train", "test"),
    split_of=split_in_name("val", "train", "test"),
    sources="""\
annotations  highlight_val_release.jsonl, highlight_train_release.jsonl: folder data of repository jayleicn/moment_detr on GitHub
             (the test split has no public annotations there; licence CC BY-NC-SA 4.0)
videos       qvhilights_videos.tar.gz at nlp.cs.unc.edu/data/jielei/qvh/: clips of 150 s, named by vid (the link to ready-made
             features in that repository is dead; they are not needed here)""",
)
