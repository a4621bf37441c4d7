"""QVHighlights: ``highlight_{train,val}_release.jsonl``; several windows a query, and saliency scores for clips of two seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import LONGEST_S, Benchmark, Query, check_ids, duration, plain_text, query_id, spans, video_name
from numpro_plugin.benchmarks.by_video import file_names
from numpro_plugin.benchmarks.rows import queries_of_rows, rows_of_list
from numpro_plugin.benchmarks.text_files import file_kind, read_json, read_jsonl
from numpro_plugin.errors import NumProError
from numpro_plugin.metrics.highlights import CLIP_S, clip_count

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_EXPECTED = "use highlight_train_release.jsonl or highlight_val_release.jsonl"
_KEYS = ("qid", "vid", "query", "duration", "relevant_windows")
_SALIENCY = ("relevant_clip_ids", "saliency_scores")
_HIGHEST_SCORE = 4


def read_annotations(path: Path) -> list[Query]:
    """Read one JSON object a line with ``qid, vid, query, duration, relevant_windows, relevant_clip_ids, saliency_scores``.

    The last two may be missing in all rows, as in files of windows alone (lighthouse, UniVTG): the table then has no highlights.

    Raises:
        NumProError: another kind of file (the official test file without annotations is), with the line.
    """
    if file_kind(path) != "json":
        rows = read_jsonl(path)
    else:
        content = read_json(path)
        flat = isinstance(content, list) and content and isinstance(content[0], dict) and "start_time" in content[0]
        rows = iter(rows_of_list(path, content))
        if flat:
            return check_ids(path, queries_of_rows(path, rows, only_known=False, spans_needed=True))
    queries = [_query(path, number, row) for number, row in rows]
    with_saliency = sum(bool(query.extra) for query in queries)
    if 0 < with_saliency < len(queries):
        raise NumProError(f"{path}: only {with_saliency} of {len(queries)} rows have saliency scores; give them to all rows or to none")
    return check_ids(path, queries)


def _query(path: Path, number: int, row: dict[str, Any]) -> Query:
    has_saliency = any(key in row for key in _SALIENCY)
    needed = (*_KEYS, *_SALIENCY) if has_saliency or "relevant_windows" not in row else _KEYS
    if missing := [key for key in needed if key not in row]:
        raise NumProError(f"{path}:{number}: has no {', '.join(missing)}; {_EXPECTED}")
    try:
        name, duration_s = video_name(row["vid"]), duration(row["duration"])
        windows = spans(row["relevant_windows"])
        if not windows:
            raise ValueError("has no relevant window")
        return Query(
            id=query_id(row["qid"]),
            video=name,
            query=plain_text(row["query"], "query").strip(),
            spans_s=windows,
            duration_s=duration_s,
            files=file_names(name),
            extra=saliency_columns(row, clip_count(duration_s)) if has_saliency else {},
        )
    except ValueError as error:
        raise NumProError(f"{path}:{number}: qid {row['qid']!r}: {error}") from None


def saliency_columns(row: Mapping[str, Any], clips: Any) -> dict[str, Any]:
    """The columns of highlights from ``relevant_clip_ids`` and ``saliency_scores``.

    Args:
        row: of an annotation file, or of a log.
        clips: how many clips the video has.

    Raises:
        ValueError: an impossible number of clips, clips outside the video, or anything but three scores 0 to 4 a clip.
    """
    if not _is_integer(clips, LONGEST_S // CLIP_S):
        raise ValueError(f"the number of clips must be a whole number up to {LONGEST_S // CLIP_S:,.0f}, got {clips!r}")
    relevant, scores = row["relevant_clip_ids"], row["saliency_scores"]
    if not isinstance(relevant, list) or not isinstance(scores, list):
        raise ValueError("relevant_clip_ids and saliency_scores must be lists")
    if len(relevant) != len(scores) or any(not isinstance(three, list) or len(three) != 3 for three in scores):
        raise ValueError(f"has {len(relevant)} relevant clips but not as many triples of saliency scores ({len(scores)} entries)")
    if any(not _is_integer(clip, clips - 1) for clip in relevant):
        raise ValueError(f"has relevant clips outside 0 to {clips - 1}")
    if len(set(relevant)) < len(relevant):
        raise ValueError("names a relevant clip twice")
    if any(not _is_integer(score, _HIGHEST_SCORE) for three in scores for score in three):
        raise ValueError(f"has saliency scores other than whole numbers from 0 to {_HIGHEST_SCORE}")
    return {"clips": clips, "relevant_clip_ids": relevant, "saliency_scores": scores}


def _is_integer(value: Any, highest: float) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= highest


QVHIGHLIGHTS = Benchmark(
    name="qvhighlights",
    title="QVHighlights",
    read_annotations=read_annotations,
    splits=("val", "train", "test"),
    sizes={"val": (1519, 1550), "train": (7100, 7218), "test": (1529, 1542)},
    video_form=r".+_\d+(\.\d+)?_\d+(\.\d+)?",
    sources="""\
annotations  highlight_val_release.jsonl, highlight_train_release.jsonl: folder data of repository jayleicn/moment_detr on GitHub
             (the test split has no public annotations there; licence CC BY-NC-SA 4.0)
videos       qvhilights_videos.tar.gz at nlp.cs.unc.edu/data/jielei/qvh/: clips of 150 s, named by vid (the link to ready-made
             features in that repository is dead; they are not needed here)""",
)
