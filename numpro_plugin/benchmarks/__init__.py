"""Benchmarks: official annotation files -> one common table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpro_plugin.benchmarks.readers.activitynet import ACTIVITYNET
from numpro_plugin.benchmarks.readers.charades import CHARADES
from numpro_plugin.benchmarks.readers.charades_ood import CHARADES_OOD
from numpro_plugin.benchmarks.readers.custom import CUSTOM
from numpro_plugin.benchmarks.readers.didemo import DIDEMO
from numpro_plugin.benchmarks.readers.etbench_tvg import ETBENCH_TVG
from numpro_plugin.benchmarks.readers.hirest import HIREST
from numpro_plugin.benchmarks.readers.qvhighlights import QVHIGHLIGHTS
from numpro_plugin.benchmarks.readers.rextime import REXTIME
from numpro_plugin.benchmarks.readers.tacos import TACOS
from numpro_plugin.benchmarks.readers.timelens2.ego4d import EGO4D_NLQ
from numpro_plugin.benchmarks.readers.timelens2.momentseeker import MOMENTSEEKER
from numpro_plugin.benchmarks.readers.timelens2.timelens import TIMELENS_ACTIVITYNET, TIMELENS_CHARADES, TIMELENS_QVHIGHLIGHTS
from numpro_plugin.benchmarks.readers.timelens2.vue_tr import VUE_TR, VUE_TR_V2
from numpro_plugin.benchmarks.readers.tvgbench import TVGBENCH
from numpro_plugin.benchmarks.readers.youcook2 import YOUCOOK2
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from numpro_plugin.benchmarks.annotations import Benchmark

_THE_PAPERS = (CHARADES, DIDEMO, ACTIVITYNET, QVHIGHLIGHTS)
_TIMELENS2S = (TIMELENS_CHARADES, TIMELENS_ACTIVITYNET, TIMELENS_QVHIGHLIGHTS, VUE_TR, VUE_TR_V2, MOMENTSEEKER, EGO4D_NLQ)
_OTHERS = (TVGBENCH, TACOS, YOUCOOK2, HIREST, CHARADES_OOD, REXTIME, ETBENCH_TVG)
BENCHMARKS: dict[str, Benchmark] = {b.name: b for b in (*_THE_PAPERS, *_TIMELENS2S, *_OTHERS, CUSTOM)}


def benchmark_named(name: str) -> Benchmark:
    """The benchmark of a name that people type. Raises NumProError listing the known ones."""
    if name not in BENCHMARKS:
        raise NumProError(f"benchmark {name!r} is unknown; known: {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]
