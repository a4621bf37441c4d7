"""The recipe: all settings of a training run in a typed record, read from YAML and ``key=value`` changes."""

from __future__ import annotations

import dataclasses
from dataclasses import field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError
from pydantic.dataclasses import dataclass

from numpro_plugin.encoding import NUMBER, TimeEncoding, parse_encoding
from numpro_plugin.errors import NumProError
from numpro_plugin.settings import NumProSettings, encoding_with, parse_frame_size

from .keys import flat, keys_of, plain, put
from .mistakes import check_known, explain
from .sections import CHECKED, Data, Lora, Memory, Optimizer, Run
from .yaml_text import parse_yaml, read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SOURCES = "data.sources"  # the keys below it are names of sources


@dataclass(frozen=True, kw_only=True, config=CHECKED)
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
    ``memory.*``          dtype, attention, checkpointing, tiling, DeepSpeed, FSDP, 4-bit               (``Memory``)
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
