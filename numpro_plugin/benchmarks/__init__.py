"""Benchmarks: official annotation files -> one common table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpro_plugin.benchmarks.readers.activitynet import ACTIVITYNET
from numpro_plugin.benchmarks.readers.charades import CHARADES
from numpro_plugin.benchmarks.readers.custom import CUSTOM
from numpro_plugin.benchmarks.readers.didemo import DIDEMO
from numpro_plugin.benchmarks.readers.qvhighlights import QVHIGHLIGHTS
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from numpro_plugin.benchmarks.annotations import Benchmark

BENCHMARKS: dict[str, Benchmark] = {b.name: b for b in (CHARADES, DIDEMO, ACTIVITYNET, QVHIGHLIGHTS, CUSTOM)}


def benchmark_named(name: str) -> Benchmark:
    """The benchmark of a name that people type. Raises NumProError listing the known ones."""
    if name not in BENCHMARKS:
        raise NumProError(f"benchmark {name!r} is unknown; known: {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]
