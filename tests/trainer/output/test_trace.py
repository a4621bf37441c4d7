"""The trace of a run: its steps after the warm-up, or a warning that there were none."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from numpro_plugin.errors import NumProError
from numpro_plugin.trainer.output.trace import ProfileCallback
from numpro_plugin.trainer.recipe.record import load_recipe


def traced(output: Path, *, traced_steps: int, steps: int) -> None:
    """Train a linear layer for some steps under the callback."""
    args, state = SimpleNamespace(process_index=1), SimpleNamespace(is_world_process_zero=True)
    callback = ProfileCallback(output, traced_steps)
    layer = torch.nn.Linear(8, 8)
    callback.on_train_begin(args, state, None)
    for _ in range(steps):
        layer(torch.ones(4, 8)).sum().backward()
        callback.on_step_end(args, state, None)
    callback.on_train_end(args, state, None)


@pytest.mark.parametrize(("steps", "expected"), [(6, 2), (3, 1)])
def test_steps_after_the_warm_up_are_traced(tmp_path: Path, steps: int, expected: int) -> None:
    traced(tmp_path, traced_steps=2, steps=steps)
    assert {path.name for path in (tmp_path / "profile").iterdir()} == {"rank_1.json.gz", "rank_1.txt"}
    events = json.loads(gzip.decompress((tmp_path / "profile" / "rank_1.json.gz").read_bytes()))["traceEvents"]
    assert sum(event.get("name") == "aten::linear" for event in events) == expected
    assert "aten::linear" in (tmp_path / "profile" / "rank_1.txt").read_text(encoding="utf-8")


def test_a_run_without_steps_after_the_warm_up_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        traced(tmp_path, traced_steps=5, steps=1)
    assert "run.profile=5: there is no trace, because the run had no step after the first 2" in caplog.text
    assert not (tmp_path / "profile").exists()
    with pytest.raises(NumProError, match=r"run\.profile=5 traces steps after the first two, but optimizer\.max_steps=2: raise it"):
        load_recipe("tiny", ["run.profile=5", "optimizer.max_steps=2"])


def test_a_trace_that_cannot_be_written_stops_no_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "profile").write_text("in the way")
    traced(tmp_path, traced_steps=2, steps=6)
    assert "the trace cannot be written" in caplog.text
