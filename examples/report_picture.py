"""Render videos, answer questions about them with perfect frame numbers at two rates, and take a picture of the report.

python examples/report_picture.py docs/report.png

Needs Chromium and playwright (pip install playwright) for the picture.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

from made_runs import PROGRAMS, made_runs, save_small


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
    subprocess.run([PROGRAMS / "numpro", *report], check=True, cwd=folder)
    return folder / "report.html"


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
    save_small(picture, picture, colors=128)


if __name__ == "__main__":
    main()
