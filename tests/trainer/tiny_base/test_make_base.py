"""The run that makes the embedded model, in small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from numpro_plugin.errors import NumProError
from numpro_plugin.families import load_model
from numpro_plugin.trainer.tiny_base import __main__ as command
from numpro_plugin.trainer.tiny_base.curriculum import Curriculum
from numpro_plugin.trainer.tiny_base.make import learning_rate, make_base
from numpro_plugin.trainer.tiny_base.marks import PLAIN

SMALL = Curriculum(frames=24, pictures_until=0.4, lists_until=0.6)


def made(folder: Path, *, seed: int, steps: int = 10) -> Path:
    return make_base(folder, seed=seed, steps=steps, curriculum=SMALL, curve_steps=5, curve_videos=2, report=lambda _: None)


def test_a_model_is_made_from_its_seed_alone(tmp_path: Path) -> None:
    first, again, other = (made(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    weights = load_file(first / "model.safetensors")
    assert all((load_file(again / "model.safetensors")[name] == one).all() for name, one in weights.items())
    assert any((load_file(other / "model.safetensors")[name] != one).any() for name, one in weights.items())
    loaded = load_model(first, dtype="float32")
    assert set(weights) == set(loaded.model.state_dict()) - {"lm_head.weight"}  # no head is left, and words are tied
    assert {str(one.dtype) for one in weights.values()} == {"torch.float16"}
    curve = [json.loads(line) for line in (tmp_path / "a" / "curve.jsonl").read_text().splitlines()]
    assert [line["step"] for line in curve] == [5, 10]
    assert {"loss", "mIoU", "mIoU_random", "R@0.5", "seconds"} <= set(curve[0])
    assert curve[1]["loss"] < curve[0]["loss"]


def test_other_marks_make_another_model(tmp_path: Path) -> None:
    model = make_base(tmp_path / "plain", steps=2, marks=PLAIN, curriculum=SMALL, curve_videos=1, report=lambda _: None)
    [line] = [json.loads(line) for line in (tmp_path / "plain" / "curve.jsonl").read_text().splitlines()]
    assert "mIoU_random" not in line  # nothing is shown that could be random
    assert load_model(model, dtype="float32").family.frame_size == (48, 48)


def test_wrong_arguments_are_refused_before_anything_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NumProError, match="is not empty: choose a new folder"):
        made(tmp_path, seed=0)
    with pytest.raises(NumProError, match="steps=0 must be 1 or more"):
        made(tmp_path / "new", seed=0, steps=0)
    assert command.main([str(tmp_path / "new"), "--marks", "roman"]) == 1
    assert "no marks 'roman'" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_learning_rate_warms_up_and_follows_one_cosine() -> None:
    rates = [learning_rate(step, 1000) for step in range(1000)]
    assert rates.index(max(rates)) == 49
    assert rates[49:] == sorted(rates[49:], reverse=True)
    assert rates[0] < 0.05 * max(rates)
    assert rates[-1] == pytest.approx(0.05 * 1e-3, rel=0.01)
