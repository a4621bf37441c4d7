"""Evaluation on held-out shards: answers are generated and scored against the annotated ones, and the loss of all answers."""

# mypy: allow-untyped-calls

from __future__ import annotations

import math
import re
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import torch

from numpro_plugin.answers.moments import parse_moment
from numpro_plugin.answers.reading import read_moment
from numpro_plugin.errors import NumProError
from numpro_plugin.families import IGNORED
from numpro_plugin.inference.generation import GenerationOptions, Generator
from numpro_plugin.metrics.moments import moment_scores, span_iou
from numpro_plugin.timeline import Timeline

from ..batches.dataset import ParquetRows, Samples
from ..batches.encoded import usable_samples
from ..output.answers import answer_row
from ..shards.index import conversations_of
from .loss import answer_loss, next_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpro_plugin.families import Loaded

    from ..batches.collator import Collator, RawSample
    from ..recipe.sections import HeldOutScore
    from ..shard_format import Turn
    from ..shards.index import ShardIndex

_LIST = re.compile(r"\s*(?:[,;&]|,?\s*and)\s*(?:frames?\s*)?", re.IGNORECASE)
_CAPTION = re.compile(r"\s*(?:frames?\s*)?[,:;]\s*\w", re.IGNORECASE)


def moment_in(conversation: Sequence[Turn]) -> tuple[int, int] | None:
    """The span (first, last number) in the first answer of a conversation, or None if the answer is not a moment.

    A moment is two frame numbers that form a span ("3 to 9", "between 3 and 9"), and no other digit. Lists ("3, 9"), captions with a
    time ("From 3 to 9, a man runs.") and answers with more or fewer numbers are not moments.
    """
    turn = _first_answer(conversation)
    if turn is None or len(turn["numbers"] or ()) != 2:
        return None
    text, (first, last) = turn["content"], turn["numbers"]
    before, between, after = text[: first["start"]], text[first["end"] : last["start"]], text[last["end"] :]
    if any(letter.isdigit() for letter in before + between + after) or _CAPTION.match(after):
        return None
    if _LIST.fullmatch(between) and "between" not in before.lower():
        return None
    numbers = int(text[first["start"] : first["end"]]), int(text[last["start"] : last["end"]])
    return numbers if parse_moment(text).numbers == numbers else None


