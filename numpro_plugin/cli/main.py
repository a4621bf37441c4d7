"""The `numpro` command: every verb calls one library function."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from numpro_plugin import __version__
from numpro_plugin.app.command import add_app_verb
from numpro_plugin.cli.ask import add_ask_verb
from numpro_plugin.cli.clips import add_clip_verbs
from numpro_plugin.cli.command import run_command
from numpro_plugin.cli.data import add_data_verbs
from numpro_plugin.cli.design import add_design_verb
from numpro_plugin.cli.doctor import add_doctor_verb
from numpro_plugin.cli.scores import add_score_verbs
from numpro_plugin.cli.sweep import add_sweep_verb
from numpro_plugin.cli.terminal import JSON_HELP, check_json_target, say, write_json
from numpro_plugin.cli.views import add_view_verbs

if TYPE_CHECKING:
    from collections.abc import Sequence

# Nothing heavy is imported up here: `numpro --help` answers at once.


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (see `run_command`)."""
    return run_command(_parser(), argv)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="numpro", description="Temporal grounding for video LLMs by numbering the frames.")
    parser.add_argument("--version", action="version", version=f"numpro-plugin {__version__}")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    verb = verbs.add_parser(
        "demo",
        help="a tiny model on synthetic videos through lmms-eval, numbers against none (offline); --train fine-tunes it first",
        description="Render synthetic videos, evaluate the tiny model that comes along on them through lmms-eval, with numbers and "
        "without, print the table with a control for guessing, and write a page of all answers. Needs no network and no GPU.",
    )
    verb.add_argument("--train", action="store_true", help="first fine-tune the model by LoRA on videos of their own (some minutes)")
    verb.add_argument("--videos", type=int, default=60, metavar="N", help="videos to evaluate on (default: 60)")
    verb.add_argument("--seed", type=int, default=0, help="of the videos and of training (default: 0)")
    verb.add_argument("--out", type=Path, metavar="DIR", help="folder for everything the demo makes (default: a new temporary folder)")
    verb.add_argument("--json", **JSON_HELP)
    verb.set_defaults(run=_demo)

    add_data_verbs(verbs)
    add_ask_verb(verbs)
    add_app_verb(verbs)
    add_clip_verbs(verbs)

    verb = verbs.add_parser("tasks-path", help="print the folder of task files, for lmms-eval --include_path")
    verb.set_defaults(run=_tasks_path)

    add_score_verbs(verbs)
    add_sweep_verb(verbs)
    add_view_verbs(verbs)
    add_design_verb(verbs)
    add_doctor_verb(verbs)
    return parser


def _demo(args: argparse.Namespace) -> int:
    check_json_target(args.json)
    from contextlib import redirect_stdout
    from dataclasses import asdict

    from numpro_plugin.demo.run import run_demo

    # With --json - the progress goes to standard error, so that standard output holds the JSON alone.
    with redirect_stdout(sys.stderr if args.json == "-" else sys.stdout):
        result = run_demo(args.out, videos=args.videos, seed=args.seed, train=args.train)
    write_json(args.json, asdict(result))
    return 0


def _tasks_path(args: argparse.Namespace) -> int:
    from numpro_plugin.harness.register import tasks_path

    say(str(tasks_path()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
