"""Render videos and ask about them with perfect frame numbers; make the pictures of README and of the gallery.

python examples/gallery.py docs

Writes sheet.png and gallery_*.png. Needs matplotlib (pip install 'numpro-plugin[train]') and text recognition
(pip install 'numpro-plugin[ocr]').
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from made_runs import made_runs, save_small
from numbered_strip import DURATION_S, EVENTS

from numpro_plugin.cli.main import main as numpro
from numpro_plugin.demo.rendering import render_video

MOST_WIDTH, WIDE = 800, 1200


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    target = parser.parse_args().folder.resolve()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        made_runs(folder)
        os.environ["NUMPRO_DATA"] = str(folder / "data")
        os.chdir(folder)
        render_video(folder / "rendered.mp4", EVENTS, duration_s=DURATION_S, size=(336, 336), greys=(52, 72), seed=4)
        asked = ["--query", "a yellow circle", "--truth", "7.5", "15.5", "--answer", "From Frame 4 to Frame 7."]
        take("sheet", "rendered.mp4", *asked, "-o", "sheet.png")
        take("sheet", "--samples", "two", "--id", first_id(folder), "-o", "gallery_sheet.png")
        take("ceiling", "custom", "--plot", "gallery_ceiling.png")
        take("compare", "four", "two", "--plot", "gallery_compare.png")
        styles = ["--sizes", "10", "20", "40", "--plot", "gallery_design.png", "--sheet", "gallery_styles.png"]
        take("design", "--benchmark", "custom", "--frames", "6", *styles)
        for picture in (folder / "sheet.png", *folder.glob("gallery_*.png")):
            save_small(picture, target / picture.name, colors=256, most_width=MOST_WIDTH if picture.name != "gallery_design.png" else WIDE)


def first_id(folder: Path) -> str:
    """The id of the first query of the run with a number every two seconds."""
    from numpro_plugin.views.runs import read_runs

    (run,) = read_runs([str(folder / "two")])
    return next(iter(run.samples))


def take(*command: str) -> None:
    """Run a command of numpro; raises if it finds a problem."""
    if numpro(list(command)):
        raise SystemExit(f"numpro {' '.join(command)} failed")


if __name__ == "__main__":
    main()
