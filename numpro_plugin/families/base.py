"""What all families share: conversations and frames -> inputs, labels and batches; sizes for planning; opening a checkpoint."""

# mypy: allow-untyped-calls

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.nn import functional

from numpro_plugin.errors import NumProError
from numpro_plugin.families.conversation import conversation_pieces
from numpro_plugin.families.opening import checkpoint_config, open_checkpoint
from numpro_plugin.families.sizes import Sizes
from numpro_plugin.families.written import Around, check_texts, prompt_ids

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from numpro_plugin.video.sampling import Frames

IGNORED = -100
"""Label of a token that the loss leaves out."""

Sample = dict[str, torch.Tensor]
"""Keyword arguments of the model's ``forward`` and ``generate``."""


@dataclass(frozen=True, eq=False)
class PreparedVideo:
    """A video prepared for the model once, for any number of questions."""

    inputs: Sample
    """``pixel_values_videos`` and the inputs that describe it (grids, times)."""

    text: str
    """What stands for the video in the prompt; each video token in it is repeated ``repeat`` times."""

    repeat: int
    """How often a video token of ``text`` is repeated."""

    texts: tuple[str, ...] | None = None
    """The caller's texts. Then ``text`` is not used: each of these stands before ``repeat`` video tokens and the marks around them."""


