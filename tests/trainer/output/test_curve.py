"""The curve of a run: what is in its log, drawn with every checkpoint."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from numpro_plugin.trainer.output.curve import draw_curve
from numpro_plugin.trainer.run.callbacks import CurveCallback, read_log

pytest.importorskip("matplotlib")


def write_log(folder: Path, steps: int) -> None:
    lines = [{"step": k, "loss": 2 / k} for k in range(1, steps + 1)]
    lines += [{"step": steps, "eval_loss": 0.5}, {"step": steps, "eval_mIoU": 42.0}]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 99, "lo')


def words(svg: Path) -> set[str]:
    return set(re.findall(r"<text[^>]*>([^<]*)</text>", svg.read_text()))


def test_the_curve_shows_losses_and_held_out_scores(tmp_path: Path):
    write_log(tmp_path, 60)
    draw_curve(read_log(tmp_path / "log.jsonl"), tmp_path)
    assert {"loss", "mean of 3", "held-out loss", "held-out mIoU"} <= words(tmp_path / "loss.svg")
    assert Image.open(tmp_path / "loss.png").size == (1200, 675)
    first = (tmp_path / "loss.svg").read_bytes()
    draw_curve(read_log(tmp_path / "log.jsonl"), tmp_path)
    assert (tmp_path / "loss.svg").read_bytes() == first
    write_log(tmp_path, 5)
    draw_curve(read_log(tmp_path / "log.jsonl"), tmp_path)
    assert "mean of" not in " ".join(words(tmp_path / "loss.svg"))


def test_it_is_drawn_with_every_checkpoint_by_the_main_process(tmp_path: Path):
    write_log(tmp_path, 3)
    for is_main in (False, True):
        CurveCallback(tmp_path).on_save(None, SimpleNamespace(is_world_process_zero=is_main), None)
        assert (tmp_path / "loss.svg").exists() == is_main


def test_a_curve_that_cannot_be_drawn_stops_no_training(tmp_path: Path, caplog, monkeypatch):
    CurveCallback(tmp_path / "gone").on_save(None, SimpleNamespace(is_world_process_zero=True), None)
    assert "the curve is not drawn" in caplog.text
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    draw_curve(read_log(tmp_path / "log.jsonl"), tmp_path)
    assert "needs matplotlib (pip install 'numpro-plugin[train]')" in caplog.text
