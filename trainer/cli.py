"""The command `numpro-train`: each verb calls one library function."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin import __version__
from numpro_plugin.cli.command import AnyOrderParser, run_command
from numpro_plugin.cli.terminal import say
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Sequence

# torch and transformers are not imported at the top, so that `numpro-train --help` is fast.


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code: 0 for success, 1 for an error, 2 for wrong usage, 143 or 130 for a run that was stopped by SIGTERM or Ctrl-C.
    """
    return run_command(_parser(), argv)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="numpro-train", description="NumPro-FT: fine-tune a video LLM on numbered frames.")
    parser.add_argument("--version", action="version", version=f"numpro-plugin {__version__}")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=AnyOrderParser)
    _add_shards(verbs)
    _add_run(verbs)
    _add_plan(verbs)
    _add_merge(verbs)
    return parser


def _add_shards(verbs: Any) -> None:
    verb = verbs.add_parser(
        "shards",
        help="make training data from videos and instructions: parquet files with frames and conversations",
        description="Make training data: one row per video, with its frames as JPEG (without numbers) and its conversations. "
        "An interrupted run continues where it stopped. manifest.json lists what is in the shards, and what was left out and why.",
    )
    verb.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="instructions (.json, .jsonl) in the layout of NumPro, VTimeLLM, TimeChat, ms-swift, LLaMA-Factory, TimeLens, Time-R1, "
        "InternVid or E.T. Instruct, or a prepared table (charades:train, or its .parquet)",
    )
    verb.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the shards")
    verb.add_argument(
        "--videos",
        nargs="+",
        action="extend",
        default=[],
        type=_named_folder,
        metavar="SOURCE=DIR",
        help="folders of the instructions' videos, e.g. anet=DIR didemo=DIR internvid=DIR; any=DIR for all other sources (tables name "
        "their own videos)",
    )
    verb.add_argument("--yfcc-hash", type=Path, metavar="FILE", help="yfcc100m_hash.txt, if DiDeMo's videos have hashed names")
    frames = verb.add_argument_group("frames")
    frames.add_argument("--fps", type=float, default=0.5, help="numbers per second (default: 0.5)")
    frames.add_argument("--frame-size", default="336", metavar="N|WxH", help="size in pixels (default: 336)")
    frames.add_argument("--max-frames", type=int, default=240, help="at most this many, thinned evenly (default: 240)")
    frames.add_argument("--jpeg-quality", type=int, default=95, metavar="1-100", help="default: 95")
    frames.add_argument("--chroma", choices=["420", "444"], default="420", help="colours: 420 loads faster (default), 444 is exact")
    work = verb.add_argument_group("work")
    work.add_argument("--workers", type=int, help="processes (default: one per core; 0: work in this process)")
    work.add_argument("--shard", type=_job, default=(0, 1), metavar="I/N", help="one of N jobs that share the work: 0/N to N-1/N")
    work.add_argument("--engine", choices=["local", "ray"], default="local", help="ray: Ray Data, on a cluster if RAY_ADDRESS is set")
    work.add_argument("--rows-per-file", type=int, default=128, metavar="N", help="videos per file (default: 128)")
    work.add_argument(
        "--file-mb", type=float, default=1000, metavar="MB", help="megabytes after which a new file is started (default: 1000)"
    )
    rows = verb.add_argument_group("unusable rows")
    rows.add_argument(
        "--allow-skipped",
        type=float,
        default=0.01,
        metavar="FRACTION",
        help="fraction that may be skipped without an error (default: 0.01)",
    )
    rows.add_argument(
        "--evaluated",
        choices=["refuse", "leave-out", "allow"],
        default="refuse",
        help="videos that are also in a prepared table that is evaluated, custom ones included: refused (default), left out, or allowed",
    )
    rows.add_argument("--retry-skipped", action="store_true", help="make the files again in which videos were skipped")
    rows.add_argument(
        "--past-last",
        type=int,
        default=0,
        metavar="N",
        help="replace frame numbers up to N after a video's last number with the last (default: 0; such rows are skipped)",
    )
    verb.set_defaults(run=_shards)


def _named_folder(text: str) -> tuple[str, str]:
    source, equals, folder = text.partition("=")
    if not (source and equals and folder):
        raise argparse.ArgumentTypeError(f"{text!r} is not SOURCE=DIR, e.g. anet=/data/anet (put inputs before --videos)")
    return source, folder


