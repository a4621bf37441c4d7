"""Results of training: they load as an adapter and as a merged checkpoint, for every family; their record and model card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from support.shards import video_row
from support.tiny_families import FAMILIES, save_tiny
from support.tiny_longva import save_tiny_adapter, save_tiny_longva

from numpro_plugin.errors import NumProError
from numpro_plugin.families import Loaded, load_model
from numpro_plugin.settings import NumProSettings
from numpro_plugin.trainer.batches.collator import Collator, RawSample
from numpro_plugin.trainer.cli import main
from numpro_plugin.trainer.output.export import merge, training_record, write_record
from numpro_plugin.trainer.recipe.record import load_recipe
from numpro_plugin.trainer.run.model import open_for_training
from numpro_plugin.trainer.shards.index import ShardIndex
from numpro_plugin.weights.record import numpro_settings_of, read_record


@torch.no_grad()
def logits(loaded: Loaded, model: object = None) -> torch.Tensor:
    size = loaded.family.frame_size
    recipe = load_recipe("tiny").replace(numpro__frame_size=list(size))
    batch = Collator(loaded.family, loaded.processor, recipe)([RawSample("v", video_row("v", 6.0, size=size))])
    inputs = {name: value for name, value in batch.items() if isinstance(value, torch.Tensor) and name != "labels"}
    return (model or loaded.model).eval()(**inputs).logits


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.slow
def test_an_adapter_loads_and_merges_with_the_same_logits(family: str, tmp_path: Path) -> None:
    base = save_tiny(family, tmp_path / "base")
    recipe = load_recipe("tiny", [f"model={base}"])
    trained = open_for_training(recipe)
    torch.manual_seed(0)
    for parameter in trained.model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    trained.model.save_pretrained(tmp_path / "adapter")
    index = ShardIndex(("a/one.parquet",), *[torch.zeros(0, 3).numpy()] * 3)
    write_record(tmp_path / "adapter", training_record(recipe, index, processes=1))
    expected = logits(trained)
    assert (expected - logits(load_model(base, dtype="float32"))).abs().max() > 1e-2
    assert torch.allclose(logits(load_model(base, tmp_path / "adapter", dtype="float32")), expected, atol=1e-5)
    continued = open_for_training(recipe.replace(adapter=str(tmp_path / "adapter")))
    assert torch.allclose(logits(continued), expected, atol=1e-5)
    trainable = [{name for name, weight in one.model.named_parameters() if weight.requires_grad} for one in (trained, continued)]
    assert trainable[0] == trainable[1]
    merged = merge(base, tmp_path / "adapter", tmp_path / "merged")
    assert torch.allclose(logits(load_model(merged, dtype="float32")), expected, atol=1e-4)
    assert numpro_settings_of(merged) == recipe.numpro
    assert read_record(merged)["tuning"] == "merged"


def test_the_model_card_is_valid_for_the_hub_and_describes_the_training(tmp_path: Path) -> None:
    recipe = load_recipe("tiny", ["model=some/base"])
    record = training_record(recipe, ShardIndex(("a/one.parquet",), *[torch.zeros(0, 3).numpy()] * 3), processes=2)
    record["data"]["unreadable"] = {"video#0": "picture 3 is damaged", "other#1": "too long"}
    write_record(tmp_path, record)
    card = ModelCard.load(tmp_path / "README.md")
    assert (card.data.base_model, card.data.library_name) == ("some/base", "peft")
    for line in (
        "- 0.5 frames per second, 336 x 336 pixels, at most 240 frames",
        "- numbers drawn in red, bottom right, size 40 for a frame 336 pixels high",
        "2 were unreadable: video#0 (picture 3 is damaged); other#1 (too long).",
        "2 process(es).",
    ):
        assert line in card.text.splitlines() or line in card.text
    assert yaml.safe_load(card.text.partition("```yaml\n")[2].partition("```")[0]) == json.loads(json.dumps(recipe.to_dict()))
    record["tuning"] = "merged"
    write_record(tmp_path, record)
    merged = ModelCard.load(tmp_path / "README.md")
    assert merged.data.library_name == "transformers"
    assert "pretrained=THIS_FOLDER" in merged.text
    assert "LoRA and the trained projector" in merged.text


def test_the_references_adapter_merges_with_the_same_logits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, adapter = save_tiny_longva(tmp_path), save_tiny_adapter(tmp_path / "adapter")
    assert numpro_settings_of(adapter) is None
    assert main(["merge", str(base), str(adapter), str(tmp_path / "merged")]) == 0
    assert capsys.readouterr().out.strip().endswith("merged")
    expected = logits(load_model(base, adapter, dtype="float32"))
    assert torch.allclose(logits(load_model(tmp_path / "merged", dtype="float32")), expected, atol=5e-4)
    assert numpro_settings_of(tmp_path / "merged") is None
    assert main(["merge", str(base), str(adapter), str(tmp_path / "merged")]) == 1
    assert "merged already exists" in capsys.readouterr().err
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.shared
def test_the_golden_adapter_merges_to_the_references_logits(shared: Path, tmp_path: Path) -> None:
    golden = shared / "golden" / "longva"
    merged = merge(golden / "longva-tiny", golden / "adapter-tiny", tmp_path / "merged")
    model, processor, _ = load_model(merged)
    case = load_file(golden / "adapter.b1_v5.safetensors")
    ids = case["input_ids"][0].tolist()
    at = ids.index(-200)
    video = [processor.video_token_id] * (5 * processor.tokens_per_frame)
    full = torch.tensor([ids[:at] + video + ids[at + 1 :]])
    pixels = load_file(golden / "frames.safetensors")["pixel_values_a"][None]
    with torch.no_grad():
        out = model(input_ids=full, attention_mask=torch.ones_like(full), pixel_values_videos=pixels, labels=case["expanded_labels"])
    assert abs(out.loss.item() - case["loss"].item()) < 1e-5


def test_a_damaged_record_is_refused_and_a_missing_one_is_none(tmp_path: Path) -> None:
    assert numpro_settings_of(tmp_path) is None
    file = tmp_path / "numpro.json"
    file.write_text(json.dumps({"settings": NumProSettings(fps=2).to_dict()}))
    assert numpro_settings_of(tmp_path) == NumProSettings(fps=2)
    for text in ("{", "[]", "{}", '{"settings": 3}'):
        file.write_text(text)
        with pytest.raises(NumProError, match=r"numpro\.json cannot be read"):
            numpro_settings_of(tmp_path)
    file.write_text('{"settings": {"fpss": 1}}')
    with pytest.raises(NumProError, match="fpss"):
        numpro_settings_of(tmp_path)
