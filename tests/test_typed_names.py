"""What people type stays: commands and flags, tasks, metrics, models and their arguments, variables, recipe keys, Python names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]

FLAGS = {
    "numpro": "demo ask app prepare check number score compare ceiling sweep report sheet export design doctor cache tasks-path --version",
    "numpro demo": "--train --videos --seed --out --json",
    "numpro ask": "video QUERY --model --adapter --highlights --fps --max-frames --start --end --max-new-tokens --batch-size --dtype "
    "--attn --device --json --clip --srt --edl --csv --force --encoding",
    "numpro app": "--model --adapter --demo --fps --max-frames --dtype --device --host --port --max-upload-mb",
    "numpro prepare": "charades didemo activitynet qvhighlights custom timelens_charades timelens_activitynet timelens_qvhighlights "
    "vue_tr vue_tr_v2 momentseeker ego4d_nlq tvgbench tacos youcook2 hirest charades_ood rextime etbench_tvg",
    "numpro prepare charades": "--annotations --videos --without-videos --durations --split --out --allow-missing",
    "numpro prepare didemo": "--annotations --videos --without-videos --yfcc-hash --majority --split --out --allow-missing",
    "numpro prepare activitynet": "--annotations --videos --without-videos --split --out --allow-missing",
    "numpro prepare qvhighlights": "--annotations --videos --without-videos --split --out --allow-missing",
    "numpro prepare custom": "--annotations --videos --without-videos --columns --unit --split --out --allow-missing",
    "numpro check": "charades --split --out",
    "numpro number": "video -o --output --fps --frame-size --max-frames --end --position --font-size --color --stroke-width "
    "--stroke-color --force --encoding",
    "numpro score": "moment highlight set predictions --truth --fps --unit --compatible --json",
    "numpro compare": "run_a run_b --json --plot --force",
    "numpro sweep": (
        "--model --model_args --model-args --tasks --encodings --fps --styles -o --out --limit --batch_size --batch-size --device "
        "--gen_kwargs --gen-kwargs --shard --join --dry-run --json"
    ),
    "numpro ceiling": "charades --fps --max-frames --encoding --split --out --json --plot --force",
    "numpro report": "RUN -o --output --pictures --videos --force",
    "numpro sheet": "video -o --output --query --truth --answer --samples --id --encoding --fps --frame-size --max-frames --end --force",
    "numpro export": "RUN --to csv coco fiftyone labelstudio -o --output --force",
    "numpro design": "VIDEO --benchmark --split --most-videos --frames --reader --sizes --colors --positions --outlines --plot --sheet "
    "--json --force",
    "numpro doctor": "FOLDER --json",
    "numpro cache": "info clear",
    "numpro tasks-path": "",
    "numpro-train": "shards run plan merge --version",
    "numpro-train shards": "INPUT --out --videos --yfcc-hash --fps --frame-size --max-frames --jpeg-quality --chroma --workers --shard "
    "--engine --rows-per-file --file-mb --allow-skipped --retry-skipped --past-last --evaluated",
    "numpro-train run": "RECIPE KEY=VALUE --show --time-limit --steal-lock",
    "numpro-train plan": "RECIPE KEY=VALUE --gpus --hours",
    "numpro-train merge": "BASE ADAPTER OUT",
}
BENCHMARKS = (
    *("charades", "didemo", "activitynet", "qvhighlights", "qvhighlights_hd", "custom", "custom_sets"),
    *("timelens", "timelens_charades", "timelens_activitynet", "timelens_qvhighlights"),
    *("vue_tr", "vue_tr_v2", "momentseeker", "ego4d_nlq"),
    *("tvgbench", "tacos", "youcook2", "hirest", "charades_ood", "rextime", "etbench_tvg"),
)
TASKS = {f"numpro_{name}{twin}" for name in BENCHMARKS for twin in ("", "_plain")} | {"numpro", "numpro_plain"}
TASKS |= {f"numpro_{name}_native" for name in BENCHMARKS if name != "qvhighlights_hd"} | {"numpro_native"}
METRICS = {
    "numpro_charades": {"R@0.3", "R@0.5", "R@0.7", "mIoU", "parse_fail", "request_fail"},
    "numpro_vue_tr": {
        *("R1_set@0.3", "R1_set@0.5", "R1_set@0.7", "mIoU_set", "R@0.3", "R@0.5", "R@0.7", "mIoU", "MR-full-mAP"),
        *("parse_fail", "request_fail"),
    },
    "numpro_qvhighlights_hd": {
        *("mAP", "HIT@1", "mAP_Good", "HIT@1_Good", "mAP_Fair", "HIT@1_Fair"),
        *("mAP_timechat", "HIT@1_timechat", "mAP_Good_timechat", "HIT@1_Good_timechat", "mAP_Fair_timechat", "HIT@1_Fair_timechat"),
        *("parse_fail", "request_fail"),
    },
}
HF_ARGUMENTS = (
    "pretrained adapter dtype attn_implementation max_new_tokens batch_size max_frames blocks device_map device token_budget share_prefix "
    "workers resume encoding"
)
WRAPPER_ARGUMENTS = "fps frame_size max_frames numbers encoding position font_size color stroke_width stroke_color resume requests_per_call"
VARIABLES = {
    "NUMPRO_FPS": "1",
    "NUMPRO_FRAME_SIZE": "448x336",
    "NUMPRO_MAX_FRAMES": "12",
    "NUMPRO_PROMPT": "ft",
    "NUMPRO_ENCODING": "number+text",
    "NUMPRO_POSITION": "top_left",
    "NUMPRO_FONT_SIZE": "20",
    "NUMPRO_COLOR": "blue",
    "NUMPRO_STROKE_WIDTH": "2",
    "NUMPRO_STROKE_COLOR": "white",
    "NUMPRO_MAX_NEW_TOKENS": "2048",
    "NUMPRO_DATA": "folder",
    "NUMPRO_SPLIT": "val_1",
    "NUMPRO_CACHE": "folder",
    "NUMPRO_CACHE_GB": "1",
    "NUMPRO_DECODER": "decord",
}
RECIPE_KEYS = """
    model adapter output tuning seed resume
    numpro.fps numpro.frame_size numpro.max_frames numpro.numbers numpro.prompt
    numpro.style.position numpro.style.font_size numpro.style.color numpro.style.stroke_width numpro.style.stroke_color
    data.shards data.sources data.held_out data.evaluated data.streaming data.shuffle_buffer
    data.group_by_length data.numbering data.highest_number
    data.font_size_jitter data.max_tokens data.max_unreadable data.workers
    lora.rank lora.alpha lora.dropout lora.projector
    optimizer.lr optimizer.schedule optimizer.warmup optimizer.weight_decay optimizer.betas optimizer.max_grad_norm
    optimizer.batch_size optimizer.micro_batch_size optimizer.epochs optimizer.max_steps
    memory.dtype memory.attention memory.gradient_checkpointing memory.tiling memory.tile_tokens memory.deepspeed memory.quantize
    memory.liger memory.compile
    run.log_steps run.save_steps run.save_total_limit run.eval_steps run.held_out run.max_new_tokens run.report_to
    run.push_to_hub run.hub_private run.profile
