"""The `numpro` command: every verb calls one library function."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin import __version__
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.cli.ask import add_ask_verb
from numpro_plugin.cli.command import run_command
from numpro_plugin.cli.data import add_data_verbs
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Nothing heavy is imported up here: `numpro --help` answers at once.


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 good, 1 a problem was found, 2 wrong use)."""
    return run_command(_parser(), argv)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="numpro", description="Temporal grounding for video LLMs by numbering the frames.")
    parser.add_argument("--version", action="version", version=f"numpro-plugin {__version__}")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    verb = verbs.add_parser(
        "demo",
        help="a tiny model on synthetic videos through lmms-eval, numbers against none (offline); --train fine-tunes it first",
        description="Render synthetic videos, evaluate the tiny model that comes along on them through lmms-eval, with numbers and "
        "without, and print the table. Needs no network and no GPU.",
    )
    verb.add_argument("--train", action="store_true", help="first fine-tune the model by LoRA on videos of their own (some minutes)")
    verb.add_argument("--videos", type=int, default=60, metavar="N", help="videos to evaluate on (default: 60)")
    verb.add_argument("--seed", type=int, default=0, help="of the videos and of training (default: 0)")
    verb.add_argument("--out", type=Path, metavar="DIR", help="folder for everything the demo makes (default: a new temporary folder)")
    verb.add_argument("--json", type=Path, metavar="FILE", help="write the figures, unrounded")
    verb.set_defaults(run=_demo)

    add_data_verbs(verbs)
    _add_ceiling_verb(verbs)

    add_ask_verb(verbs)

    verb = verbs.add_parser("number", help="write the numbered clip of one video, as models get it")
    verb.add_argument("video", type=Path)
    verb.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.mp4")
    verb.add_argument("--fps", type=float, default=0.5, help="numbers per second (default: 0.5)")
    verb.add_argument("--frame-size", default="336", metavar="N|WxH", help="size of the frames in pixels (default: 336)")
    verb.add_argument("--max-frames", type=int, default=240, help="at most so many frames, thinned evenly (default: 240)")
    verb.add_argument("--end", type=float, metavar="SECONDS", help="use only the beginning of the video")
    verb.add_argument("--position", default="bottom_right", help="bottom_right (default), bottom_left, top_right, top_left or center")
    verb.add_argument("--font-size", type=float, default=40, help="for a frame 336 pixels high (default: 40)")
    verb.add_argument("--color", default="red", help="any CSS colour (default: red)")
    verb.add_argument("--stroke-width", type=float, default=0, help="outline in pixels (default: 0, none)")
    verb.add_argument("--stroke-color", default="black", help="colour of the outline (default: black)")
    verb.add_argument("--force", action="store_true", help="overwrite OUT.mp4")
    verb.set_defaults(run=_number)

    verb = verbs.add_parser("cache", help="the folders of made clips and of answers kept for runs that were stopped")
    verb.add_argument("action", choices=["info", "clear"], help="what it holds; or remove everything in it")
    verb.set_defaults(run=_cache)

    verb = verbs.add_parser("tasks-path", help="print the folder of task files, for lmms-eval --include_path")
    verb.set_defaults(run=_tasks_path)

    _add_score_verbs(verbs)
    return parser


def _add_ceiling_verb(verbs: Any) -> None:
    tables = {"type": Path, "metavar": "DIR", "help": "folder of tables (default: $NUMPRO_DATA, else the user cache)"}
    verb = verbs.add_parser("ceiling", help="what integer frame numbers can reach at best on a prepared benchmark")
    verb.add_argument("benchmark", choices=list(BENCHMARKS))
    verb.add_argument("--fps", type=float, nargs="+", default=[0.5, 1.0, 2.0], help="numbers per second (default: 0.5 1 2)")
    verb.add_argument("--max-frames", type=int, help="thin longer videos to so many frames, as the tasks do (default: no limit)")
    verb.add_argument("--split", help="default: the one that is evaluated")
    verb.add_argument("--out", **tables)
    verb.add_argument("--json", type=Path, metavar="FILE", help="write the figures, unrounded")
    verb.set_defaults(run=_ceiling)


def _add_score_verbs(verbs: Any) -> None:
    verb = verbs.add_parser("score", help="score anybody's prediction file, without a model")
    verb.add_argument("kind", choices=["moment", "highlight"])
    verb.add_argument("predictions", type=Path, help="NumPro's, TimeChat's or moment_detr's results, or lmms-eval's samples_*.jsonl")
    verb.add_argument("--truth", type=Path, metavar="FILE", help="official annotation file, TimeChat's ground truth, or a prepared table")
    verb.add_argument("--fps", type=float, default=0.5, help="numbers per second that answers speak in (default: 0.5)")
    verb.add_argument("--compatible", choices=["numpro", "timechat", "moment_detr"], help="exactly what one of the field's scripts does")
    verb.add_argument("--json", type=Path, metavar="FILE", help="write the figures, unrounded")
    verb.set_defaults(run=_score)

    verb = verbs.add_parser("compare", help="two runs on the same queries: differences with paired bootstrap intervals")
    verb.add_argument("run_a", type=Path, help="samples_*.jsonl of lmms-eval (--log_samples), or a folder with one")
    verb.add_argument("run_b", type=Path)
    verb.add_argument("--json", type=Path, metavar="FILE", help="write the figures, unrounded")
    verb.set_defaults(run=_compare)


