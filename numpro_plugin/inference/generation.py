"""Encoded samples -> answers: in batches padded on the left, or with one prefill of a video for all questions about it."""

# mypy: allow-untyped-calls

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn import functional
from transformers import DynamicCache

from numpro_plugin.encoding import NUMBER
from numpro_plugin.errors import NumProError
from numpro_plugin.internals.of_transformers import CACHE_ARGUMENT, copy_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpro_plugin.encoding import TimeEncoding
    from numpro_plugin.families import Loaded, Sample

log = logging.getLogger(__name__)

_PER_TOKEN = ("input_ids", "attention_mask", "position_ids", "mm_token_type_ids")
_PASSED_ON = (  # to transformers' generate, as they are
    "top_p",
    "top_k",
    "num_beams",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "length_penalty",
    "min_new_tokens",
)


@dataclass(frozen=True)
class GenerationOptions:
    """How an answer is generated; requests with equal options can share a batch. Greedy unless ``temperature`` is above 0."""

    max_new_tokens: int = 128
    """The most tokens of an answer, 1 or more."""

    temperature: float = 0.0
    """0: greedy. Above: sampling."""

    until: tuple[str, ...] = ()
    """The answer ends before the first of these."""

    more: tuple[tuple[str, Any], ...] = ()
    """Other arguments of transformers' ``generate``, by name."""

    def __post_init__(self) -> None:
        length = self.max_new_tokens
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise NumProError(f"max_new_tokens={length!r} must be an integer, 1 or more")

    @classmethod
    def from_lmms_eval(cls, arguments: Mapping[str, Any], *, max_new_tokens: int | None = None) -> GenerationOptions:
        """From a task's ``generation_kwargs``; a ``max_new_tokens`` given here overrides theirs.

        Raises:
            NumProError: an argument that is not known here, or one out of range.
        """
        rest = dict(arguments)
        length = max_new_tokens or rest.pop("max_new_tokens", None) or rest.pop("max_gen_toks", None) or cls.max_new_tokens
        until = rest.pop("until", None) or ()
        sampling = bool(rest.pop("do_sample", False))
        temperature = float(rest.pop("temperature", None) or 0.0)
        for name in ("max_new_tokens", "max_gen_toks", "image_aspect_ratio", "use_cache"):  # of other models, or handled above
            rest.pop(name, None)
        if unknown := sorted(set(rest) - set(_PASSED_ON)):
            raise NumProError(
                f"generation argument(s) {', '.join(unknown)} are not known here; known: max_new_tokens, temperature, do_sample, until, "
                + ", ".join(_PASSED_ON)
            )
        if sampling and not temperature:
            temperature = 1.0
        more = tuple(sorted((name, value) for name, value in rest.items() if value is not None))
        return cls(length, temperature, (until,) if isinstance(until, str) else tuple(until), more)


class Generated(NamedTuple):
    """The text that a model generated."""

    text: str
    tokens: int
    """How many tokens it took, the closing one among them."""


