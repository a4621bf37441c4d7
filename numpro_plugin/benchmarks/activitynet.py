"""ActivityNet Captions: ``train.json``, ``val_1.json``, ``val_2.json``; every sentence is a query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpro_plugin.benchmarks.annotations import Benchmark, Query, check_ids, check_video_name, read_json, seconds, span, split_in_name
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from pathlib import Path


def read_annotations(path: Path) -> list[Query]:
    """Read an object of ``{video: {"duration", "timestamps": [[start, end]], "sentences": [...]}}``.

    A query's id is ``VIDEO:k`` for the video's k-th sentence, from 0. Blanks around sentences (most have one) are dropped.

    Raises:
        NumProError: another kind of file; the video and sentence are named.
    """
    videos = read_json(path)
    if not isinstance(videos, dict) or not all(isinstance(video, dict) for video in videos.values()):
        raise NumProError(
            f"{path}: is no object of videos with 'duration', 'timestamps' and 'sentences'; use train.json, val_1.json or val_2.json"
        )
    return check_ids(path, [query for name, video in videos.items() for query in _queries(path, name, video)])


def _queries(path: Path, name: str, video: dict[str, Any]) -> list[Query]:
    try:
        if problem := check_video_name(name):
            raise ValueError(problem)
        duration_s, timestamps, sentences = seconds(video["duration"]), video["timestamps"], video["sentences"]
        if len(timestamps) != len(sentences):
            raise ValueError(f"has {len(timestamps)} timestamps but {len(sentences)} sentences")
        return [
            Query(f"{name}:{k}", name, sentence.strip(), (span(time),), duration_s, files=(name, name.removeprefix("v_")))
            for k, (sentence, time) in enumerate(zip(sentences, timestamps, strict=True))
        ]
    except KeyError as error:
        raise NumProError(f"{path}: video {name!r} has no {error}; use train.json, val_1.json or val_2.json as downloaded") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise NumProError(f"{path}: video {name!r}: {error}") from None


ACTIVITYNET = Benchmark(
    name="activitynet",
    title="ActivityNet Captions",
    read_annotations=read_annotations,
    splits=("val_2", "val_1", "train"),
    split_of=split_in_name("val_2", "val_1", "train"),
    sources="""\
annotations  train.json, val_1.json, val_2.json: captions.zip on the Dense-Captioning Events in Videos page (Stanford)
videos       on YouTube; those that are gone are given out by the ActivityNet team on request (form on activity-net.org)""",
)
