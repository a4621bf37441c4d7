"""The recipe: all settings of a training run in a typed record, read from YAML and ``key=value`` changes."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from numpro_plugin.encoding import NUMBER, TimeEncoding, parse_encoding
from numpro_plugin.errors import NumProError
from numpro_plugin.settings import NumProSettings, encoding_with, parse_frame_size

from .keys import flat, keys_of, plain, put
from .mistakes import check_known, explain
from .yaml_text import parse_yaml, read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Numbering = Literal["grid", "offset", "random", "sorted"]
HeldOutScore = Literal["mIoU", "loss"]
Dtype = Literal["bfloat16", "float32"]
Tiling = Literal["none", "mlp", "all"]
Reporter = Literal[
    "all",
    "none",
    "azure_ml",
    "clearml",
    "codecarbon",
    "comet_ml",
    "dagshub",
    "dvclive",
    "flyte",
    "kubeflow",
    "mlflow",
    "neptune",
    "swanlab",
    "tensorboard",
    "trackio",
    "wandb",
]
Beta = Annotated[float, Field(ge=0, lt=1)]

_SOURCES = "data.sources"  # the keys below it are names of sources

_CHECKED = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True, config=_CHECKED)
class SourceShare:
    """How much of a source is used. A number in its place is the weight."""

    weight: float = Field(default=1.0, ge=0, le=1000)
    """How often an epoch uses each of its samples: 0.5 uses every other one, and the others in the next epoch; 0 uses none."""

    limit: int = Field(default=0, ge=0)
    """Use at most this many of its samples, chosen at random by the seed; 0: all."""


@dataclass(frozen=True, kw_only=True, config=_CHECKED)
class Data:
    """The training data and how they are read."""

    shards: tuple[str, ...] = ()
    """Files, folders or patterns (``*.parquet``) of shards made by ``numpro-train shards``."""

    sources: dict[str, SourceShare] = field(default_factory=dict)
    """Weight, and limit if there is one, of each source in the shards: ``{anet: 1.0, didemo: {weight: 0.5, limit: 10000}}``. All sources
    must be named. Empty: every sample once."""

    held_out: tuple[str, ...] = ()
    """Shards that are not trained on; see ``run.held_out``. A video that is in ``shards`` as well is refused
    (``evaluated``)."""

    evaluated: Literal["refuse", "allow"] = "refuse"
    """``refuse``: a run does not start if a video of ``shards`` is in ``held_out`` or in a prepared table that is evaluated."""

    streaming: bool = False
    """Read shards in order through a shuffle buffer, not at random: for sets too large for a copy in the cache of ``datasets``."""

    shuffle_buffer: int = Field(default=256, ge=1)
    """Number of videos in each worker's shuffle buffer when ``streaming``."""

    group_by_length: bool = True
    """Put samples of similar length into one batch (not when ``streaming``)."""

    numbering: Numbering = "grid"
    """``grid``: the grid's frame numbers. ``offset``: each sample's numbers start at a random number and its answers are shifted by it, so
    that numbers must be read, not counted. ``random``: every frame has a random number and answers are changed to match. ``sorted``: the
    same with ascending numbers, so that neither their distances nor their beginning can be guessed."""

    sorted_share: float = Field(default=0.0, ge=0, le=1)
    """The share of samples, drawn anew in each epoch, that are numbered as with ``sorted`` instead of ``numbering``. It keeps a model that
    is fine-tuned on usual numbers from guessing them."""

    highest_number: int = Field(default=999, ge=1, le=1_000_000)
    """The largest number that ``offset``, ``random`` or ``sorted`` may draw. With ``offset``, a video whose own numbers are larger keeps
    them."""

    snap: bool = False
    """With answers in seconds or clock times: widen spans to times that are shown, as TimeLens does."""

    font_size_jitter: float = Field(default=0.0, ge=0, le=0.5)
    """Each sample's font size differs from ``numpro.style.font_size`` by at most this fraction, e.g. 0.1: 36 to 44 instead of 40."""

    max_tokens: int = Field(default=36_000, ge=1)
    """A longer sample loses frames, evenly, until it fits; the answer is never cut. 240 frames of LongVA are 34,560 tokens."""

    max_unreadable: float = Field(default=0.01, ge=0, le=1)
    """The run stops when more than this fraction of the samples is unreadable (damaged frames, ...). Each is reported in any case."""

    workers: int = Field(default=4, ge=0, le=256)
    """Loader processes per training process."""