class HeldOut:
    """The conversations of held-out shards that can be put into the recipe's encoding, and the moment questions among them (``moment_in``).

    Args:
        index: the held-out shards.
        collator: of the training.
        max_new_tokens: longest answer to a question.
        scores: what is computed.

    Raises:
        NumProError: mIoU is to be computed, and there is no moment question.
    """

    def __init__(
        self, index: ShardIndex, collator: Collator, *, max_new_tokens: int, scores: Sequence[HeldOutScore] = ("mIoU", "loss")
    ) -> None:
        self._collator, self._max_new_tokens, self._scores = collator, max_new_tokens, tuple(scores)
        self.samples = Samples(index, ParquetRows(index, keep=1))
        self._questions: list[tuple[int, tuple[int, int]]] = []
        self.answers: list[dict[str, Any]] = []
        """The answers of the last evaluation of all processes, as lines of a log (see ``output.answers``)."""

        usable, _ = usable_samples(index, collator.settings)
        self._usable = range(len(self.samples)) if usable is None else usable.nonzero()[0].tolist()
        if "mIoU" not in self._scores:
            return
        spans = [moment_in(conversation) for conversation in conversations_of(index)]
        self._questions = [(sample, span) for sample in self._usable if (span := spans[sample]) is not None]
        if not self._questions:
            raise NumProError(
                f"none of the {len(spans)} held-out conversations in {', '.join(index.files[:3])} asks for a moment (an answer such as "
                "'From Frame 3 to Frame 9.'): set data.held_out to shards with moments, or to [], or run.held_out to [loss]"
            )

    def evaluate(
        self,
        loaded: Loaded,
        *,
        rank: int = 0,
        world: int = 1,
        gather: Callable[[list[Any]], list[Any]] = list,
        equal_rounds: bool = False,
        stop: Callable[[], int] = int,
        **generate_options: Any,
    ) -> dict[str, float] | None:
        """What is to be computed of ``scores`` and ``loss``; arguments as there. None: it was interrupted."""
        rounds: dict[str, Any] = {"rank": rank, "world": world, "gather": gather, "equal_rounds": equal_rounds, "stop": stop}
        found: dict[str, float] = {}
        if "mIoU" in self._scores:
            scores = self.scores(loaded, **rounds, **generate_options)
            if scores is None:
                return None
            found |= scores
        if "loss" in self._scores:
            loss = self.loss(loaded, **rounds)
            if loss is None:
                return None
            found |= loss
        return found

    def loss(
        self,
        loaded: Loaded,
        *,
        rank: int = 0,
        world: int = 1,
        gather: Callable[[list[Any]], list[Any]] = list,
        equal_rounds: bool = False,
        stop: Callable[[], int] = int,
    ) -> dict[str, float] | None:
        """``loss``: the mean cross entropy per learned token over all answers of all held-out conversations; ``loss_tokens``: their number.

        Frames and numbers are made as in training, always as in its first epoch, so that evaluations can be compared. The result does
        not depend on the number of processes. Arguments as for ``scores``.

        Raises:
            NumProError: a sample cannot be read.
        """
        count = len(self._usable)
        device = next(loaded.model.parameters()).device
        results: list[tuple[float, int]] = []
        for k in _turns(count, rank=rank, world=world, equal_rounds=equal_rounds, stop=stop):
            if k is None:
                return None
            raw = self.samples[0, self._usable[k % count]]
            sample, _ = _encoded(self._collator.sample, raw)
            sample["pixel_values_videos"] = sample["pixel_values_videos"].to(self._collator.pixels_dtype)
            inputs = {name: value.to(device) if torch.is_tensor(value) else value for name, value in sample.items()}
            with torch.no_grad():
                total = float(answer_loss(loaded.model, inputs, num_items=1))
            if k < count:
                results.append((total, int((next_labels(sample["labels"]) != IGNORED).sum())))
        results = gather(results)
        tokens = sum(count for _, count in results)
        return {"loss": math.fsum(total for total, _ in results) / max(1, tokens), "loss_tokens": tokens}

    def scores(
        self,
        loaded: Loaded,
        *,
        rank: int = 0,
        world: int = 1,
        gather: Callable[[list[Any]], list[Any]] = list,
        equal_rounds: bool = False,
        stop: Callable[[], int] = int,
        **generate_options: Any,
    ) -> dict[str, float] | None:
        """mIoU and R@IoU in percent over all moment questions, which are divided among the processes; ``samples``: the number of questions.

        As in evaluation, the IoU is that of the times of the numbers (3 to 9 is six long), except that two equal spans of a single frame,
        whose length is 0, have an IoU of 1. ``equal_rounds``: every process generates equally often, as weights that are partitioned over
        the processes require; a question that is answered twice counts once. ``stop``: called before each question, equally often by every
        process; if it returns anything but 0, the evaluation ends and the result is None. ``generate_options``: further arguments of
        ``generate``.
        """
        generator = Generator(loaded)
        options = GenerationOptions(max_new_tokens=self._max_new_tokens, more=tuple(generate_options.items()))
        count = len(self._questions)
        results: list[tuple[int, dict[str, Any]]] = []
        for k in _turns(count, rank=rank, world=world, equal_rounds=equal_rounds, stop=stop):
            if k is None:
                return None
            sample_index, truth = self._questions[k % count]
            raw = self.samples[0, sample_index]
            sample = _encoded(self._collator.question, raw)
            text = generator.batch([sample], options)[0].text
            if k < count:
                results.append((k, self._scored(raw, text, truth)))
        self.answers = [row for _, row in sorted(gather(results), key=itemgetter(0))]
        failed = sum(row["parse_fail"] for row in self.answers) / max(1, len(self.answers))
        ious = [row["numpro"]["iou"] for row in self.answers]
        return {**moment_scores(ious), "parse_fail": failed, "samples": len(self.answers)}

    def _scored(self, raw: RawSample, text: str, truth: tuple[int, int]) -> dict[str, Any]:
        """An answer with its scores. In seconds and clock times the truth is the annotation itself, if the shard has it."""
        row, settings = raw.row or {}, self._collator.settings
        timeline = Timeline(row["duration_s"], row["fps"])
        answer = read_moment(text, settings.encoding.answer, timeline)
        truth_s = timeline.span_seconds(*truth)
        if settings.encoding.answer != "frames":
            spans_s = (_first_answer(row["conversations"][raw.conversation]) or {}).get("spans_s")
            truth_s = tuple(spans_s[0]) if spans_s else truth_s
        numbers = self._collator.question_numbers(raw)
        iou = _iou(answer.span_s, truth_s)
        return answer_row(raw, text, answer, truth_s=truth_s, iou=iou, numbers=numbers, timeline=timeline, settings=settings)


def _turns(count: int, *, rank: int, world: int, equal_rounds: bool, stop: Callable[[], int]) -> Iterator[int | None]:
    """This process's share of ``count`` samples. With ``equal_rounds`` each process has equally many, some of them ``count`` or more: these
    were counted already. None as soon as ``stop`` says so, which every process asks equally often.
    """
    for k in range(rank, -(-count // world) * world, world):
        if stop():
            yield None
            return
        if k < count or equal_rounds:
            yield k


def _encoded(encode: Callable[[RawSample], Any], raw: RawSample) -> Any:
    """What the collator makes of a sample. Raises NumProError that names it."""
    try:
        return encode(raw)
    except NumProError as error:
        raise NumProError(f"held-out sample {raw.id}: {error}") from None


def _first_answer(conversation: Sequence[Turn]) -> Turn | None:
    question = next((k for k, turn in enumerate(conversation) if turn["role"] == "user"), len(conversation))
    return next((turn for turn in conversation[question + 1 :] if turn["role"] == "assistant"), None)


def _iou(predicted: tuple[float, float] | None, truth: tuple[float, float]) -> float:
    if predicted is None:
        return 0.0
    return 1.0 if sorted(predicted) == sorted(truth) else float(span_iou(predicted, truth))