def _job(text: str) -> tuple[int, int]:
    try:
        i, n = map(int, text.split("/"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not I/N, e.g. 0/8") from None
    if not 0 <= i < n:
        raise argparse.ArgumentTypeError(f"{text}: of {n} jobs the first is 0/{n} and the last {n - 1}/{n}")
    return i, n


def _add_run(verbs: Any) -> None:
    verb = verbs.add_parser("run", help="train an adapter with a recipe and shards")
    verb.add_argument("recipe", metavar="RECIPE", help="name of an included recipe, or a YAML file")
    verb.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE", help="changes of the recipe, e.g. optimizer.lr=5e-5")
    verb.add_argument("--show", action="store_true", help="print the whole recipe with its changes as YAML and exit")
    verb.add_argument(
        "--time-limit", metavar="TIME", help="save a checkpoint and stop within this time: 90m, 3.5h, 23:30:00 or 1-12:00:00 (as in SLURM)"
    )
    verb.add_argument("--steal-lock", action="store_true", help="take over an output folder that a dead run on another machine has locked")
    verb.set_defaults(run=_run)


def _add_plan(verbs: Any) -> None:
    verb = verbs.add_parser("plan", help="simulate the memory and FLOPs of a recipe, without weights or a GPU")
    verb.add_argument("recipe", metavar="RECIPE", help="name of an included recipe, or a YAML file")
    verb.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE", help="changes of the recipe, e.g. numpro.max_frames=120")
    verb.add_argument("--gpus", type=int, default=8, help="number of GPUs to compare ZeRO and FSDP with (default: 8)")
    verb.add_argument(
        "--hours",
        type=float,
        nargs="?",
        const=0.4,
        metavar="FRACTION",
        help="also print the hours that the run takes on A100, H100 and H200, if this fraction of their rated FLOPs is used (default: 0.4)",
    )
    verb.set_defaults(run=_plan)


def _add_merge(verbs: Any) -> None:
    verb = verbs.add_parser("merge", help="merge an adapter into its base model and write a full checkpoint")
    verb.add_argument("base", metavar="BASE", help="base model: folder or hub id")
    verb.add_argument("adapter", type=Path, metavar="ADAPTER", help="adapter folder, of this project or of the paper's authors")
    verb.add_argument("out", type=Path, metavar="OUT", help="folder to write; must not exist")
    verb.set_defaults(run=_merge)


def _shards(args: argparse.Namespace) -> int:
    from numpro_plugin.settings import parse_frame_size

    from .shards.make import make_shards
    from .shards.manifest import report, too_many_skipped
    from .shards.rows import FrameOptions

    if not 0 <= args.allow_skipped <= 1:
        raise NumProError(f"--allow-skipped {args.allow_skipped:g} must be a fraction, 0 to 1 (0.05 allows 5 %)")
    frame_size = parse_frame_size(args.frame_size, name="--frame-size")
    options = FrameOptions(
        fps=args.fps,
        frame_size=frame_size,
        max_frames=args.max_frames,
        quality=args.jpeg_quality,
        chroma=args.chroma,
        past_last=args.past_last,
    )
    manifest = make_shards(
        args.inputs,
        args.out,
        videos=dict(args.videos),
        yfcc_hash=args.yfcc_hash,
        options=options,
        rows_per_file=args.rows_per_file,
        file_mb=args.file_mb,
        shard=args.shard,
        workers=args.workers,
        engine=args.engine,
        retry_skipped=args.retry_skipped,
        evaluated=args.evaluated,
    )
    say(report(manifest, args.out))
    too_many = too_many_skipped(manifest, args.allow_skipped)
    if too_many:
        raise NumProError(too_many)
    return 0


def _run(args: argparse.Namespace) -> int:
    from .recipe.record import load_recipe

    recipe = load_recipe(args.recipe, args.overrides)  # errors are reported before torch is loaded
    if args.show:
        print(recipe.to_yaml(), end="")
        return 0
    from .run.start import run
    from .run.stop import Stopped, parse_time_limit

    time_limit_s = parse_time_limit(args.time_limit) if args.time_limit else None
    main = os.environ.get("RANK", "0") == "0"
    try:
        result = run(recipe, steal_lock=args.steal_lock, time_limit_s=time_limit_s)
    except Stopped as stopped:
        if main or not stopped.agreed:
            print(f"numpro-train: {stopped}", file=sys.stderr, flush=True)
        return stopped.exit_code
    if main:
        print(result)
    return 0


def _plan(args: argparse.Namespace) -> int:
    from .recipe.record import load_recipe

    recipe = load_recipe(args.recipe, args.overrides)  # errors are reported before torch is loaded
    from .plan.plan import plan

    print("simulating; this takes half a minute ...", file=sys.stderr, flush=True)
    print(plan(recipe, gpus=args.gpus, utilisation=args.hours))
    return 0


def _merge(args: argparse.Namespace) -> int:
    from .output.export import merge

    print(merge(args.base, args.adapter, args.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
