"""Annotations + videos -> the prepared table. Every video is opened once; nothing is left out without being named."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin import __version__
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.hub.download import fetched_file, fetched_videos, is_on_hub
from numpro_plugin.benchmarks.problems import problems_path, problems_text, write_problems
from numpro_plugin.benchmarks.readers.didemo import read_hashes
from numpro_plugin.benchmarks.recognise import check_benchmark, evaluated, select_split, unlike_official
from numpro_plugin.benchmarks.table import Report, table_lock, table_path, write_table
from numpro_plugin.benchmarks.video_files import SeveralFiles, VideoFolder
from numpro_plugin.errors import NumProError
from numpro_plugin.files import sha256_of
from numpro_plugin.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpro_plugin.benchmarks.annotations import Benchmark, Query

log = logging.getLogger(__name__)

_MOST_SHOWN = 10


def prepare(
    benchmark: Benchmark,
    annotations: str | os.PathLike[str],
    *,
    videos: str | os.PathLike[str] | None = None,
    durations: str | os.PathLike[str] | None = None,
    yfcc_hash: str | os.PathLike[str] | None = None,
    majority: bool = False,
    split: str | None = None,
    name: str | None = None,
    out: str | os.PathLike[str] | None = None,
    allow_missing: bool = False,
    force: bool = False,
    progress: bool = True,
) -> tuple[Path, Report]:
    """Write the table of one annotation file.

    Args:
        benchmark: whose annotations these are.
        annotations: annotation file, official or in one of the forms in which the field passes it on; or ``hf://datasets/ORG/NAME/PATH``.
        videos: folder with the videos (searched with its subfolders); None makes a table without videos, for checks that need no
            pixels, with the lengths of ``durations`` or of the annotations.
        durations: official file with video lengths. Beside ``videos`` lengths are only compared with the real ones.
        yfcc_hash: DiDeMo's ``yfcc100m_hash.txt``, if the videos have their names in the YFCC100M store.
        majority: of several annotators count the span most of them chose, not the official rule over all of them.
        split: overrides what the annotation file says; ``test`` for one's own queries.
        name: of one of several own sets (``custom`` only); default ``$NUMPRO_CUSTOM``, else the set without a name.
        out: folder of tables; default ``$NUMPRO_DATA``, else in the user's cache.
        allow_missing: leave out missing and unreadable videos instead of failing.
        force: replace an existing table of one's own queries. Tables of benchmarks are always replaced.
        progress: show a progress bar.

    Returns:
        The table's path and the report.

    Raises:
        NumProError: bad annotations, or videos that are missing, unreadable or not unique; the first of them are listed, all of them
            are in a file that the message names. Also if another process is preparing the same table.
    """
    _check_options(benchmark, split, name)
    where = str(annotations) if is_on_hub(annotations) else str(Path(annotations).resolve())
    annotations = fetched_file(where) if is_on_hub(annotations) else Path(annotations)
    held = _read(benchmark, annotations, yfcc_hash=yfcc_hash, majority=majority)
    split, of_split = select_split(annotations, benchmark, held, split)
    queries, left_out = evaluated(annotations, of_split)
    lengths = _annotated_lengths(benchmark, queries, durations)
    path = table_path(benchmark.name, split, out, name=name)
    if benchmark.name == "custom" and path.exists() and not force:
        raise NumProError(f"{path} exists; choose another --name or --split, or replace it with --force")
    if videos is not None and is_on_hub(videos):  # only now: it may take hours, and the annotations are good
        videos = fetched_videos(str(videos), progress=progress)
    with table_lock(path):
        report = _expected(benchmark, split, path, queries, annotations)
        report.truth, report.with_videos = "majority" if majority else "official", videos is not None
        report.annotations, report.left_out = where, left_out
        report.unlike_official = unlike_official(benchmark, split, of_split)
        found = _find_videos(benchmark, queries, lengths, videos, report, progress=progress)
        if (report.missing or report.unreadable) and not (allow_missing and found):
            raise NumProError(_complaint(report, videos, path))
        in_parts = any(query.part_s for query in queries)
        rows = (_row(query, *found[query.video], benchmark.end_s, in_parts) for query in queries if query.video in found)
        report.videos_used = len(found)
        write_table(_counted(rows, report), report, path)
        write_problems(report, path)
    return path, report


def _check_options(benchmark: Benchmark, split: str | None, name: str | None) -> None:
    if split is not None and split not in benchmark.splits:
        raise NumProError(f"{benchmark.title} has no split {split!r}; allowed: {', '.join(benchmark.splits)}")
    if name is not None and benchmark.name != "custom":
        raise NumProError(f"--name {name}: only your own queries have several sets; {benchmark.title} has splits")


def _expected(benchmark: Benchmark, split: str, path: Path, queries: list[Query], annotations: Path) -> Report:
    """The report as far as the annotations alone tell it."""
    return Report(
        benchmark=benchmark.name,
        split=split,
        name=path.parent.name if path.parent.name != benchmark.name else None,
        n_expected=len(queries),
        n_with_spans=sum(bool(query.spans_s or benchmark.set_question) for query in queries),
        videos_expected=len({query.video for query in queries}),
        annotations=str(annotations.resolve()),
        annotations_sha256=sha256_of(annotations),
        numpro_version=__version__,
        reading=benchmark.reading,
    )


def _read(benchmark: Benchmark, annotations: Path, *, yfcc_hash: str | os.PathLike[str] | None, majority: bool) -> list[Query]:
    """The queries of an annotation file under the options that change what is looked for or what counts."""
    try:
        queries = benchmark.read_annotations(annotations)
        check_benchmark(annotations, benchmark, queries, BENCHMARKS.values())
    except NumProError as error:
        raise NumProError(printable(f"{error}\n{benchmark.title} wants:\n{benchmark.sources}")) from error
    has_annotators = any("annotators" in query.extra for query in queries)
    if (majority or yfcc_hash) and not has_annotators:
        raise NumProError(f"--majority and --yfcc-hash are for DiDeMo's annotations, not for {annotations}")
    if majority:
        queries = [replace(query, extra={}) for query in queries]
    if yfcc_hash:
        hashes = read_hashes(Path(yfcc_hash))
        queries = [replace(query, files=(*query.files, *(hashes[name] for name in query.files if name in hashes))) for query in queries]
    return queries


def _annotated_lengths(benchmark: Benchmark, queries: list[Query], durations: str | os.PathLike[str] | None) -> dict[str, float]:
    """Seconds by video, as far as annotations and the official file of lengths say."""
    lengths: dict[str, float] = {}
    for query in queries:
        if query.duration_s is not None and query.part_s is None:
            before = lengths.setdefault(query.video, query.duration_s)
            if durations is None and abs(before - query.duration_s) > _tolerance_s(benchmark):
                log.warning("%s: its rows give it %g and %g seconds; the first counts", printable(query.video), before, query.duration_s)
    if durations is None:
        return lengths
    if benchmark.read_durations is None:
        raise NumProError(f"{benchmark.title} has its lengths in the annotations; leave out --durations")
    official = benchmark.read_durations(Path(durations))
    for video in {query.video for query in queries}:
        key = video if video in official else os.path.splitext(video)[0]
        if key in official:
            lengths[video] = official[key]
    return lengths


def _find_videos(
    benchmark: Benchmark,
    queries: list[Query],
    lengths: Mapping[str, float],
    videos: str | os.PathLike[str] | None,
    report: Report,
    *,
    progress: bool,
) -> dict[str, tuple[str, float]]:
    """(path, seconds) by video; what is missing, unreadable or of another length goes into the report."""
    files = {query.video: query.files or (query.video,) for query in queries}
    if videos is None:
        lengths = {**_ends_of_parts(queries), **lengths}
        if not lengths:
            raise NumProError("a table without videos needs the videos' lengths: give --durations FILE, or --videos DIR")
        report.missing = [video for video in files if video not in lengths]
        return {video: (video, lengths[video]) for video in files if video in lengths}
    from numpro_plugin.benchmarks.probing import probe_videos  # reads videos, which tables without them do not need

    paths = _paths(files, VideoFolder(Path(videos)), report)
    found = probe_videos(paths, report, progress=progress)
    report.differing_durations = {
        video: (length, lengths[video])
        for video, (_, length) in found.items()
        if video in lengths and abs(min(length, benchmark.end_s or length) - lengths[video]) > _tolerance_s(benchmark)
    }
    for query in queries:
        if query.part_s is None or query.video not in found:
            continue
        (start_s, end_s), (path, length) = query.part_s, found[query.video]
        if start_s >= length:
            del found[query.video]
            report.unreadable[path] = f"lasts {length:.2f} s, but a query is about its part from {start_s:.2f} s on"
        elif end_s > length + _tolerance_s(benchmark):
            report.differing_durations[query.video] = length, end_s
    return found


def _ends_of_parts(queries: list[Query]) -> dict[str, float]:
    """How long a video must be at least, of which parts are shown."""
    ends: dict[str, float] = {}
    for query in queries:
        if query.part_s:
            ends[query.video] = max(ends.get(query.video, 0.0), query.part_s[1])
    return ends


def _paths(files: Mapping[str, tuple[str, ...]], folder: VideoFolder, report: Report) -> dict[str, Path]:
    """The file of each video. Raises NumProError if some have several."""
    paths: dict[str, Path] = {}
    ambiguous: list[str] = []
    for video, names in files.items():
        try:
            path = folder.find(names)
        except SeveralFiles as error:
            ambiguous.append(str(error))
            continue
        if path is None:
            report.missing.append(video)
        else:
            paths[video] = path
    if ambiguous:
        more = f"\n  ... and {len(ambiguous) - _MOST_SHOWN} more" if len(ambiguous) > _MOST_SHOWN else ""
        shown = "\n".join(f"  {one}" for one in ambiguous[:_MOST_SHOWN])
        raise NumProError(
            f"{len(ambiguous)} of {len(files)} videos have more than one file in {folder.folder}:\n{shown}{more}\n"
            "Remove all but one, or name the file in the annotations with its extension or its path inside the folder."
        )
    return paths


def _tolerance_s(benchmark: Benchmark) -> float:
    """DiDeMo's annotations count whole chunks of five seconds, and the video may end within the last one."""
    return 5.0 if benchmark.end_s else 1.0


