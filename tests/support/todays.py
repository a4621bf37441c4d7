"""Small annotation files in the layouts of today's benchmarks, made up here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def vue_tr_row(number: int, spans: list[list[float]], modality: str = "vision") -> dict[str, Any]:
    """A row of VUE-TR."""
    about = {"task": "temporal_retrieval", "duration_category": "short", "query_format": "phrase", "query_modality": modality}
    return {"query_id": number, "video_id": "AAAAAAAAAAA", "duration": 60.5, "query": f"a boat {number}", "gt": spans, **about}


def tvgbench_row(answer: str, start: float | None = None, end: float | None = None, **more: Any) -> dict[str, Any]:
    """A row of TVGBench."""
    length = 30.0 if start is None or end is None else end - start
    row = {"path": "./dataset/timer1/videos/tvgbench_data/AAAAA.mp4", "question": "a man sits.", "answer": answer, "start": start}
    return {**row, "end": end, "duration": length, "question_type": "video temporal grounding", "source": "x", "bins": {}, **more}


EGO4D_CLIP = "0a1b2c3d-0000-4000-8000-0123456789ab"
STEPS = [{"segment": [4, 12], "id": 0, "sentence": "chop an onion"}, {"segment": [12, 19], "id": 1, "sentence": "fry it"}]
NLQ = [
    {"clip_start_sec": 4.5, "clip_end_sec": 6.0, "video_start_sec": 104.5, "video_end_sec": 106.0, "query": "Where is the cup?"},
    {"clip_start_sec": 0.0, "clip_end_sec": 0.0, "video_start_sec": 100.0, "video_end_sec": 100.0, "query": None},
]
TODAYS: dict[str, tuple[str, Any]] = {
    "timelens_charades": (
        "charades-timelens.json",
        {"AAAAA": {"duration": 31.0, "spans": [[4, 9.5], [12.0, 20.0]], "queries": ["A man  opens a box.", "He sits down"]}},
    ),
    "timelens_activitynet": (
        "activitynet-timelens.json",
        {"v_AAAAAAAAAAA": {"duration": 60, "spans": [[4, 9]], "queries": ["A dog runs."]}},
    ),
    "timelens_qvhighlights": (
        "qvhighlights-timelens.json",
        {"AAAAAAAAAAA_60.0_210.0": {"duration": 150, "spans": [[4, 9]], "queries": ["A boat."]}},
    ),
    "vue_tr": (
        "VUE-TR_ground_truth.json",
        [vue_tr_row(0, [[4, 8], [20, 24.5]]), vue_tr_row(1, [[1, 2]], "audio"), vue_tr_row(2, [])],
    ),
    "vue_tr_v2": ("VUE-TRv2_ground_truth.json", [vue_tr_row(7, [[4, 8]])]),
    "momentseeker": (
        "t2v.json",
        [
            {"qry_text": "A goal.", "qry_img_path": "", "qry_video_path": "", "src_video_path": "./videos/sport_12.mp4", "task": "Action"}
            | {"answering_time_interval": spans}
            for spans in ([[15.0, 18.0], [40.0, 46.0]], [])
        ],
    ),
    "ego4d_nlq": (
        "nlq_val.json",
        {
            "version": "v2",
            "videos": [
                {
                    "video_uid": "u",
                    "clips": [
                        {
                            **{"clip_uid": EGO4D_CLIP, "video_start_sec": 100.0, "video_end_sec": 580.0},
                            "annotations": [{"annotation_uid": "9f", "language_queries": NLQ}],
                        }
                    ],
                }
            ],
        },
    ),
    "tvgbench": ("tvgbench.json", [tvgbench_row("3.4-8.1"), tvgbench_row("1.0-7.5", 10.25, 22.25)]),
    "tacos": (
        "test.json",
        {
            "s13-d21.avi": {
                "timestamps": [[294, 588], [600, 1470]],
                "sentences": ["He took a knife.", "He cut."],
                "num_frames": 2940,
                "fps": 29.4,
            }
        },
    ),
    "youcook2": (
        "youcookii_annotations_trainval.json",
        {
            "database": {
                "AAAAAAAAAAA": {"subset": "validation", "duration": 30.5, "annotations": STEPS, "recipe_type": "1"},
                "BBBBBBBBBBB": {"subset": "training", "duration": 30.5, "annotations": STEPS[:1], "recipe_type": "1"},
            }
        },
    ),
    "hirest": (
        "all_data_test.json",
        {
            "Make Vegan Gumbo": {"AAAAAAAAAAA.mp4": {"relevant": True, "clip": True, "v_duration": 30.5, "bounds": [5, 21], "steps": []}},
            "Make Lanyards": {"AAAAAAAAAAA.mp4": {"relevant": True, "clip": False, "v_duration": 30.5, "bounds": [0, 0], "steps": []}},
        },
    ),
    "charades_ood": (
        "charades_test_ood.json",
        {
            "AAAAA": {
                **{"timestamps": [[4.0, 12.0]], "sentences": ["a person opens a door."], "video_duration": 30.5},
                **{"framestamps": [[60, 180]], "decode_fps": 15, "video_fps": -1, "encoded_sentences": [[1]]},
            }
        },
    ),
    "rextime": (
        "rextime_val.jsonl",
        [
            {
                "qid": "anet_val1",
                "query": "Why does he run?",
                "duration": 30.5,
                "vid": "v_AAAAAAAAAAA",
                "relevant_windows": [[4, 12]],
                "ans": "A",
            }
        ],
    ),
    "etbench_tvg": (
        "etbench_txt_v1.0.json",
        [
            {
                "version": 1.0,
                "idx": 0,
                "task": "rar",
                "source": "x",
                "video": "x/A.mp4",
                "duration": 9.0,
                "p": 1,
                "o": ["a", "b"],
                "q": "Which?",
            },
            {
                **{"version": 1.0, "idx": 1, "task": "tvg", "source": "charades_sta", "video": "charades_sta/AAAAA.mp4", "duration": 30.5},
                **{
                    "tgt": [4.0, 9.5],
                    "q": "You are given a video about daily activities. Watch the video carefully and find a visual event ",
                },
            },
        ],
    ),
}
"""Name of the official file and what is in it, by benchmark."""
TODAYS["etbench_tvg"][1][1]["q"] += (
    "described by the sentence: 'the man's door opens'. The format of your response should be: 'The event happens in <start time> - <end "
    "time>'. You must represent start and end times in seconds. For example: 'The event happens in 10.2 - 12.8 seconds'."
)


def write_todays(folder: Path) -> dict[str, Path]:
    """One annotation file per benchmark, under the official name, each in a folder of its own."""
    return {name: write_one(folder, name, file, content) for name, (file, content) in TODAYS.items()}


def write_one(folder: Path, name: str, file: str, content: Any) -> Path:
    """A JSON file, or a file of JSON lines."""
    path = folder / name / file
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in content) if file.endswith(".jsonl") else json.dumps(content)
    path.write_text(text)
    return path
