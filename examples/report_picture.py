"""Render videos, answer questions about them with perfect frame numbers at two rates, and take a picture of the report.

python examples/report_picture.py docs/report.png

Needs Chromium and playwright (pip install playwright) for the picture.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from numpro_plugin.demo.rendering import random_events, render_video

VIDEOS = 8
DURATION_S = 40.0


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    picture = parser.parse_args().picture.resolve()
    with tempfile.TemporaryDirectory() as folder:
        take_picture(made_report(Path(folder)), picture)


def made_report(folder: Path) -> Path:
    """The report that compares the runs of `made_runs`."""
    made_runs(folder)
    report = ["report", "a number every 2 s=two", "a number every 4 s=four", "-o", "report.html"]
    subprocess.run([Path(sys.executable).parent / "numpro", *report], check=True, cwd=folder)
    return folder / "report.html"


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
    programs = Path(sys.executable).parent

    def run(*command: str, **variables: str) -> None:
        subprocess.run([programs / command[0], *command[1:]], check=True, cwd=folder, env={**environment, **variables})

    run("numpro", "prepare", "custom", "--annotations", "queries.jsonl", "--videos", "videos")
    for name, fps in (("two", "0.5"), ("four", "0.25")):
        run("lmms_eval", "--model", "numpro_oracle", "--tasks", "numpro_custom", "--output_path", name, "--log_samples", NUMPRO_FPS=fps)


def take_picture(report: Path, picture: Path) -> None:
    """The list of queries with the chosen one beside it, as an indexed PNG."""
    from playwright.sync_api import sync_playwright

    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 780})
        page.goto(report.as_uri())
        page.select_option("#sort", "difference")
        page.locator("video").evaluate("video => video.remove()")  # a black box before it plays
        page.locator(".queries").scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        page.locator(".queries").screenshot(path=str(picture))
        browser.close()
    Image.open(picture).convert("RGB").quantize(128).save(picture, optimize=True)


if __name__ == "__main__":
    main()
