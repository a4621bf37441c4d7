"""Annotations + videos -> the prepared table. Every video is opened once; nothing is left out without being named."""

from __future__ import annotations

import os
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from numpro_plugin import __version__
from numpro_plugin.benchmarks.custom import is_flat_json
from numpro_plugin.benchmarks.custom import read_annotations as read_flat
from numpro_plugin.benchmarks.didemo import read_hashes
from numpro_plugin.benchmarks.table import Report, default_split, read_report, read_rows, table_path, write_table
from numpro_plugin.errors import NumProError
from numpro_plugin.files import sha256_of
from numpro_plugin.video.decoders import DECODERS, decode_everything
from numpro_plugin.video.packets import read_packets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpro_plugin.benchmarks.annotations import Benchmark, Query

VIDEO_SUFFIXES = (
    *(".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".flv", ".3gp", ".3g2", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".ogv"),
)
_SAME_S = 1e-3


def prepare(
    benchmark: Benchmark,
    annotations: str | os.PathLike[str],
    *,
    videos: str | os.PathLike[str] | None = None,
    durations: str | os.PathLike[str] | None = None,
    yfcc_hash: str | os.PathLike[str] | None = None,
    majority: bool = False,
    split: str | None = None,
    out: str | os.PathLike[str] | None = None,
    allow_missing: bool = False,
    progress: bool = True,
) -> tuple[Path, Report]:
    """Write the table of one annotation file.

    Args:
        benchmark: whose official files these are.
        annotations: official annotation file, or the flat JSON list that NumPro's own scripts read.
        videos: folder with the videos (searched with its subfolders); None makes a table without videos, for checks that need no
            pixels, with the lengths of ``durations`` or of the annotations.
        durations: official file with video lengths. Beside ``videos`` lengths are only compared with the real ones.
        yfcc_hash: DiDeMo's ``yfcc100m_hash.txt``, if the videos bear their names in the YFCC100M store.
        majority: of several annotators count the span most of them chose, not the official rule over all of them.
        split: overrides what the annotation file's name says.
        out: folder of tables; default ``$NUMPRO_DATA``, else in the user's cache.
        allow_missing: leave out missing and unreadable videos instead of failing.
        progress: show a progress bar.

    Returns:
        The table's path and the report.

    Raises:
        NumProError: bad annotations, or videos that are missing or unreadable; all of them are listed.
    """
    annotations = Path(annotations)
    queries = _read(benchmark, annotations, yfcc_hash=yfcc_hash, majority=majority)
    lengths = _annotated_lengths(benchmark, queries, durations)
    files = {query.video: query.files or (query.video,) for query in queries}
    report = Report(
        benchmark=benchmark.name,
        split=_checked_split(benchmark, split or benchmark.split_of(annotations)),
        n_expected=len(queries),
        videos_expected=len(files),
        truth="majority" if majority else "official",
        with_videos=videos is not None,
        annotations=str(annotations.resolve()),
        annotations_sha256=sha256_of(annotations),
        numpro_version=__version__,
    )
    if videos is None:
        if not lengths:
            raise NumProError("a table without videos needs the videos' lengths: give --durations FILE, or --videos DIR")
        found = {name: (name, lengths[name]) for name in files if name in lengths}
        report.missing = [name for name in files if name not in lengths]
    else:
        found = _probe_all(files, Path(videos), report, progress=progress)
        report.differing_durations = {
            name: (length, lengths[name])
            for name, (_, length) in found.items()
            if name in lengths and abs(min(length, benchmark.end_s or length) - lengths[name]) > _tolerance_s(benchmark)
        }
    if (report.missing or report.unreadable) and not (allow_missing and found):
        raise NumProError(_complaint(report, videos))
    rows = [_row(query, *found[query.video], benchmark.end_s) for query in queries if query.video in found]
    report.n_used, report.videos_used = len(rows), len(found)
    report.reversed_spans = sum(any(a > b for a, b in row["spans_s"]) for row in rows)
    report.beyond_end = sum(max((max(span) for span in row["spans_s"]), default=0.0) > row["duration_s"] for row in rows)
    return write_table(rows, report, out), report


def _read(benchmark: Benchmark, annotations: Path, *, yfcc_hash: str | os.PathLike[str] | None, majority: bool) -> list[Query]:
    """The queries of an annotation file under the options that change what is looked for or what counts."""
    try:
        queries = (read_flat if is_flat_json(annotations) else benchmark.read_annotations)(annotations)
    except NumProError as error:
        raise NumProError(f"{error}\n{benchmark.title} wants:\n{benchmark.sources}") from error
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
    lengths = {query.video: query.duration_s for query in queries if query.duration_s is not None}
    if durations is None:
        return lengths
    if benchmark.read_durations is None:
        raise NumProError(f"{benchmark.title} has its lengths in the annotations; leave out --durations")
    return lengths | benchmark.read_durations(Path(durations))


def _checked_split(benchmark: Benchmark, split: str) -> str:
    if split not in benchmark.splits:
        raise NumProError(f"{benchmark.title} has no split {split!r}; allowed: {', '.join(benchmark.splits)}")
    return split


def _tolerance_s(benchmark: Benchmark) -> float:
    """DiDeMo's annotations count whole chunks of five seconds, the last of which the video need not fill."""
    return 5.0 if benchmark.end_s else 1.0


def check(benchmark: Benchmark, *, split: str | None = None, out: str | os.PathLike[str] | None = None, progress: bool = True) -> Report:
    """Open every video of a prepared table again and compare lengths.

    Returns:
        The table's report with ``missing``, ``unreadable``, ``damaged`` and ``differing_durations`` as they are now.

    Raises:
        NumProError: there is no table.
    """
    path = table_path(benchmark.name, split or default_split(benchmark), out)
    report = read_report(path)
    if not report.with_videos:
        return report
    expected = {row["video"]: (row["duration_s"], row.get("end_s")) for row in read_rows(path)}
    still_left_out = report.missing + list(report.unreadable)
    report.missing, report.unreadable, report.damaged, report.differing_durations = [], {}, {}, {}
    found: dict[str, tuple[str, float]] = {}
    for video, probed in _probed({video: Path(video) for video in expected}, progress=progress):
        _note(report, video, probed, found)
    for video, (_, length) in found.items():
        was, end_s = expected[video]
        if abs(min(length, end_s or length) - was) > _SAME_S:
            report.differing_durations[video] = length, was
    report.missing = sorted({*report.missing, *still_left_out})
    return report


@dataclass(frozen=True)
class _Probed:
    path: Path
    duration_s: float
    problem: str | None
    damage: str | None


def _probe(path: Path) -> _Probed:
    """Read all packets and decode the first frame."""
    try:
        index = read_packets(path)
        first = np.zeros(1, dtype=np.int64)
        if not any(True for decode in (DECODERS["pyav"], decode_everything) for _ in decode(index, first)):
            return _Probed(path, 0.0, f"{path}: none of its frames can be decoded", None)
        return _Probed(path, index.duration_s, None, index.damage)
    except NumProError as error:
        return _Probed(path, 0.0, str(error), None)
    except Exception as error:  # one odd file among thousands must not end the check of all others: it is listed by name
        return _Probed(path, 0.0, f"{path}: {type(error).__name__}: {error}", None)


def _probed(paths: Mapping[str, Path], *, progress: bool) -> Iterable[tuple[str, _Probed]]:
    # Threads: reading packets and decoding release the interpreter lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(_probe, paths.values())
        yield from tqdm(zip(paths, results, strict=True), total=len(paths), desc="reading videos", unit="video", disable=not progress)


def _probe_all(wanted: Mapping[str, tuple[str, ...]], folder: Path, report: Report, *, progress: bool) -> dict[str, tuple[str, float]]:
    """(path, seconds) by video id; what is missing or unreadable goes into the report."""
    if not folder.is_dir():
        raise NumProError(f"{folder}: is not a folder; --videos takes the folder that holds the video files")
    files = files_by_stem(folder)
    paths = {video: next((files[name] for name in names if name in files), None) for video, names in wanted.items()}
    report.missing = [video for video, path in paths.items() if path is None]
    found: dict[str, tuple[str, float]] = {}
    for name, probed in _probed({video: path for video, path in paths.items() if path is not None}, progress=progress):
        _note(report, name, probed, found)
    return found


def _note(report: Report, name: str, probed: _Probed, found: dict[str, tuple[str, float]]) -> None:
    if not probed.path.exists():
        report.missing.append(name)
    elif probed.problem:
        report.unreadable[str(probed.path)] = probed.problem.removeprefix(f"{probed.path}: ")
    else:
        found[name] = str(probed.path), probed.duration_s
        if probed.damage:
            report.damaged[str(probed.path)] = probed.damage


def files_by_stem(folder: Path) -> dict[str, Path]:
    """Video files by name without extension; of several with one name the likelier format, then the first path."""
    files: dict[str, Path] = {}
    visited: set[str] = set()
    for root, folders, names in os.walk(folder.resolve(), followlinks=True):
        visited.add(os.path.realpath(root))
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(root, name)) not in visited]  # links may go in circles
        for name in names:
            path = Path(root) / name
            if name.startswith("._") or not path.is_file():  # macOS keeps notes about AAAAA.mp4 in ._AAAAA.mp4
                continue
            is_video = path.suffix.lower() in VIDEO_SUFFIXES
            key = path.stem if is_video else name.rstrip(".")  # some of DiDeMo's files have no extension
            if is_video or "." not in key:
                held = files.get(key)
                if held is None or _likelier(path) < _likelier(held):
                    files[key] = path
    return files


