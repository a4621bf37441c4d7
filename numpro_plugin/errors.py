"""The one error class that users see: what is wrong, what is allowed, how to fix it."""

from __future__ import annotations


class NumProError(ValueError):
    """The user's input cannot be used.

    The message names the value (with file and line where there is one), what is allowed, and the remedy; the command line prints
    it without a traceback.
    """
