"""Annotations + videos -> the prepared table. Every video is opened once; nothing is left out without being named."""

from __future__ import annotations

import os
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from numpro_plugin import __version__
from numpro_plugin.benchmarks.table import Report, read_report, read_rows, sha256_of, table_path, write_table
from numpro_plugin.decoders import decode_held, decode_pyav
from numpro_plugin.errors import NumProError
from numpro_plugin.packets import read_packets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpro_plugin.benchmarks.annotations import Benchmark, Query

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".flv", ".3gp", ".mpg", ".mpeg", ".ts", ".wmv")
_DURATION_TOLERANCE_S = 1.0


def prepare(
    benchmark: Benchmark,
    annotations: str | os.PathLike[str],
    *,
    videos: str | os.PathLike[str] | None = None,
    durations: str | os.PathLike[str] | None = None,
    split: str | None = None,
    out: str | os.PathLike[str] | None = None,
    allow_missing: bool = False,
    progress: bool = True,
) -> tuple[Path, Report]:
    """Write the table of one annotation file.

    Args:
        benchmark: whose official files these are.
        annotations: official annotation file.
        videos: folder with the videos (searched with its subfolders); None makes a table without videos, for checks that need no
            pixels, and then takes the lengths from ``durations``.
        durations: official file with video lengths. Beside ``videos`` it is only compared with the real lengths.
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
    queries = benchmark.read_annotations(annotations)
    lengths = benchmark.read_durations(Path(durations)) if durations else {}
    names = list(dict.fromkeys(q.video for q in queries))
    report = Report(
        benchmark=benchmark.name,
        split=split or benchmark.split_of(annotations),
        n_expected=len(queries),
        videos_expected=len(names),
        with_videos=videos is not None,
        annotations=str(annotations.resolve()),
        annotations_sha256=sha256_of(annotations),
        numpro_version=__version__,
    )
    if videos is None:
        if not durations:
            raise NumProError("a table without videos needs the videos' lengths: give --durations FILE, or --videos DIR")
        found = {name: (name, lengths[name]) for name in names if name in lengths}
        report.missing = [name for name in names if name not in lengths]
    else:
        found = _probe_all(names, Path(videos), report, progress=progress)
        report.differing_durations = {
            name: (seconds, lengths[name])
            for name, (_, seconds) in found.items()
            if name in lengths and abs(seconds - lengths[name]) > _DURATION_TOLERANCE_S
        }
    if (report.missing or report.unreadable) and not (allow_missing and found):
        raise NumProError(_complaint(report, videos))
    rows = [_row(q, *found[q.video]) for q in queries if q.video in found]
    report.n_used, report.videos_used = len(rows), len(found)
    report.reversed_spans = sum(any(a > b for a, b in row["spans_s"]) for row in rows)
    report.beyond_end = sum(max(max(span) for span in row["spans_s"]) > row["duration_s"] for row in rows)
    return write_table(rows, report, out), report


def check(benchmark: Benchmark, *, split: str = "test", out: str | os.PathLike[str] | None = None, progress: bool = True) -> Report:
    """Open every video of a prepared table again and compare lengths.

    Returns:
        The table's report with ``missing``, ``unreadable``, ``damaged`` and ``differing_durations`` as they are now.

    Raises:
        NumProError: there is no table.
    """
    path = table_path(benchmark.name, split, out)
    report = read_report(path)
    if not report.with_videos:
        return report
    expected = {row["video"]: row["duration_s"] for row in read_rows(path)}
    still_left_out = report.missing + list(report.unreadable)
    report.missing, report.unreadable, report.damaged = [], {}, {}
    found: dict[str, tuple[str, float]] = {}
    for video, probed in _probed({video: Path(video) for video in expected}, progress=progress):
        _note(report, video, probed, found)
    report.differing_durations = {
        video: (seconds, expected[video]) for video, (_, seconds) in found.items() if abs(seconds - expected[video]) > 1e-3
    }
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
        if not any(True for decode in (decode_pyav, decode_held) for _ in decode(index, first)):
            return _Probed(path, 0.0, f"{path}: none of its frames can be decoded", None)
        return _Probed(path, index.duration_s, None, index.damage)
    except NumProError as error:
        return _Probed(path, 0.0, str(error), None)


def _probed(paths: Mapping[str, Path], *, progress: bool) -> Iterable[tuple[str, _Probed]]:
    # Threads: reading packets and decoding release the interpreter lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(_probe, paths.values())
        yield from tqdm(zip(paths, results, strict=True), total=len(paths), desc="reading videos", unit="video", disable=not progress)


def _probe_all(names: list[str], folder: Path, report: Report, *, progress: bool) -> dict[str, tuple[str, float]]:
    """(path, seconds) by video id; what is missing or unreadable goes into the report."""
    if not folder.is_dir():
        raise NumProError(f"{folder}: is not a folder; --videos takes the folder that holds the video files")
    files = _files_by_stem(folder)
    report.missing = [name for name in names if name not in files]
    found: dict[str, tuple[str, float]] = {}
    for name, probed in _probed({name: files[name] for name in names if name in files}, progress=progress):
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


def _files_by_stem(folder: Path) -> dict[str, Path]:
    """Video files by name without extension; of several with one name the likelier format, then the first path."""
    files: dict[str, Path] = {}
    for root, _, names in os.walk(folder.resolve()):
        for name in names:
            path = Path(root) / name
            if path.suffix.lower() in VIDEO_SUFFIXES:
                held = files.get(path.stem)
                if held is None or _likelier(path) < _likelier(held):
                    files[path.stem] = path
    return files


def _likelier(path: Path) -> tuple[int, str]:
    return VIDEO_SUFFIXES.index(path.suffix.lower()), str(path)


def _row(query: Query, video: str, duration_s: float) -> dict[str, Any]:
    spans = [list(span) for span in query.spans_s]
    return {"id": query.id, "video": video, "query": query.query, "spans_s": spans, "duration_s": duration_s}


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
