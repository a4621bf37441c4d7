"""Which cells a sweep has, and what is refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from numpro_plugin import NumProError
from numpro_plugin.sweep.cells import plan_cells, share_of
from numpro_plugin.sweep.run import SweepSettings
from numpro_plugin.sweep.tasks import single_tasks


def test_cells_are_all_combinations_with_the_encodings_side_by_side() -> None:
    cells = plan_cells(["native", "number", "number+text"], ["0.5", "1"], environ={})
    assert [cell.name for cell in cells] == [
        "native@0.5",
        "number@0.5",
        "number+text@0.5",
        "native@1",
        "number@1",
        "number+text@1",
    ]
    assert cells[-1].settings is not None
    assert (cells[-1].settings.fps, cells[-1].settings.encoding.text) == (1.0, "number")


def test_styles_are_cells_of_their_own() -> None:
    cells = plan_cells(["number"], ["0.5"], ["color=red", "color=blue;font_size=60"], environ={"NUMPRO_POSITION": "top_left"})
    assert [cell.settings.style.color for cell in cells if cell.settings] == ["red", "blue"]
    assert {cell.settings.style.position for cell in cells if cell.settings} == {"top_left"}
    assert len({cell.name for cell in cells}) == 2


def test_a_written_out_encoding_may_have_semicolons() -> None:
    (cell,) = plan_cells(["drawn:seconds;text:clock;answer:seconds"], ["0.5"], environ={})
    assert cell.settings is not None
    assert cell.settings.encoding.text == "clock"
    assert "/" not in cell.name
    assert ";" not in cell.name


def test_a_combination_that_is_not_possible_stays_in_the_plan_with_its_reason() -> None:
    cells = plan_cells(["number", "clock"], ["1", "2"], environ={})
    assert [cell.name for cell in cells if cell.problem] == ["clock@2"]
    assert "one clock time" in str(cells[-1].problem)


@pytest.mark.parametrize(
    ("encodings", "rates", "styles", "complaint"),
    [
        (["numbers"], ["1"], [], "--encodings='numbers' is unknown"),
        (["number"], ["0"], [], "--fps '0' must be above 0"),
        (["number"], ["1", "1"], [], "--fps names '1' twice"),
        (["number"], ["0.5", "0.50"], [], "--fps names '0.5' twice"),
        ([], ["1"], [], "at least one encoding"),
        (["number"], ["1"], ["colour=red"], "keys among position"),
        (["number"], ["1"], ["color=nothing"], "none of the cells is possible.*not a CSS colour"),
        (["clock"], ["2"], [], "none of the cells is possible"),
    ],
)
def test_mistakes_are_refused(encodings: list[str], rates: list[str], styles: list[str], complaint: str) -> None:
    with pytest.raises(NumProError, match=complaint):
        plan_cells(encodings, rates, styles, environ={})


def test_what_the_cells_decide_is_not_in_the_models_arguments() -> None:
    with pytest.raises(NumProError, match="--model_args encoding=text: the cells decide that"):
        plan_cells(["number"], ["1"], environ={}, model_args="pretrained=model,encoding=text")
    assert plan_cells(["number"], ["1"], environ={}, model_args="base=qwen2_5_vl,base_fps=1")[0].settings is not None


def test_groups_are_their_tasks() -> None:
    assert single_tasks(["numpro_timelens", "mmmu", "numpro_timelens_charades"]) == [
        *(f"numpro_timelens_{name}" for name in ("charades", "activitynet", "qvhighlights")),
        "mmmu",
    ]
    for names, complaint in (([], "names no task"), (["numpro_charades_native"], "has an encoding of its own")):
        with pytest.raises(NumProError, match=complaint):
            single_tasks(names)


def test_shares_are_disjoint_and_together_everything() -> None:
    cells = plan_cells(["native", "number", "text"], ["0.5", "1", "2"], environ={})
    shares = [share_of(cells, f"{k}/4") for k in (1, 2, 3, 4)]
    assert sorted(cell.name for share in shares for cell in share) == sorted(cell.name for cell in cells)
    for wrong in ("0/4", "5/4", "1", "a/b"):
        with pytest.raises(NumProError, match="must be i/n"):
            share_of(cells, wrong)


def test_a_model_that_was_trained_again_is_another_one(tmp_path: Path) -> None:
    """Its finished cells are not taken for those of the model before."""
    sweep = SweepSettings("numpro_hf", f"pretrained={tmp_path},dtype=float32", ())
    (tmp_path / "model.safetensors").write_bytes(b"before")
    before = sweep.identity()
    assert sweep.identity() == before
    (tmp_path / "model.safetensors").write_bytes(b"after.")
    assert sweep.identity() != before
    assert SweepSettings("numpro_hf", "pretrained=somebody/model", ()).identity()["weights"] is None
