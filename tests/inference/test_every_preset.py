"""`--model numpro_hf` answers about a real video in every preset, with every family."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_families import FAMILIES, save_tiny

from numpro_plugin import NumProError
from numpro_plugin.encoding import PRESETS
from numpro_plugin.harness.hf.model import NumProHF


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_of_pairs_are_for_families_whose_frames_share_tokens(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_tiny(family, tmp_path / family)
    monkeypatch.setenv("NUMPRO_ENCODING", "text")
    if "qwen" in family:
        paired = NumProHF(str(folder), blocks="pair", dtype="float32")
        assert paired.loaded is not None
        assert paired.loaded.family.frames_per_text == 2
    else:
        with pytest.raises(NumProError, match="blocks=pair is not possible"):
            NumProHF(str(folder), blocks="pair")
    with pytest.raises(NumProError, match="blocks='two' is unknown"):
        NumProHF(str(folder), blocks="two")


def test_a_grid_that_does_not_fit_the_model_is_refused_before_its_weights_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_tiny("qwen3_vl", tmp_path / "model")
    monkeypatch.setattr("numpro_plugin.harness.hf.model.load_model", lambda *_, **__: pytest.fail("the weights were opened"))
    monkeypatch.setenv("NUMPRO_ENCODING", "grid")
    with pytest.raises(NumProError, match="does not fit frame_size=320x320: .* a grid of such frames is frame_size=1280x960"):
        NumProHF(str(folder))
    monkeypatch.setenv("NUMPRO_FRAME_SIZE", "1280x960")
    with pytest.raises(NumProError, match="with blocks=pair two grids would share their tokens"):
        NumProHF(str(folder), blocks="pair")


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("family", FAMILIES)
def test_a_real_video_in_every_preset(family: str, tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from support.harness import evaluate

    from numpro_plugin.benchmarks import BENCHMARKS
    from numpro_plugin.benchmarks.prepare import prepare

    folder = save_tiny(family, tmp_path / family)
    (tmp_path / "queries.jsonl").write_text('{"video": "Y1HGC.mp4", "query": "a person talks.", "start_time": 4, "end_time": 12}\n')
    prepare(BENCHMARKS["custom"], tmp_path / "queries.jsonl", videos=shared / "videos", progress=False)
    tokens = {}
    for name in ("number", "text", "number+text", "grid"):
        monkeypatch.setenv("NUMPRO_ENCODING", name)
        if name == "grid":
            if "qwen" not in family:
                continue  # their tiny towers take squares that 4 x 3 grids do not divide
            monkeypatch.setenv("NUMPRO_FRAME_SIZE", "384x288" if family == "qwen3_vl" else "336x252")
        found = evaluate(NumProHF(str(folder), dtype="float32", max_new_tokens=4), ["numpro_custom"])
        (sample,) = found["samples"]["numpro_custom"]
        assert found["results"]["numpro_custom"]["request_fail,none"] == 0
        tokens[name] = sample["token_counts"][0]["input_tokens"]
    assert tokens["text"] > tokens["number"]
    assert tokens["number+text"] > tokens["text"] - 20
    assert set(PRESETS) >= set(tokens)
