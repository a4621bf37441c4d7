"""Opening videos: whether each can be read, and how long it really is."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from numpro_plugin.errors import NumProError
from numpro_plugin.video.decoders import DECODERS, decode_everything
from numpro_plugin.video.packets import read_packets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpro_plugin.benchmarks.table import Report


@dataclass(frozen=True)
class _Probed:
    path: Path
    duration_s: float
    problem: str | None
    """Why it cannot be used."""
    damage: str | None
    """Why it can only be used in part."""


def probe_videos(paths: Mapping[str, Path], report: Report, *, progress: bool) -> dict[str, tuple[str, float]]:
    """Read all packets of each video and decode its first frame.

    Args:
        paths: file by video.
        report: gets what is missing, unreadable or damaged.
        progress: show a progress bar.

    Returns:
        (path, seconds) by video, for those that can be read.
    """
    found: dict[str, tuple[str, float]] = {}
    for name, probed in _probed(paths, progress=progress):
        if not probed.path.exists():
            report.missing.append(name)
        elif probed.problem:
            report.unreadable[str(probed.path)] = probed.problem.removeprefix(f"{probed.path}: ")
        else:
            found[name] = str(probed.path), probed.duration_s
            if probed.damage:
                report.damaged[str(probed.path)] = probed.damage
    return found


def _probed(paths: Mapping[str, Path], *, progress: bool) -> Iterator[tuple[str, _Probed]]:
    # Threads: reading packets and decoding release the interpreter lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(_probe, paths.values())
        yield from tqdm(zip(paths, results, strict=True), total=len(paths), desc="reading videos", unit="video", disable=not progress)


def _probe(path: Path) -> _Probed:
    try:
        index = read_packets(path)
        first = np.zeros(1, dtype=np.int64)
        if not any(True for decode in (DECODERS["pyav"], decode_everything) for _ in decode(index, first)):
            return _Probed(path, 0.0, f"{path}: none of its frames can be decoded", None)
        return _Probed(path, index.duration_s, None, index.damage)
    except NumProError as error:
        return _Probed(path, 0.0, str(error), None)
    except Exception as error:  # one odd file among thousands must not end the check of all others: it is listed by name
        return _Probed(path, 0.0, f"{path}: {type(error).__name__}: {error}", None)
