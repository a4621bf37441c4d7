"""``manifest.json``: what went into the shards of a folder, what is in them, and what was left out and why."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from numpro_plugin import __version__
from numpro_plugin.errors import NumProError
from numpro_plugin.files import write_text_whole

from ..instructions.conversations import AFTER_LAST
from ..shard_format import READABLE_VERSIONS
from .chunks import RECORDS_FOLDER, Chunk, ChunkRecord, read_chunk_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from ..instructions.conversations import BadRow
    from ..instructions.sources import TrainingInputs

MANIFEST = "manifest.json"
_COUNTS = (
    *("rows_in", "videos_in", "rows_written", "conversations", "answers_with_spans", "frames", "thinned"),
    *("spans_beyond_end", "past_last", "rows_unsure"),
)
_LISTS = ("skipped_videos", "warnings", "other_lengths", "files")
_EXAMPLES = 20  # texts with unclear digits that the manifest quotes per source


def claim(out: Path, settings: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Write a folder's first manifest, or check that its manifest fits, so that shards of two kinds never mix.

    Returns:
        The settings of the folder: those given, but with the version of the shards that are there. Complete shards of an earlier version
        stay as they are.

    Raises:
        NumProError: the folder holds shards made with other settings or from other inputs, or parquet files without a manifest.
    """
    path = out / MANIFEST
    if not path.exists():
        if strange := next(out.glob("*.parquet"), None):
            raise NumProError(f"{strange.name} is in {out}, but no {MANIFEST} that says how it was made; choose an empty folder")
        write_text_whole(path, json.dumps({"settings": dict(settings), "inputs": list(inputs), "complete": False}, indent=1) + "\n")
        return dict(settings)
    before = read_manifest(out)
    if before.get("complete") and before["settings"].get("shard_version") in READABLE_VERSIONS:
        settings = {**settings, "shard_version": before["settings"]["shard_version"]}
    for what, then, now in _differences(before, settings, inputs):
        raise NumProError(f"{out} holds shards made with {what} {then}, now it is {now}; choose another folder, or empty this one")
    return dict(settings)


def read_manifest(out: Path) -> dict[str, Any]:
    """The manifest of a folder of shards. Raises NumProError if it is missing or unreadable."""
    path = out / MANIFEST
    try:
        manifest = json.loads(path.read_text())
        manifest["settings"], manifest["inputs"]
    except FileNotFoundError:
        raise NumProError(f"{out}: has no {MANIFEST}; is it a folder of `numpro-train shards`?") from None
    except (ValueError, KeyError, TypeError) as error:
        raise NumProError(f"{path}: cannot be read ({error}); choose another folder, or empty this one") from None
    return manifest


def _differences(
    before: Mapping[str, Any], settings: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]
) -> Iterable[tuple[str, object, object]]:
    then = before["settings"]
    for key in sorted({*then, *settings}):
        if then.get(key) != settings.get(key):
            yield key, then.get(key), settings.get(key)
    hashes = [one["sha256"] for one in before["inputs"]], [one["sha256"] for one in inputs]
    if hashes[0] != hashes[1]:
        names = [", ".join(one["file"] for one in side) for side in (before["inputs"], inputs)]
        yield "inputs", names[0], f"{names[1]}{' (changed since)' if names[0] == names[1] else ''}"


def write_manifest(out: Path, settings: Mapping[str, Any], training: TrainingInputs, chunks: Sequence[Chunk]) -> dict[str, Any]:
    """Sum up the records of all chunks that are done, whichever job did them. Returns the manifest."""
    while True:
        records = {chunk.name: record for chunk in chunks if (record := read_chunk_record(out, chunk)) is not None}
        manifest = {
            "numpro_version": __version__,
            "settings": dict(settings),
            "inputs": training.inputs,
            "complete": len(records) == len(chunks),
            "units": {"done": len(records), "all": len(chunks)},
            "sources": _sources(records.values(), training.bad_rows),
        }
        write_text_whole(out / MANIFEST, json.dumps(manifest, indent=1) + "\n")
        # Another job may have finished in the meantime and written its manifest before this one: look again.
        if sum(read_chunk_record(out, chunk) is not None for chunk in chunks) == len(records):
            return manifest


