"""The `numpro-train` command: every verb calls one library function."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpro_plugin import __version__
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Nothing heavy is imported up here: `numpro-train --help` answers at once.


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 good, 1 a problem was found, 2 wrong use)."""
    args = _parser().parse_args(argv)
    try:
        return args.run(args)
    except NumProError as error:
        print(f"numpro-train: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a folder that cannot be written, a full disk
        print(f"numpro-train: {error.filename or ''}: {error.strerror or error}".replace(": : ", ": "), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("numpro-train: stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="numpro-train", description="NumPro-FT: fine-tune a video LLM on numbered frames.")
    parser.add_argument("--version", action="version", version=f"numpro-plugin {__version__}")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_shards(verbs)
    _add_run(verbs)
    _add_plan(verbs)
    _add_merge(verbs)
    return parser


def _add_shards(verbs: Any) -> None:
    verb = verbs.add_parser("shards", help="make training data: videos and instructions -> parquet files with frames and conversations")
    verb.add_argument("inputs", nargs="+", metavar="INPUT", help="instruction file (.json) or prepared table (.parquet, or charades:train)")
    verb.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the shards")
    verb.set_defaults(run=_shards)


def _add_run(verbs: Any) -> None:
    verb = verbs.add_parser("run", help="train: a recipe and shards -> an adapter")
    verb.add_argument("recipe", metavar="RECIPE", help="name of a recipe that comes along, or a YAML file")
    verb.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes of the recipe, e.g. optimizer.lr=5e-5")
    verb.set_defaults(run=_run)


def _add_plan(verbs: Any) -> None:
    verb = verbs.add_parser("plan", help="before renting a GPU: memory and FLOPs of a recipe, simulated without weights")
    verb.add_argument("recipe", metavar="RECIPE", help="name of a recipe that comes along, or a YAML file")
    verb.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes of the recipe")
    verb.set_defaults(run=_plan)


def _add_merge(verbs: Any) -> None:
    verb = verbs.add_parser("merge", help="base model + adapter -> a full checkpoint")
    verb.add_argument("base", metavar="BASE", help="base model: folder or hub name")
    verb.add_argument("adapter", type=Path, metavar="ADAPTER", help="adapter folder, from here or NumPro's own")
    verb.add_argument("out", type=Path, metavar="OUT", help="folder to write; must not exist")
    verb.set_defaults(run=_merge)


def _shards(args: argparse.Namespace) -> int:
    raise NumProError("this release has no shards yet")


def _run(args: argparse.Namespace) -> int:
    raise NumProError("this release cannot train yet")


def _plan(args: argparse.Namespace) -> int:
    raise NumProError("this release has no plan yet")


def _merge(args: argparse.Namespace) -> int:
    raise NumProError("this release cannot merge yet")


if __name__ == "__main__":
    sys.exit(main())
