"""Evaluation on held-out shards: answers are generated and scored against the annotated ones."""

# mypy: allow-untyped-calls

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from numpro_plugin.answers.moments import parse_moment
from numpro_plugin.errors import NumProError
from numpro_plugin.inference.generation import GenerationOptions, Generator
from numpro_plugin.metrics.moments import moment_scores, span_iou
from numpro_plugin.timeline import Timeline

from ..batches.dataset import ParquetRows, Samples
from ..shards.index import conversations_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpro_plugin.families import Loaded

    from ..batches.collator import Collator
    from ..shard_format import Turn
    from ..shards.index import ShardIndex

_LIST = re.compile(r"\s*(?:[,;&]|,?\s*and)\s*(?:frames?\s*)?", re.IGNORECASE)
_CAPTION = re.compile(r"\s*(?:frames?\s*)?[,:;]\s*\w", re.IGNORECASE)


def moment_in(conversation: Sequence[Turn]) -> tuple[int, int] | None:
    """The span (first, last number) in the first answer of a conversation, or None if the answer is not a moment.

    A moment is two frame numbers that form a span ("3 to 9", "between 3 and 9"), and no other digit. Lists ("3, 9"), captions with a
    time ("From 3 to 9, a man runs.") and answers with more or fewer numbers are not moments.
    """
    question = next((k for k, turn in enumerate(conversation) if turn["role"] == "user"), len(conversation))
    turn = next((turn for turn in conversation[question + 1 :] if turn["role"] == "assistant"), None)
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
    """The moment questions of held-out shards (see ``moment_in``).

    Raises:
        NumProError: there are none.
    """

    def __init__(self, index: ShardIndex, collator: Collator, *, max_new_tokens: int) -> None:
        self._collator, self._max_new_tokens = collator, max_new_tokens
        self.samples = Samples(index, ParquetRows(index, keep=1))
        spans = [moment_in(conversation) for conversation in conversations_of(index)]
        self._questions = [(sample, span) for sample, span in enumerate(spans) if span is not None]
        if not self._questions:
            raise NumProError(
                f"none of the {len(spans)} held-out conversations in {', '.join(index.files[:3])} asks for a moment (an answer such as "
                "'From Frame 3 to Frame 9.'): set data.held_out to shards with moments, or to []"
            )

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
        results: list[tuple[float, bool]] = []
        for k in range(rank, -(-count // world) * world, world):
            if stop():
                return None
            if k >= count and not equal_rounds:
                continue
            sample_index, truth = self._questions[k % count]
            raw = self.samples[0, sample_index]
            try:
                sample = self._collator.question(raw)
            except NumProError as error:
                raise NumProError(f"held-out sample {raw.id}: {error}") from None
            last = Timeline(raw.row["duration_s"], raw.row["fps"]).count - 1 if raw.row else None
            predicted = parse_moment(generator.batch([sample], options)[0].text, last_number=last).numbers
            if k < count:
                results.append((_iou(predicted, truth), predicted is None))
        results = gather(results)
        failed = 100 * sum(failed for _, failed in results) / max(1, len(results))
        return {**moment_scores([iou for iou, _ in results]), "parse_fail": failed, "samples": len(results)}


def _iou(predicted: tuple[float, float] | None, truth: tuple[int, int]) -> float:
    if predicted is None:
        return 0.0
    return 1.0 if sorted(predicted) == sorted(truth) else float(span_iou(predicted, truth))
