"""Shards made by Ray Data: one task a unit, on this machine or on the cluster that Ray is connected to ($RAY_ADDRESS).

Every machine must see the videos and the folder of shards under the same paths.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .rows import FrameOptions
    from .units import Unit


def write_units_on_ray(
    out: Path,
    units: Sequence[Unit],
    options: FrameOptions,
    *,
    file_bytes: int,
    workers: int | None,
    advance: Callable[[int], object],
) -> None:
    """Write units wherever Ray has a free processor; ``advance`` is told of every unit's videos when it is done.

    Raises:
        NumProError: Ray is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise NumProError("--engine ray needs Ray Data; run: pip install 'numpro-plugin[ray]' (or leave --engine out)") from error
    if not units:
        return
    if not ray.is_initialized():
        # Under $RAY_ADDRESS this joins a cluster, which says itself how many processors it has.
        ray.init(configure_logging=False, log_to_driver=False, include_dashboard=False)
    ray.data.DataContext.get_current().enable_progress_bars = False  # there is one already
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    folder = str(out.resolve())

    def write(row: dict[str, Any]) -> dict[str, Any]:
        from pathlib import Path

        from .make import write_unit
        from .workers import make_rows

        unit = row["item"]
        # A process of its own: a video that kills it costs that video, not the task.
        rows = make_rows(unit.videos, options, workers=1)
        write_unit(Path(folder), unit, rows, options, file_bytes=file_bytes, advance=lambda _: None)
        return {"videos": len(unit.videos)}

    work = ray.data.from_items(list(units), override_num_blocks=len(units))
    done = work.map(write, num_cpus=1, concurrency=workers or None)
    for row in done.iter_rows():
        advance(row["videos"])
