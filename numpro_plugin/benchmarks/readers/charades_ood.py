"""Charades-STA's splits for generalisation: other lengths and places of moments (Charades-CD), new compositions and words (Charades-CG).

Rules (as Time-R1 and VideoChat-R1 pass the files on):

- ``{video: {"timestamps": [[start, end]], "sentences", "video_duration", "framestamps", "decode_fps", ...}}``. ``timestamps`` are seconds
  and count; ``framestamps`` are the same in frames, and not read. There is no ``duration``.
- R@0.3, 0.5, 0.7 and mIoU, as for Charades-STA.
- Official sizes, in videos and queries: test_ood 1442 and 3375, test_iid 333 and 823, novel_composition 2480 and 3442, novel_word 580 and
  695, test_trivial 1689 and 3096.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpro_plugin.benchmarks.annotations import Benchmark, Query, check_ids
from numpro_plugin.benchmarks.by_video import Keys, queries_by_video
from numpro_plugin.benchmarks.text_files import read_json

if TYPE_CHECKING:
    from pathlib import Path


def read_annotations(path: Path) -> list[Query]:
    """Read one of the five files. Raises NumProError for another kind of file or impossible values; the video is named."""
    return check_ids(path, queries_by_video(path, read_json(path), keys=Keys(duration="video_duration")))


CHARADES_OOD = Benchmark(
    name="charades_ood",
    title="Charades-STA OOD",
    read_annotations=read_annotations,
    splits=("test_ood", "test_iid", "novel_composition", "novel_word", "test_trivial"),
    sizes={
        "test_ood": (1442, 3375),
        "test_iid": (333, 823),
        "novel_composition": (2480, 3442),
        "novel_word": (580, 695),
        "test_trivial": (1689, 3096),
    },
    video_form=r"[A-Z0-9]{5}(\.\w+)?",
    sources="""\
annotations  charades_test_ood.json, charades_test_iid.json, novel_composition.json, novel_word.json, test_trivial.json: with the data of
             VideoChat-R1 (OpenGVLab/VideoChat-R1 on GitHub)
videos       Charades_v1_480.zip on the Charades page of the Allen Institute for AI, as for Charades-STA""",
)
