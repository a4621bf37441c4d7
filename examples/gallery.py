"""Render a video and ask about it with perfect frame numbers; make the pictures of the gallery.

python examples/gallery.py docs

Writes gallery_*.png. Needs matplotlib (pip install 'numpro-plugin[train]').
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from PIL import Image
from report_picture import made_runs

from numpro_plugin.cli.main import main as numpro

MOST_WIDTH = 800


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
        take("sheet", "--samples", "two", "--id", first_id(folder), "-o", "gallery_sheet.png")
        take("ceiling", "custom", "--plot", "gallery_ceiling.png")
        take("compare", "four", "two", "--plot", "gallery_compare.png")
        for picture in folder.glob("gallery_*.png"):
            image = Image.open(picture).convert("RGB")
            if image.width > MOST_WIDTH:
                image = image.resize((MOST_WIDTH, image.height * MOST_WIDTH // image.width), Image.Resampling.LANCZOS)
            image.quantize(256, Image.Quantize.FASTOCTREE).save(target / picture.name, optimize=True)


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
