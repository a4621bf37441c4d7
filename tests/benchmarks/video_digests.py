"""Digests of what is sampled from videos, to see whether a change moves a frame, a time or a pixel.

    python tests/benchmarks/video_digests.py ~/videos --write before.json
    python tests/benchmarks/video_digests.py ~/videos --compare before.json

Six samplings of each file: several frame rates, sizes, caps and parts. A digest covers pixels, numbers, frame rate and duration; for a file
that is refused it is the kind of error. ``--compare`` prints what differs and then exits with 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
from pathlib import Path
from typing import Any

from numpro_plugin import NumProError, sample_frames

SAMPLINGS: dict[str, dict[str, Any]] = {
    "the paper's": {},
    "own size": {"fps": 1, "frame_size": None, "max_frames": 24},
    "the beginning": {"fps": 2, "frame_size": (160, 120), "end_s": 3},
    "dense, capped": {"fps": 7, "frame_size": (224, 224), "max_frames": 32},
    "a part": {"fps": 5, "frame_size": (336, 336), "start_s": 1, "end_s": 2.5, "max_frames": 7},
    "sparse": {"fps": 0.2, "frame_size": (64, 48), "max_frames": None},
}


def digest(video: Path, sampling: dict[str, Any]) -> str:
    """The first 16 digits of SHA-256 over everything that is sampled."""
    try:
        frames = sample_frames(video, **sampling)
    except NumProError:
        return "refused"
    time = f"{frames.pixels.shape} {frames.numbers.tolist()} {frames.timeline!r}"
    return hashlib.sha256(time.encode() + frames.pixels.tobytes()).hexdigest()[:16]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="every file in it is sampled")
    parser.add_argument("--write", type=Path, metavar="FILE", help="keep the digests")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="compare with digests that were kept")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    videos = [path for folder in args.folders for path in sorted(folder.iterdir()) if path.is_file() and path.suffix != ".json"]
    digests = {f"{video.name}: {name}": digest(video, sampling) for video in videos for name, sampling in SAMPLINGS.items()}
    print(f"{len(digests)} samplings of {len(videos)} files")
    if args.write:
        args.write.write_text(json.dumps(digests, indent=1) + "\n")
    if args.compare:
        before = json.loads(args.compare.read_text())
        changed = [name for name in digests if digests[name] != before.get(name)]
        print(*(f"differs: {name}" for name in changed), f"{len(digests) - len(changed)} equal, {len(changed)} differ", sep="\n")
        sys.exit(bool(changed))


if __name__ == "__main__":
    main()
