"""Small reference pictures that guard a layout: where things stand, not how letters look."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).resolve().parents[1] / "data" / "layout"
WIDTH = 48


def differs(picture: Image.Image, name: str) -> float:
    """How far a picture is from its reference, in grey levels: the mean over cells as large as a word.

    Where there is no reference it is written; look at the picture before you commit it.
    """
    small = picture.convert("L").resize((WIDTH, max(1, round(WIDTH * picture.height / picture.width))), Image.Resampling.BOX)
    reference = FOLDER / f"{name}.png"
    if not reference.exists():
        FOLDER.mkdir(exist_ok=True)
        small.save(reference)
    kept = Image.open(reference)
    if kept.size != small.size:
        return 255.0
    return float(np.abs(np.asarray(small, dtype=float) - np.asarray(kept, dtype=float)).mean())