def _sources(records: Iterable[ChunkRecord], bad_rows: Sequence[BadRow]) -> dict[str, dict[str, Any]]:
    sources: dict[str, dict[str, Any]] = {}
    for bad in bad_rows:
        one = _source(sources, bad.source)
        one["rows_in"] += 1
        one["skipped_rows"].append({"row": bad.row, "video": bad.video, "reason": bad.reason})
    for record in records:
        one = _source(sources, record["source"])
        for key in _COUNTS:
            one[key] += record.get(key, 0)  # earlier releases counted less
        for key in _LISTS:
            one[key].update(record[key])
        one["skipped_rows"] += record["skipped_rows"]
        for remark, count in record.get("remarks", {}).items():
            one["remarks"][remark] = one["remarks"].get(remark, 0) + count
        one["unsure"] = (one["unsure"] + record["unsure"])[:_EXAMPLES]
    for one in sources.values():
        one["rows_skipped"] = one["rows_in"] - one["conversations"]
    return dict(sorted(sources.items()))


def _source(sources: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    empty = {**dict.fromkeys(_COUNTS, 0), "rows_skipped": 0, **{key: {} for key in _LISTS}, "remarks": {}, "skipped_rows": [], "unsure": []}
    return sources.setdefault(name, empty)


def report(manifest: Mapping[str, Any], out: Path) -> str:
    """A manifest as text for people."""
    lines = []
    for name, one in manifest["sources"].items():
        videos = f"{one['rows_written']} of {one['videos_in']} videos, {one['frames']} frames"
        lines.append(f"{name}: {one['conversations']} of {one['rows_in']} rows in {videos}")
        lines += [f"  {text}: {one[key]}" for key, text in _COUNT_TITLES.items() if one[key]]
        lines += [f"  {title}: {len(one[key])}" for key, title in _LIST_TITLES.items() if one[key]]
        lines += [f"  {remark}: {count}" for remark, count in sorted(one["remarks"].items())]
        for reason, count in reasons(one).most_common(_MOST_REASONS):
            lines.append(f"  left out, {reason}: {count}")
    done = "complete" if manifest["complete"] else f"{manifest['units']['done']} of {manifest['units']['all']} files so far"
    return "\n".join([*lines, f"{out}: {done}; {out / MANIFEST} names every video and row that was left out"])


_COUNT_TITLES = {
    "thinned": "videos with more numbers than frames",
    "spans_beyond_end": "times after their video's end (normal; they became its last number)",
    "past_last": "frame numbers just past the last one (replaced by it)",
    "rows_unsure": "rows with digits that may or may not be frame numbers or times (left as they are)",
}
_LIST_TITLES = {"warnings": "videos read with a warning", "other_lengths": "videos of another length than annotated"}
_MOST_REASONS = 5


def reasons(source: Mapping[str, Any]) -> Counter[str]:
    """How many rows of a source were left out for each reason; numbers and names in which reasons differ are removed."""
    found: Counter[str] = Counter()
    for one in source["skipped_rows"]:
        found[_general(one["reason"])] += 1
    for one in source["skipped_videos"].values():
        if one["rows"]:
            found[_general(one["reason"])] += one["rows"]
    return found


def _general(reason: str) -> str:
    """A reason without what is particular to one video."""
    return re.sub(r"\d+(?:\.\d+)?", "N", re.sub(r"^(?:/|[A-Za-z]:\\).*?: ", "", reason))


def too_many_skipped(manifest: Mapping[str, Any], allowed: float) -> str | None:
    """An error text if any source lost more than the allowed fraction of its rows, else None."""
    found = []
    past_by_one = 0
    for name, one in manifest["sources"].items():
        if one["rows_in"] and one["rows_skipped"] > allowed * one["rows_in"]:
            percent = 100 * one["rows_skipped"] / one["rows_in"]
            found.append(f"{name}: {one['rows_skipped']} of {one['rows_in']} rows ({percent:.1f} %) are left out")
            past_by_one += sum(count for reason, count in reasons(one).items() if reason.startswith(AFTER_LAST))
    if not found:
        return None
    if past_by_one:
        found.append(
            f"{past_by_one} of these only name the number after a video's last (its end, rounded up): --past-last 1 replaces it by the last"
        )
    found.append("the shards are written")
    return f"{'; '.join(found)}: complete the videos and add --retry-skipped, or accept it with --allow-skipped FRACTION (now {allowed:g})"


def remove_leftovers(out: Path) -> None:
    """Remove the unfinished files of killed runs. Only safe when no other run is at work in the folder."""
    for left in [*out.glob(".*-of-*.part"), *out.glob(f".{MANIFEST}.*.part"), *(out / RECORDS_FOLDER).glob(".*.part")]:
        left.unlink(missing_ok=True)
