"""Runs -> files for other programs: CSV, JSON in COCO's layout, FiftyOne's temporal detections, Label Studio's tasks.

All times are seconds of the video file, also where only a part of it was shown to the model.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from numpro_plugin.errors import NumProError
from numpro_plugin.files import check_target, written_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpro_plugin.views.runs import Run, Sample, Span

Format = Literal["csv", "coco", "fiftyone", "labelstudio"]

FORMATS: dict[Format, str] = {"csv": ".csv", "coco": ".json", "fiftyone": ".json", "labelstudio": ".json"}
"""Suffix of the file by format."""

LABEL_STUDIO_FPS = 25
"""Frames a second in which Label Studio's tasks count; the labelling configuration must say the same (``frameRate="$fps"``)."""

_COLUMNS = (
    *("run", "task", "id", "video", "query", "duration_s", "truth_s", "start_s", "end_s", "spans_s"),
    *("highlights", "score", "read", "reason"),
)


def check_format(path: Path, to: Format, name: str = "-o") -> None:
    """Raise NumProError unless the file's suffix is that of the format."""
    if path.suffix.lower() != FORMATS[to]:
        raise NumProError(f"{name} {path}: --to {to} writes a {FORMATS[to]} file; name it {path.with_suffix(FORMATS[to])}")


def write_export(runs: Sequence[Run], path: Path, to: Format) -> int:
    """Write the queries of runs, with truth and answers, in another program's format; returns how many rows, tasks or moments it holds.

    Args:
        runs: as `numpro_plugin.views.runs.read_runs` gives them.
        path: the file to write.
        to: ``csv``, a row a query and run; ``coco``, videos, categories (the queries), annotations (true moments) and predictions;
            ``fiftyone``, a FiftyOneTemporalDetectionDataset's labels; ``labelstudio``, a task a query with truth as annotation and the
            answer of each run as prediction.

    Raises:
        NumProError: a suffix of another format, no sample at all, or, of ``fiftyone``, highlights or two videos that share a name.
    """
    check_format(path, to)
    check_target(path)
    if not any(run.samples for run in runs):
        raise NumProError(f"{', '.join(str(run.log) for run in runs) or 'no run'}: holds no sample to export")
    count, text = {"csv": _csv, "coco": _coco, "fiftyone": _fiftyone, "labelstudio": _label_studio}[to](runs)
    with written_whole(path) as part:
        part.write_bytes(text.encode("utf-8", "backslashreplace"))
    return count


def videos_folder(runs: Sequence[Run]) -> str:
    """The folder below which all videos of the runs lie, as they were logged; FiftyOne's ``data_path``."""
    videos = {_absolute(sample.video) for run in runs for sample in run.samples.values()}
    return os.path.commonpath([os.path.dirname(video) for video in videos])


def _csv(runs: Sequence[Run]) -> tuple[int, str]:
    out = io.StringIO(newline="")
    metrics = list(dict.fromkeys(name for run in runs for sample in run.samples.values() for name in sample.metrics))
    writer = csv.writer(out)
    writer.writerow([*_COLUMNS, *metrics, "answer"])
    count = 0
    for run, sample in _samples(runs):
        span = _shifted(sample, sample.span_s) if sample.span_s else ("", "")
        truth, spans = _listed(sample, sample.truth_s), _listed(sample, sample.spans_s)
        highlights = "; ".join(f"{_at(sample, time_s):g}: {score:g}" for time_s, score in sample.highlights)
        read = "no answer" if sample.failure else "no" if _is_unread(sample) else "yes"
        about = [run.name, run.task, sample.id, sample.video, sample.query, sample.duration_s, truth, *span, spans, highlights]
        values = [sample.metrics.get(name, "") for name in metrics]
        writer.writerow([*about, round(sample.score, 4), read, sample.failure or sample.reason, *values, sample.text])
        count += 1
    return count, out.getvalue()


def _listed(sample: Sample, spans: Sequence[Span]) -> str:
    """All spans in one cell: ``2-4; 7-9.5``."""
    return "; ".join("{:.10g}-{:.10g}".format(*_shifted(sample, span)) for span in spans)


def _coco(runs: Sequence[Run]) -> tuple[int, str]:
    """Ids as in COCO; COCO has no times, so ``segment`` takes the place of ``bbox``: [start, end] in seconds."""
    videos: dict[str, int] = {}
    queries: dict[tuple[str, str], int] = {}
    content: dict[str, list[Any]] = {"videos": [], "categories": [], "annotations": [], "predictions": []}
    for run, sample in _samples(runs):
        if sample.video not in videos:
            videos[sample.video] = len(videos) + 1
            video = {"id": videos[sample.video], "file_name": sample.video, "duration": sample.duration_s}
            content["videos"].append(video)
        is_new = (run.benchmark, sample.id) not in queries
        query = queries.setdefault((run.benchmark, sample.id), len(queries) + 1)
        place = {"video_id": videos[sample.video], "category_id": query}
        if is_new:
            content["categories"].append({"id": query, "name": sample.query, "query_id": sample.id, "supercategory": run.benchmark})
            for span in sample.truth_s:
                content["annotations"].append({"id": len(content["annotations"]) + 1, **place, "segment": list(_shifted(sample, span))})
        for span, score in _predicted(sample):
            content["predictions"].append({**place, "segment": list(span), "score": score, "run": run.name})
    return len(content["annotations"]) + len(content["predictions"]), _json(content)


