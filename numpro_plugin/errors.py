"""The one error class that people meet: what is wrong, what is allowed, the way out."""

from __future__ import annotations


class NumProError(ValueError):
    """Something the user brought cannot be used.

    The message names the value (file and line where there is one), what would be allowed, and the remedy; the command line prints
    it without a traceback.
    """
