"""Questions that are not trained on: generated answers, scored against those of the shards."""

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
    """The span (first, last number) that the first answer of a conversation names, or None if the answer is not a moment.

    A moment is two frame numbers and no other digit, joined to a span ("3 to 9", "between 3 and 9"). Lists ("3, 9", of highlights say),
    captions with their time ("From 3 to 9, a man runs.") and answers with more or fewer numbers are not moments.
    """
    question = next((k for k, turn in enumerate(conversation) if turn["role"] == "user"), len(conversation))
    turn = next((turn for turn in conversation[question + 1 :] if turn["role"] == "assistant"), None)
    if turn is None or len(turn["numbers"] or ()) != 2:
        return None
    text, (one, other) = turn["content"], turn["numbers"]
    before, between, after = text[: one["start"]], text[one["end"] : other["start"]], text[other["end"] :]
    if any(letter.isdigit() for letter in before + between + after) or _CAPTION.match(after):
        return None
    if _LIST.fullmatch(between) and "between" not in before.lower():
        return None
    numbers = int(text[one["start"] : one["end"]]), int(text[other["start"] : other["end"]])
    return numbers if parse_moment(text).numbers == numbers else None


class HeldOut:
    """The moment questions of held-out shards (see ``moment_in``).

    Raises:
        NumProError: there are none.
    """

    def __init__(self, index: ShardIndex, collator: Collator, *, max_new_tokens: int) -> None:
        self._collator, self._length = collator, max_new_tokens
        self.samples = Samples(index, ParquetRows(index, keep=1))
        spans = [moment_in(one) for one in conversations_of(index)]
        self._questions = [(sample, span) for sample, span in enumerate(spans) if span is not None]
        if not self._questions:
            raise NumProError(
                f"none of the {len(spans)} held-out conversations in {', '.join(index.files[:3])} asks for a moment (its answer names two "
                "frames, 'From Frame 3 to Frame 9.'): set data.held_out to shards of moments, or to []"
            )

    def scores(
        self,
        loaded: Loaded,
        *,
        rank: int = 0,
        world: int = 1,
        gather: Callable[[list[Any]], list[Any]] = list,
        equal_rounds: bool = False,
        **more: Any,
    ) -> dict[str, float]:
        """mIoU and R@IoU in percent over all moment questions, each answered by one of the processes; ``samples``: the number of questions.

        IoU is that of the numbers themselves, as of times in evaluation (3 to 9 is six long), but two equal spans of one frame, whose
        length is 0, count as 1. ``equal_rounds``: every process generates equally often, which weights partitioned over them require;
        a question that is answered twice counts once. ``more``: further arguments of ``generate``.
        """
        generator = Generator(loaded)
        options = GenerationOptions(max_new_tokens=self._length, more=tuple(more.items()))
        count = len(self._questions)
        found: list[tuple[float, bool]] = []
        for k in range(rank, -(-count // world) * world if equal_rounds else count, world):
            number, wanted = self._questions[k % count]
            item = self.samples[0, number]
            try:
                sample = self._collator.question(item)
            except NumProError as error:
                raise NumProError(f"held-out sample {item.id}: {error}") from None
            last = Timeline(item.row["duration_s"], item.row["fps"]).count - 1 if item.row else None
            answered = parse_moment(generator.batch([sample], options)[0].text, last_number=last).numbers
            if k < count:
                found.append((_iou(answered, wanted), answered is None))
        found = gather(found)
        failed = 100 * sum(failed for _, failed in found) / max(1, len(found))
        return {**moment_scores([iou for iou, _ in found]), "parse_fail": failed, "samples": len(found)}


def _iou(answered: tuple[float, float] | None, wanted: tuple[int, int]) -> float:
    if answered is None:
        return 0.0
    return 1.0 if sorted(answered) == sorted(wanted) else float(span_iou(answered, wanted))