def _fiftyone(runs: Sequence[Run]) -> tuple[int, str]:
    """The labels of a video under its path below `videos_folder`, without suffix; without ``classes``, labels are texts."""
    if wrong := [run for run in runs if run.kind == "highlight"]:
        raise NumProError(f"{wrong[0].log}: FiftyOne's temporal detections have a start and an end, highlights do not; use --to csv")
    folder = videos_folder(runs)
    names = {sample.video: _name_below(folder, sample.video) for _, sample in _samples(runs)}
    if twice := [name for name, count in Counter(names.values()).items() if count > 1]:
        raise NumProError(
            f"{twice[0]}: two videos have this name and differ in their suffix alone, which FiftyOne does not see; rename one"
        )
    labels: dict[str, list[dict[str, Any]]] = {}
    told: set[tuple[str, str]] = set()
    for run, sample in _samples(runs):
        of_video = labels.setdefault(names[sample.video], [])
        common: dict[str, Any] = {"query_id": sample.id, "task": run.task}
        if (run.benchmark, sample.id) not in told:
            told.add((run.benchmark, sample.id))
            for span in sample.truth_s:
                attributes = {"kind": "truth", **common}
                of_video.append({"label": sample.query, "timestamps": list(_shifted(sample, span)), "attributes": attributes})
        for span, _ in _predicted(sample):
            attributes = {"kind": "answer", "run": run.name, "iou": round(sample.score / 100, 4), **common}
            of_video.append({"label": sample.query, "timestamps": list(span), "attributes": attributes})
    return sum(map(len, labels.values())), _json({"labels": labels})


def _label_studio(runs: Sequence[Run]) -> tuple[int, str]:
    """Regions of TimelineLabels count frames from 1, so a time is the frame that it falls on at `LABEL_STUDIO_FPS`."""
    tasks: dict[tuple[str, str], dict[str, Any]] = {}
    for run, sample in _samples(runs):
        key = (run.benchmark, sample.id)
        if key not in tasks:
            data = {"video": sample.video, "query": sample.query, "query_id": sample.id, "fps": LABEL_STUDIO_FPS}
            truth = [_region("truth", _shifted(sample, span)) for span in sample.truth_s]
            tasks[key] = {"data": data, "annotations": [{"result": truth}] if truth else [], "predictions": []}
        regions = [_region("answer", span) for span, _ in _predicted(sample)]
        tasks[key]["predictions"].append({"model_version": run.name, "score": round(sample.score / 100, 4), "result": regions})
    return len(tasks), _json(list(tasks.values()))


def _region(label: str, span: Span) -> dict[str, Any]:
    first, last = (round(time_s * LABEL_STUDIO_FPS) for time_s in span)
    value = {"ranges": [{"start": first + 1, "end": max(first, last - 1) + 1}], "timelinelabels": [label]}
    return {"type": "timelinelabels", "from_name": "moments", "to_name": "video", "value": value}


def _samples(runs: Sequence[Run]) -> Iterator[tuple[Run, Sample]]:
    return ((run, sample) for run in runs for sample in run.samples.values())


def _predicted(sample: Sample) -> list[tuple[Span, float]]:
    """Spans with their scores: of a moment 1, as it has none; a highlight begins and ends at one time."""
    if sample.spans_s:
        return [(_shifted(sample, span), 1.0) for span in sample.spans_s]
    return [((_at(sample, time_s), _at(sample, time_s)), score) for time_s, score in sample.highlights]


def _shifted(sample: Sample, span: Span) -> Span:
    return _at(sample, span[0]), _at(sample, span[1])


def _at(sample: Sample, time_s: float) -> float:
    """Seconds of the file. An answer may name a number far beyond the video, and JSON has no infinity."""
    return round(max(-1e9, min(1e9, time_s + sample.start_s)), 3)


def _is_unread(sample: Sample) -> bool:
    return sample.metrics.get("parse_fail") == 100


def _absolute(video: str) -> str:
    return os.path.abspath(video)


def _name_below(folder: str, video: str) -> str:
    return Path(_absolute(video)).relative_to(folder).with_suffix("").as_posix()


def _json(content: Any) -> str:
    return json.dumps(content, indent=1) + "\n"
