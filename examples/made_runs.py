"""What the scripts that make pictures share: runs about rendered videos, and small PNG files. It is no script itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from numpro_plugin.demo.rendering import random_events, render_video

VIDEOS = 8
DURATION_S = 40.0

PROGRAMS = Path(sys.executable).parent
"""Where the commands of this Python are."""


def made_runs(folder: Path) -> None:
    """Two runs of ``numpro_oracle`` in ``folder``, with a number every two (``two``) and every four seconds (``four``)."""
    rng = np.random.default_rng(3)
    (folder / "videos").mkdir()
    rows = []
    for k in range(VIDEOS):
        events = random_events(rng, DURATION_S, 2)
        render_video(folder / "videos" / f"shapes{k}.mp4", events, duration_s=DURATION_S, seed=k)
        rows += [{"video": f"shapes{k}", "query": event.query, "spans": [[event.start_s, event.end_s]]} for event in events]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    environment = {**os.environ, "NUMPRO_DATA": str(folder / "data"), "NUMPRO_CACHE": str(folder / "cache")}

    def run(*command: str, **variables: str) -> None:
        subprocess.run([PROGRAMS / command[0], *command[1:]], check=True, cwd=folder, env={**environment, **variables})

    run("numpro", "prepare", "custom", "--annotations", "queries.jsonl", "--videos", "videos")
    for name, fps in (("two", "0.5"), ("four", "0.25")):
        run("lmms_eval", "--model", "numpro_oracle", "--tasks", "numpro_custom", "--output_path", name, "--log_samples", NUMPRO_FPS=fps)


def save_small(picture: Path, target: Path, *, colors: int, most_width: int = 1200) -> None:
    """A PNG with few colours and not too wide, as the documentation shows it."""
    image = Image.open(picture).convert("RGB")
    if image.width > most_width:
        image = image.resize((most_width, image.height * most_width // image.width), Image.Resampling.LANCZOS)
    image.quantize(colors, Image.Quantize.FASTOCTREE if colors > 128 else Image.Quantize.MEDIANCUT).save(target, optimize=True)
