"""The weights of a sweep are opened once, whatever each evaluation does to its model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.tiny_qwen import save_tiny_qwen2_5_vl

from numpro_plugin.demo.world import tiny_model_folder
from numpro_plugin.harness.hf import model as hf
from numpro_plugin.sweep.weights import Weights, _remembered


def test_each_cell_has_a_model_of_its_own_with_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    import lmms_eval.models  # noqa: F401 (loads the entry points)

    opened = []
    load = hf.load_model
    monkeypatch.setattr(hf, "load_model", lambda *given, **options: opened.append(given) or load(*given, **options))
    monkeypatch.setenv("NUMPRO_FRAME_SIZE", "48")
    weights = Weights("numpro_hf", f"pretrained={tiny_model_folder()},dtype=float32", batch_size="1", device=None)
    first: Any = weights.fresh({})
    held = first.loaded
    first.clean()
    second: Any = weights.fresh({})
    assert first is not second
    assert second.loaded.model is held.model
    assert next(held.model.parameters()).numel() > 0
    assert len(opened) == 1


def test_a_wrapped_base_opens_its_model_once(tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText, PreTrainedModel

    original = PreTrainedModel.__dict__["from_pretrained"]
    folder = save_tiny_qwen2_5_vl(tmp_path / "model")
    made: dict[Any, Any] = {}
    with _remembered(made):
        first = AutoModelForImageTextToText.from_pretrained(folder, dtype="float32")
    with _remembered(made):
        assert AutoModelForImageTextToText.from_pretrained(folder, dtype="float32") is first
        assert AutoModelForImageTextToText.from_pretrained(folder, dtype="bfloat16") is not first
    assert PreTrainedModel.from_pretrained.__func__ is original.__func__
