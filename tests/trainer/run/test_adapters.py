"""Training that starts from an adapter, and adapters that would be applied twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from support.tiny_longva import save_tiny_adapter
from support.training import World, losses, make_world, weights

from numpro_plugin.errors import NumProError
from numpro_plugin.families import load_model
from numpro_plugin.longva import load_longva
from numpro_plugin.trainer.cli import main
from numpro_plugin.trainer.recipe.record import Recipe, load_recipe
from numpro_plugin.trainer.run.model import open_for_training
from numpro_plugin.trainer.run.start import run
from numpro_plugin.weights.record import numpro_settings_of, read_record

pytestmark = pytest.mark.usefixtures("datasets_cache")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("adapters"))


@pytest.fixture(scope="module")
def first(world: World, datasets_cache: str) -> Recipe:
    """A finished run of two steps."""
    recipe = world.recipe("first", optimizer__max_steps=2, optimizer__lr=0.05, run__save_steps=0)
    run(recipe)
    return recipe


@pytest.mark.slow
def test_training_starts_from_an_adapter_and_its_result_loads_like_any_other(first: Recipe, world: World) -> None:
    adapter = Path(first.output) / "adapter"
    changes = {"adapter": str(adapter), "optimizer__max_steps": 3, "run__save_steps": 2, "lora__dropout": 0.0, "seed": 1}
    run(unchanged := world.recipe("unchanged", **changes, optimizer__lr=0.0))
    for name, value in weights(unchanged.output).items():
        assert torch.equal(weights(first.output)[name], value), name
    run(second := world.recipe("second", **changes, resume=True))
    trained = weights(second.output)
    assert any(not torch.equal(value, trained[name]) for name, value in weights(first.output).items())
    load_model(world.model, Path(second.output) / "adapter")
    record = read_record(Path(second.output) / "adapter")
    assert record is not None
    assert set(record["contains"]) >= {f"run {(read_record(adapter) or {})['run']}"}
    # Resumed from its own checkpoint, without the adapter that it started from.
    curve = losses(second.output)
    for folder in ("adapter", "checkpoint-3"):
        shutil.rmtree(Path(second.output) / folder)
    adapter.rename(moved := adapter.with_name("moved"))
    try:
        run(second)
    finally:
        moved.rename(adapter)
    assert losses(second.output) == curve
    assert all(torch.equal(value, trained[name]) for name, value in weights(second.output).items())


@pytest.mark.slow
def test_training_starts_from_an_adapter_of_the_authors(world: World, tmp_path: Path) -> None:
    adapter = save_tiny_adapter(tmp_path / "authors")
    changes = {"adapter": str(adapter), "lora__rank": 4, "lora__alpha": 8, "optimizer__max_steps": 1, "run__save_steps": 0}
    result = run(world.recipe("from-authors", **changes, optimizer__lr=0.0))
    before, after = (load_model(world.model, folder, dtype="float32").model.state_dict() for folder in (adapter, result))
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_lora_in_the_vision_tower_is_kept_but_not_trained(world: World, tmp_path: Path) -> None:
    """As in the authors' adapters, whose names of modules match there, too."""
    adapter = save_tiny_adapter(tmp_path / "authors")
    changes = {"adapter": str(adapter), "lora__rank": 4, "lora__alpha": 8, "lora__dropout": 0.5}
    model = open_for_training(world.recipe("tower", **changes)).model
    lora = {name: parameter for name, parameter in model.named_parameters() if ".lora_" in name}
    in_tower = {name for name in lora if "vision_tower" in name}
    assert {name for name, parameter in lora.items() if not parameter.requires_grad} == in_tower
    assert in_tower == {name for name in lora if ".language_model." not in name}
    dropout = {name: module for name, module in model.named_modules() if name.endswith("lora_dropout.default")}
    assert {type(module) is torch.nn.Dropout for name, module in dropout.items() if "language_model" in name} == {True}
    assert {type(module) is torch.nn.Dropout for name, module in dropout.items() if "vision_tower" in name} <= {False}


def test_a_recipe_whose_lora_is_not_the_adapters_is_refused(first: Recipe, world: World, tmp_path: Path) -> None:
    adapter = str(Path(first.output) / "adapter")
    with pytest.raises(NumProError, match=r"lora\.rank=8, lora\.projector=false, but .* set lora\.rank=4 lora\.projector=true"):
        run(world.recipe("other", adapter=adapter, lora__rank=8, lora__projector=False))
    with pytest.raises(NumProError, match=r"is not an adapter"):
        run(world.recipe("other", adapter=str(tmp_path)))
    with pytest.raises(NumProError, match="works with tuning=lora only: merge it"):
        load_recipe("tiny", [f"adapter={adapter}", "tuning=full"])
    with pytest.raises(NumProError, match="does not work with memory.deepspeed=zero3"):
        load_recipe("tiny", [f"adapter={adapter}", "memory.deepspeed=zero3"])


@pytest.mark.slow
def test_an_adapter_is_never_applied_twice(first: Recipe, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    adapter, authors = Path(first.output) / "adapter", save_tiny_adapter(tmp_path / "authors")
    start = {"adapter": str(adapter), "optimizer__max_steps": 1, "run__save_steps": 0}
    descendant = run(world.recipe("descendant", **start))
    merged = tmp_path / "merged"
    assert main(["merge", str(world.model), str(adapter), str(merged)]) == 0
    for again in (adapter, shutil.copytree(adapter, tmp_path / "copy"), descendant):
        capsys.readouterr()
        assert main(["merge", str(merged), str(again), str(tmp_path / "twice")]) == 1
        assert f"{merged} already contains the adapter {again}, by its record (numpro.json)" in capsys.readouterr().err
        for load in (load_model, load_longva):
            with pytest.raises(NumProError, match="already contains the adapter"):
                load(merged, again)
    with pytest.raises(NumProError, match="already contains the adapter"):
        run(world.recipe("again", model=str(merged), **start))
    tuned = run(world.recipe("tuned", model=str(merged), tuning="full", optimizer__max_steps=1, run__save_steps=0))
    with pytest.raises(NumProError, match="already contains the adapter"):
        load_model(tuned, adapter)
    # Another adapter may be added, and then the model contains both.
    assert main(["merge", str(merged), str(authors), str(tmp_path / "both")]) == 0
    assert numpro_settings_of(tmp_path / "both") is None
    for again in (adapter, authors):
        with pytest.raises(NumProError, match="already contains the adapter"):
            load_model(tmp_path / "both", again)
    assert not (tmp_path / "twice").exists()


def test_records_of_older_adapters_are_told_apart_by_their_weights(first: Recipe, world: World, tmp_path: Path) -> None:
    older = shutil.copytree(Path(first.output) / "adapter", tmp_path / "older")
    record = json.loads((older / "numpro.json").read_text())
    for key in ("run", "step"):
        del record[key]
    (older / "numpro.json").write_text(json.dumps(record))
    assert main(["merge", str(world.model), str(older), str(tmp_path / "merged")]) == 0
    with pytest.raises(NumProError, match="already contains the adapter"):
        load_model(tmp_path / "merged", older)
    load_model(tmp_path / "merged", save_tiny_adapter(tmp_path / "another"))
