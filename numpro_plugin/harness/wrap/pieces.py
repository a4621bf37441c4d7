"""Requests in pieces: a base answers when a call ends, so what is asked in one call is what a kill can lose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpro_plugin.harness.wrap.readers import Reader

_LEAST = 32
_ROUNDS = 8
"""A call ends with its slowest request, while others of what runs at once stand idle: with 8 rounds a call that is little."""

_AT_ONCE = ("num_cpus", "num_concurrent", "num_processes", "batch_size_per_gpu", "batch_size")
"""Attributes that say how many requests a base works on at once."""


@dataclass(frozen=True)
class Piece:
    """What a base is asked in one call."""

    indices: list[int]
    """Of the requests."""

    frames: int | None = None
    """How many frames each of their clips has, for a base that must be told; None for others."""


def cut(groups: Mapping[int | None, Iterable[int]], size: int | None) -> list[Piece]:
    """Pieces of at most ``size`` requests (None: any number), each out of one group.

    Args:
        groups: indices of requests by their clips' number of frames (None: it does not matter).
        size: 1 or more, or None.
    """
    pieces = []
    for frames, members in groups.items():
        indices = list(members)
        step = size or max(1, len(indices))
        pieces += [Piece(indices[k : k + step], frames) for k in range(0, len(indices), step)]
    return pieces


def prepare_call(model: Any) -> None:
    """Make a base ready for one more call.

    lmms-eval's ``async_openai`` runs each call in an event loop of its own but keeps its client. Connections that the client holds open
    belong to the loop that has ended, and requests that were sent over them would fail.
    """
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    if isinstance(client := getattr(model, "client", None), AsyncOpenAI):
        model.client = client.copy(http_client=DefaultAsyncHttpxClient())


def piece_size(model: Any, reader: Reader, wanted: int | None) -> int | None:
    """How many requests a base is asked in one call; None: all.

    Args:
        model: the base.
        reader: what is known of it.
        wanted: by the user, or None.
    """
    if reader.one_call:
        return None
    if wanted is not None:
        return wanted
    at_once = max((int(value) for name in _AT_ONCE if isinstance(value := getattr(model, name, None), int)), default=1)
    if getattr(model, "adaptive_concurrency", False):
        at_once = max(at_once, int(model.adaptive_config.max_concurrency))
    return max(_LEAST, _ROUNDS * at_once)
