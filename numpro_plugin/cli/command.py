"""What the commands `numpro` and `numpro-train` have in common: how a verb is run and what becomes of its errors."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def run_command(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    """Run the verb that was asked for (``args.run``); the exit code is 0 if all is well, 1 if a problem was found, 2 for wrong use."""
    args = parser.parse_args(argv)
    try:
        return int(args.run(args))
    except NumProError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a folder that cannot be written, a full disk
        place = f"{error.filename}: " if error.filename else ""
        print(f"{parser.prog}: {place}{error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{parser.prog}: stopped", file=sys.stderr)
        return 130
