"""Which benchmark and which split an annotation file holds: judged by its content first, by its name second."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from numpro_plugin.benchmarks.annotations import Benchmark, Query


def check_benchmark(path: Path, benchmark: Benchmark, queries: list[Query], others: Collection[Benchmark]) -> None:
    """Refuse the queries of another benchmark, which is known by the form of its videos' ids.

    Raises:
        NumProError: every id has the form of another benchmark's, and none of this one's.
    """
    videos = {query.video for query in queries}
    if benchmark.video_form is None or any(re.fullmatch(benchmark.video_form, video) for video in videos):
        return
    if any(query.extra.get("saliency_scores") for query in queries):
        return  # scores of clips are QVHighlights' alone, whatever its videos are called
    for other in others:
        if other.video_form is not None and all(re.fullmatch(other.video_form, video) for video in videos):
            raise NumProError(
                f"{path}: its videos (such as {min(videos)!r}) are those of {other.title}, not of {benchmark.title}; "
                f"run: numpro prepare {other.name}"
            )


def split_of(path: Path, benchmark: Benchmark, queries: list[Query]) -> str:
    """The split that an annotation file holds.

    An official split is known by its number of videos and queries. Any other file says in its name which split it is, as a word of
    its own ("latest" does not say "test").

    Raises:
        NumProError: neither says it, or they disagree; ``--split`` does then.
    """
    size = len({query.video for query in queries}), len(queries)
    by_content = [split for split, official in benchmark.sizes.items() if official == size]
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
