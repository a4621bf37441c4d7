"""lmms-eval's output folders -> runs: the samples of one task each, with the protocol that they were made under."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from numpro_plugin.benchmarks.text_files import read_json, read_jsonl
from numpro_plugin.errors import NumProError
from numpro_plugin.reports.records import failure_of_sample, first_text, id_of
from numpro_plugin.settings import NumProSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Kind = Literal["moment", "highlight"]
Span = tuple[float, float]

_LOG_NAME = re.compile(r"(?:(?P<date>.+?)_)?samples_(?P<task>.+)\.jsonl")
_SECRET = re.compile(r"\b([A-Za-z_]*(?:key|token|secret|password)[A-Za-z_]*=)[^,\s]+", re.IGNORECASE)
_MOST_CHARACTERS = 8000


@dataclass(frozen=True)
class Sample:
    """One query and its answer, as lmms-eval logged it. What an older version did not log is None or empty."""

    id: str
    query: str
    video: str
    """Path or name of the video file."""
    duration_s: float
    truth_s: list[Span]
    """Annotated spans in seconds; of a highlight task the relevant clips, joined where they follow each other."""
    score: float
    """What the sample is ranked by, 0 to 100: IoU of a moment, mAP of a highlight answer."""
    metrics: dict[str, float]
    """All metrics in percent, by name."""
    text: str
    """The model's words."""
    prompt: str
    reason: str
    """How the answer was read, or why it was not."""
    failure: str | None = None
    """Why the request has no answer."""
    spans_s: list[Span] = field(default_factory=list)
    """The predicted moments in seconds: one, or as many as the answer named in a task that asks for all of them."""
    highlights: list[tuple[float, float]] = field(default_factory=list)
    """(seconds, score) of each predicted highlight."""
    saliency: list[float] = field(default_factory=list)
    """Annotated saliency of each clip of two seconds, 0 to 4, the mean of the annotators."""
    settings: NumProSettings | None = None
    numbers: list[int] = field(default_factory=list)
    """Numbers of the frames that were shown."""
    start_s: float = 0.0
    """Only the video from here was used; all other times of the sample count from here."""
    end_s: float | None = None
    """Only the video up to here was used, in seconds of the file."""
    tokens: int | None = None
    """Tokens of the answer."""

    @property
    def span_s(self) -> Span | None:
        """The (first) predicted moment in seconds."""
        return self.spans_s[0] if self.spans_s else None

    @property
    def length_s(self) -> float:
        """Length of what was shown, seconds; 0 where the log does not say it."""
        return self.duration_s if self.start_s else self.end_s or self.duration_s


@dataclass(frozen=True)
class Run:
    """One task's samples of one run of lmms-eval."""

    name: str
    """Short and, among the runs of a report, unique."""
    task: str
    log: Path
    kind: Kind
    samples: dict[str, Sample]
    """By query id."""
    protocol: dict[str, str]
    """What decides the answers, by name, as text; empty without a results file."""
    seconds: float | None = None
    """Wall time of the evaluation (of all of its tasks)."""
    notes: list[str] = field(default_factory=list)
    """What a reader must know: lines that could not be read, repeated queries, a missing results file."""

    @property
    def benchmark(self) -> str:
        """The task's name without ``numpro_`` and without ``_plain``: runs of one benchmark are compared query by query."""
        return self.task.removeprefix("numpro_").removesuffix("_plain")


def read_runs(arguments: Sequence[str]) -> list[Run]:
    """The runs that were named.

    Args:
        arguments: each a folder that lmms-eval wrote with ``--log_samples``, or one of its ``samples_*.jsonl``; ``NAME=PATH`` gives the
            run a name. Of a folder, the newest log of each task is read.

    Raises:
        NumProError: a path that does not exist, or without a log of a NumPro task.
    """
    found = []
    for argument in arguments:
        name, path = _named(argument)
        found += [(name, log) for log in _logs(path)]
    runs = [_read_run(log, name) for name, log in found]
    names = _unique([run.name for run in runs], [(run.task, run.log) for run in runs])
    return [_renamed(run, name) for run, name in zip(runs, names, strict=True)]


def _named(argument: str) -> tuple[str | None, Path]:
    if not Path(argument).exists():
        name, equals, path = argument.partition("=")
        if equals and name and path:
            return name, Path(path)
    return None, Path(argument)


