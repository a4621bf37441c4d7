"""CPU time and peak memory of `numpro score`, `ceiling` and `compare` by number of rows: python tests/benchmarks/scale_reports.py

Every command runs in a process of its own. The slope is that of log time over log rows between neighbouring sizes: 1 is linear.
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
from pathlib import Path


def write_files(folder: Path, rows: int, padding: int) -> None:
    """A NumPro list with its truth, an annotation file, and two sample logs of ``padding`` bytes more per sample."""
    rng = random.Random(rows)
    with open(folder / "p.jsonl", "w") as predictions, open(folder / "mine.csv", "w") as truth:
        truth.write("video,query,start_time,end_time,duration\n")
        for k in range(rows):
            start = rng.randrange(0, 60)
            truth.write(f"v{k}.mp4,query {k},{start},{start + 8},90\n")
            row = {"id": str(k), "response": f"From Frame {start // 2} to Frame {start // 2 + 3}.", "gt_start": start, "gt_end": start + 8}
            predictions.write(json.dumps(row) + "\n")
    for name in "ab":
        with open(folder / f"samples_{name}.jsonl", "w") as log:
            for k in range(rows):
                iou = 100 * rng.random()
                scores = {f"R@{t}": 100.0 * (iou >= 100 * t) for t in (0.3, 0.5, 0.7)} | {"mIoU": iou, "parse_fail": 0.0}
                logged = {"id": str(k), "query": f"query {k}"}
                log.write(json.dumps({"doc_id": k, "arguments": "x" * padding, **scores, "numpro": logged}) + "\n")


def measure(*arguments: str, environ: dict[str, str]) -> tuple[float, float]:
    """CPU seconds and peak MB of a `numpro` command."""
    program = "import sys; from numpro_plugin.cli.main import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.DEVNULL, env=environ)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"numpro {' '.join(arguments)} failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000, 20_000, 200_000])
    parser.add_argument("--padding", type=int, default=5_000, help="bytes more per logged sample; 200,000 of 5,000 are a log of 1 GB")
    args = parser.parse_args()
    last: dict[str, tuple[int, float]] = {}
    for rows in args.rows:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_files(folder, rows, args.padding)
            environ = {**os.environ, "NUMPRO_DATA": str(folder / "tables")}
            measure("prepare", "custom", "--annotations", str(folder / "mine.csv"), "--without-videos", environ=environ)
            for command in (
                ["score", "moment", str(folder / "p.jsonl")],
                ["ceiling", "custom", "--fps", "0.5"],
                ["compare", str(folder / "samples_a.jsonl"), str(folder / "samples_b.jsonl")],
            ):
                seconds, megabytes = measure(*command, environ=environ)
                slope = ""
                if command[0] in last:
                    fewer, before = last[command[0]]
                    slope = f"   slope {math.log(seconds / before) / math.log(rows / fewer):.2f}"
                last[command[0]] = rows, seconds
                print(f"{command[0]:8} {rows:>8,} rows  {seconds:7.2f} s  {megabytes:6.0f} MB{slope}", flush=True)


if __name__ == "__main__":
    main()
