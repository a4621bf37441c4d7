"""The result on the hub: what would prevent the upload shows before training, and a failed upload loses nothing."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import ModelCard
from support.stub_hub import StubHub

from numpro_plugin.errors import NumProError
from numpro_plugin.trainer.output import hub as hub_module
from numpro_plugin.trainer.output.export import training_record, write_record
from numpro_plugin.trainer.output.hub import make_repository, push
from numpro_plugin.trainer.output.status import read_status
from numpro_plugin.trainer.recipe.record import Recipe, load_recipe
from numpro_plugin.trainer.shards.index import ShardIndex


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> StubHub:
    stub = StubHub()
    monkeypatch.setattr(hub_module, "_api", lambda: stub)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "token")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    return stub


def recipe_for(name: str = "me/numpro", **changes: object) -> Recipe:
    return load_recipe("tiny").replace(run__push_to_hub=name, **changes)


def test_a_repository_is_made_private_and_has_the_recipe_before_training(stub: StubHub) -> None:
    make_repository(recipe_for())
    assert stub.private == {"me/numpro": True}
    assert list(stub.files["me/numpro"]) == ["recipe.yaml"]
    make_repository(recipe_for("me/open", run__hub_private=False))
    assert stub.private["me/open"] is False


def test_what_prevents_the_upload_shows_before_training(stub: StubHub, monkeypatch: pytest.MonkeyPatch) -> None:
    stub.private["me/open"] = False
    with pytest.raises(NumProError, match=r"run\.push_to_hub=me/open is a public repository: pass run\.hub_private=false"):
        make_repository(recipe_for("me/open"))
    assert stub.files == {}
    stub.fail = [PermissionError("403 Forbidden\nRequest ID: 1")]
    with pytest.raises(NumProError, match=r"run\.push_to_hub=me/numpro cannot be written to \(403 Forbidden\): check name, token"):
        make_repository(recipe_for())
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(NumProError, match="needs a token that may write: run `hf auth login` or set HF_TOKEN"):
        make_repository(recipe_for())
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(NumProError, match="HF_HUB_OFFLINE is set: unset it"):
        make_repository(recipe_for())
    for name in ("a/b/c", "me/", "./here", "me/ü"):
        with pytest.raises(NumProError, match="is not a repository of the hub: write NAME or ORG/NAME"):
            recipe_for(name)


def test_the_result_is_pushed_whole_and_a_failed_upload_says_how_to_do_it_by_hand(stub: StubHub, tmp_path: Path) -> None:
    recipe = recipe_for(model=str(tmp_path))
    result = tmp_path / "adapter"
    (result / "deep").mkdir(parents=True)
    (result / "deep" / "weights").write_bytes(b"w")
    index = ShardIndex(("one.parquet",), *[np.zeros((0, 3))] * 3)
    write_record(result, training_record(recipe, index, processes=1))
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    stub.fail = [ConnectionError("no route to host")]
    with pytest.raises(NumProError, match=rf"result is {result}, but .* failed \(no route to host\)\. .*: hf upload me/numpro {result} \."):
        push(recipe, result, step=8)
    status = read_status(tmp_path) or {}
    assert (status["state"], status["step"], status["upload_failed"]) == ("finished", 8, "no route to host")
    push(recipe, result, step=8)
    assert set(stub.files["me/numpro"]) == {"README.md", "numpro.json", "recipe.yaml", "deep/weights"}
    assert (read_status(tmp_path) or {})["uploaded"] == "https://hub/me/numpro/commit/1"
    card = ModelCard(stub.files["me/numpro"]["README.md"].decode())
    assert card.data.base_model is None  # a folder, which the hub does not accept there
    assert "adapter=me/numpro" in card.text