def _row(query: Query, video: str, duration_s: float, end_s: float | None, in_parts: bool) -> dict[str, Any]:
    if in_parts:
        start_s, end_s = query.part_s or (0.0, None)
        part = {"start_s": start_s, "end_s": end_s}
        duration_s = min(duration_s, end_s or duration_s) - start_s
        return {**_row(replace(query, part_s=None), video, duration_s, None, False), **part}
    row = {
        "id": query.id,
        "video": video,
        "query": query.query,
        "spans_s": query.spans_s,
        "duration_s": min(duration_s, end_s or duration_s),
        **query.extra,
    }
    return {**row, "end_s": end_s} if end_s else row


def _counted(rows: Iterator[dict[str, Any]], report: Report) -> Iterator[dict[str, Any]]:
    """The rows, while the report counts what is odd about them."""
    for row in rows:
        report.n_used += 1
        report.reversed_spans += any(start > end for start, end in row["spans_s"])
        report.beyond_end += max((max(span) for span in row["spans_s"]), default=0.0) > row["duration_s"]
        report.starts_beyond_end += any(min(span) >= row["duration_s"] < max(span) for span in row["spans_s"])
        yield row


def _complaint(report: Report, videos: str | os.PathLike[str] | None, table: Path) -> str:
    lines = []
    if report.missing:
        where = f"are not in {videos}" if videos else "have no duration"
        lines.append(f"{len(report.missing)} of {report.videos_expected} videos {where}:\n{problems_text(report.missing)}")
    if report.unreadable:
        entries = [f"{path}: {reason}" for path, reason in report.unreadable.items()]
        lines.append(f"{len(report.unreadable)} of {report.videos_expected} videos cannot be read:\n{problems_text(entries)}")
    if write_problems(report, table):
        lines.append(f"All of them: {problems_path(table)}")
    lines.append("No table was written. Complete the folder, or leave these videos out with --allow-missing (every result then says so).")
    return printable("\n".join(lines))
