"""The `numpro-train` command: every verb calls one library function."""

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

# Nothing heavy is imported at the top: `numpro-train --help` answers at once.


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0: success, 1: an error was found, 2: wrong usage)."""
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
        help="make training data: videos and instructions -> parquet files with frames and conversations",
        description="Make training data: one row per video, with its frames as JPEG (without numbers) and its conversations. "
        "An interrupted run continues where it stopped; manifest.json says what is in the shards, and what was left out and why.",
    )
    verb.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="NumPro's or VTimeLLM's instructions (.json), or a prepared table (charades:train, or its .parquet)",
    )
    verb.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the shards")
    verb.add_argument(
        "--videos",
        nargs="+",
        action="extend",
        default=[],
        type=_named_folder,
        metavar="SOURCE=DIR",
        help="folders of the instructions' videos, e.g. anet=DIR didemo=DIR internvid=DIR (tables name their own videos)",
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
    work.add_argument("--engine", choices=["local", "ray"], default="local", help="ray: Ray Data, on a cluster if RAY_ADDRESS says so")
    work.add_argument("--rows-per-file", type=int, default=128, metavar="N", help="videos per file (default: 128)")
    work.add_argument(
        "--file-mb", type=float, default=1000, metavar="MB", help="megabytes after which a new file is started (default: 1000)"
    )
    rows = verb.add_argument_group("rows that cannot be used")
    rows.add_argument(
        "--allow-skipped", type=float, default=0.01, metavar="FRACTION", help="may be left out without an error (default: 0.01)"
    )
    rows.add_argument("--retry-skipped", action="store_true", help="make those files again that lack some of their videos")
    rows.add_argument(
        "--past-last",
        type=int,
        default=0,
        metavar="N",
        help="replace frame numbers up to N after a video's last one by the last (default: 0; such rows are left out)",
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
    verb = verbs.add_parser("run", help="train: a recipe and shards -> an adapter")
    verb.add_argument("recipe", metavar="RECIPE", help="name of an included recipe, or a YAML file")
    verb.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE", help="changes of the recipe, e.g. optimizer.lr=5e-5")
    verb.add_argument("--show", action="store_true", help="print the whole recipe with its changes as YAML and exit")
    verb.set_defaults(run=_run)


def _add_plan(verbs: Any) -> None:
    verb = verbs.add_parser("plan", help="before renting a GPU: memory and FLOPs of a recipe, simulated without weights")
    verb.add_argument("recipe", metavar="RECIPE", help="name of an included recipe, or a YAML file")
    verb.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE", help="changes of the recipe, e.g. numpro.max_frames=120")
    verb.add_argument("--gpus", type=int, default=8, help="number of GPUs to compare ZeRO with (default: 8)")
    verb.set_defaults(run=_plan)


def _add_merge(verbs: Any) -> None:
    verb = verbs.add_parser("merge", help="base model + adapter -> a full checkpoint")
    verb.add_argument("base", metavar="BASE", help="base model: folder or hub name")
    verb.add_argument("adapter", type=Path, metavar="ADAPTER", help="adapter folder, from here or NumPro's own")
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
    )
    say(report(manifest, args.out))
    too_many = too_many_skipped(manifest, args.allow_skipped)
    if too_many:
        raise NumProError(too_many)
    return 0


def _run(args: argparse.Namespace) -> int:
    from .recipe.record import load_recipe

    recipe = load_recipe(args.recipe, args.overrides)  # reports a mistake before anything heavy is loaded
    if args.show:
        print(recipe.to_yaml(), end="")
        return 0
    from .run.train import run

    result = run(recipe)
    if os.environ.get("RANK", "0") == "0":
        print(result)
    return 0


def _plan(args: argparse.Namespace) -> int:
    from .recipe.record import load_recipe

    recipe = load_recipe(args.recipe, args.overrides)  # reports a mistake before anything heavy is loaded
    from .plan.plan import plan

    print("simulating, half a minute ...", file=sys.stderr, flush=True)
    print(plan(recipe, gpus=args.gpus))
    return 0


def _merge(args: argparse.Namespace) -> int:
    from .run.export import merge

    print(merge(args.base, args.adapter, args.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
