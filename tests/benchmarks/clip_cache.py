"""What keeping a clip costs in a cache that holds many: real files, one process.

    python tests/benchmarks/clip_cache.py [--entries 0 1000 100000] [--clips 50] [--folder DIR]

For each size of the cache: the first clip (the folder is listed once, when it was filled by an older version), the further ones (median
and most), one that is taken (``get``: its checksum is verified), and one that does not fit, so that the least recently used go.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from numpro_plugin.clips.cache import ClipCache

CLIP = os.urandom(2_000_000)


def fill(folder: Path, count: int) -> None:
    """Files of 2 MB (all hole) that were last used an hour ago or earlier."""
    for key in range(count):
        path = folder / f"{key:040x}.mp4"
        path.touch()
        os.truncate(path, len(CLIP))
        os.utime(path, (time.time() - 3600 - key,) * 2)


def write_ms(cache: ClipCache, key: int) -> tuple[float, float]:
    """Milliseconds to keep a clip of 2 MB: elapsed for all of it, and CPU time (user and system) of making room alone."""
    room = cache._make_room
    spent = 0.0

    def timed(needed: int) -> None:
        nonlocal spent
        start = time.process_time()
        room(needed)
        spent = time.process_time() - start

    cache._make_room = timed  # type: ignore[method-assign]
    start = time.perf_counter()
    with cache.writing(f"{key:040x}") as part:
        part.write_bytes(CLIP)
    return (time.perf_counter() - start) * 1e3, spent * 1e3


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, nargs="+", default=[0, 1000, 100_000])
    parser.add_argument("--clips", type=int, default=50, help="clips written and taken (default: 50)")
    parser.add_argument("--folder", type=Path, help="where to make the cache (default: a temporary folder)")
    args = parser.parse_args()
    print("CPU time to make room, ms  first  median    most | evict 1 %   ||   elapsed, ms (medians)  keep    take")
    for count in args.entries:
        folder = Path(tempfile.mkdtemp(prefix="clip-cache-", dir=args.folder))
        try:
            fill(folder, count)
            _, first = write_ms(ClipCache(folder, limit_gb=1000), 10**9)
            written = [write_ms(ClipCache(folder, limit_gb=1000), 10**9 + 1 + k) for k in range(args.clips)]
            room = [ms for _, ms in written]
            taken = []
            for k in range(args.clips):
                start = time.perf_counter()
                assert ClipCache(folder).get(f"{10**9 + 1 + k:040x}")
                taken.append((time.perf_counter() - start) * 1e3)
            small = ClipCache(folder, limit_gb=(ClipCache(folder).info().bytes + 1) / 1e9)
            _, evicting = write_ms(small, 2 * 10**9)
        finally:
            shutil.rmtree(folder)
        print(
            f"{count:8} clips there{first:13.2f}{statistics.median(room):8.2f}{max(room):8.2f} |{evicting:10.2f}  ||"
            f"{statistics.median([ms for ms, _ in written]):30.2f}{statistics.median(taken):8.2f}"
        )


if __name__ == "__main__":
    main()
