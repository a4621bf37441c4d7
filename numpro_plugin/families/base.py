"""What all families have in common: conversations and frames -> inputs, labels and batches; how a checkpoint is opened."""

# mypy: allow-untyped-calls

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch.nn import functional

from numpro_plugin.errors import NumProError
from numpro_plugin.weights.folder import UNREADABLE, first_line, some

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from numpro_plugin.video.sampling import Frames

IGNORED = -100
"""Label of a token that the loss does not see."""

_SENTINEL = "\ue000"  # of Unicode's private use: stands for an answer, which may be as short as a letter of "<|im_end|>"

Sample = dict[str, torch.Tensor]
"""Keyword arguments of the model's ``forward`` and ``generate``."""


@dataclass(frozen=True, eq=False)
class Video:
    """A video made ready for the model once, for any number of questions."""

    inputs: Sample
    """``pixel_values_videos`` and what belongs to it."""

    text: str
    """What stands for the video in the prompt; each video token in it is repeated ``repeat`` times."""

    repeat: int
    """How often a video token of ``text`` is repeated."""


class Piece(NamedTuple):
    """A part of a conversation, and whether it is learned in training."""

    text: str
    learned: bool


class Family:
    """One family; ``family_of`` finds it. The methods here fit most; a subclass says what is its own.

    Conversations are a question or turns ``[{"role": "user", "content": ...}, {"role": "assistant", "content": ...}, ...]``; the video
    goes before the text of the first user's turn.
    """

    model_types: ClassVar[tuple[str, ...]]
    """``model_type`` in ``config.json``."""

    frames_dim: ClassVar[int] = 0
    """Along which dimension the pixels of several videos are put together."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    def frame_size(self) -> tuple[int, int]:
        """(width, height) that frames are resized to before numbers are drawn: what the vision tower was made for."""
        side = self.config.vision_config.image_size
        return side, side

    def prepare(self, frames: Frames, processor: Any) -> Video:
        """Exactly these frames as pixels for the model: none is dropped, sampled again or resized, which is checked."""
        self.check_size(frames)
        made = self._pixels(frames.pixels, processor)
        check_pixels(made["pixel_values_videos"].shape, (1, len(frames), 3, *frames.pixels.shape[1:3]))
        return Video(made, processor.video_token, processor.replace_video_token(made, video_idx=0).count(processor.video_token))

    def encode(self, video: Frames | Video, turns: str | Sequence[Mapping[str, str]], processor: Any) -> Sample:
        """The inputs of one sample, as a batch of one.

        With turns that end with an answer there are ``labels`` (1, L): the answers, and for the last one also what closes it (its end
        token and, where the chat template has one, the following newline); -100 elsewhere. The text of answers is tokenized apart from
        what precedes it, so that in training an answer follows exactly the tokens that it follows in generation.
        """
        if not isinstance(video, Video):
            video = self.prepare(video, processor)
        pieces = self._pieces(turns, processor)
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
        """Several samples as one, padded on the left: generation goes on at the right end."""
        if len({frozenset(sample) for sample in samples}) != 1:
            raise NumProError(f"a batch needs samples of one kind, with labels or without, got {[sorted(sample) for sample in samples]}")
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
        """Full names of the linear layers of the language model: nothing of the vision tower or projector, and not the head."""
        start = "model.language_model."
        names = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and name.startswith(start)]
        if not names:
            raise NumProError(f"{type(model).__name__} has no linear layers below {start!r}: pass the model before an adapter is put on it")
        return names

    def projector_modules(self, model: torch.nn.Module) -> list[str]:
        """Full names of the modules that turn the vision tower's features into tokens of the language model."""
        return ["model.multi_modal_projector"]

    @classmethod
    def load(cls, folder: Path, adapter: Path | None, *, merge: bool, trainable: bool, **options: Any) -> tuple[Any, Any]:
        """The model and its processor; see ``load_model``."""
        from peft import PeftModel
        from transformers import AutoModelForImageTextToText, AutoProcessor

        try:
            loaded: Any = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True, **options)
            model, info = loaded
            processor = AutoProcessor.from_pretrained(folder)
        except (*UNREADABLE, KeyError, TypeError) as error:
            raise NumProError(f"{folder} cannot be loaded: {first_line(error)}") from error
        if info["missing_keys"]:
            raise NumProError(f"{folder}: weights are missing: {some(info['missing_keys'])}. Is every shard of the checkpoint there?")
        if adapter is not None:
            from numpro_plugin.longva.adapters import check_base

            check_base(adapter, model)
            try:
                model = PeftModel.from_pretrained(model, str(adapter), is_trainable=trainable)
            except (*UNREADABLE, KeyError, TypeError) as error:
                raise NumProError(f"the adapter {adapter} does not fit {folder}: {first_line(error)}") from error
            model = model.merge_and_unload() if merge else model
        return model.eval(), processor

    def takes(self, size: tuple[int, int]) -> bool:
        """Whether the vision tower takes frames of this (width, height)."""
        return size == self.frame_size

    def check_size(self, frames: Frames) -> None:
        """Frames of a size that the vision tower does not take are an error."""
        height, width = frames.pixels.shape[1:3]
        if not self.takes((width, height)):
            raise NumProError(
                f"frames are {width} x {height}, but {self.model_types[0]} takes {self._allowed}: sample them with "
                f"frame_size={self.frame_size} and draw the numbers after that"
            )

    @property
    def _allowed(self) -> str:
        """Sizes of frames, for errors."""
        return "{} x {}".format(*self.frame_size)

    def _pixels(self, pixels: NDArray[np.uint8], processor: Any, **options: Any) -> Sample:
        """The family's own normalising, with everything else that its video processor may do switched off."""
        clip = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        options |= {"do_sample_frames": False, "do_resize": False, "do_center_crop": False}
        options |= {"input_data_format": "channels_first", "return_metadata": False}
        return dict(processor.video_processor([clip], return_tensors="pt", **options))

    def _opening_ids(self, text: str, video: Video, processor: Any) -> list[int]:
        """Token ids up to the first answer, the video's tokens among them."""
        token = processor.video_token_id
        ids = processor.tokenizer(text.replace(processor.video_token, video.text))["input_ids"]
        return [out for one in ids for out in ([token] * video.repeat if one == token else [one])]

    def _pieces(self, turns: str | Sequence[Mapping[str, str]], processor: Any) -> list[Piece]:
        """The conversation as text, cut where answers begin and end; the first piece holds the video's mark."""
        turns = [{"role": "user", "content": turns}] if isinstance(turns, str) else list(turns)
        roles = [turn["role"] for turn in turns if turn["role"] != "system"]
        if not roles or roles != ["user", "assistant"] * (len(roles) // 2) + ["user"] * (len(roles) % 2):
            raise NumProError(f"turns must alternate between 'user' and 'assistant', the user first; got the roles {roles}")
        first = [turn["role"] for turn in turns].index("user")
        messages = [_message(turn, video=k == first) for k, turn in enumerate(turns)]
        pieces, done = [], ""
        for k, turn in enumerate(turns):
            if turn["role"] != "assistant" and k + 1 < len(turns):
                continue
            answered = turn["role"] == "assistant"
            prompt = _render(processor, messages[: k if answered else k + 1], ask=True)
            if not prompt.startswith(done):
                raise NumProError("the chat template changes earlier turns when a later one comes: this family needs one that does not")
            pieces.append(Piece(prompt[len(done) :], False))
            if answered:
                done = _render(processor, messages[: k + 1], ask=False)
                closing = _render(processor, [*messages[:k], _message({**turn, "content": _SENTINEL}, video=False)], ask=False)
                closing = closing.rpartition(_SENTINEL)[2]
                if not turn["content"] or not done.endswith(turn["content"] + closing):
                    raise NumProError(f"the answer {turn['content']!r} is empty or the chat template changes it: it cannot be learned")
                pieces += [Piece(turn["content"], True), Piece(self._end(closing, processor), k + 1 == len(turns))]
        if sum(piece.text.count(processor.video_token) for piece in pieces) != 1 or processor.video_token not in pieces[0].text:
            raise NumProError(
                f"the conversation must hold {processor.video_token} once, where the video stands before the first question: "
                "a question or answer with that word must be rephrased, and the checkpoint needs its own chat template"
            )
        return pieces

    def _end(self, closing: str, processor: Any) -> str:
        """What ends an answer, if not what the chat template puts there (``closing``)."""
        return closing

    def _positions(self, sample: Sample) -> Sample:
        """``position_ids`` where the model's own are not what it was trained with, and what else says where a token stands."""
        return {}


def _message(turn: Mapping[str, str], *, video: bool) -> dict[str, Any]:
    return {"role": turn["role"], "content": [*([{"type": "video"}] if video else []), {"type": "text", "text": turn["content"]}]}


def _render(processor: Any, messages: list[dict[str, Any]], *, ask: bool) -> str:
    return str(processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask))


def check_pixels(got: Sequence[int], wanted: Sequence[int]) -> None:
    """Nothing may change frames whose numbers are drawn: small numbers cannot be read."""
    if tuple(got) != tuple(wanted):
        raise NumProError(
            f"the checkpoint's processor would change the frames: it makes {tuple(got)} of what should be {tuple(wanted)}; its pixel "
            "budget, size or crop_size in preprocessor_config.json does not fit this model"
        )