def _likelier(path: Path) -> tuple[int, str]:
    suffix = path.suffix.lower()
    return VIDEO_SUFFIXES.index(suffix) if suffix in VIDEO_SUFFIXES else len(VIDEO_SUFFIXES), str(path)


def _row(query: Query, video: str, duration_s: float, end_s: float | None) -> dict[str, Any]:
    row = {
        "id": query.id,
        "video": video,
        "query": query.query,
        "spans_s": [list(span) for span in query.spans_s],
        "duration_s": min(duration_s, end_s or duration_s),
        **query.extra,
    }
    return {**row, "end_s": end_s} if end_s else row


def names_block(names: list[str]) -> str:
    """Every name, several to a line: a whole missing folder stays readable."""
    return textwrap.fill(" ".join(names), width=110, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)


def _complaint(report: Report, videos: str | os.PathLike[str] | None) -> str:
    lines = []
    if report.missing:
        lines.append(
            f"{len(report.missing)} of {report.videos_expected} videos {'are not in ' + str(videos) if videos else 'have no duration'}:"
        )
        lines.append(names_block(report.missing))
    if report.unreadable:
        lines.append(f"{len(report.unreadable)} of {report.videos_expected} videos cannot be read:")
        lines += [f"  {path}: {reason}" for path, reason in report.unreadable.items()]
    lines.append("Nothing was written. Complete the folder, or leave these videos out with --allow-missing (every result then says so).")
    return "\n".join(lines)
