"""The recipe: everything a training run is made of, as one typed record read from YAML and ``key=value`` changes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from numpro_plugin.errors import NumProError
from numpro_plugin.settings import NumProSettings, parse_frame_size

from .keys import check_known, check_ranges, flat, keys_of, plain, put

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Numbering = Literal["grid", "offset", "random"]
Dtype = Literal["bfloat16", "float32"]
Tiling = Literal["none", "mlp", "all"]


@dataclass(frozen=True, kw_only=True)
class Data:
    """What is learned from, and how it is read."""

    shards: tuple[str, ...] = ()
    """Files, folders or patterns (``*.parquet``) of shards made by ``numpro-train shards``."""

    held_out: tuple[str, ...] = ()
    """Shards that are not trained on; every ``run.eval_steps`` steps the model answers their questions (mIoU by generation)."""

    streaming: bool = False
    """Read shards in order, through a buffer, instead of at random: for sets too large for a copy in datasets' cache."""

    shuffle_buffer: int = 256
    """How many videos each worker keeps to draw from when ``streaming``."""

    group_by_length: bool = True
    """Put samples of about equal length into one batch (not when ``streaming``)."""

    numbering: Numbering = "grid"
    """``grid``: true frame numbers. ``offset``: each sample's numbers start at a random one, answers shifted with them, so that numbers
    must be read, not counted. ``random``: every frame gets a random number, answers changed with them."""

    highest_number: int = 999
    """Up to which number chance goes when ``numbering`` is ``offset`` or ``random``. With ``offset`` a video whose own numbers go beyond
    this keeps them."""

    font_size_jitter: float = 0.0
    """Each sample's font size is within this fraction of ``numpro.style.font_size``, e.g. 0.1: 36 to 44 instead of 40."""

    max_tokens: int = 36_000
    """A longer sample loses frames, evenly, until it fits; the answer is never cut. 240 frames of LongVA are 34,560 tokens."""

    max_unreadable: float = 0.01
    """The run stops when more than this fraction of the samples cannot be used (damaged pictures, ...). They are always reported."""

    workers: int = 4
    """Processes that load samples, per training process."""

    def __post_init__(self) -> None:
        check_ranges("data", self, workers=(0, 256), max_tokens=(1, None), highest_number=(1, 10**6), shuffle_buffer=(1, None))
        check_ranges("data", self, font_size_jitter=(0, 0.5), max_unreadable=(0, 1))