class Family(Sizes):
    """One family; ``family_of`` finds it. The methods here fit most families; a subclass holds what differs.

    Conversations are a question or turns ``[{"role": "user", "content": ...}, {"role": "assistant", "content": ...}, ...]``; the video
    goes before the text of the first user turn.
    """

    frames_dim: ClassVar[int] = 0
    """The dimension along which the pixels of several videos are joined."""

    keeps_features: ClassVar[bool] = False
    """Whether the model's ``forward`` holds the video's features until the language model has run."""

    def prepare(self, frames: Frames, processor: Any, texts: Sequence[str] | None = None) -> PreparedVideo:
        """Exactly these frames as pixels for the model; it is checked that none is dropped, sampled again or resized.

        Args:
            frames: with everything drawn.
            processor: the model's.
            texts: what is written before each frame, in place of whatever the family's own processor writes; None leaves that. Empty
                ones write nothing.

        Raises:
            NumProError: the vision tower does not take frames of this size, or the processor would change them; as many texts as frames
                are needed, and a family that has a place for them.
        """
        self._check(frames, texts)
        made = self._pixels(frames.pixels, processor)
        check_pixels(made["pixel_values_videos"].shape, (1, len(frames), 3, *frames.pixels.shape[1:3]))
        tokens = processor.replace_video_token(made, video_idx=0).count(processor.video_token)
        if texts is None:
            return PreparedVideo(made, processor.video_token, tokens)
        return PreparedVideo(made, processor.video_token, (tokens - self.closing_tokens) // len(frames), tuple(texts))

    def encode(self, video: Frames | PreparedVideo, turns: str | Sequence[Mapping[str, str]], processor: Any) -> Sample:
        """The inputs of one sample, as a batch of one.

        Turns that end with an answer get ``labels`` (1, L): the answers and, for the last one, also what closes it (its end token and,
        where the chat template has one, the newline after it); -100 elsewhere. Answers are tokenized apart from the text before them,
        so that in training an answer follows exactly the tokens that it follows in generation.
        """
        if not isinstance(video, PreparedVideo):
            video = self.prepare(video, processor)
        pieces = conversation_pieces(turns, processor, self._end_of_answer)
        ids: list[int] = self._opening_ids(pieces[0].text, video, processor)
        labels = [IGNORED] * len(ids)
        for piece in pieces[1:]:
            more = processor.tokenizer(piece.text, add_special_tokens=False)["input_ids"]
            ids += more
            labels += more if piece.learned else [IGNORED] * len(more)
        sample = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long), **video.inputs}
        if pieces[-1].learned:
            sample["labels"] = torch.tensor([labels])
        return sample | self._positions(sample)

    def batch(self, samples: Sequence[Sample], processor: Any) -> Sample:
        """Several samples as one, padded on the left: generation continues at the right end."""
        if len({frozenset(sample) for sample in samples}) != 1:
            raise NumProError(
                f"a batch needs samples of one kind, all with labels or all without, got {[sorted(sample) for sample in samples]}"
            )
        pad = processor.tokenizer.pad_token_id
        fillers = {"input_ids": processor.tokenizer.eos_token_id if pad is None else pad, "labels": IGNORED}
        length = max(sample["input_ids"].shape[1] for sample in samples)
        made = {}
        for name in samples[0]:
            parts = [sample[name] for sample in samples]
            if name in ("input_ids", "attention_mask", "labels", "mm_token_type_ids", "position_ids"):
                parts = [functional.pad(part, (length - part.shape[-1], 0), value=fillers.get(name, 0)) for part in parts]
            dim = self.frames_dim if name == "pixel_values_videos" else 1 if name == "position_ids" and parts[0].ndim == 3 else 0
            made[name] = torch.cat(parts, dim)
        return made

    def lora_modules(self, model: torch.nn.Module) -> list[str]:
        """Full names of the language model's linear layers, without its head; none of the vision tower or projector."""
        start = "model.language_model."
        names = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and name.startswith(start)]
        if not names:
            raise NumProError(
                f"{type(model).__name__} has no linear layers below {start!r}: pass the model before an adapter is added to it"
            )
        return names

    def projector_modules(self, model: torch.nn.Module) -> list[str]:
        """Full names of the modules that turn the vision tower's features into tokens of the language model."""
        return ["model.multi_modal_projector"]

    @classmethod
    def config_at(cls, folder: Path) -> Any:
        """The configuration of a checkpoint; its weights are not opened."""
        return checkpoint_config(folder)

    @classmethod
    def load(cls, folder: Path, adapter: Path | None, *, merge: bool, trainable: bool, **options: Any) -> tuple[Any, Any]:
        """The model and its processor; see ``load_model``."""
        return open_checkpoint(folder, adapter, merge=merge, trainable=trainable, **options)

    def video_features(self, model: Any, pixels: torch.Tensor) -> torch.Tensor:
        """(tokens, width): what vision tower and projector make of ``pixels``, which may be fake tensors."""
        out = base_model_of(model).model.get_video_features(pixels, return_dict=True).pooler_output
        return torch.cat(list(out)) if isinstance(out, (list, tuple)) else out.flatten(0, -2)

    def given_positions(self, rows: int, length: int) -> Sample:
        """``position_ids`` in the shape that the language model gets, all zero; empty where they are (rows, length)."""
        return {}

    def with_shallow_tower(self) -> Any:
        """A copy of the configuration with as few layers in the vision tower as possible."""
        config = copy.deepcopy(self.config)
        config.vision_config.num_hidden_layers = 1
        return config

    def _check(self, frames: Frames, texts: Sequence[str] | None) -> None:
        """Check frames and texts before ``prepare`` makes anything of them."""
        if texts is not None:
            check_texts(texts, len(frames), self.model_types[0], writes_texts=self.writes_texts)
        self.check_size(frames)

    def _pixels(self, pixels: NDArray[np.uint8], processor: Any, **options: Any) -> Sample:
        """Pixels normalised by the family's own video processor, with everything else that it may do switched off."""
        clip = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        options |= {"do_sample_frames": False, "do_resize": False, "do_center_crop": False}
        options |= {"input_data_format": "channels_first", "return_metadata": False}
        return dict(processor.video_processor([clip], return_tensors="pt", **options))

    def _opening_ids(self, text: str, video: PreparedVideo, processor: Any) -> list[int]:
        """Token ids up to the first answer, the video's tokens among them."""
        if video.texts is not None:
            return prompt_ids(text, video.texts, video.repeat, processor, self._around(processor), self.closing_tokens)
        token = processor.video_token_id
        ids = processor.tokenizer(text.replace(processor.video_token, video.text))["input_ids"]
        return [out for one in ids for out in ([token] * video.repeat if one == token else [one])]

    def _around(self, processor: Any) -> Around:
        """What stands around the tokens of a frame that a text stands before."""
        return Around()

    def _end_of_answer(self, closing: str, processor: Any) -> str:
        """What closes an answer in training; ``closing`` is what the chat template puts there."""
        return closing

    def _positions(self, sample: Sample) -> Sample:
        """``position_ids`` where the model's own differ from those of its training, and other inputs about where a token stands."""
        return {}


def check_pixels(got: Sequence[int], wanted: Sequence[int]) -> None:
    """Check that nothing changes frames that carry their numbers: numbers made smaller cannot be read."""
    if tuple(got) != tuple(wanted):
        raise NumProError(
            f"the checkpoint's processor would change the frames: it makes {tuple(got)} of what should be {tuple(wanted)}; correct its "
            "pixel budget, size or crop_size in preprocessor_config.json"
        )


def base_model_of(model: Any) -> Any:
    """The transformers model below an adapter, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
