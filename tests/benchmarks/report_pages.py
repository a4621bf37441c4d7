"""How large a report of many queries is, how long it takes to write, and how long Chromium takes to open it.

    python tests/benchmarks/report_pages.py --queries 3720 17000 --chromium /usr/bin/chromium

Needs playwright for the times in the browser; without it, sizes and writing times are printed. Rows are made up and have no pictures.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Print one line per size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--queries", type=int, nargs="+", default=[3720, 17_000])
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="the browser's binary")
    args = parser.parse_args()
    from numpro_plugin.views.report import write_report
    from numpro_plugin.views.runs import read_runs

    for queries in args.queries:
        with tempfile.TemporaryDirectory() as folder:
            logs = [made_up_log(Path(folder, name), queries, seed) for seed, name in enumerate("ab")]
            start = time.perf_counter()
            made = write_report(read_runs([str(log) for log in logs]), Path(folder, "report.html"), pictures="none")
            wrote_s = time.perf_counter() - start
            line = f"{queries} queries, 2 runs: {made.bytes / 1e6:.1f} MB, written in {wrote_s:.1f} s"
            opened_s, scrolled = in_browser(made.path, args.chromium)
            print(line + (f", opened in {opened_s:.2f} s, {scrolled:.1f} ms a scrolled screen" if opened_s else ", no browser"), flush=True)


def made_up_log(folder: Path, queries: int, seed: int) -> Path:
    """A log as lmms-eval writes it."""
    dice = random.Random(seed)
    folder.mkdir()
    path = folder / "20260101_000000_samples_numpro_charades.jsonl"
    numbers = list(range(16))
    with path.open("w", encoding="utf-8") as file:
        for k in range(queries):
            start = dice.uniform(0, 20)
            found = dice.uniform(0, 20)
            iou = dice.random()
            logged = {"id": f"charades-{k}", "video": f"/videos/V{k // 3:05}.mp4", "duration_s": 31.0, "query": f"a person does thing {k}"}
            logged |= {"fps": 0.5, "numbers": numbers, "truth_s": [[start, start + 8]], "span_s": [found, found + 6], "iou": iou}
            logged |= {"reason": "frames, from 'From Frame x to Frame y'", "settings": {"fps": 0.5}}
            words = f"From Frame {int(found / 2)} to Frame {int(found / 2) + 3}."
            prompt = f"The red numbers on each frame represent the frame number. During which frames can we see a person does thing {k}?"
            scores = {"R@0.3": 100.0 * (iou >= 0.3), "R@0.5": 100.0 * (iou >= 0.5), "R@0.7": 100.0 * (iou >= 0.7), "mIoU": 100 * iou}
            row = {
                "doc_id": k,
                "filtered_resps": words,
                **scores,
                "parse_fail": 0.0,
                "request_fail": 0.0,
                "numpro": logged,
                "input": prompt,
            }
            file.write(json.dumps(row) + "\n")
    return path


def in_browser(page_path: Path, chromium: str) -> tuple[float, float]:
    """(seconds until the list is there, milliseconds for one screen of scrolling); zeros without a browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return 0.0, 0.0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        start = time.perf_counter()
        page.goto(page_path.as_uri())
        page.wait_for_selector(".row")
        opened_s = time.perf_counter() - start
        scroll = """() => { const list = document.getElementById("list"); const start = performance.now();
            for (let k = 0; k < 100; k++) {
              list.scrollTop += list.clientHeight; list.dispatchEvent(new Event("scroll")); list.offsetHeight;
            }
            return new Promise((done) => requestAnimationFrame(() => done((performance.now() - start) / 100))); }"""
        scrolled = page.evaluate(scroll)
        browser.close()
    return opened_s, scrolled


if __name__ == "__main__":
    main()