def _logs(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise NumProError(f"{path}: does not exist; give an output folder of lmms-eval (--output_path, with --log_samples)")
    newest: dict[tuple[Path, str], Path] = {}
    for log in sorted(path.rglob("*samples_*.jsonl")):
        if named := _LOG_NAME.fullmatch(log.name):
            newest[log.parent, named["task"]] = log  # names begin with the date, so the last one is the newest
    logs = [log for (_, task), log in newest.items() if task.startswith("numpro_")]
    if not logs:
        others = ", ".join(sorted({task for _, task in newest})) or "none"
        raise NumProError(
            f"{path}: holds no samples of a NumPro task (found: {others}); run lmms-eval with --output_path {path} --log_samples"
        )
    return logs


def _read_run(log: Path, name: str | None) -> Run:
    named = _LOG_NAME.fullmatch(log.name)
    task = named["task"] if named else log.stem
    samples: dict[str, Sample] = {}
    notes: list[str] = []
    kinds: dict[Kind, int] = {}
    repeated = 0
    try:
        for number, row in read_jsonl(log):
            if not isinstance(row.get("numpro"), dict) or "id" not in row["numpro"]:
                raise NumProError(f"{log}:{number}: is not a sample of a NumPro task; give lmms-eval's samples_numpro_*.jsonl")
            try:
                kind, sample = _sample(row)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise NumProError(f"{log}:{number}: is not a sample that can be shown ({type(error).__name__}: {error})") from None
            kinds[kind] = kinds.get(kind, 0) + 1
            repeated += sample.id in samples
            samples.setdefault(sample.id, sample)
    except NumProError as error:
        if not samples or not _is_last_line(log, error):
            raise
        notes.append(f"{log.name}: the last line is incomplete and left out; is the run still being written?")
    if len(kinds) > 1:
        raise NumProError(f"{log}: mixes moments and highlights; give the log of each task by itself")
    if not samples:
        notes.append(f"{log.name}: holds no sample")
    if repeated:
        notes.append(f"{log.name}: {repeated} queries occur more than once; the first of each is shown")
    results = _results(log)
    if results is None:
        notes.append(f"{log.name}: no results file beside it, so the protocol is not known")
        results = {}
    return Run(
        name=name or _run_name(results, task, log),
        task=task,
        log=log,
        kind=next(iter(kinds), "moment"),
        samples=samples,
        protocol=_protocol(results, task),
        seconds=_number(results.get("total_evaluation_time_seconds")),
        notes=notes,
    )


def _sample(row: Mapping[str, Any]) -> tuple[Kind, Sample]:
    logged = row["numpro"]
    kind: Kind = "highlight" if "saliency_scores" in logged or "relevant_clip_ids" in logged else "moment"
    failure = failure_of_sample(row)
    metrics = {k: float(v) for k, v in row.items() if isinstance(v, (int, float)) and not isinstance(v, bool) and k != "doc_id"}
    if failure and metrics.get("request_fail") != 100:
        metrics = {name: 100.0 if name == "request_fail" else 0.0 for name in metrics}
    settings = logged.get("settings")
    fps = float(logged.get("fps") or 0.5)
    tokens = [count.get("output_tokens") for count in row.get("token_counts") or [] if isinstance(count, dict)]
    common: dict[str, Any] = {
        "id": id_of(logged["id"]),
        "query": str(logged.get("query") or ""),
        "video": str(logged.get("video") or ""),
        "duration_s": float(logged.get("duration_s") or 0.0),
        "metrics": metrics,
        "text": (first_text(row.get("filtered_resps"), "filtered_resps") or "")[:_MOST_CHARACTERS],
        "prompt": str(row.get("input") or "")[:_MOST_CHARACTERS],
        "reason": str(logged.get("reason") or ""),
        "failure": failure or (str(logged.get("reason")) if metrics.get("request_fail") == 100 else None),
        "settings": _settings(settings),
        "numbers": [int(number) for number in logged.get("numbers") or []],
        "start_s": _number(logged.get("start_s")) or 0.0,
        "end_s": _number(logged.get("end_s")),
        "tokens": next((int(count) for count in tokens if count is not None), None),
    }
    if kind == "moment":
        iou = 0.0 if failure else 100.0 * float(logged.get("iou") or logged.get("set_iou") or 0.0)
        truth = [_span(one) for one in logged.get("truth_s") or []]
        named = logged.get("spans_s") or [span for span in (logged.get("span_s"),) if span is not None]
        return kind, Sample(**common, truth_s=truth, score=iou, spans_s=[] if failure else [_span(span) for span in named])
    clips = [int(clip) for clip in logged.get("relevant_clip_ids") or []]
    saliency = [0.0] * int(logged.get("clips") or 0)
    for clip, scores in zip(clips, logged.get("saliency_scores") or [], strict=False):
        if 0 <= clip < len(saliency):
            saliency[clip] = sum(map(float, scores)) / max(1, len(scores))
    marks = [(float(f) / fps, float(s)) for f, s in zip(logged.get("frames") or [], logged.get("scores") or [], strict=False)]
    return kind, Sample(
        **common, truth_s=_joined(clips), score=metrics.get("mAP", 0.0), highlights=[] if failure else marks, saliency=saliency
    )


def _settings(values: Any) -> NumProSettings | None:
    """Settings of a log, None if another version wrote what this one does not know."""
    if not isinstance(values, dict):
        return None
    try:
        return NumProSettings.from_dict(values)
    except (NumProError, TypeError):
        return None


def _joined(clips: Sequence[int], clip_s: float = 2.0) -> list[Span]:
    spans: list[Span] = []
    for clip in sorted(clips):
        if spans and spans[-1][1] == clip * clip_s:
            spans[-1] = (spans[-1][0], (clip + 1) * clip_s)
        else:
            spans.append((clip * clip_s, (clip + 1) * clip_s))
    return spans


def _span(value: Any) -> Span:
    start, end = value
    return float(start), float(end)


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def _is_last_line(log: Path, error: NumProError) -> bool:
    """Whether the error is about the last line of the log, which a run that is still writing leaves unfinished."""
    content = log.read_bytes()
    lines = content.count(b"\n") + 1
    return not content.endswith(b"\n") and str(error).startswith(f"{log}:{lines}:")


def _results(log: Path) -> dict[str, Any] | None:
    """The results file of the run that wrote the log."""
    named = _LOG_NAME.fullmatch(log.name)
    date = named["date"] if named else None
    path = log.with_name(f"{date}_results.json" if date else "results.json")
    if not path.is_file():
        return None
    content = read_json(path)
    return content if isinstance(content, dict) else None


def _run_name(results: Mapping[str, Any], task: str, log: Path) -> str:
    config = results.get("config") or {}
    model, arguments = str(config.get("model") or log.parent.name), str(config.get("model_args") or "")
    given = dict(part.split("=", 1) for part in arguments.split(",") if "=" in part)
    for key in ("adapter", "peft", "pretrained", "model_version", "model"):
        if value := given.get(key):
            model = Path(value).name or model
            break
    return f"{model} without numbers" if task.endswith("_plain") else model


def _unique(names: list[str], details: list[tuple[str, Path]]) -> list[str]:
    """Names that tell the runs apart: where several share one, the task or the folder is added if it differs, at last a counter."""
    found = list(names)
    tasks = [task.removeprefix("numpro_") for task, _ in details]
    folders = [log.parent.name for _, log in details]
    for labels in (tasks, folders, [str(k) for k in range(1, len(names) + 1)]):
        differing: dict[str, set[str]] = {}
        for name, label in zip(found, labels, strict=True):
            differing.setdefault(name, set()).add(label)
        found = [f"{name} ({label})" if len(differing[name]) > 1 else name for name, label in zip(found, labels, strict=True)]
    return found


def _renamed(run: Run, name: str) -> Run:
    return replace(run, name=name)


def _protocol(results: Mapping[str, Any], task: str) -> dict[str, str]:
    """What decides the answers, without secrets."""
    config = results.get("config") or {}
    task_config = (results.get("configs") or {}).get(task) or {}
    metadata = task_config.get("metadata")
    numpro = metadata.get("numpro") if isinstance(metadata, dict) else None
    shown: dict[str, Any] = {
        "model": config.get("model"),
        "model_args": config.get("model_args"),
        "gen_kwargs": config.get("gen_kwargs"),
        "generation": task_config.get("generation_kwargs"),
        "batch_size": config.get("batch_size"),
        "limit": config.get("limit"),
        "seed": config.get("random_seed"),
        "date": results.get("date"),
        "lmms_eval": results.get("lmms_eval_version") or results.get("git_hash"),
        **(numpro if isinstance(numpro, dict) else {}),
    }
    return {name: _SECRET.sub(r"\1***", _as_text(value)) for name, value in shown.items() if value not in (None, "", [], {})}


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k}={_as_text(v)}" for k, v in value.items())
    return ", ".join(map(_as_text, value)) if isinstance(value, (list, tuple)) else str(value)
