"""From rows of shards to numbered frames and model inputs. Runs in the worker processes of the data loader."""

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
from numpro_plugin.numbering import REFERENCE_HEIGHT
from numpro_plugin.showing import show
from numpro_plugin.timeline import Timeline, kept_numbers
from numpro_plugin.video.sampling import Frames

from ..shard_format import shown_numbers
from .encoded import Shown, conversation_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from numpro_plugin.encoding import TimeEncoding
    from numpro_plugin.families import Family, PreparedVideo, Sample

    from ..recipe.record import Recipe
    from ..shard_format import Turn

_FONT_SIZES = 9  # the number of jittered font sizes; the digits are rendered once for each
_END_OF_JPEG = b"\xff\xd9"


@dataclass(frozen=True)
class RawSample:
    """A sample before its pictures are decoded: one conversation about one video."""

    id: str
    row: Mapping[str, Any] | None
    """A row of a shard, or None for a filler in the last batch of an epoch, which has no labels and does not affect the loss."""
    conversation: int = 0
    """Index of the conversation in the row."""
    epoch: int = 0
    """Random choices (offset, numbers, font size) depend on the seed, the epoch and the id only."""


class Collator:
    """Makes a batch from raw samples: the keyword arguments of the model, and counts for the trainer.

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
        NumProError: the model does not take the recipe's frame size.
    """

    def __init__(self, family: Family, processor: Any, recipe: Recipe, *, pixels_dtype: torch.dtype = torch.float32) -> None:
        self.family, self.processor, self.recipe = family, processor, recipe
        self.settings, self.data = recipe.numpro, recipe.data
        self.pixels_dtype = pixels_dtype
        self._blank: dict[int, PreparedVideo] = {}
        family.with_frame_size(self.settings.frame_size)  # checks that the model takes it
        family.check_encoding(self.settings.encoding)

    def __call__(self, raw_samples: Sequence[RawSample]) -> dict[str, Any]:
        """A batch of one or more samples. An unreadable sample is replaced with a filler and listed under ``unreadable``."""
        samples, unreadable, frames = [], [], 0
        for raw in raw_samples:
            try:
                sample, count = self.filler() if raw.row is None else self.sample(raw)
                frames += 0 if raw.row is None else count
            except NumProError as error:
                unreadable.append((raw.id, str(error)))
                sample, _ = self.filler()
            samples.append(sample)
        batch: dict[str, Any] = dict(self.family.batch(samples, self.processor) if len(samples) > 1 else samples[0])
        batch["pixel_values_videos"] = batch["pixel_values_videos"].to(self.pixels_dtype)
        counts = {"tokens": int(batch["attention_mask"].sum()), "frames": frames}
        return {**batch, "ids": [raw.id for raw in raw_samples], **counts, "unreadable": unreadable}

    def sample(self, raw: RawSample) -> tuple[Sample, int]:
        """Inputs and labels of a sample, as a batch of one, and its number of frames.

        Raises:
            NumProError: a picture is damaged, or the conversation has no answer or is too long for the token budget.
        """
        row, rng = self._row_and_rng(raw)
        turns, shown = row["conversations"][raw.conversation], shown_numbers(row)
        whole = self._learned_turns(row, turns, shown, None)
        count = min(len(shown), self.settings.max_frames, self._frames_that_fit(len(shown), whole))
        start_state = rng.bit_generator.state
        while True:
            rng.bit_generator.state = start_state  # the random choices must not depend on the number of attempts
            kept = _kept_indices(row, shown, count)
            drawn, change = self._numbering(shown[kept], turns, rng)
            learned = self._learned_turns(row, turns, shown[kept], change)
            sample = self.family.encode(self._video(row, kept, shown, drawn, rng), learned, self.processor)
            if "labels" not in sample:
                raise NumProError("the conversation does not end with an answer")
            length = sample["input_ids"].shape[1]
            if length <= self.data.max_tokens:
                return sample, count
            if count == 1:
                raise NumProError(
                    f"one frame and the conversation are {length} tokens, more than data.max_tokens={self.data.max_tokens}: raise it"
                )
            # Everything between the first and the last video token grows with the frames; Qwen3-VL puts times there.
            places = (sample["input_ids"][0] == self.processor.video_token_id).nonzero()
            per_frame = (int(places[-1] - places[0]) + 1) / count
            count -= min(count - 1, max(1, int((length - self.data.max_tokens) // per_frame)))

    def question(self, raw: RawSample) -> Sample:
        """Inputs for generating the answer to a sample's first question, with the grid's numbers."""
        row, rng = self._row_and_rng(raw)
        shown = shown_numbers(row)
        turns = self._learned_turns(row, row["conversations"][raw.conversation], shown, None)
        start = next(k for k, turn in enumerate(turns) if turn["role"] == "user") + 1
        kept = self._kept_for_question(row, shown, turns)
        video = self._video(row, kept, shown, shown[kept], rng, jitter=False)
        sample = self.family.encode(video, turns[:start], self.processor)
        sample["pixel_values_videos"] = sample["pixel_values_videos"].to(self.pixels_dtype)
        return sample

    def question_numbers(self, raw: RawSample) -> NDArray[np.int64]:
        """The numbers (N,) of the frames that `question` shows."""
        row, _ = self._row_and_rng(raw)
        shown = shown_numbers(row)
        turns = self._learned_turns(row, row["conversations"][raw.conversation], shown, None)
        return shown[self._kept_for_question(row, shown, turns)]

    def _kept_for_question(self, row: Mapping[str, Any], shown: NDArray[np.int64], turns: Sequence[Mapping[str, str]]) -> NDArray[np.int64]:
        return _kept_indices(row, shown, min(len(shown), self.settings.max_frames, self._frames_that_fit(len(shown), turns)))

    def filler(self) -> tuple[Sample, int]:
        """A sample of two black frames without labels, and its number of frames."""
        turns = [{"role": "user", "content": "-"}, {"role": "assistant", "content": "-"}]
        sample = self.family.encode(self._blank_video(2), turns, self.processor)
        return {**sample, "labels": torch.full_like(sample["labels"], IGNORED)}, 2

    def _row_and_rng(self, raw: RawSample) -> tuple[Mapping[str, Any], np.random.Generator]:
        row = raw.row
        assert row is not None
        if not row["frames"]:
            raise NumProError("the row has no frames")
        if raw.conversation >= len(row["conversations"]) or not row["conversations"][raw.conversation]:
            raise NumProError("the conversation is empty")
        return row, np.random.default_rng([self.recipe.seed, raw.epoch, zlib.crc32(raw.id.encode())])

    def _numbering(
        self, shown: NDArray[np.int64], turns: Sequence[Turn], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], Callable[[int], int] | None]:
        """The number to draw on each of the frames ``shown``, and the function that changes the answers' numbers (None: unchanged)."""
        highest, numbering = self.data.highest_number, self.data.numbering
        if self.data.sorted_share and rng.random() < self.data.sorted_share:
            numbering = "sorted"
        if numbering == "offset":
            last = max([int(shown[-1]), *(int(t["content"][n["start"] : n["end"]]) for t in turns for n in t["numbers"] or ())])
            offset = int(rng.integers(0, max(0, highest - last) + 1))
            return shown + offset, lambda number: number + offset
        if numbering in ("random", "sorted"):
            drawn = rng.choice(highest + 1, size=len(shown), replace=False).astype(np.int64)
            drawn = np.sort(drawn) if numbering == "sorted" else drawn
            new = dict(zip(shown.tolist(), drawn.tolist(), strict=True))

            def change(number: int) -> int:
                if number not in new:
                    raise NumProError(
                        f"the answer names frame {number}, which is not among the {len(shown)} frames that are shown, so it has no number "
                        f"with data.numbering={numbering}: raise numpro.max_frames or data.max_tokens, or use data.numbering=offset"
                    )
                return new[number]

            return drawn, change
        return shown, None

    def _learned_turns(
        self, row: Mapping[str, Any], turns: Sequence[Turn], shown: NDArray[np.int64], change: Callable[[int], int] | None
    ) -> list[dict[str, str]]:
        """The conversation to train on, in the words of the recipe's encoding and with changed numbers."""
        shift_s = 0.0 if change is None or self.settings.encoding.answer == "frames" else change(0) / row["fps"]  # numbers are only shifted
        of_video = Shown(Timeline(row["duration_s"], row["fps"]), shown, change, shift_s)
        return conversation_in(turns, self.settings, of_video, snap=self.data.snap)

    def _video(
        self,
        row: Mapping[str, Any],
        kept: NDArray[np.int64],
        shown: NDArray[np.int64],
        drawn: NDArray[np.int64],
        rng: np.random.Generator,
        *,
        jitter: bool = True,
    ) -> PreparedVideo:
        """The kept frames with the marks of the numbers ``drawn``. Their times do not depend on these numbers."""
        pixels = decode_frames([row["frames"][k] for k in kept.tolist()], self.settings.stored_size)
        settings = self.settings
        if settings.encoding.draws and (share := self.data.font_size_jitter if jitter else 0):
            size = settings.style.font_size * (1 + share * (2 * int(rng.integers(_FONT_SIZES)) / (_FONT_SIZES - 1) - 1))
            settings = replace(settings, style=replace(settings.style, font_size=min(max(size, 4), REFERENCE_HEIGHT)))
        seen = show(Frames(pixels, shown[kept], Timeline(row["duration_s"], row["fps"])), settings, numbers=drawn)
        return self.family.prepare(seen.pictures, self.processor, seen.texts)

    def _frames_that_fit(self, count: int, turns: Sequence[Mapping[str, str]]) -> int:
        """An upper bound of the frames that fit the token budget, computed without decoding any; with long times in the text fewer fit."""
        budget = self.data.max_tokens
        text_bytes = sum(len(turn["content"].encode()) for turn in turns)
        per_frame = self._tokens(4) - self._tokens(3) or (self._tokens(4) - self._tokens(2)) / 2
        written = self.settings.encoding.text != "native"
        if not written and count * per_frame + text_bytes + 500 <= budget:  # no token is shorter than a byte
            return count
        if self.settings.encoding.grid is not None:
            return count  # what a grid costs does not depend on how many frames it holds
        two, four = (self.family.encode(self._blank_video(n), turns, self.processor)["input_ids"].shape[1] for n in (2, 4))
        return max(1, 2 + int((budget - two) // max(1e-9, (four - two) / 2)))

    def _tokens(self, frames: int) -> float:
        video = self._blank_video(frames)
        return video.repeat * video.text.count(self.processor.video_token)

    def _blank_video(self, frames: int) -> PreparedVideo:
        if frames not in self._blank:
            width, height = self.settings.stored_size
            pixels = np.zeros((frames, height, width, 3), dtype=np.uint8)
            numbers = np.arange(frames, dtype=np.int64)
            blank = Frames(pixels, numbers, Timeline(frames / self.settings.fps, self.settings.fps))
            seen = show(blank, replace(self.settings, encoding=_undrawn(self.settings.encoding)))
            self._blank[frames] = self.family.prepare(seen.pictures, self.processor, seen.texts)
        return self._blank[frames]


def _undrawn(encoding: TimeEncoding) -> TimeEncoding:
    """The same texts and layout with nothing drawn: fillers are black."""
    return replace(encoding, drawn="none", answer="seconds")


def _kept_indices(row: Mapping[str, Any], shown: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Indices (count,) of the frames of a row that are shown: those that evaluation shows of the whole video.

    If the shard was thinned, it may lack some of these. Then the frames with the nearest numbers are shown, or, if that would show a
    frame twice, evenly spaced frames of the row.
    """
    if count >= len(shown):
        return np.arange(len(shown))
    wanted = kept_numbers(Timeline(row["duration_s"], row["fps"]).count, count)
    after = np.searchsorted(shown, wanted).clip(1, len(shown) - 1)
    nearest = after - (wanted - shown[after - 1] <= shown[after] - wanted)
    return nearest if len(np.unique(nearest)) == count else kept_numbers(len(shown), count)


def decode_frames(pictures: Sequence[bytes], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode JPEG files to uint8 RGB (N, H, W, 3).

    Raises:
        NumProError: a picture is damaged or does not have this (width, height).
    """
    width, height = size
    pixels = np.empty((len(pictures), height, width, 3), dtype=np.uint8)
    for k, picture in enumerate(pictures):
        # Some releases of OpenCV decode a truncated file and fill the rest with grey.
        complete = picture.rstrip(b"\0").endswith(_END_OF_JPEG)
        decoded = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR_RGB) if complete else None
        if decoded is None:
            raise NumProError(f"picture {k} of {len(pictures)} is damaged ({len(picture)} bytes)")
        if decoded.shape != pixels.shape[1:]:
            raise NumProError(f"picture {k} is {decoded.shape[1]} x {decoded.shape[0]}, not {width} x {height}")
        pixels[k] = decoded
    return pixels
