"""Which benchmark and which split an annotation file holds: judged by its content first, by its name second."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from numpro_plugin.benchmarks.annotations import Benchmark, Query


def check_benchmark(path: Path, benchmark: Benchmark, queries: list[Query], others: Collection[Benchmark]) -> None:
    """Refuse the queries of another benchmark, known by the form of its videos' ids, or by its size where both have one kind of file.

    Raises:
        NumProError: every id has the form of another benchmark's, and none of this one's; or the size is another's.
    """
    videos = {query.video for query in queries}
    alike = [other for other in others if other.read_annotations is benchmark.read_annotations and other is not benchmark]
    if not _splits_of_size(benchmark, queries):
        for other in alike:
            if _splits_of_size(other, queries):
                raise NumProError(
                    f"{path}: its {len(queries)} queries are those of {other.title}, not of {benchmark.title}; "
                    f"run: numpro prepare {other.name}"
                )
    if benchmark.video_form is None or any(re.fullmatch(benchmark.video_form, video) for video in videos):
        return
    if any(query.extra.get("saliency_scores") for query in queries):
        return  # scores of clips are QVHighlights' alone, whatever its videos are called
    for other in [*alike, *others]:
        if other.video_form is not None and all(re.fullmatch(other.video_form, video) for video in videos):
            raise NumProError(
                f"{path}: its videos (such as {min(videos)!r}) are those of {other.title}, not of {benchmark.title}; "
                f"run: numpro prepare {other.name}"
            )


def select_split(path: Path, benchmark: Benchmark, queries: list[Query], split: str | None) -> tuple[str, list[Query]]:
    """The split that is prepared, and its queries.

    Args:
        path: the annotation file, for errors and for its name.
        benchmark: whose file it is.
        queries: all that it holds.
        split: that is asked for; None for the one that the file holds, or, of a file with several, the one that is evaluated.

    Raises:
        NumProError: neither content nor name says the split, or the file has none of that split.
    """
    if not any(query.split for query in queries):
        return split or ("test" if benchmark.name == "custom" else split_of(path, benchmark, queries)), queries
    split = split or benchmark.splits[0]
    found = [query for query in queries if query.split == split]
    if not found:
        held = ", ".join(sorted({str(query.split) for query in queries}))
        raise NumProError(f"{path}: has no queries of the split {split!r}; it has: {held}")
    return split, found


def evaluated(path: Path, queries: list[Query]) -> tuple[list[Query], dict[str, int]]:
    """The queries that the benchmark's rules evaluate, and how many they leave out, by reason. Raises NumProError if none is left."""
    left_out = Counter(query.left_out for query in queries if query.left_out)
    kept = [query for query in queries if not query.left_out]
    if not kept:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in left_out.items())
        raise NumProError(f"{path}: the benchmark evaluates none of its {len(queries)} rows ({reasons})")
    return kept, dict(left_out)


def unlike_official(benchmark: Benchmark, split: str, queries: list[Query]) -> str:
    """How a file's size differs from that of the official split; empty if it does not, or the official size is not known."""
    official = benchmark.sizes.get(split)
    if official is None or split in _splits_of_size(benchmark, queries):
        return ""
    sizes = [(len({query.video for query in queries}), len(queries)), official]
    held, known = (
        " and ".join(f"{count} {name}" for count, name in zip(size, ("videos", "queries"), strict=True) if count is not None)
        for size in sizes
    )
    return f"the file holds {held}, the official split {known}"


def split_of(path: Path, benchmark: Benchmark, queries: list[Query]) -> str:
    """The split that an annotation file holds.

    An official split is known by its number of videos and queries. Any other file says in its name which split it is, as a word of
    its own ("latest" does not say "test"). A benchmark with a single split needs neither.

    Raises:
        NumProError: neither says it, or they disagree; ``--split`` does then.
    """
    if len(benchmark.splits) == 1:
        return benchmark.splits[0]
    size = len({query.video for query in queries}), len(queries)
    by_content = _splits_of_size(benchmark, queries)
    name = path.name.lower()
    by_name = [split for split in benchmark.splits if re.search(rf"(?<![a-z0-9]){split}(?![a-z0-9])", name)]
    if by_content and by_name and by_content[0] not in by_name:
        raise NumProError(
            f"{path}: is named {by_name[0]!r}, but its {size[0]} videos and {size[1]} queries are those of {by_content[0]!r}; "
            "choose with --split"
        )
    found = by_content or by_name
    if len(found) == 1:
        return found[0]
    reason = "its name says more than one split" if found else "its name does not say which split it holds"
    raise NumProError(f"{path}: {reason}; choose with --split {{{','.join(benchmark.splits)}}}")


def _splits_of_size(benchmark: Benchmark, queries: list[Query]) -> list[str]:
    """The official splits that have as many videos and queries, as far as their sizes are known."""
    size = len({query.video for query in queries}), len(queries)
    return [
        split
        for split in benchmark.sizes
        if any(
            all(known in (None, count) for known, count in zip(official[split], size, strict=True))
            for official in (benchmark.sizes, benchmark.other_sizes)
            if split in official
        )
    ]
