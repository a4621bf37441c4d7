"""The recipe: reading from YAML and the command line, and errors for wrong keys and values."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpro_plugin.errors import NumProError
from numpro_plugin.trainer.cli import main
from numpro_plugin.trainer.recipe.record import Recipe, known_keys, load_recipe, recipe_names

PAPER = ("longva_7b", "qwen2_vl_7b", "qwen2_5_vl_7b")


@pytest.mark.parametrize("name", PAPER)
def test_large_recipes_have_the_papers_hyperparameters(name: str) -> None:
    recipe = load_recipe(name)
    assert (recipe.tuning, recipe.lora.rank, recipe.lora.alpha, recipe.lora.dropout, recipe.lora.projector) == ("lora", 64, 128, 0.05, True)
    optimizer = recipe.optimizer
    assert (optimizer.lr, optimizer.schedule, optimizer.warmup, optimizer.weight_decay) == (1e-4, "cosine", 0.05, 0)
    assert (optimizer.batch_size, optimizer.micro_batch_size, optimizer.epochs) == (16 * 8, 1, 3)
    assert (recipe.memory.dtype, recipe.memory.deepspeed, recipe.memory.gradient_checkpointing) == ("bfloat16", "zero2", True)
    assert (recipe.numpro.fps, recipe.numpro.frame_size, recipe.numpro.max_frames) == (0.5, (336, 336), 240)
    assert recipe.numpro.prompt == "ft"


@pytest.mark.parametrize("name", recipe_names())
def test_every_included_recipe_survives_a_round_trip(name: str) -> None:
    recipe = load_recipe(name)
    assert Recipe.from_dict(recipe.to_dict()) == recipe


@given(
    rank=st.integers(1, 512),
    lr=st.floats(1e-8, 1),
    shards=st.lists(st.text(min_size=1), max_size=3),
    size=st.integers(16, 64),
    font_size=st.floats(4, 336),
)
def test_a_recipe_survives_a_round_trip_through_a_dict(rank: int, lr: float, shards: list[str], size: int, font_size: float) -> None:
    changes = {"lora__rank": rank, "optimizer__lr": lr, "data__shards": shards}
    recipe = Recipe().replace(**changes, numpro__frame_size=[size, size], numpro__style__font_size=font_size)
    assert (recipe.lora.rank, recipe.optimizer.lr, recipe.data.shards) == (rank, lr, tuple(shards))
    assert (recipe.numpro.frame_size, recipe.numpro.style.font_size) == ((size, size), font_size)
    assert Recipe.from_dict(recipe.to_dict()) == recipe


@pytest.mark.parametrize(
    ("change", "key", "value"),
    [
        ("optimizer.lr=5e-5", "optimizer.lr", 5e-5),
        ("data.shards=a/*.parquet", "data.shards", ("a/*.parquet",)),
        ("data.shards=[a, b]", "data.shards", ("a", "b")),
        ("numpro.frame_size=48", "numpro.frame_size", (48, 48)),
        ("numpro.frame_size=448x336", "numpro.frame_size", (448, 336)),
        ("numpro.style.font_size=119", "numpro.style.font_size", 119.0),
        ("numpro.numbers=false", "numpro.numbers", False),
        ("run.report_to=wandb", "run.report_to", ("wandb",)),
        ("model=a=b", "model", "a=b"),
    ],
)
def test_the_command_line_changes_values(change: str, key: str, value: object) -> None:
    changed: object = load_recipe("tiny", [change])
    for name in key.split("."):
        changed = getattr(changed, name)
    assert changed == value
    assert key in known_keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optimiser.lr=1", r"'optimiser\.lr'.*did you mean 'optimizer\.lr'"),
        ("lr=1", r"'lr'.*did you mean 'optimizer\.lr'"),
        ("numpro.style.fontsize=3", r"did you mean 'numpro\.style\.font_size'"),
        ("xyzzy=1", r"'xyzzy'.*known keys: .*optimizer\.lr"),
        ("seed.x=1", r"'seed\.x'"),
        ("optimizer=3", r"'optimizer'.*did you mean"),
        ("optimizer.lr=fast", r"optimizer\.lr='fast'.*number"),
        ("optimizer.lr=2", r"^optimizer\.lr=2 must be 0 to 1$"),
        ("optimizer.lr=-1", r"^optimizer\.lr=-1 must be 0 to 1$"),
        ("optimizer.epochs=0", r"^optimizer\.epochs=0 must be above 0$"),
        ("optimizer.epochs=.inf", r"^optimizer\.epochs=inf must be a finite number$"),
        ("optimizer.lr=.nan", r"^optimizer\.lr=nan must be a finite number$"),
        ("data.workers=257", r"^data\.workers=257 must be 0 to 256$"),
        ("data.max_tokens=0", r"^data\.max_tokens=0 must be at least 1$"),
        ("lora.dropout=1", r"^lora\.dropout=1 must be 0 to 0\.9$"),
        ("memory.tile_tokens=0", r"^memory\.tile_tokens=0 must be at least 1$"),
        ("run.save_steps=-1", r"^run\.save_steps=-1 must be at least 0$"),
        ("optimizer.batch_size=3", r"batch_size=3 must be a multiple of optimizer\.micro_batch_size=2"),
        ("optimizer.betas=[0.9, 1.0]", r"^optimizer\.betas\.1=1\.0 must be below 1"),
        ("optimizer.betas=[0.9]", r"^optimizer\.betas=\[0\.9\] has too few values"),
        ("tuning=lorra", r"^tuning='lorra' must be 'lora' or 'full'; did you mean 'lora'\?$"),
        ("data.numbering=rand", r"^data\.numbering='rand' must be 'grid', 'offset', 'random' or 'sorted'; did you mean 'random'\?$"),
        ("data.sorted_share=2", r"^data\.sorted_share=2 must be 0 to 1$"),
        ("numpro.fps=0", r"fps=0.*above 0"),
        ("numpro.frame_size=wide", r"^numpro\.frame_size='wide' must be pixels as N or WIDTHxHEIGHT, for example 336 or 448x336$"),
        ("numpro.frame_size=8", r"frame_size=\(8, 8\) must be .* 16 to 4096"),
        ("memory.deepspeed=null", r"memory\.deepspeed=None"),
        ("model", r"key=value"),
        ("seed=1.5", r"seed=1\.5.*integer"),
    ],
)
def test_a_wrong_change_is_refused_with_a_clear_error(change: str, message: str) -> None:
    with pytest.raises(NumProError, match=message):
        load_recipe("tiny", [change])


def test_settings_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(NumProError, match="lora only"):
        load_recipe("tiny", ["tuning=full", "memory.quantize=4bit"])
    with pytest.raises(NumProError, match="zero3"):
        load_recipe("tiny", ["memory.deepspeed=zero3", "memory.quantize=4bit"])
    with pytest.raises(NumProError, match=r"memory\.compile=true does not work with memory\.tiling=all.*: use none"):
        load_recipe("longva_7b", ["memory.compile=true"])
    with pytest.raises(NumProError, match=r"memory\.compile=true does not work with memory\.deepspeed=zero3"):
        load_recipe("tiny", ["memory.compile=true", "memory.deepspeed=zero3"])
    for change, message in (
        ("memory.deepspeed=zero2", r"memory\.fsdp=true shards what memory\.deepspeed=zero2 partitions: set memory\.deepspeed=none"),
        ("memory.quantize=4bit", r"memory\.fsdp=true does not work with memory\.quantize=4bit"),
        ("memory.compile=true", r"memory\.compile=true does not work with memory\.fsdp=true"),
    ):
        with pytest.raises(NumProError, match=message):
            load_recipe("tiny", ["memory.fsdp=true", "memory.deepspeed=none", change])
    with pytest.raises(NumProError, match="numbering=offset does not work with numpro.numbers=false"):
        load_recipe("tiny", ["data.numbering=offset", "numpro.numbers=false"])
    with pytest.raises(NumProError, match="sorted_share=0.5 does not work with numpro.numbers=false"):
        load_recipe("tiny", ["data.sorted_share=0.5", "numpro.numbers=false"])
    with pytest.raises(NumProError, match="sorted_share=0.5.*highest_number=100.*max_frames=240"):
        load_recipe("tiny", ["data.sorted_share=0.5", "data.highest_number=100"])
    with pytest.raises(NumProError, match="eval_steps=10 needs held-out questions"):
        load_recipe("tiny", ["run.eval_steps=10"])
    with pytest.raises(NumProError, match="highest_number=100.*max_frames=240"):
        load_recipe("tiny", ["data.numbering=random", "data.highest_number=100"])


def test_recipes_are_read_from_yaml_files(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("model: folder\noptimizer:\n  lr: 1e-5\n", encoding="utf-8")
    assert load_recipe(file).optimizer.lr == 1e-5
    file.write_text("- model\n", encoding="utf-8")
    with pytest.raises(NumProError, match="list instead of keys"):
        load_recipe(file)
    file.write_text("model: [\n", encoding="utf-8")
    with pytest.raises(NumProError, match="not YAML"):
        load_recipe(file)
    with pytest.raises(NumProError, match="no recipe 'longva'.*longva_7b"):
        load_recipe("longva")


@pytest.mark.parametrize(
    "arguments", ["longva_7b optimizer.lr=5e-5 --show", "longva_7b --show optimizer.lr=5e-5", "--show longva_7b seed=0 optimizer.lr=5e-5"]
)
def test_show_prints_the_whole_recipe_as_yaml(arguments: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["run", *arguments.split()]) == 0
    file = tmp_path / "shown.yaml"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    assert load_recipe(file) == load_recipe("longva_7b", ["optimizer.lr=5e-5"])


def test_errors_are_reported_before_torch_is_loaded() -> None:
    code = (
        "import sys; from numpro_plugin.trainer.cli import main; code = main(['run', 'tiny', 'optimiser.lr=1']); "
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "numpro-train: unknown key 'optimiser.lr' in the recipe; did you mean 'optimizer.lr'?\n"


BOMB = "a0: &a0 {x: 1, y: 2}\n" + "".join(f"a{k}: &a{k} {{x: *a{k - 1}, y: *a{k - 1}}}\n" for k in range(1, 60))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, r"mine\.yaml:\d+: stands for more than 10,000 values"),
        ("a: &a [1]\nb: &b {<<: [{a: *a}, {b: *a}]}\n" + BOMB.replace("x: *", "<<: *"), "stands for more than 10,000 values"),
        ("data: &a {shards: [*a]}\n", r"mine\.yaml:1: an alias refers to the value that it is part of"),
        ("model: there\nseed: 1\nmodel: here\n", r"mine\.yaml:3: the key 'model' occurs twice"),
        ("data: " + "[" * 5000, "is nested too deeply"),
        ("seed: " + "9" * 5000, "holds a value that cannot be read"),
        ("model: 2001-99-99\n", "holds a value that cannot be read"),
        ("model: !!python/object/apply:os.system [ls]\n", "is not YAML"),
        ("? [1]\n: 2\n", "is not YAML"),
        ("model: a\x07\n", "is not YAML"),
        ("# " + "x" * 200_000, "is larger than 200 kB"),
        (b"\xff\xfe", r"mine\.yaml:1: is not UTF-8 \(byte 0xff\)"),
        (b"model: a\nlora: \xe9\n", r"mine\.yaml:2: is not UTF-8"),
    ],
)
@pytest.mark.slow
def test_a_file_that_is_no_recipe_is_refused_at_once(tmp_path: Path, content: str | bytes, message: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(NumProError, match=message):
        load_recipe(file)


def test_aliases_and_merged_sections_are_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("run: &run {log_steps: 5}\ndata: &data\n  shards: &files [a, b]\n  held_out: *files\n", encoding="utf-8-sig")
    assert load_recipe(file).data.held_out == ("a", "b")
    with pytest.raises(NumProError, match=r"^'seed=\[1': is not YAML"):
        load_recipe("tiny", ["seed=[1"])


@pytest.mark.shared
@pytest.mark.parametrize("name", ["bomb_dict.yaml", "binary.yaml"])
def test_handed_recipes(shared: Path, name: str) -> None:
    with pytest.raises(NumProError, match=name):
        load_recipe(shared / "cases/files" / name)
