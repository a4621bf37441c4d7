"""Draw the numbered frames of a video side by side, as a model sees them. Without --video a small video is rendered first.

python examples/numbered_strip.py docs/numbered_strip.png
python examples/numbered_strip.py strip.png --video holiday.mp4 --frames 8
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from numpro_plugin import NumProError, draw_numbers, sample_frames
from numpro_plugin.demo.rendering import Event, render_video

EVENTS = [Event("triangle", "blue", 1.0, 5.0), Event("circle", "yellow", 7.5, 15.5)]
"""What the rendered video shows. At 0.5 frames per second the circle is there from frame 4 to frame 7."""

DURATION_S = 20.0
PER_ROW = 5
GAP = 6  # white pixels between two frames


def numbered_strip(video: Path, *, frames: int = 10) -> Image.Image:
    """The numbered frames in rows of five, 240 x 240 pixels each.

    Args:
        video: file to sample, one frame every two seconds.
        frames: at most this many; a longer video is thinned evenly and its numbers keep their values.
    """
    sampled = sample_frames(video, max_frames=frames, frame_size=(240, 240))
    pixels = draw_numbers(sampled.pixels, sampled.numbers)  # (N, 240, 240, 3)
    blank = -len(pixels) % PER_ROW
    tiles = np.pad(pixels, ((0, blank), (0, 0), (0, 0), (0, 0)), constant_values=255)
    tiles = np.pad(tiles, ((0, 0), (0, GAP), (0, GAP), (0, 0)), constant_values=255)
    rows = [np.concatenate(list(row), axis=1) for row in tiles.reshape(-1, PER_ROW, *tiles.shape[1:])]
    return Image.fromarray(np.concatenate(rows)[:-GAP, :-GAP])


def main() -> None:
    """Read the command line and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="PNG file to write")
    parser.add_argument("--video", type=Path, help="video to show (default: one that is rendered)")
    parser.add_argument("--frames", type=int, default=10, help="number of frames at most (default: 10)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = args.video or Path(folder) / "rendered.mp4"
        if args.video is None:
            render_video(video, EVENTS, duration_s=DURATION_S, size=(336, 336), greys=(52, 72), seed=4)
        try:
            numbered_strip(video, frames=args.frames).save(args.output, optimize=True)
        except (NumProError, OSError) as error:
            raise SystemExit(f"numbered_strip: {error}") from None


if __name__ == "__main__":
    main()
