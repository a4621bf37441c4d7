"""What the commands `numpro` and `numpro-train` have in common: how a verb is run and what becomes of its errors."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from numpro_plugin.errors import NumProError
from numpro_plugin.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence


class AnyOrderParser(argparse.ArgumentParser):
    """A parser for verbs whose options may stand anywhere, also between positional arguments: ``run RECIPE --show KEY=VALUE``."""

    _is_inner = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse, which calls this twice to parse arguments that are mixed."""
        if self._is_inner:
            return super().parse_known_args(args, namespace)
        self._is_inner = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_inner = False


def run_command(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    """Run the verb that was asked for (``args.run``).

    Returns:
        The exit code: 0 if all is well, 1 if a problem was found, 2 for wrong use, 130 if stopped, 141 if the reader of the output went.
    """
    for name in ("stdout", "stderr"):  # closed by whoever started the command, `numpro score ... >&-`
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    _complete(parser)
    try:
        args = parser.parse_args(argv)
        code = int(args.run(args))
        sys.stdout.flush()
    except NumProError as error:
        _complain(parser, str(error))
        return 1
    except BrokenPipeError:  # `numpro compare a b | head`
        # What is still buffered would fail again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:  # a folder that cannot be written, a full disk
        place = f"{error.filename}: " if error.filename else ""
        _complain(parser, f"{place}{error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        _complain(parser, "stopped")
        return 130
    return code


def _complain(parser: argparse.ArgumentParser, message: str) -> None:
    print(f"{parser.prog}: {printable(message)}", file=sys.stderr)


def _complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell's request for completions, which ends the process; does nothing outside of one."""
    if "_ARGCOMPLETE" in os.environ:
        try:
            import argcomplete
        except ImportError:  # the optional extra "completion" is not installed
            return
        argcomplete.autocomplete(parser)
