"""Rows of shards -> numbered frames -> what the model takes. Runs in the loader's worker processes."""

# mypy: allow-untyped-calls

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from numpro_plugin.errors import NumProError
from numpro_plugin.families import IGNORED
from numpro_plugin.numbering import REFERENCE_HEIGHT, draw_numbers
from numpro_plugin.prompts import NUMBERS_SENTENCE
from numpro_plugin.timeline import Timeline, kept_numbers
from numpro_plugin.video.sampling import Frames

from ..shard_format import renumbered, shown_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from numpro_plugin.families import Family, PreparedVideo, Sample

    from ..recipe.record import Recipe
    from ..shard_format import Turn

_FONT_SIZES = 9  # a jittered font size is one of so many: every size has pictures of its numbers of its own
_END_OF_JPEG = b"\xff\xd9"


@dataclass(frozen=True)
class Item:
    """A sample before its pictures are decoded: one conversation about one video."""

    id: str
    row: Mapping[str, Any] | None
    """A shard's row, or None for what fills up the last batch of an epoch: it has no labels and no weight."""
    conversation: int = 0
    """Which of the row's conversations."""
    epoch: int = 0
    """Chance (offsets, random numbers, font sizes) is drawn anew each epoch, but for a sample always the same."""


class Collator:
    """Items -> a batch: the keyword arguments of the model, and what the trainer wants to know about it.

    Two samples of 4 and 2 frames with 2 tokens a frame (``v``), padded on the left::

        input_ids       <|im_start|> u s e r \\n v v v v v v v v W h e n ? ... F r o m   3 ... <|im_end|> \\n
                        <pad> <pad> <pad> <pad> <|im_start|> u s e r \\n v v v v W h a t ? ... F r o m ...
        labels          -100 ............................................ F r o m   3 ... <|im_end|> \\n
        pixel_values_videos  (1, 6, 3, H, W)
        ids             ["anet/v_abc#0", "didemo/xyz#1"]
        tokens          57
        frames          6
        unreadable      []             (id, reason) of samples that became fillers

    Raises:
        NumProError: the recipe's frame size is not one that the model takes.
    """

    def __init__(self, family: Family, processor: Any, recipe: Recipe, *, pixels_dtype: torch.dtype = torch.float32) -> None:
        self.family, self.processor, self.recipe = family, processor, recipe
        self.settings, self.data = recipe.numpro, recipe.data
        self.pixels_dtype = pixels_dtype
        self._blank: dict[int, PreparedVideo] = {}
        if not family.takes(self.settings.frame_size):
            raise NumProError(
                f"numpro.frame_size={self.settings.frame_size}, but {family.model_types[0]} takes {family.frame_size}: make shards of that "
                "size and set it in the recipe"
            )

    def __call__(self, items: Sequence[Item]) -> dict[str, Any]:
        """A batch of one or more items. An item that cannot be used becomes a filler and is listed under ``unreadable``."""
        samples, unreadable, frames = [], [], 0
        for item in items:
            try:
                sample, count = self.filler() if item.row is None else self.sample(item)
                frames += 0 if item.row is None else count
            except NumProError as error:
                unreadable.append((item.id, str(error)))
                sample, _ = self.filler()
            samples.append(sample)
        batch: dict[str, Any] = dict(self.family.batch(samples, self.processor) if len(samples) > 1 else samples[0])
        batch["pixel_values_videos"] = batch["pixel_values_videos"].to(self.pixels_dtype)
        counts = {"tokens": int(batch["attention_mask"].sum()), "frames": frames}
        return {**batch, "ids": [item.id for item in items], **counts, "unreadable": unreadable}

    def sample(self, item: Item) -> tuple[Sample, int]:
        """The item's inputs and labels, as a batch of one, and how many frames it has.

        Raises:
            NumProError: a damaged picture, a conversation that cannot be learned, or one too long for the token budget.
        """
        row, rng = self._opened(item)
        turns, shown = row["conversations"][item.conversation], shown_numbers(row)
        count = min(len(shown), self.settings.max_frames, self._frames_that_fit(len(shown), self._said(turns, None)))
        begun = rng.bit_generator.state
        while True:
            rng.bit_generator.state = begun  # the same chance, however many frames it takes to find out how many fit
            kept = _kept(row, shown, count)
            drawn, change = self._numbering(shown[kept], turns, rng)
            said = self._said(turns, change)
            sample = self.family.encode(self._frames(row, kept, shown, drawn, rng), said, self.processor)
            if "labels" not in sample:
                raise NumProError("the conversation does not end with an answer")
            length = sample["input_ids"].shape[1]
            if length <= self.data.max_tokens:
                return sample, count
            if count == 1:
                raise NumProError(
                    f"one frame and the conversation are {length} tokens, more than data.max_tokens={self.data.max_tokens}: raise it"
                )
            # All that stands between the first and the last video token grows with the frames: Qwen3-VL has times in it.
            places = (sample["input_ids"][0] == self.processor.video_token_id).nonzero()
            per_frame = (int(places[-1] - places[0]) + 1) / count
            count -= min(count - 1, max(1, int((length - self.data.max_tokens) // per_frame)))

    def question(self, item: Item) -> Sample:
        """The inputs of the item's first question with true numbers, for generation."""
        row, rng = self._opened(item)
        shown = shown_numbers(row)
        turns = self._said(row["conversations"][item.conversation], None)
        start = next(k for k, turn in enumerate(turns) if turn["role"] == "user") + 1
        count = min(len(shown), self.settings.max_frames, self._frames_that_fit(len(shown), turns))
        kept = _kept(row, shown, count)
        frames = self._frames(row, kept, shown, shown[kept], rng, jitter=False)
        sample = self.family.encode(frames, turns[:start], self.processor)
        sample["pixel_values_videos"] = sample["pixel_values_videos"].to(self.pixels_dtype)
        return sample

    def filler(self) -> tuple[Sample, int]:
        """A sample of two black frames that teaches nothing."""
        turns = [{"role": "user", "content": "-"}, {"role": "assistant", "content": "-"}]
        sample = self.family.encode(self._blank_video(2), turns, self.processor)
        return {**sample, "labels": torch.full_like(sample["labels"], IGNORED)}, 2

    def _opened(self, item: Item) -> tuple[Mapping[str, Any], np.random.Generator]:
        row = item.row
        assert row is not None
        if not row["frames"]:
            raise NumProError("the row has no frames")
        if item.conversation >= len(row["conversations"]) or not row["conversations"][item.conversation]:
            raise NumProError("the conversation is empty")
        return row, np.random.default_rng([self.recipe.seed, item.epoch, zlib.crc32(item.id.encode())])

    def _numbering(
        self, shown: NDArray[np.int64], turns: Sequence[Turn], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], Callable[[int], int] | None]:
        """The number to draw on each of the frames that are ``shown``, and how answers change with them."""
        highest = self.data.highest_number
        if self.data.numbering == "offset":
            last = max([int(shown[-1]), *(int(t["content"][n["start"] : n["end"]]) for t in turns for n in t["numbers"] or ())])
            offset = int(rng.integers(0, max(0, highest - last) + 1))
            return shown + offset, lambda number: number + offset
        if self.data.numbering == "random":
            drawn = rng.choice(highest + 1, size=len(shown), replace=False).astype(np.int64)
            new = dict(zip(shown.tolist(), drawn.tolist(), strict=True))

            def change(number: int) -> int:
                if number not in new:
                    raise NumProError(
                        f"frame {number} is spoken of but not among the {len(shown)} that are shown, and data.numbering=random gives no "
                        "number to what is not: raise numpro.max_frames or data.max_tokens, or take data.numbering=offset"
                    )
                return new[number]

            return drawn, change
        return shown, None

    def _said(self, turns: Sequence[Turn], change: Callable[[int], int] | None) -> list[dict[str, str]]:
        """The conversation as it is learned: numbers changed, and without numbers no word about them."""
        if change is not None:
            turns = renumbered([{**turn, "numbers": turn["numbers"] or ()} for turn in turns], change)
        said = [{"role": turn["role"], "content": turn["content"]} for turn in turns]
        if not self.settings.numbers:
            for turn in said:
                if turn["role"] == "user":
                    turn["content"] = turn["content"].replace(NUMBERS_SENTENCE + " ", "").replace(NUMBERS_SENTENCE, "")
        return said

    def _frames(
        self,
        row: Mapping[str, Any],
        kept: NDArray[np.int64],
        shown: NDArray[np.int64],
        drawn: NDArray[np.int64],
        rng: np.random.Generator,
        *,
        jitter: bool = True,
    ) -> Frames:
        """The kept frames with the numbers ``drawn`` (one each) on them. Their times stay the true ones, whatever is drawn."""
        pixels = decode_frames([row["frames"][k] for k in kept.tolist()], self.settings.frame_size)
        if self.settings.numbers:
            style, wide = self.settings.style, self.data.font_size_jitter if jitter else 0
            if wide:
                size = style.font_size * (1 + wide * (2 * int(rng.integers(_FONT_SIZES)) / (_FONT_SIZES - 1) - 1))
                style = replace(style, font_size=min(max(size, 4), REFERENCE_HEIGHT))
            draw_numbers(pixels, drawn, style)
        return Frames(pixels, shown[kept], Timeline(row["duration_s"], row["fps"]))

    def _frames_that_fit(self, count: int, turns: Sequence[Mapping[str, str]]) -> int:
        """How many frames the token budget has room for at most, found without decoding any; late times in the text may leave less."""
        budget = self.data.max_tokens
        per_frame = self._tokens(4) - self._tokens(3) or (self._tokens(4) - self._tokens(2)) / 2
        letters = sum(len(turn["content"].encode()) for turn in turns)
        if count * per_frame + letters + 500 <= budget:  # no token is shorter than a byte
            return count
        two, four = (self.family.encode(self._blank_video(n), turns, self.processor)["input_ids"].shape[1] for n in (2, 4))
        return max(1, 2 + int((budget - two) // ((four - two) / 2)))

    def _tokens(self, frames: int) -> float:
        video = self._blank_video(frames)
        return video.repeat * video.text.count(self.processor.video_token)

    def _blank_video(self, frames: int) -> PreparedVideo:
        if frames not in self._blank:
            width, height = self.settings.frame_size
            pixels = np.zeros((frames, height, width, 3), dtype=np.uint8)
            numbers = np.arange(frames, dtype=np.int64)
            self._blank[frames] = self.family.prepare(
                Frames(pixels, numbers, Timeline(frames / self.settings.fps, self.settings.fps)), self.processor
            )
        return self._blank[frames]


def _kept(row: Mapping[str, Any], shown: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Which ``count`` of a row's frames are shown: those with the numbers that evaluation shows of the whole video.

    If the shard was thinned it may lack some of them; then the frames with the nearest numbers, or, where two would be the same, every
    so manieth of what there is.
    """
    if count >= len(shown):
        return np.arange(len(shown))
    wanted = kept_numbers(Timeline(row["duration_s"], row["fps"]).count, count)
    after = np.searchsorted(shown, wanted).clip(1, len(shown) - 1)
    nearest = after - (wanted - shown[after - 1] <= shown[after] - wanted)
    return nearest if len(np.unique(nearest)) == count else kept_numbers(len(shown), count)


def decode_frames(pictures: Sequence[bytes], size: tuple[int, int]) -> NDArray[np.uint8]:
    """JPEG files -> uint8 RGB (N, H, W, 3).

    Raises:
        NumProError: one of them is damaged or is not of this (width, height).
    """
    width, height = size
    pixels = np.empty((len(pictures), height, width, 3), dtype=np.uint8)
    for k, picture in enumerate(pictures):
        # Releases of OpenCV differ in whether they decode a file that was cut off (grey from where it ends).
        whole = picture.rstrip(b"\0").endswith(_END_OF_JPEG)
        decoded = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR_RGB) if whole else None
        if decoded is None:
            raise NumProError(f"picture {k} of {len(pictures)} is damaged ({len(picture)} bytes)")
        if decoded.shape != pixels.shape[1:]:
            raise NumProError(f"picture {k} is {decoded.shape[1]} x {decoded.shape[0]}, not {width} x {height}")
        pixels[k] = decoded
    return pixels
