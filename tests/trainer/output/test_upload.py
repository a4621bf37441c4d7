"""The result on the hub: what would prevent the upload shows before training, and a failed upload loses nothing."""

from __future__ import annotations

import os
import re
import socket
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import ModelCard
from support.http_hub import HttpHub, Repository
from support.shards import video_row, write_shard

from numpro_plugin.errors import NumProError
from numpro_plugin.trainer.output.export import training_record, write_record
from numpro_plugin.trainer.output.hub import make_repository, push
from numpro_plugin.trainer.output.status import read_status
from numpro_plugin.trainer.recipe.record import Recipe, load_recipe
from numpro_plugin.trainer.run.start import run
from numpro_plugin.trainer.shards.index import ShardIndex


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpHub]:
    with HttpHub() as hub:
        hub.used_by(monkeypatch)
        yield hub


def recipe_for(name: str = "me/numpro", **changes: object) -> Recipe:
    return load_recipe("tiny").replace(run__push_to_hub=name, **changes)


def finished(folder: Path, recipe: Recipe) -> Path:
    """What a run leaves: large weights, the record, the card and the recipe."""
    result = folder / "adapter"
    (result / "deep").mkdir(parents=True)
    (result / "adapter_model.safetensors").write_bytes(os.urandom(3_000_000))
    (result / "deep" / "weights").write_bytes(b"w")
    (result / "empty").write_bytes(b"")
    write_record(result, training_record(recipe, ShardIndex(("one.parquet",), *[np.zeros((0, 3))] * 3), processes=1))
    (folder / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    return result


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_repository_is_made_private_and_has_the_recipe_before_training(hub: HttpHub) -> None:
    recipe = recipe_for()
    assert make_repository(recipe) == "me/numpro"
    assert hub.repositories["me/numpro"].private
    assert hub.repositories["me/numpro"].files == {"recipe.yaml": recipe.to_yaml().encode()}
    assert make_repository(recipe_for("team/open", run__hub_private=False)) == "team/open"
    assert not hub.repositories["team/open"].private
    assert make_repository(recipe) == "me/numpro"  # again, as a resumed run does


def test_a_name_alone_is_a_repository_of_the_user(hub: HttpHub) -> None:
    for _ in range(2):
        assert make_repository(recipe_for("numpro")) == "me/numpro"
    assert list(hub.repositories["me/numpro"].files) == ["recipe.yaml"]


@pytest.mark.parametrize(
    ("end", "answers", "message"),
    [
        (
            "/create",
            [(401, "User Access Token is expired")],
            r"cannot be written to \(.*401 Unauthorized.*: User Access Token is expired\)",
        ),
        ("/create", [(403, "You don't have the rights")] * 2, r"cannot be written to \(403 Forbidden: You don't have the rights\.\)"),
        ("/create", [(500, "Internal Error")], r"cannot be written to \(.*500 Internal Server Error.*: Internal Error\)"),
        ("/preupload/main", [(403, "Read-only token")], r"cannot be written to \(403 Forbidden: Read-only token\.\)"),
        ("/commit/main", [(503, "Try later")], r"cannot be written to \(.*503 Service Unavailable.*: Try later\)"),
    ],
)
def test_a_refusal_is_told_before_the_model_is_loaded(
    hub: HttpHub, tmp_path: Path, end: str, answers: list[tuple[int, str] | None], message: str
) -> None:
    """There is no model, which the run would find out next."""
    hub.refuse[end] = deque(answers)
    shards = write_shard(tmp_path / "made.parquet", [video_row("a", 8.0, size=(16, 16))], size=(16, 16))
    changes = {"data__shards": str(shards), "numpro__frame_size": [16, 16], "numpro__max_frames": 8, "output": str(tmp_path / "out")}
    with pytest.raises(NumProError, match=rf"run\.push_to_hub=me/numpro {message}.*: check name, token and network, or set"):
        run(recipe_for(model=str(tmp_path / "none"), **changes))
    status = read_status(tmp_path / "out") or {}
    assert status["state"] == "failed"
    assert "run.push_to_hub=me/numpro" in status["reason"]


def test_what_else_prevents_the_upload_shows_before_training(hub: HttpHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories["me/open"] = Repository(private=False)
    with pytest.raises(NumProError, match=r"run\.push_to_hub=me/open is a public repository: pass run\.hub_private=false"):
        make_repository(recipe_for("me/open"))
    assert hub.repositories["me/open"].files == {}
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    with pytest.raises(NumProError, match=r"401 Unauthorized.*: Invalid credentials in Authorization header\): check name, token"):
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


def test_a_port_that_nothing_listens_on(hub: HttpHub, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(NumProError, match=r"run\.push_to_hub=me/numpro cannot be written to \(.*refused.*\): check name, token"):
            make_repository(recipe_for())


def test_the_result_arrives_complete_and_equal_in_one_commit(hub: HttpHub, tmp_path: Path) -> None:
    recipe = recipe_for(model=str(tmp_path))
    result = finished(tmp_path, recipe)
    make_repository(recipe)
    push(recipe, result, step=8)
    arrived = hub.repositories["me/numpro"]
    assert arrived.files == {**content(result), "recipe.yaml": (tmp_path / "recipe.yaml").read_bytes()}
    assert {"README.md", "numpro.json", "adapter_model.safetensors", "deep/weights", "empty", "recipe.yaml"} == set(arrived.files)
    assert arrived.messages == ["The recipe of a run that begins", "The result of a run"]
    assert len(hub.stored) == 1  # the weights, as a large file
    assert (read_status(tmp_path) or {})["uploaded"] == f"{hub.url}/me/numpro/commit/2"
    card = ModelCard(arrived.files["README.md"].decode())
    assert card.data.base_model is None  # a folder, which the hub does not accept there
    assert "adapter=me/numpro" in card.text


@pytest.mark.parametrize(
    ("refuse", "reason"),
    [
        ({"/commit/main": [(500, "Internal Error")]}, r".*500 Internal Server Error.*: Internal Error"),
        ({"/preupload/main": [(401, "User Access Token is expired")]}, r".*401 Unauthorized.*: User Access Token is expired"),
        ({"/objects/batch": [(403, "Storage limit reached")]}, r"403 Forbidden: Storage limit reached\."),
    ],
)
def test_a_failed_upload_leaves_the_result_and_says_how_to_upload_it(
    hub: HttpHub, tmp_path: Path, refuse: dict[str, list[tuple[int, str] | None]], reason: str
) -> None:
    recipe = recipe_for(model=str(tmp_path))
    result = finished(tmp_path, recipe)
    make_repository(recipe)
    before = content(result)
    hub.refuse = {end: deque(answers) for end, answers in refuse.items()}
    with pytest.raises(NumProError, match=rf"result is {result}, but .* failed \({reason}\)\. .*: hf upload me/numpro {result} \."):
        push(recipe, result, step=8)
    assert content(result) == before
    assert set(hub.repositories["me/numpro"].files) == {"recipe.yaml"}  # nothing of a half
    status = read_status(tmp_path) or {}
    assert (status["state"], status["step"]) == ("finished", 8)
    assert re.fullmatch(reason, status["upload_failed"])
    push(recipe, result, step=8)
    assert hub.repositories["me/numpro"].files.items() >= before.items()


def test_a_storage_that_fails_for_a_while_is_asked_again(hub: HttpHub, tmp_path: Path) -> None:
    recipe = recipe_for(model=str(tmp_path))
    result = finished(tmp_path, recipe)
    make_repository(recipe)
    weights = (result / "adapter_model.safetensors").read_bytes()
    hub.refuse[""] = deque([None, None, None, (500, "Slow down"), (503, "Slow down")])  # after the card, the modes and the places
    push(recipe, result, step=8)
    assert [asked for asked in hub.asked if asked.startswith("PUT")] == [f"PUT /storage/{next(iter(hub.stored))}"] * 3
    assert hub.repositories["me/numpro"].files["adapter_model.safetensors"] == weights