@dataclass(frozen=True, kw_only=True)
class Lora:
    """LoRA on the linear layers of the language model, when ``tuning`` is ``lora``."""

    rank: int = 64
    alpha: float = 128
    dropout: float = 0.05

    projector: bool = True
    """Train the projector in full beside it."""

    def __post_init__(self) -> None:
        check_ranges("lora", self, rank=(1, 4096), alpha=(0, None), dropout=(0, 0.9))


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """AdamW, its schedule and the batch."""

    lr: float = 1e-4

    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"

    warmup: float = 0.05
    """Fraction of all steps."""

    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)

    max_grad_norm: float = 1.0
    """Gradients are scaled down to this norm; 0 leaves them."""

    batch_size: int = 128
    """Samples per optimizer step over all processes. How many steps of accumulation that takes follows from it."""

    micro_batch_size: int = 1
    """Samples per forward pass of one process."""

    epochs: float = 3
    """How often every sample is trained on, above 0; 1.5: half of them once more."""

    max_steps: int = 0
    """Exactly so many optimizer steps, instead of ``epochs``; 0: ``epochs`` count."""

    def __post_init__(self) -> None:
        check_ranges("optimizer", self, lr=(0, 1), warmup=(0, 0.99), weight_decay=(0, None), max_grad_norm=(0, None))
        check_ranges("optimizer", self, batch_size=(1, None), micro_batch_size=(1, None), max_steps=(0, None))
        if not 0 < self.epochs < float("inf"):
            raise NumProError(f"optimizer.epochs={self.epochs!r} must be above 0 (a fraction is allowed)")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise NumProError(f"optimizer.betas={self.betas} must each be at least 0 and below 1")
        if self.batch_size % self.micro_batch_size:
            raise NumProError(
                f"optimizer.batch_size={self.batch_size} must be a multiple of optimizer.micro_batch_size={self.micro_batch_size}"
            )


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What trades memory for time. None of it changes what is learned, except ``dtype`` and ``quantize``."""

    dtype: Dtype = "bfloat16"

    attention: str = "sdpa"
    """``sdpa``, ``flash_attention_2``, ``eager``: as transformers' ``attn_implementation``."""

    gradient_checkpointing: bool = True
    """Recompute the language model's layers in the backward pass."""

    tiling: Tiling = "all"
    """Compute these parts of the language model's layers in tiles along the sequence: ``none``, the ``mlp``, or ``all``: also attention's
    projections and the norms."""

    tile_tokens: int = 4096
    """Length of a tile; shorter sequences are computed in one."""

    deepspeed: str = "zero2"
    """``zero2``, ``zero3``, the path of a DeepSpeed JSON file, or ``none``. ``zero2`` and ``zero3`` shard between processes, so they are
    left out when there is one process without a launcher."""

    quantize: Literal["none", "4bit"] = "none"
    """``4bit``: QLoRA, the base's linear layers in NF4 (needs bitsandbytes)."""

    def __post_init__(self) -> None:
        check_ranges("memory", self, tile_tokens=(1, None))


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is written while training, and how often, in optimizer steps."""

    log_steps: int = 1

    save_steps: int = 200
    """A checkpoint every so many steps, and one at the end; 0: none, only the result is written."""

    save_total_limit: int = 2
    """So many checkpoints are kept; 0: all."""

    eval_steps: int = 0
    """mIoU on ``data.held_out`` every so many steps, and at the end; 0: only at the end."""

    max_new_tokens: int = 64
    """Length of an answer to a held-out question."""

    report_to: tuple[str, ...] = ()
    """``wandb``, ``tensorboard``, ...: whatever transformers' Trainer reports to."""

    def __post_init__(self) -> None:
        check_ranges("run", self, log_steps=(1, None), save_steps=(0, None), eval_steps=(0, None), save_total_limit=(0, None))
        check_ranges("run", self, max_new_tokens=(1, None))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run. Keys at the top, and sections whose keys are written with a dot: ``optimizer.lr=5e-5``.

    ====================  ==========================================================================================
    ``model``             the base: folder or hub id of LongVA, Qwen2-VL, Qwen2.5-VL, Qwen3-VL, LLaVA-OneVision, ...
    ``output``            folder to write: checkpoints, ``adapter/`` (or ``model/`` when all is tuned), logs, loss curve
    ``tuning``            ``lora``: LoRA on the language model, projector in full; ``full``: every parameter, vision too
    ``seed``              of everything that is random
    ``resume``            go on from the newest checkpoint in ``output`` if there is one
    ``numpro.*``          frames and numbers: ``fps``, ``frame_size``, ``max_frames``, ``numbers``, ``style.font_size`` ...
    ``data.*``            shards and how they are read                                                  (``Data``)
    ``lora.*``            rank, alpha, dropout, projector                                               (``Lora``)
    ``optimizer.*``       learning rate, batch size, epochs                                             (``Optimizer``)
    ``memory.*``          dtype, attention, checkpointing, tiling, DeepSpeed, 4-bit                     (``Memory``)
    ``run.*``             logs, checkpoints, held-out scores                                            (``Run``)
    ====================  ==========================================================================================

    The defaults are the paper's for NumPro-FT: LoRA of rank 64 and alpha 128, learning rate 1e-4 with cosine schedule, 128 samples a
    step (its 8 GPUs x 16), 3 epochs, bf16, ZeRO-2. ``numpro.prompt`` decides nothing in training; ``ft`` is stored with the adapter.
    """

    model: str = ""
    output: str = ""
    tuning: Literal["lora", "full"] = "lora"
    seed: int = 0
    resume: bool = False
    numpro: NumProSettings = field(default_factory=lambda: NumProSettings(prompt="ft"))
    data: Data = field(default_factory=Data)
    lora: Lora = field(default_factory=Lora)
    optimizer: Optimizer = field(default_factory=Optimizer)
    memory: Memory = field(default_factory=Memory)
    run: Run = field(default_factory=Run)

    def __post_init__(self) -> None:
        if self.tuning == "full" and self.memory.quantize != "none":
            raise NumProError("memory.quantize=4bit goes with tuning=lora only: weights of four bits cannot be trained")
        if self.memory.quantize != "none" and self.memory.deepspeed == "zero3":
            raise NumProError("memory.quantize=4bit does not go with memory.deepspeed=zero3: take zero2 or none")

        if self.data.numbering != "grid" and not self.numpro.numbers:
            raise NumProError(f"data.numbering={self.data.numbering} does not go with numpro.numbers=false: no number could be read")
        if self.run.eval_steps and not self.data.held_out:
            raise NumProError(f"run.eval_steps={self.run.eval_steps} needs questions to ask: set data.held_out to shards")
        if self.data.numbering == "random" and self.data.highest_number + 1 < self.numpro.max_frames:
            raise NumProError(
                f"data.numbering=random with data.highest_number={self.data.highest_number} has too few numbers for "
                f"numpro.max_frames={self.numpro.max_frames} frames: raise the one or lower the other"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Read what `to_dict` wrote, or a YAML file's content.

        Raises:
            NumProError: an unknown key, with the nearest one there is, or a value of another type or out of range.
        """
        from pydantic import TypeAdapter, ValidationError

        check_known(flat(values), known_keys())
        try:
            recipe: Recipe = TypeAdapter(cls).validate_python(_tidied(values))
        except ValidationError as error:
            first = error.errors()[0]
            reason = first.get("ctx", {}).get("error")
            if isinstance(reason, NumProError):
                raise reason from None
            place = ".".join(str(part) for part in first["loc"])
            raise NumProError(f"recipe: {place}={first['input']!r}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None
        return recipe

    def to_dict(self) -> dict[str, Any]:
        """As plain values for YAML and JSON; ``from_dict`` is the inverse."""
        return plain({**{f.name: getattr(self, f.name) for f in dataclasses.fields(self)}, "numpro": self.numpro.to_dict()})

    def to_yaml(self) -> str:
        """As a recipe file."""
        import yaml

        return str(yaml.safe_dump(self.to_dict(), sort_keys=False))

    def replace(self, **changes: Any) -> Recipe:
        """A copy with other values; keys with two underscores for a dot: ``replace(optimizer__lr=1e-5)``."""
        values = self.to_dict()
        for key, value in changes.items():
            put(values, key.replace("__", "."), value)
        return Recipe.from_dict(values)


def recipe_names() -> list[str]:
    """Names of the recipes that come along."""
    return sorted(file.name.removesuffix(".yaml") for file in _shipped().iterdir() if file.name.endswith(".yaml"))


def load_recipe(recipe: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe by its name or from a YAML file, with ``key=value`` changes (values as in YAML: ``data.shards=[a,b]``).

    Raises:
        NumProError: no such recipe, no YAML, an unknown key, a value out of range.
    """
    import yaml

    name = str(recipe)
    shipped = _shipped() / f"{name}.yaml"
    if not Path(name).is_file() and not shipped.is_file():
        raise NumProError(f"there is no recipe {name!r}: pass a YAML file, or one of {', '.join(recipe_names())}")
    text = Path(name).read_text(encoding="utf-8") if Path(name).is_file() else shipped.read_text(encoding="utf-8")
    try:
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise NumProError(f"{name} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise NumProError(f"{name} holds a {type(values).__name__} instead of keys and values")
    for change in overrides:
        key, equals, value = change.partition("=")
        if not equals or not key:
            raise NumProError(f"{change!r} is no change of the recipe: write key=value, e.g. optimizer.lr=5e-5")
        try:
            put(values, key.strip(), yaml.safe_load(value))
        except yaml.YAMLError:
            raise NumProError(f"{change!r}: the value is not YAML; put quotes around text with special characters") from None
    return Recipe.from_dict(values)


def known_keys() -> list[str]:
    """All keys, with dots."""
    return keys_of(Recipe)


def _shipped() -> Any:
    return files("numpro_plugin.trainer") / "recipes"


def _tidied(values: Mapping[str, Any]) -> dict[str, Any]:
    """One path or name where several are allowed; ``frame_size: 336`` or ``448x336``; the prompt's default in training."""
    tidy = {key: dict(value) if isinstance(value, dict) else value for key, value in values.items()}
    for section, key in (("data", "shards"), ("data", "held_out"), ("run", "report_to")):
        if isinstance(part := tidy.get(section), dict) and isinstance(part.get(key), str):
            part[key] = (part[key],)
    numpro = {"prompt": "ft", **(tidy.get("numpro") or {})}
    if isinstance(numpro.get("frame_size"), (int, str)):
        try:
            numpro["frame_size"] = parse_frame_size(str(numpro["frame_size"]))
        except ValueError:
            raise NumProError(f"numpro.frame_size={numpro['frame_size']!r} must be 336, 448x336 or [448, 336]") from None
    return {**tidy, "numpro": numpro}