@dataclass(frozen=True, kw_only=True, config=_CHECKED)
class Lora:
    """LoRA on the linear layers of the language model, used when ``tuning`` is ``lora``."""

    rank: int = Field(default=64, ge=1, le=4096)
    alpha: float = Field(default=128, ge=0)
    dropout: float = Field(default=0.05, ge=0, le=0.9)

    projector: bool = True
    """Also train the projector, in full."""


@dataclass(frozen=True, kw_only=True, config=_CHECKED)
class Optimizer:
    """AdamW, its schedule and the batch size."""

    lr: float = Field(default=1e-4, ge=0, le=1)

    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"

    warmup: float = Field(default=0.05, ge=0, le=0.99)
    """Fraction of all steps during which the learning rate rises."""

    weight_decay: float = Field(default=0.0, ge=0)
    betas: tuple[Beta, Beta] = (0.9, 0.999)

    max_grad_norm: float = Field(default=1.0, ge=0)
    """Gradients of a larger norm are scaled down to it; 0 turns this off."""

    batch_size: int = Field(default=128, ge=1)
    """Samples per optimizer step over all processes. The number of accumulation steps follows from it."""

    micro_batch_size: int = Field(default=1, ge=1)
    """Samples per forward pass of one process."""

    epochs: float = Field(default=3, gt=0)
    """Passes over the data, above 0; with 1.5, half of the samples are used a second time."""

    max_steps: int = Field(default=0, ge=0)
    """The number of optimizer steps, instead of ``epochs``; 0: use ``epochs``."""

    def __post_init__(self) -> None:
        if self.batch_size % self.micro_batch_size:
            raise NumProError(
                f"optimizer.batch_size={self.batch_size} must be a multiple of optimizer.micro_batch_size={self.micro_batch_size}"
            )


@dataclass(frozen=True, kw_only=True, config=_CHECKED)
class Memory:
    """Memory saved at the cost of time, and time saved. Only ``dtype`` and ``quantize`` change the result, beyond the order of sums."""

    dtype: Dtype = "bfloat16"

    attention: str = "sdpa"
    """``sdpa``, ``flash_attention_2`` or ``eager``: the ``attn_implementation`` of transformers."""

    gradient_checkpointing: bool = True
    """Recompute the language model's layers in the backward pass."""

    tiling: Tiling = "all"
    """Modules of the language model's layers that are computed in tiles along the sequence: ``none``, ``mlp``, or ``all``, which adds
    attention's projections and the norms."""

    tile_tokens: int = Field(default=4096, ge=1)
    """Tokens in a tile; a shorter sequence is not tiled."""

    deepspeed: str = "zero2"
    """``zero2``, ``zero3``, the path of a DeepSpeed JSON file, or ``none``. ``zero2`` and ``zero3`` partition over processes, so they are
    ignored in a single process without a launcher."""

    quantize: Literal["none", "4bit"] = "none"
    """``4bit``: QLoRA, the base model's linear layers in NF4 (needs bitsandbytes)."""

    liger: bool = False
    """Norms, MLPs and rotary embeddings of the language model by Liger's kernels (needs liger-kernel and a GPU)."""

    compile: bool = False
    """Compile the language model's layers with torch.compile, for training only. Not with ``tiling``."""

    def __post_init__(self) -> None:
        if self.compile and self.tiling != "none":
            raise NumProError(f"memory.compile=true does not work with memory.tiling={self.tiling}, as tiles cannot be compiled: use none")
        if self.compile and (self.quantize != "none" or self.deepspeed == "zero3"):
            key = f"quantize={self.quantize}" if self.quantize != "none" else "deepspeed=zero3"
            raise NumProError(f"memory.compile=true does not work with memory.{key}, which changes layers as they run: set it to false")


