"""Hostile and broken files through the commands that read files of strangers: what each costs, and that none ends in a traceback.

    OMP_NUM_THREADS=1 python tests/benchmarks/crafted_files.py [--only recipe] [--seconds 30] [--megabytes 1500]

Every file goes through its command in a process of its own. The command must end with 0 or 1 and a message that names the file, print no
traceback and no escape code, and stay below the limits of CPU time and memory. The last line counts the failures.
Needs Linux (``/proc/self/status``).
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path

MEASURED = """
import atexit, resource, sys, time
from pathlib import Path
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[2]), int(sys.argv[2])))
peak = lambda: next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")).split()[1]
atexit.register(lambda: Path(sys.argv[1]).write_text(f"{time.process_time()} {peak()}"))
"""
NUMPRO = MEASURED + "from numpro_plugin.cli.main import main; sys.exit(main(sys.argv[3:]))"
TRAIN = MEASURED + "from numpro_plugin.trainer.cli import main; sys.exit(main(sys.argv[3:]))"

ROW = {"video": "a.mp4", "query": "q", "start_time": 0, "end_time": 1, "duration": 9}
QV = {"qid": 1, "query": "q", "vid": "x_0.0_20.0", "duration": 20, "relevant_windows": [[4, 8]]}
SAMPLE = {"numpro": {"id": "1", "query": "q", "truth_s": [[0, 2]]}, "filtered_resps": ["From Frame 0 to Frame 1."], "mIoU": 100.0}
HIGHLIGHT = {"id": "1", "query": "q", "clips": 10, "relevant_clip_ids": [2], "saliency_scores": [[4, 4, 4]]}


def row(**changes: object) -> str:
    """A line of one's own queries."""
    return json.dumps({**ROW, **changes}) + "\n"


def flipped(data: bytes, position: int) -> bytes:
    """Data with one broken byte."""
    return data[:position] + bytes([data[position] ^ 0x5A]) + data[position + 1 :]


def bomb(head: bytes, megabytes: int) -> bytes:
    """Some kilobytes that unpack to many blanks."""
    return gzip.compress(head, 1) + gzip.compress(b" " * 1_000_000, 9) * megabytes


def yaml_bomb(line: str) -> str:
    """Aliases of aliases."""
    return "a0: &a0 {x: 1, y: 2}\n" + "".join(line.format(k=k, before=k - 1) for k in range(1, 80))


PACKED = gzip.compress("".join(row(id=k) for k in range(2000)).encode())

