"""The command ``python -m numpro_plugin.trainer.tiny_base``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from numpro_plugin.errors import NumProError

from .make import STEPS, make_base
from .marks import MARKS, marks_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def make_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m numpro_plugin.trainer.tiny_base",
        description="Make the embedded tiny model from a seed: OUT/model (16 bit), and its scores along the way, OUT/curve.jsonl.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="a new or empty folder")
    parser.add_argument("--seed", type=int, default=0, help="of weights and rows (default: 0)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of the optimizer (default: {STEPS})")
    parser.add_argument("--marks", default="numbers", metavar="NAME", help=f"how frames are marked: {', '.join(MARKS)} (default: numbers)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Make a model: ``OUT/model`` and ``OUT/curve.jsonl``."""
    args = make_parser().parse_args(argv)
    try:
        made = make_base(
            args.out, seed=args.seed, steps=args.steps, marks=marks_of(args.marks), report=lambda line: print(line, flush=True)
        )
    except NumProError as error:
        print(f"tiny_base: {error}", file=sys.stderr)
        return 1
    print(f"written: {made}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