@dataclass(frozen=True, kw_only=True, config=_CHECKED)
class Run:
    """Logs, checkpoints and held-out evaluation; intervals are in optimizer steps."""

    log_steps: int = Field(default=1, ge=1)

    save_steps: int = Field(default=200, ge=0)
    """Steps between checkpoints; there is also one of the last step. 0: no checkpoints, only the result is written."""

    save_total_limit: int = Field(default=2, ge=0)
    """The number of newest checkpoints to keep; 0: all."""

    eval_steps: int = Field(default=0, ge=0)
    """Steps between evaluations on ``data.held_out``; there is always one at the end. 0: only at the end."""

    held_out: tuple[HeldOutScore, ...] = ("mIoU", "loss")
    """What is computed on ``data.held_out``: ``mIoU`` of generated answers to its moment questions, ``loss`` of all its answers."""

    max_new_tokens: int = Field(default=64, ge=1)
    """Longest answer to a held-out question, in tokens."""

    report_to: tuple[Reporter, ...] = ()
    """``wandb``, ``tensorboard``, ...: integrations of transformers' ``Trainer``, which must be installed. ``all``: those that are."""

    profile: int = Field(default=0, ge=0, le=1000)
    """Trace this many steps after the first two with torch's profiler, to ``output/profile``; 0: none."""

    push_to_hub: str = ""
    """Repository of the hub, ``NAME`` or ``ORG/NAME``, for result, model card and recipe. It is made before training; empty: none."""

    hub_private: bool = True
    """Make the repository private, and refuse to write to a public one."""

    def __post_init__(self) -> None:
        if self.push_to_hub and not re.fullmatch(r"([A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*", self.push_to_hub, re.ASCII):
            raise NumProError(f"run.push_to_hub={self.push_to_hub!r} is not a repository of the hub: write NAME or ORG/NAME")
        if len(self.report_to) > 1 and {"all", "none"} & set(self.report_to):
            raise NumProError(f"run.report_to={list(self.report_to)}: all and none stand alone, or name what is to be used")


