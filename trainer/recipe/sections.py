"""The sections of a recipe: typed records with the range of every key."""

from __future__ import annotations

import re
from dataclasses import field
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from numpro_plugin.errors import NumProError

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

CHECKED = ConfigDict(extra="forbid", allow_inf_nan=False)
"""Of every section, and of the recipe."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class SourceShare:
    """How much of a source is used. A number in its place is the weight."""

    weight: float = Field(default=1.0, ge=0, le=1000)
    """How often an epoch uses each of its samples: 0.5 uses every other one, and the others in the next epoch; 0 uses none."""

    limit: int = Field(default=0, ge=0)
    """Use at most this many of its samples, chosen at random by the seed; 0: all."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
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


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Lora:
    """LoRA on the linear layers of the language model, used when ``tuning`` is ``lora``."""

    rank: int = Field(default=64, ge=1, le=4096)
    alpha: float = Field(default=128, ge=0)
    dropout: float = Field(default=0.05, ge=0, le=0.9)

    projector: bool = True
    """Also train the projector, in full."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
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


@dataclass(frozen=True, kw_only=True, config=CHECKED)
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

    fsdp: bool = False
    """Shard weights, gradients and AdamW's states over processes with torch's FSDP2, instead of ``deepspeed``, which must be ``none``."""

    quantize: Literal["none", "4bit"] = "none"
    """``4bit``: QLoRA, the base model's linear layers in NF4 (needs bitsandbytes)."""

    liger: bool = False
    """Norms, MLPs and rotary embeddings of the language model by Liger's kernels (needs liger-kernel and a GPU)."""

    compile: bool = False
    """Compile the language model's layers with torch.compile, for training only. Not with ``tiling`` or ``fsdp``."""

    def __post_init__(self) -> None:
        if self.compile and self.tiling != "none":
            raise NumProError(f"memory.compile=true does not work with memory.tiling={self.tiling}, as tiles cannot be compiled: use none")
        if self.compile and (self.quantize != "none" or self.deepspeed == "zero3" or self.fsdp):
            key = f"quantize={self.quantize}" if self.quantize != "none" else "fsdp=true" if self.fsdp else "deepspeed=zero3"
            raise NumProError(f"memory.compile=true does not work with memory.{key}, which changes layers as they run: set it to false")
        if self.fsdp and self.deepspeed != "none":
            raise NumProError(f"memory.fsdp=true shards what memory.deepspeed={self.deepspeed} partitions: set memory.deepspeed=none")
        if self.fsdp and self.quantize != "none":
            raise NumProError(
                f"memory.fsdp=true does not work with memory.quantize={self.quantize}: 4-bit weights are not sharded. Use none"
            )


@dataclass(frozen=True, kw_only=True, config=CHECKED)
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