def _demo(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from numpro_plugin.demo.run import run_demo

    if args.json and not args.json.parent.is_dir():  # said now, not after minutes
        raise NumProError(f"--json {args.json}: the folder {args.json.parent} does not exist")
    result = run_demo(args.out, videos=args.videos, seed=args.seed, train=args.train)
    _write_json(args.json, asdict(result))
    return 0


def _number(args: argparse.Namespace) -> int:
    from numpro_plugin.clips.clip import write_clip
    from numpro_plugin.numbering import NumberStyle
    from numpro_plugin.settings import NumProSettings, parse_frame_size

    if args.output.exists() and not args.force:
        raise NumProError(f"{args.output} exists; choose another name or give --force")
    if args.output.exists() and args.video.exists() and args.output.samefile(args.video):
        raise NumProError(f"{args.output} is the video itself; choose another name")
    try:
        frame_size = parse_frame_size(args.frame_size)
    except ValueError:
        raise NumProError(f"--frame-size {args.frame_size!r} must be a number of pixels or WIDTHxHEIGHT") from None
    style = NumberStyle(args.position, args.font_size, args.color, args.stroke_width, args.stroke_color)
    settings = NumProSettings(fps=args.fps, frame_size=frame_size, max_frames=args.max_frames, style=style)
    info = write_clip(args.video, args.output, settings, end_s=args.end)
    print(
        f"{args.output}: {len(info.numbers)} frames, numbers {info.numbers[0]} to {info.numbers[-1]}, of {info.duration_s:.2f} s of video"
    )
    return 0


def _ceiling(args: argparse.Namespace) -> int:
    from numpro_plugin.benchmarks.table import default_split, table_path
    from numpro_plugin.reports.ceiling import ceilings

    split = args.split or default_split(BENCHMARKS[args.benchmark])
    found = ceilings(table_path(args.benchmark, split, args.out), args.fps, max_frames=args.max_frames)
    print(f"{args.benchmark} {split}: the best that integer frame numbers can reach, in percent")
    _print_table({f"{fps:g} numbers a second": scores for fps, scores in found.items()})
    _write_json(args.json, {f"{fps:g}": scores for fps, scores in found.items()})
    return 0


def _score(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from numpro_plugin.reports.score import score_highlights, score_moments

    score = (score_moments if args.kind == "moment" else score_highlights)(
        args.predictions, args.truth, fps=args.fps, compatible=args.compatible
    )
    width = max(map(len, score.metrics))
    print("\n".join(f"{name:{width}}  {value:6.2f}" for name, value in score.metrics.items()))
    print("\n" + ", ".join(f"{name}: {count}" for name, count in score.counts.items()))
    _write_json(args.json, asdict(score))
    return 0


def _compare(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from numpro_plugin.reports.compare import compare_runs

    found = compare_runs(args.run_a, args.run_b)
    print(f"n = {found.n} queries in both runs; only in A: {found.only_a}, only in B: {found.only_b}\n")
    print(f"{'':22}{'A':>8}{'B':>8}{'B - A':>9}   95 % interval")
    for d in found.differences:
        print(f"{d.metric:22}{d.a:8.2f}{d.b:8.2f}{d.b - d.a:+9.2f}   [{d.low:+.2f}, {d.high:+.2f}]")
    if found.changed:
        print("\nqueries that changed most (A -> B):")
        print("\n".join(f"  {key:>8}  {a:6.2f} -> {b:6.2f}  {query[:100]}" for key, query, a, b in found.changed))
    _write_json(args.json, asdict(found))
    return 0


def _print_table(rows: dict[str, dict[str, float]]) -> None:
    names = list(next(iter(rows.values())))
    width = max(map(len, rows)) + 2
    print(" " * width + "".join(f"{name:>10}" for name in names))
    for title, row in rows.items():
        print(f"{title:{width}}" + "".join(f"{row[name]:10.2f}" for name in names))


def _write_json(path: Path | None, content: Any) -> None:
    if path is not None:
        import json

        path.write_text(json.dumps(content, indent=1) + "\n")
        print(f"\nwritten: {path}")


def _cache(args: argparse.Namespace) -> int:
    from numpro_plugin.clips.cache import ClipCache
    from numpro_plugin.environment import answers_folder
    from numpro_plugin.inference.answer_log import kept_answers

    cache, answers = ClipCache(), kept_answers()
    info = cache.clear() if args.action == "clear" else cache.info()
    size = f"{info.clips} clips, {info.bytes / 1e9:.2f} GB"
    limit = f"limit {info.limit_bytes / 1e9:g} GB (NUMPRO_CACHE_GB)" if info.limit_bytes > 0 else "no limit"
    print(f"{info.folder}: removed {size}" if args.action == "clear" else f"{info.folder}: {size}, {limit}")
    size = f"answers of {len(answers)} runs, {sum(file.stat().st_size for file in answers) / 1e6:.2f} MB"
    for file in answers if args.action == "clear" else []:
        file.unlink(missing_ok=True)
    print(f"{answers_folder()}: removed {size}" if args.action == "clear" else f"{answers_folder()}: {size}")
    return 0


def _tasks_path(args: argparse.Namespace) -> int:
    from numpro_plugin.harness.register import tasks_path

    print(tasks_path())
    return 0


if __name__ == "__main__":
    sys.exit(main())
