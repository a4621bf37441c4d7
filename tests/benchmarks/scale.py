"""Time and memory by number of rows: 2,000, 20,000 and 200,000 queries through each command that needs no model.

    OMP_NUM_THREADS=1 python tests/benchmarks/scale.py                       # everything; writes about 5 GB of made-up files
    OMP_NUM_THREADS=1 python tests/benchmarks/scale.py --only prepare score --rows 2000 20000 --json figures.json

Every command runs in a process of its own. Printed are its CPU seconds (user and system), its peak memory, and the *slope*: the exponent
of growth from the size before. 1 means that ten times the rows take ten times as long.

    prepare          JSON lines -> a table without videos; prepare-csv the same from CSV
    prepare-videos   a table of videos, 20 queries each: every video is opened
    check            that table, every video opened again
    ceiling          of the table without videos
    score            NumPro's JSON list, answers of 2,000 characters
    compare          two of lmms-eval's sample logs of 5,000 bytes a sample: 200,000 rows are 1 GB each
    inputs           what `numpro-train shards` reads before it opens a video: InternVid rows, each about another video
    index            what training reads of shards before it starts; a row is a video with two tiny frames

Needs Linux (``/proc/self/status``).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

SIZES = (2_000, 20_000, 200_000)
QUERIES_A_VIDEO = 20
ANSWER_CHARACTERS = 2_000
SAMPLE_BYTES = 5_000
ROWS_A_SHARD = 128

# Not what the parent learns of a child by os.wait4: that is at least what the parent itself held when it made the child.
PEAK = """
import atexit
from pathlib import Path
peak = lambda: next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")).split()[1]
atexit.register(lambda: Path("peak").write_text(peak()))
"""
NUMPRO = "import sys; from numpro_plugin.cli.main import main; sys.exit(main(sys.argv[1:]))"
INPUTS = """
from numpro_plugin.trainer.instructions.sources import read_inputs
from numpro_plugin.trainer.instructions.video_files import VideoFiles
assert read_inputs(["internvid.jsonl"], VideoFiles({"internvid": "clips"})).videos
"""
INDEX = """
import sys
from numpro_plugin.settings import NumProSettings
from numpro_plugin.trainer.shards.index import ShardIndex
index = ShardIndex.read([sys.argv[1]], NumProSettings(frame_size=(16, 16)))
assert index.samples
"""


def write_queries(folder: Path, rows: int) -> None:
    """The same queries as JSON lines and as CSV."""
    with (folder / "queries.jsonl").open("w") as lines, (folder / "queries.csv").open("w") as table:
        table.write("video,query,start_time,end_time,duration\n")
        for k in range(rows):
            start_s = k * 7919 % 50_000 / 1000
            row = {"video": f"folder/{k // QUERIES_A_VIDEO:07d}.mp4", "query": f"a person opens door {k} and looks outside"}
            row |= {"start_time": start_s, "end_time": start_s + 7.5, "duration": 60.25}
            lines.write(json.dumps(row) + "\n")
            table.write(",".join(map(str, row.values())) + "\n")


def write_videos(folder: Path, rows: int) -> None:
    """Links to one video of ten small frames."""
    (folder / "videos" / "folder").mkdir(parents=True)
    first = folder / "videos" / "folder" / f"{0:07d}.mp4"
    with av.open(str(first), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = 32
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    for k in range(1, -(-rows // QUERIES_A_VIDEO)):
        os.link(first, first.with_name(f"{k:07d}.mp4"))


def write_predictions(folder: Path, rows: int) -> None:
    """NumPro's list, with long answers that state the truth."""
    thought = "The frames are looked at one after the other. " * (ANSWER_CHARACTERS // 46)
    with (folder / "predictions.json").open("w") as file:
        file.write("[")
        for k in range(rows):
            first = k % 30
            row = {"id": k, "response": f"<think>{thought}</think>From Frame {first} to Frame {first + 3}.", "gt_start": 2 * first}
            file.write((",\n" if k else "") + json.dumps({**row, "gt_end": 2 * first + 8, "duration": 90}))
        file.write("]")


def write_logs(folder: Path, rows: int) -> None:
    """Two sample logs of a moment task."""
    rng = random.Random(rows)
    for name in "ab":
        with (folder / f"samples_{name}.jsonl").open("w") as log:
            for k in range(rows):
                iou = 100 * rng.random()
                scores = {f"R@{t}": 100.0 * (iou >= 100 * t) for t in (0.3, 0.5, 0.7)} | {"mIoU": iou, "parse_fail": 0.0}
                logged = {"id": str(k), "query": f"query {k}"}
                log.write(json.dumps({"doc_id": k, "arguments": "x" * SAMPLE_BYTES, **scores, "numpro": logged}) + "\n")


def write_instructions(folder: Path, rows: int) -> None:
    """A caption of each of as many videos, in InternVid's layout; the videos themselves are not there."""
    (folder / "clips").mkdir()
    times = {"Start_timestamp": "00:00:02.000", "End_timestamp": "00:00:08.000"}
    with (folder / "internvid.jsonl").open("w") as file:
        for k in range(rows):
            row = {"YoutubeID": f"id{k:09d}", **times, "Caption": f"a person opens door {k} and looks outside"}
            file.write(json.dumps(row) + "\n")


def write_shards(folder: Path, rows: int) -> None:
    """Shards of two frames a row."""
    import cv2
    import pyarrow as pa
    import pyarrow.parquet as pq

    from numpro_plugin.trainer.shard_format import ShardInfo, turn

    (folder / "shards").mkdir()
    schema = ShardInfo(fps=0.5, frame_size=(16, 16), max_frames=240).schema()
    frame = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    talk = [[turn("user", "When?"), turn("assistant", "From ", 0, " to ", 1, ".")]]
    for start in range(0, rows, ROWS_A_SHARD):
        made = [
            {"video": str(k), "source": "made", "duration_s": 4.0, "fps": 0.5, "frames": [frame] * 2, "conversations": talk}
            for k in range(start, min(rows, start + ROWS_A_SHARD))
        ]
        pq.write_table(pa.Table.from_pylist(made, schema=schema), folder / "shards" / f"made-{start:07d}.parquet")


Work = tuple[Callable[[Path, int], None], str, tuple[str, ...]]

WORK: dict[str, Work] = {
    "prepare": (write_queries, NUMPRO, ("prepare", "custom", "--annotations", "queries.jsonl", "--without-videos", "--out", "data")),
    "prepare-csv": (write_queries, NUMPRO, ("prepare", "custom", "--annotations", "queries.csv", "--without-videos", "--out", "csv")),
    "prepare-videos": (
        write_videos,
        NUMPRO,
        ("prepare", "custom", "--annotations", "queries.jsonl", "--videos", "videos", "--out", "full"),
    ),
    "check": (write_videos, NUMPRO, ("check", "custom", "--out", "full")),
    "ceiling": (write_queries, NUMPRO, ("ceiling", "custom", "--fps", "0.5", "--out", "data")),
    "score": (write_predictions, NUMPRO, ("score", "moment", "predictions.json")),
    "compare": (write_logs, NUMPRO, ("compare", "samples_a.jsonl", "samples_b.jsonl")),
    "inputs": (write_instructions, INPUTS, ()),
    "index": (write_shards, INDEX, ("shards",)),
}
"""By name: what writes the files, the program, its arguments. ``check`` and ``ceiling`` need the tables of those before them."""

NEEDS = {"check": ("prepare-videos",), "ceiling": ("prepare",)}


def measure(program: str, arguments: tuple[str, ...], folder: Path) -> tuple[float, float]:
    """CPU seconds and peak megabytes of a process of its own, whose current folder is ``folder``."""
    command = [sys.executable, "-c", PEAK + program, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed")
    return usage.ru_utime + usage.ru_stime, int((folder / "peak").read_text()) / 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=WORK, default=list(WORK))
    parser.add_argument("--rows", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    wanted = [name for name in WORK if any(name == one or name in NEEDS.get(one, ()) for one in args.only)]
    found: dict[str, dict[int, tuple[float, float]]] = {name: {} for name in wanted}
    for rows in sorted(args.rows):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            write_queries(folder, rows)
            for write in dict.fromkeys(WORK[name][0] for name in wanted):
                write(folder, rows)
            for name in wanted:
                found[name][rows] = measure(*WORK[name][1:], folder)
                print(
                    f"{name:15}{rows:>9,} rows{found[name][rows][0]:9.2f} s{found[name][rows][1]:7.0f} MB{_slope(found[name])}", flush=True
                )
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


def _slope(figures: dict[int, tuple[float, float]]) -> str:
    if len(figures) < 2:
        return ""
    (few, (before_s, _)), (many, (now_s, _)) = sorted(figures.items())[-2:]
    return f"   slope {math.log(now_s / before_s) / math.log(many / few):.2f}"


if __name__ == "__main__":
    main()
