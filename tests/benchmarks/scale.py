"""Time and memory by number of rows: 2,000, 20,000 and 200,000 queries through each command that needs no model.

    OMP_NUM_THREADS=1 python tests/benchmarks/scale.py                          # everything, on made-up files
    OMP_NUM_THREADS=1 python tests/benchmarks/scale.py --only prepare check --json figures.json

Each measurement runs in an interpreter of its own. Printed are CPU seconds (user and system) and the peak memory above what the
interpreter takes with the libraries imported. ``slope`` is the exponent of growth from the second to the last size: 1 means that ten
times the rows take ten times as long. ``prepare`` reads JSON lines and writes a table without videos; ``prepare-csv`` the same from CSV;
``check`` opens that table again. Needs Linux (``/proc/self/status``).
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SIZES = (2_000, 20_000, 200_000)
QUERIES_A_VIDEO = 5


def write_queries(path: Path, count: int) -> None:
    """Queries of one's own over ``count / 5`` videos; CSV or JSON lines by the file's name."""
    with path.open("w") as file:
        if path.suffix == ".csv":
            file.write("video,query,start_time,end_time,duration\n")
        for k in range(count):
            video, start_s = f"folder/video_{k // QUERIES_A_VIDEO:07d}.mp4", k % 97 / 2
            row = {"video": video, "query": f"a person opens door {k} and looks outside", "start_time": start_s, "end_time": start_s + 7.5}
            values = {**row, "duration": 60.25}
            file.write((",".join(map(str, values.values())) if path.suffix == ".csv" else json.dumps(values)) + "\n")


def prepare(folder: Path, kind: str = "jsonl") -> None:
    """A table without videos."""
    from numpro_plugin.benchmarks import BENCHMARKS
    from numpro_plugin.benchmarks.prepare import prepare as make

    make(BENCHMARKS["custom"], folder / f"queries.{kind}", out=folder / "data", force=True, progress=False)


def check(folder: Path) -> None:
    """The same table opened again."""
    from numpro_plugin.benchmarks import BENCHMARKS
    from numpro_plugin.benchmarks.check import check as look

    look(BENCHMARKS["custom"], out=folder / "data", progress=False)


WORK: dict[str, Callable[[Path], None]] = {"prepare": prepare, "prepare-csv": lambda folder: prepare(folder, "csv"), "check": check}
"""What is measured, by name: each gets a folder with ``queries.jsonl``, ``queries.csv`` and, once prepared, tables in ``data``."""


def memory_mb(field: str) -> float:
    """``VmRSS`` (now) or ``VmHWM`` (the most so far) of this process in megabytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1000


def measure_here(name: str, folder: Path) -> dict[str, float]:
    """Run one piece of work in this process, after a tiny one of its kind that imports everything."""
    with tempfile.TemporaryDirectory() as tiny:
        for kind in ("jsonl", "csv"):
            write_queries(Path(tiny) / f"queries.{kind}", 5)
        prepare(Path(tiny))
        WORK[name](Path(tiny))
    before_mb, start = memory_mb("VmRSS"), time.process_time()
    WORK[name](folder)
    return {"cpu_s": time.process_time() - start, "memory_mb": memory_mb("VmHWM") - before_mb}


def measure(name: str, folder: Path) -> dict[str, float]:
    """Run one piece of work in an interpreter of its own."""
    command = [sys.executable, __file__, "--here", name, str(folder)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=WORK, default=list(WORK))
    parser.add_argument("--rows", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--here", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.here:
        print(json.dumps(measure_here(args.here[0], Path(args.here[1]))))
        return
    found: dict[str, dict[int, dict[str, float]]] = {name: {} for name in args.only}
    for count in args.rows:
        with tempfile.TemporaryDirectory() as folder:
            for kind in ("jsonl", "csv"):
                write_queries(Path(folder) / f"queries.{kind}", count)
            prepare(Path(folder))
            for name in args.only:
                found[name][count] = measure(name, Path(folder))
    print(f"{'':14}" + "".join(f"{count:>22,}" for count in args.rows) + f"{'slope':>8}")
    for name, figures in found.items():
        cells = "".join(f"{one['cpu_s']:12.2f} s{one['memory_mb']:5.0f} MB" for one in figures.values())
        sizes = sorted(figures)[-2:]
        slope = math.log(figures[sizes[1]]["cpu_s"] / figures[sizes[0]]["cpu_s"]) / math.log(sizes[1] / sizes[0]) if len(sizes) > 1 else 0
        print(f"{name:14}{cells}{slope:8.2f}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