class Generator:
    """Answers samples of one model.

    Args:
        loaded: the model, its processor and family.
        batch_size: the most answers generated at once; None: as many as ``token_budget`` allows.
        token_budget: the most tokens of a batch, padded inputs and answers together (a single sample may have more); halved for good
            where memory did not suffice. None: no limit.
    """

    def __init__(self, loaded: Loaded, *, batch_size: int | None = 1, token_budget: int | None = None) -> None:
        for name, value in (("batch_size", batch_size), ("token_budget", token_budget)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise NumProError(f"{name}={value!r} must be an integer, 1 or more")
        self.model, self.processor, self.family = loaded
        self.batch_size, self.token_budget = batch_size, token_budget
        tokenizer = self.processor.tokenizer
        self._pad: int = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id

    @property
    def context(self) -> int:
        """How many tokens the model was made for, input and answer together."""
        return int(self.model.config.get_text_config().max_position_embeddings)

    def fits(self, lengths: Sequence[int], options: GenerationOptions) -> bool:
        """Whether samples of these lengths may be one batch."""
        padded = len(lengths) * (max(lengths) + options.max_new_tokens)
        in_count = self.batch_size is None or len(lengths) <= self.batch_size
        return len(lengths) == 1 or (in_count and (self.token_budget is None or padded <= self.token_budget))

    def check_context(self, sample: Sample, frames: int, options: GenerationOptions, what: str, encoding: TimeEncoding = NUMBER) -> None:
        """Check that input and answer fit the model's context; nothing is ever cut off.

        Args:
            sample: the input.
            frames: how many of the video it shows, in grids or one by one.
            options: how the answer is generated.
            what: names the input in the error.
            encoding: how the frames are shown.

        Raises:
            NumProError: they do not; the message names the largest ``max_frames`` that fits.
        """
        length = sample["input_ids"].shape[1]
        if length + options.max_new_tokens <= self.context:
            return

        def steps(count: int) -> int:
            pictures = count if encoding.grid is None else len(encoding.grid.parts(count))
            return self.family.steps(pictures, written=encoding.text != "native")

        # Everything between the first and the last video token grows with the frames: there may be times.
        places = (sample["input_ids"][0] == self.processor.video_token_id).nonzero().flatten()
        video = int(places[-1] - places[0]) + 1
        gaps = places.diff()
        starts = places[1:][gaps > 1]  # of all groups of video tokens but the first, where something is written between them
        longest = int(torch.cat([places[:1], starts]).diff().max()) if len(starts) else -(-video // steps(frames))
        room = (self.context - options.max_new_tokens - (length - video)) // longest
        fits = next((count for count in range(frames, 0, -1) if steps(count) <= room), 0)
        advice = f"the largest max_frames that fits is {fits}" if fits else "not even one frame fits beside the answer"
        raise NumProError(
            f"{what}: {frames} frames and the question are {length} tokens; with max_new_tokens={options.max_new_tokens} that is more than "
            f"the {self.context} that the model was made for; {advice}"
        )

    def batch(self, samples: Sequence[Sample], options: GenerationOptions) -> list[Generated]:
        """Answers to samples of any videos, in order; the batch is halved where memory does not suffice."""
        return self._halving(list(samples), options, lambda part: self._answers(self.family.batch(part, self.processor), options))

    def one_video(self, samples: Sequence[Sample], options: GenerationOptions) -> list[Generated]:
        """Answers to several questions about one video: what their inputs have in common is computed once.

        The video's frames and the common beginning of the questions go through the model once; its keys and values are then the
        past of every question. The answers are those of ``batch``.
        """
        if len(samples) < 2 or dict(options.more).get("num_beams", 1) > 1:  # beam search repeats the rows of a cache itself
            return [answer for part in self._parts(samples, options) for answer in self.batch(part, options)]
        shared = shared_length([sample["input_ids"][0] for sample in samples])
        # Qwen3-VL remembers the positions of the video that it saw last, so the answers must follow their prefill at once.
        past = self._prefill(samples[0], shared)

        def run(part: list[Sample]) -> list[Generated]:
            return self._answers(_after_prefix(part, shared), options, past=copy_cache(past, len(part)))

        return [answer for part in self._parts(samples, options) for answer in self._halving(part, options, run)]

    def _parts(self, samples: Sequence[Sample], options: GenerationOptions) -> Iterator[list[Sample]]:
        """The samples in batches that fit, in order."""
        part: list[Sample] = []
        for sample in samples:
            if part and not self.fits([one["input_ids"].shape[1] for one in (*part, sample)], options):
                yield part
                part = []
            part.append(sample)
        yield part

    @torch.no_grad()
    def _prefill(self, sample: Sample, length: int) -> DynamicCache:
        """Keys and values of the first ``length`` tokens, the video among them."""
        past = DynamicCache(config=self.model.config.get_text_config())
        inputs = {name: part[..., :length] if name in _PER_TOKEN else part for name, part in sample.items()}
        try:
            self.model(**self._placed(inputs), **{CACHE_ARGUMENT: past}, use_cache=True, logits_to_keep=1)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            raise self._too_large(sample) from error
        return past

    @torch.no_grad()
    def _answers(self, inputs: Sample, options: GenerationOptions, *, past: DynamicCache | None = None) -> list[Generated]:
        sampling: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if options.temperature > 0:
            # Without these a checkpoint's own generation_config may leave a single token to choose from.
            sampling = {"do_sample": True, "temperature": options.temperature, "top_p": 1.0, "top_k": 0}
        ends = getattr(self.model.generation_config, "eos_token_id", None)
        out = self.model.generate(
            **self._placed(inputs),
            **({} if past is None else {CACHE_ARGUMENT: past}),
            **{**sampling, **dict(options.more)},
            max_new_tokens=options.max_new_tokens,
            pad_token_id=self._pad,
            eos_token_id=self.processor.tokenizer.eos_token_id if ends is None else ends,
        )
        new = out[:, inputs["input_ids"].shape[1] :].tolist()
        closing = set(ends if isinstance(ends, list) else [ends, self.processor.tokenizer.eos_token_id])
        return [self._answer(ids, closing, options) for ids in new]

    def _answer(self, ids: list[int], closing: set[Any], options: GenerationOptions) -> Generated:
        end = next((k + 1 for k, one in enumerate(ids) if one in closing), len(ids))
        text = self.processor.tokenizer.decode(ids[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        text = text.strip()  # first, because lmms-eval stops at blank lines by default, and one before the answer does not end it
        for stop in filter(None, options.until):
            text = text.partition(stop)[0]
        return Generated(text.strip(), end)

    def _placed(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """On the model's device, pixels in its precision."""
        made = {}
        for name, part in inputs.items():
            if isinstance(part, torch.Tensor):
                part = part.to(self.model.device, self.model.dtype if part.is_floating_point() and name.startswith("pixel") else None)  # noqa: PLW2901
            made[name] = part
        return made

    def _halving(
        self, samples: list[Sample], options: GenerationOptions, run: Callable[[list[Sample]], list[Generated]]
    ) -> list[Generated]:
        try:
            return run(samples)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if len(samples) == 1:
                raise self._too_large(samples[0]) from error
        # After the handler: inside it the exception keeps the failed call's tensors alive.
        half = len(samples) // 2
        longest = max(sample["input_ids"].shape[1] for sample in samples)
        self.token_budget = max(1, (len(samples) - half) * (longest + options.max_new_tokens))
        log.warning(
            "out of memory with %d samples of up to %d tokens: continuing with %d at a time", len(samples), longest, len(samples) - half
        )
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return [answer for part in (samples[:-half], samples[-half:]) for answer in self._halving(part, options, run)]

    def _too_large(self, sample: Sample) -> NumProError:
        video = int((sample["input_ids"] == self.processor.video_token_id).sum())
        return NumProError(
            f"out of memory with a single video of {video} tokens: lower max_frames, load the model in a smaller dtype, or distribute it "
            "over several devices with device_map=auto"
        )


def shared_length(rows: Sequence[torch.Tensor]) -> int:
    """Length of the longest prefix that all rows (each (L,)) share; at least one token of every row is left after it."""
    shortest = min(len(row) for row in rows) - 1
    stacked = torch.stack([row[:shortest] for row in rows])
    alike = (stacked == stacked[0]).all(0).long()
    return int(alike.cumprod(0).sum())


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or in RAM."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in text for words in ("out of memory", "can't allocate memory", "_status_alloc_failed")
    )


def _after_prefix(samples: Sequence[Sample], shared: int) -> Sample:
    """Inputs of ``generate`` whose first ``shared`` tokens are computed already; padding of shorter questions follows these tokens.

    There are no pixels. The cached tokens stay in ``input_ids``: generation skips as many as the cache holds.
    """
    longest = max(sample["input_ids"].shape[1] for sample in samples)
    # Nothing attends to the padding, but a repetition penalty counts its tokens: it gets one that the prompt contains anyway.
    fillers = {"input_ids": int(samples[0]["input_ids"][0, 0]), "attention_mask": 0, "position_ids": 0}
    made = {}
    for name, filler in fillers.items():
        if name in samples[0]:
            rows = [
                torch.cat([part[..., :shared], functional.pad(part[..., shared:], (longest - part.shape[-1], 0), value=filler)], -1)
                for part in (sample[name] for sample in samples)
            ]
            made[name] = torch.cat(rows, 1 if rows[0].ndim == 3 else 0)
    return made