"""
RECIPES = {"longva_7b", "qwen2_vl_7b", "qwen2_5_vl_7b", "tiny", "tiny_ft", "tiny_base"}


def command(name: str) -> Callable[[list[str]], int]:
    (found,) = entry_points(group="console_scripts", name=name)
    main: Callable[[list[str]], int] = found.load()
    return main


@pytest.mark.parametrize("words", list(FLAGS))
def test_commands_and_flags(words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")
    name, *verbs = words.split()
    with pytest.raises(SystemExit):
        command(name)([*verbs, "--help"])
    shown = capsys.readouterr().out
    missing = [flag for flag in FLAGS[words].split() if not re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", shown)]
    assert missing == []


def test_tasks():
    files = [path for path in (ROOT / "tasks").glob("*.yaml") if not path.name.startswith("_")]
    assert {path.stem for path in files} >= TASKS
    for path in files:
        head = re.search(r"^(task|group): (\S+)$", path.read_text(), re.MULTILINE)
        assert head is not None
        assert head[2] == path.stem


@pytest.mark.parametrize("task", list(METRICS))
def test_metrics(task: str):
    metrics: set[str] = set()
    name: str | None = f"{task}.yaml"
    while name:
        text = (ROOT / "tasks" / name).read_text()
        metrics |= set(re.findall(r"metric: [\"']?([^\"'\s,}]+)", text))
        include = re.search(r"^include: (\S+)$", text, re.MULTILINE)
        name = include[1] if include else None
    assert metrics - {"numpro"} >= METRICS[task]


def test_models():
    (found,) = entry_points(group="lmms_eval.models", name="numpro")
    manifests = {manifest.model_id: manifest for manifest in found.load()()}
    assert set(manifests) == {"numpro", "numpro_hf", "numpro_oracle"}
    module, _, kind = manifests["numpro_hf"].chat_class_path.rpartition(".")
    assert set(inspect.signature(getattr(import_module(module), kind)).parameters) >= set(HF_ARGUMENTS.split())


def test_arguments_of_the_wrapper():
    from numpro_plugin.harness.wrap.model import RUN, SETTINGS

    assert {*SETTINGS, *RUN} >= set(WRAPPER_ARGUMENTS.split())


def test_variables(monkeypatch: pytest.MonkeyPatch):
    from numpro_plugin.environment import settings_from_environment

    settings = settings_from_environment(VARIABLES)
    assert (settings.fps, settings.frame_size, settings.max_frames, settings.prompt) == (1, (448, 336), 12, "ft")
    assert settings.encoding.name == "number+text"
    style = settings.style
    assert (style.position, style.font_size, style.color) == ("top_left", 20, "blue")
    assert (style.stroke_width, style.stroke_color) == (2, "white")


def test_recipe_keys(capsys: pytest.CaptureFixture[str]):
    assert command("numpro-train")(["run", "tiny", "model=MODEL", "output=OUT", "data.shards=SHARDS", "--show"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert set(flat(shown)) >= set(RECIPE_KEYS.split())


def flat(values: dict[str, object], before: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{before}{key}.")
        else:
            yield before + key


def test_recipes_that_come_along():
    assert {path.stem for path in (ROOT / "trainer" / "recipes").glob("*.yaml")} >= RECIPES


def test_python_names():
    package = import_module("numpro_plugin")
    names = "Timeline Frames sample_frames NumberStyle draw_numbers NumProSettings numbered_clip parse_moment parse_highlights NumProError"
    assert [name for name in names.split() if not hasattr(package, name)] == []
    assert callable(import_module("numpro_plugin.longva").load_longva)
    assert callable(import_module("numpro_plugin.metrics").set_iou)
    assert callable(import_module("numpro_plugin.families").load_model)