ANNOTATIONS: dict[str, str | bytes] = {
    "flipped_head.jsonl.gz": flipped(PACKED, 12),
    "flipped_middle.jsonl.gz": flipped(PACKED, len(PACKED) // 2),
    "flipped_checksum.jsonl.gz": flipped(PACKED, len(PACKED) - 6),
    "cut.jsonl.gz": PACKED[: len(PACKED) // 2],
    "bomb.json.gz": bomb(b"[", 3000),
    "bomb.csv.gz": bomb(b"video,query\na,", 3000),
    "nested.json": "[" * 5_000_000,
    "nested.jsonl": row(spans=[]).replace("[]", "[" * 500_000 + "]" * 500_000),
    "digits.jsonl": row().replace('"duration": 9', '"duration": ' + "9" * 100_000),
    "large.jsonl": row().replace('"duration": 9', '"duration": ' + "9" * 400),
    "long_duration.jsonl": row(duration=1e15),
    "not_a_number.jsonl": row(end_time=float("nan")),
    "surrogates.jsonl": row(query="a \ud800 b"),
    "escapes.jsonl": row(video="\x1b[2J\x1b]0;x\x07.mp4"),
    "null.jsonl": row(video="a\0b.mp4"),
    "other_folder.jsonl": row(video="../../etc/passwd"),
    "repeated_ids.jsonl": "".join(row(id=k % 2) for k in range(50_000)),
    "windows.jsonl": row(spans=[[1, 2, 3]], start_time=None, end_time=None),
    "long_string.json": '[{"video": "' + "x" * 50_000_000,
    "long_cell.csv": "video,query\na," + "x" * 200_000 + "\n",
    "open_quote.csv": 'video,query\na,"x\n' + "b,y\n" * 500_000,
    "many_columns.csv": ",".join(f"c{k}" for k in range(200_000)) + "\n",
    "utf_16.csv": "video,query\na,b\n".encode("utf-16"),
    "zeros.csv": b"\0" * 5_000_000,
    "zeros.parquet": b"PAR1" + b"\0" * 5_000_000 + b"PAR1",
    "noise.txt": bytes(range(256)) * 1000,
}
HIGHLIGHTS: dict[str, str | bytes] = {
    "many_clips.jsonl": json.dumps({**QV, "duration": 4e9, "relevant_clip_ids": [], "saliency_scores": []}),
    "longest.jsonl": json.dumps({**QV, "duration": 1e6, "relevant_clip_ids": [499_999], "saliency_scores": [[4, 4, 4]]}),
    "text.jsonl": json.dumps({**QV, "relevant_clip_ids": "2", "saliency_scores": "4"}),
}
PREDICTIONS: dict[str, str | bytes] = {
    "clips.jsonl": json.dumps({"numpro": {**HIGHLIGHT, "clips": 2_000_000_000}, "filtered_resps": ["x"]}),
    "many_clips.jsonl": (json.dumps({"numpro": {**HIGHLIGHT, "clips": 500_000}, "filtered_resps": ["x"]}) + "\n") * 3,
    "no_number.jsonl": json.dumps({**SAMPLE, "numpro": {**SAMPLE["numpro"], "fps": "x"}}),
    "flat_windows.jsonl": json.dumps({"qid": 1, "pred_relevant_windows": [4.0, 8.0]}),
    "none.jsonl": json.dumps({"qid": 1, "pred_relevant_windows": [[None, None, 1.0]]}),
    "text_saliency.jsonl": json.dumps({"qid": 1, "pred_saliency_scores": "1,2,3"}),
    "million_windows.jsonl": json.dumps({"qid": 1, "pred_relevant_windows": [[1, 2]] * 1_000_000}),
    "million_scores.jsonl": json.dumps({"numpro": HIGHLIGHT, "qid": 1, "pred_saliency_scores": [1] * 1_000_000}),
    "digits.json": json.dumps([{"id": 1, "response": "from" + "1" * 2_000_000 + "to" + "2" * 2_000_000, "gt_start": 0, "gt_end": 1}]),
    "words.json": json.dumps([{"id": 1, "response": "from frame to frame " * 200_000, "gt_start": 0, "gt_end": 1}]),
    "code.json": json.dumps({"a>>>b>>>__import__('os').getcwd()": "1 - 2"}),
    "nested.json": '[{"id": 1, "response": ' + "[" * 2_000_000,
    "no_end.json": "[" + '{"id": 1, "response": "x", "gt_start": 0, "gt_end": 1},' * 100_000,
    "keyed.json": json.dumps({f"v>>>q {k}>>>[[0, 1]]": {"timestamps": {}} for k in range(1000)}),
    "escapes.jsonl": json.dumps({"\x1b[2J": 1}),
    "bomb.json.gz": bomb(b"[", 3000),
}
RECIPES: dict[str, str | bytes] = {
    "aliases.yaml": yaml_bomb("a{k}: &a{k} {{x: *a{before}, y: *a{before}}}\n"),
    "lists.yaml": yaml_bomb("a{k}: &a{k} [*a{before}, *a{before}, *a{before}]\n"),
    "merged.yaml": yaml_bomb("a{k}: &a{k} {{<<: [*a{before}, *a{before}]}}\n"),
    "itself.yaml": "data: &a {shards: [*a]}\n",
    "nested.yaml": "data: " + "[" * 50_000,
    "many.yaml": "data: {shards: [" + "x," * 500_000 + "]}",
    "digits.yaml": "seed: " + "9" * 100_000,
    "bytes.yaml": b"\xff\xfe",
    "object.yaml": "model: !!python/object/apply:os.system [ls]\n",
}


def cases() -> list[tuple[str, str, str | bytes, tuple[str, ...]]]:
    """(kind, name, content, command) of every file; FILE stands for its path."""
    prepare = ("prepare", "custom", "--annotations", "FILE", "--without-videos", "--out", "data", "--force")
    highlights = ("prepare", "qvhighlights", "--annotations", "FILE", "--without-videos", "--out", "data", "--split", "val")
    found = [("annotations", name, content, prepare) for name, content in ANNOTATIONS.items()]
    found += [("annotations", f"highlights_{name}", content, highlights) for name, content in HIGHLIGHTS.items()]
    for name, content in PREDICTIONS.items():
        found += [("moment", name, content, ("score", "moment", "FILE")), ("highlight", name, content, ("score", "highlight", "FILE"))]
        found.append(("compare", name, content, ("compare", "FILE", "FILE")))
    return found + [("recipe", name, content, ("run", "FILE", "--show")) for name, content in RECIPES.items()]


def try_one(folder: Path, kind: str, name: str, command: tuple[str, ...], limit_s: float) -> tuple[float, float, str, str]:
    """CPU seconds, megabytes, what is wrong (empty if nothing is), and the message."""
    path = folder / name
    words = [str(path) if word == "FILE" else word for word in command]
    program = [sys.executable, "-c", TRAIN if kind == "recipe" else NUMPRO, str(folder / "measured"), f"{limit_s:.0f}", *words]
    done = subprocess.run(program, cwd=folder, capture_output=True, check=False)
    if done.returncode < 0:
        return limit_s, float("nan"), "takes too long", ""
    took_s, kilobytes = map(float, (folder / "measured").read_text().split())
    megabytes, text = kilobytes / 1000, done.stderr + done.stdout
    wrong = [
        what
        for what, is_so in {
            f"exit code {done.returncode}": done.returncode not in (0, 1),
            "traceback": b"Traceback" in text,
            "escape codes": b"\x1b" in text,
            "file not named": done.returncode == 1 and path.name.encode() not in text,
        }.items()
        if is_so
    ]
    return took_s, megabytes, ", ".join(wrong), next(iter(text.decode(errors="replace").splitlines()), "")


def main() -> int:
    """Try all and print; returns 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["annotations", "moment", "highlight", "compare", "recipe"])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--megabytes", type=float, default=1500)
    args = parser.parse_args()
    failed, tried, worst_s, worst_mb = 0, 0, 0.0, 0.0
    with tempfile.TemporaryDirectory() as temporary:
        for kind, name, content, command in cases():
            if args.only not in (None, kind):
                continue
            (Path(temporary) / name).write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
            took_s, megabytes, wrong, message = try_one(Path(temporary), kind, name, command, args.seconds)
            if not wrong and megabytes > args.megabytes:
                wrong = "too much memory"
            tried, failed = tried + 1, failed + bool(wrong)
            worst_s, worst_mb = max(worst_s, took_s), max(worst_mb, megabytes)
            shown = message.replace(f"{temporary}/", "")[:90]
            print(f"{kind:12}{name:26}{took_s:6.1f} s{megabytes:7.0f} MB  {wrong.upper() or 'right'}: {shown}", flush=True)
    print(f"{tried} runs, {failed} failed; the longest took {worst_s:.1f} s, the largest {worst_mb:.0f} MB")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
