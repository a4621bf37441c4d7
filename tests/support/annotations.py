"""Small annotation files in the official formats, made up here."""

from __future__ import annotations

import json
from pathlib import Path

ACTIVITYNET = {
    "v_AAAAAAAAAAA": {"duration": 20.5, "timestamps": [[0, 4.14], [4.14, 21.0]], "sentences": ["A man lifts a bar.", " He puts it down."]},
    "v_BBBBBBBBBBB": {"duration": 10.0, "timestamps": [[2.5, 7.5]], "sentences": [" A dog runs."]},
}
DIDEMO = [
    {
        "annotation_id": 7,
        "video": "111@N01_222_abc.mov",
        "description": "a cat jumps",
        "num_segments": 6,
        "times": [[0, 0], [1, 2], [1, 2], [5, 5]],
        "dl_link": "",
    },
    {
        "annotation_id": 8,
        "video": "111@N01_333_def.",
        "description": "the sea",
        "num_segments": 5,
        "times": [[4, 4], [3, 4], [2, 2], [2, 2]],
        "dl_link": "",
    },
]
QVHIGHLIGHTS = [
    {
        "qid": 11,
        "vid": "vid1_0.0_20.0",
        "query": "A boat on a lake",
        "duration": 20,
        "relevant_windows": [[4, 8], [14, 18]],
        "relevant_clip_ids": [2, 3, 7, 8],
        "saliency_scores": [[4, 3, 4], [2, 2, 1], [4, 4, 4], [0, 1, 2]],
    },
    {
        "qid": 12,
        "vid": "vid1_0.0_20.0",
        "query": "Two men talk",
        "duration": 20,
        "relevant_windows": [[0, 4]],
        "relevant_clip_ids": [0, 1],
        "saliency_scores": [[3, 3, 3], [4, 2, 2]],
    },
]


def write_official(folder: Path) -> dict[str, Path]:
    """One annotation file per benchmark, under the official names."""
    files = {
        "charades": folder / "charades_sta_test.txt",
        "activitynet": folder / "val_2.json",
        "didemo": folder / "test_data.json",
        "qvhighlights": folder / "highlight_val_release.jsonl",
        "custom": folder / "mine.jsonl",
    }
    files["charades"].write_text("AAAAA 4.0 12.0##a person opens a door.\n")
    files["activitynet"].write_text(json.dumps(ACTIVITYNET))
    files["didemo"].write_text(json.dumps(DIDEMO))
    files["qvhighlights"].write_text("".join(json.dumps(row) + "\n" for row in QVHIGHLIGHTS))
    files["custom"].write_text(
        '{"video": "my film.mp4", "query": "a hat", "start_time": 2, "end_time": 6.5}\n{"video": "my film.mp4", "query": "a cat"}\n'
    )
    return files