@dataclass(frozen=True, kw_only=True, config=_CHECKED)
class Recipe:
    """A training run: top-level keys, and sections whose keys are written with a dot (``optimizer.lr=5e-5``).

    ====================  ==========================================================================================
    ``model``             the base: folder or hub id of LongVA, Qwen2-VL, Qwen2.5-VL, Qwen3-VL, LLaVA-OneVision, ...
    ``adapter``           adapter folder or hub id from which training starts, of this project or of the paper's authors
    ``output``            folder to write: checkpoints, ``adapter/`` (``model/`` with ``tuning: full``), logs, loss curve
    ``tuning``            ``lora``: LoRA on the language model, projector in full; ``full``: every parameter, also vision
    ``seed``              for all random choices
    ``resume``            continue from the newest checkpoint in ``output`` if it has one
    ``numpro.*``          frames and numbers: ``fps``, ``frame_size``, ``max_frames``, ``encoding``, ``style.font_size`` ...
    ``data.*``            training data and how they are read                                           (``Data``)
    ``lora.*``            rank, alpha, dropout, projector                                               (``Lora``)
    ``optimizer.*``       learning rate, batch size, epochs                                             (``Optimizer``)
    ``memory.*``          dtype, attention, checkpointing, tiling, DeepSpeed, 4-bit                     (``Memory``)
    ``run.*``             logs, checkpoints, held-out evaluation                                        (``Run``)
    ====================  ==========================================================================================

    Types, ranges and choices are documented with each key. `load_recipe` and `Recipe.from_dict` report a violation as a ``NumProError``; a
    record that is built directly raises pydantic's ``ValidationError``.

    The defaults are the paper's for NumPro-FT: LoRA of rank 64 and alpha 128, learning rate 1e-4 with cosine schedule, 128 samples per
    step (its 8 GPUs x 16), 3 epochs, bf16, ZeRO-2. ``numpro.prompt`` does not affect training; ``ft`` is stored with the adapter.
    """

    model: str = ""
    adapter: str = ""
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
            raise NumProError("memory.quantize=4bit works with tuning=lora only: 4-bit weights cannot be trained. Change one of them")
        if self.adapter and self.tuning == "full":
            raise NumProError(
                f"adapter={self.adapter} works with tuning=lora only: merge it into the model first (numpro-train merge) and set model to "
                "the result"
            )
        if self.adapter and self.memory.deepspeed == "zero3":
            raise NumProError(f"adapter={self.adapter} does not work with memory.deepspeed=zero3: use zero2 or none")
        if self.memory.quantize != "none" and self.memory.deepspeed == "zero3":
            raise NumProError("memory.quantize=4bit does not work with memory.deepspeed=zero3: use zero2 or none")
        encoding = self.numpro.encoding
        shows = encoding.draws or encoding.text not in ("native", "none")
        if not shows and (self.data.numbering != "grid" or self.data.sorted_share):
            key = (
                f"data.numbering={self.data.numbering}"
                if self.data.numbering != "grid"
                else f"data.sorted_share={self.data.sorted_share:g}"
            )
            raise NumProError(
                f"{key} does not work with numpro.numbers=false, where frames have no numbers: use data.numbering=grid and "
                "data.sorted_share=0"
            )
        if self.data.numbering == "offset" and (encoding.drawn == "bar" or encoding.grid is not None):
            raise NumProError(
                f"data.numbering=offset does not work with numpro.encoding={encoding.name}, which also tells how long the video is: use "
                "data.numbering=grid"
            )
        sorts = self.data.numbering in ("random", "sorted") or self.data.sorted_share
        if sorts and encoding.answer != "frames":
            raise NumProError(
                f"data.numbering={self.data.numbering} with data.sorted_share={self.data.sorted_share:g} changes frame numbers, but "
                f"numpro.encoding={encoding.name} answers in {encoding.answer}: use data.numbering=grid or offset, and data.sorted_share=0"
            )
        if self.run.profile and 0 < self.optimizer.max_steps <= 2:
            raise NumProError(
                f"run.profile={self.run.profile} traces steps after the first two, but optimizer.max_steps={self.optimizer.max_steps}: "
                "raise it"
            )
        if self.run.eval_steps and not self.data.held_out:
            raise NumProError(
                f"run.eval_steps={self.run.eval_steps} needs held-out questions: set data.held_out to shards, or run.eval_steps to 0"
            )
        if self.data.held_out and not self.run.held_out:
            raise NumProError("run.held_out=[] computes nothing on data.held_out: name mIoU, loss or both, or set data.held_out to []")
        if sorts and self.data.highest_number + 1 < self.numpro.max_frames:
            key = f"data.sorted_share={self.data.sorted_share:g}" if self.data.sorted_share else f"data.numbering={self.data.numbering}"
            raise NumProError(
                f"{key} with data.highest_number={self.data.highest_number} has too few numbers for "
                f"numpro.max_frames={self.numpro.max_frames} frames: raise data.highest_number or lower numpro.max_frames"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """A recipe from the result of `to_dict` or the content of a YAML file.

        Raises:
            NumProError: an unknown key (the message names the nearest known one), or a value of the wrong type or out of range.
        """
        check_known([key for key in flat(values) if not key.startswith(f"{_SOURCES}.")], known_keys())
        try:
            return cls(**_normalized(values))
        except ValidationError as error:
            raise explain(error, cls) from None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML and JSON; ``from_dict`` is the inverse."""
        numpro = self.numpro.to_dict()
        if "encoding" in numpro:
            numpro["encoding"] = self.numpro.encoding.name
        return plain({**{f.name: getattr(self, f.name) for f in dataclasses.fields(self)}, "numpro": numpro})

    def to_yaml(self) -> str:
        """The content of a recipe file."""
        import yaml

        return str(yaml.safe_dump(self.to_dict(), sort_keys=False))

    def replace(self, **changes: Any) -> Recipe:
        """A copy with other values; two underscores in a key mean a dot: ``replace(optimizer__lr=1e-5)``."""
        values = self.to_dict()
        for key, value in changes.items():
            _change(values, key.replace("__", "."), value)
        return Recipe.from_dict(values)


def recipe_names() -> list[str]:
    """Names of the included recipes."""
    return sorted(file.name.removesuffix(".yaml") for file in _recipes_folder().iterdir() if file.name.endswith(".yaml"))


def load_recipe(recipe: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Load an included recipe by name, or a YAML file, and apply ``key=value`` changes (values are YAML: ``data.shards=[a,b]``).

    Raises:
        NumProError: no such recipe, invalid YAML, an unknown key, or a value out of range.
    """
    name = str(recipe)
    included = _recipes_folder() / f"{name}.yaml"
    if not Path(name).is_file() and not included.is_file():
        raise NumProError(f"no recipe {name!r}: pass a YAML file, or one of {', '.join(recipe_names())}")
    values = read_yaml(Path(name) if Path(name).is_file() else included) or {}
    if not isinstance(values, dict):
        raise NumProError(f"{name} holds a {type(values).__name__} instead of keys and values")
    for change in overrides:
        key, equals, value = change.partition("=")
        if not equals or not key:
            raise NumProError(f"{change!r} does not change the recipe: write key=value, e.g. optimizer.lr=5e-5")
        _change(values, key.strip(), parse_yaml(value, repr(change)))
    return Recipe.from_dict(values)


def _change(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a key; of ``numpro.encoding`` and its short form ``numpro.numbers``, the later one counts."""
    twin = {"numpro.encoding": "numbers", "numpro.numbers": "encoding"}.get(key)
    if twin and isinstance(section := values.get("numpro"), dict):
        section.pop(twin, None)
    put(values, key, value)


def known_keys() -> list[str]:
    """All keys in dotted form."""
    return [*keys_of(Recipe), "numpro.numbers"]


def _recipes_folder() -> Any:
    return files("numpro_plugin.trainer") / "recipes"


def _normalized(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values in the types of the records: a single path becomes a tuple, ``frame_size: 336`` becomes (width, height)."""
    sections = {key: dict(value) if isinstance(value, dict) else value for key, value in values.items()}
    for name, key in (("data", "shards"), ("data", "held_out"), ("run", "held_out"), ("run", "report_to")):
        if isinstance(section := sections.get(name), dict) and isinstance(section.get(key), str):
            section[key] = (section[key],)
    if isinstance(data := sections.get("data"), dict) and isinstance(data.get("sources"), dict):
        data["sources"] = {str(name): _share(name, share) for name, share in data["sources"].items()}
    numpro = {"prompt": "ft", **(sections.get("numpro") or {})}
    if "frame_size" in numpro:
        numpro["frame_size"] = parse_frame_size(numpro["frame_size"], name="numpro.frame_size")
    encoding = numpro.pop("encoding", NUMBER)
    if not isinstance(encoding, TimeEncoding):
        encoding = parse_encoding(str(encoding), name="numpro.encoding")
    if (numbers := numpro.pop("numbers", None)) is not None and "encoding" not in (sections.get("numpro") or {}):
        encoding = encoding_with(encoding, numbers=numbers)
    elif numbers is not None and numbers != encoding.draws:
        raise NumProError(f"numpro.numbers={numbers!r} contradicts numpro.encoding={encoding.name}: leave numpro.numbers out")
    return {**sections, "numpro": {**numpro, "encoding": encoding}}


def _share(name: Any, share: Any) -> Any:
    """A source's share as a mapping; a number is its weight."""
    if isinstance(share, (int, float)) and not isinstance(share, bool):
        return {"weight": share}
    if not isinstance(share, dict):
        raise NumProError(f"{_SOURCES}.{name}={share!r} must be a weight (1.0) or {{weight: 1.0, limit: 1000}}")
    return share
