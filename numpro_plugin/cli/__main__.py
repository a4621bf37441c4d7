"""The `numpro` command, and ``python -m numpro_plugin.cli``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; Ctrl-C ends it without a traceback even while its modules are loaded."""
    try:
        from numpro_plugin.cli.main import main as run

        return run(argv)
    except KeyboardInterrupt:  # later ones are seen to by `run_command`
        print("numpro: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
