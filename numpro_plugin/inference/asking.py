"""Questions about videos -> answers of a model: frames are read in the background, each video once for all its questions.

The model classes of the harness, `numpro ask` and the trainer's evaluation all ask through here.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from numpro_plugin.clips.metadata import read_clip_info
from numpro_plugin.errors import NumProError
from numpro_plugin.inference.generation import GenerationOptions, Generator
from numpro_plugin.inference.prefetch import prefetch
from numpro_plugin.numbering import draw_numbers
from numpro_plugin.video.sampling import Frames, sample_frames

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    import torch

    from numpro_plugin.families import Loaded, Sample
    from numpro_plugin.settings import NumProSettings

log = logging.getLogger(__name__)

FRAMES_AHEAD = 960
"""So many frames are held in memory for the model at most (one video always is); 336 x 336 in 16 bits: 650 MB."""


@dataclass(frozen=True)
class Question:
    """One question about a video."""

    text: str
    options: GenerationOptions
    key: Hashable = None
    """The asker's own name for it."""

    system: str | None = None
    """What the model is told before, if not what its chat template says."""

    @property
    def turns(self) -> list[dict[str, str]]:
        """As a conversation."""
        before = [] if self.system is None else [{"role": "system", "content": self.system}]
        return [*before, {"role": "user", "content": self.text}]


@dataclass(frozen=True)
class Asked:
    """A video, how it is shown, and what is asked about it."""

    video: str
    settings: NumProSettings
    questions: tuple[Question, ...]
    frames: int
    """How many frames it is expected to have: longest videos go first."""

    start_s: float = 0.0
    end_s: float | None = None


class Reply(NamedTuple):
    """What came of a question."""

    question: Question
    text: str | None
    """The model's words, or None if the video could not be read."""

    tokens: int
    """Tokens of the answer."""

    problem: str | None
    """Why there is no answer."""


def numbered_frames(asked: Asked) -> Frames:
    """The frames that the model is shown, numbers drawn if the settings say so.

    Raises:
        NumProError: the video cannot be read, or has numbers on it already.
    """
    settings = asked.settings
    if read_clip_info(asked.video) is not None:
        raise NumProError(f"{asked.video}: is already a NumPro clip; start from the original video")
    frames = sample_frames(
        asked.video,
        fps=settings.fps,
        frame_size=settings.frame_size,
        max_frames=settings.max_frames,
        start_s=asked.start_s,
        end_s=asked.end_s,
    )
    if settings.numbers:
        draw_numbers(frames.pixels, frames.numbers, settings.style)
    return frames


class Asker:
    """Asks one model.

    Args:
        loaded: the model, its processor and family.
        batch_size: answers generated at once; None: as many as the token budget allows.
        token_budget: tokens of a batch, see ``Generator``.
        share_prefix: compute a video once for all questions about it (the answers are the same without, later).
        workers: background threads that read and encode.
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        batch_size: int | None = 1,
        token_budget: int | None = None,
        share_prefix: bool = True,
        workers: int = 2,
    ) -> None:
        self.loaded = loaded
        self.generator = Generator(loaded, batch_size=batch_size, token_budget=token_budget)
        self.share_prefix = share_prefix
        self.workers = workers
        self._tokenizing = threading.Lock()  # tokenizers keep state while they work

    def ask(self, work: Sequence[Asked]) -> Iterator[Reply]:
        """Replies as they come: videos with most frames first, so that what does not fit into memory shows at once.

        Raises:
            NumProError: an input that is too long for the model, or for the memory.
        """
        ordered = sorted(work, key=lambda asked: -asked.frames)
        pending: list[tuple[Question, Sample]] = []
        made = prefetch(ordered, self._encoded, workers=self.workers, weight=lambda asked: asked.frames, limit=FRAMES_AHEAD)
        for asked, samples in made:
            if isinstance(samples, NumProError):
                log.error("%s", samples)
                yield from (Reply(question, None, 0, str(samples)) for question in asked.questions)
                continue
            for question, sample in zip(asked.questions, samples.samples, strict=True):
                self.generator.check_context(sample, samples.frames, question.options, asked.video)
            alike: dict[GenerationOptions, list[tuple[Question, Sample]]] = {}
            for question, sample in zip(asked.questions, samples.samples, strict=True):
                alike.setdefault(question.options, []).append((question, sample))
            for options, group in alike.items():
                if self.share_prefix and len(group) > 1:
                    yield from self._replies(group, options, shared=True)
                    continue
                for one in group:
                    if pending and not self._fits([*pending, one]):
                        yield from self._replies(pending, pending[0][0].options)
                        pending = []
                    pending.append(one)
        if pending:
            yield from self._replies(pending, pending[0][0].options)

    def _fits(self, group: list[tuple[Question, Sample]]) -> bool:
        options = group[0][0].options
        lengths = [sample["input_ids"].shape[1] for _, sample in group]
        return all(question.options == options for question, _ in group) and self.generator.fits(lengths, options)

    def _replies(self, group: list[tuple[Question, Sample]], options: GenerationOptions, *, shared: bool = False) -> Iterator[Reply]:
        samples = [sample for _, sample in group]
        answers = self.generator.one_video(samples, options) if shared else self.generator.batch(samples, options)
        for (question, _), answer in zip(group, answers, strict=True):
            yield Reply(question, answer.text, answer.tokens, None)

    def _encoded(self, asked: Asked) -> _Encoded:
        model, processor, family = self.loaded
        frames = numbered_frames(asked)
        video = family.prepare(frames, processor)
        pixels: torch.Tensor = video.inputs["pixel_values_videos"]
        video = replace(video, inputs={**video.inputs, "pixel_values_videos": pixels.to(model.dtype)})
        with self._tokenizing:
            return _Encoded([family.encode(video, question.turns, processor) for question in asked.questions], len(frames))


class _Encoded(NamedTuple):
    samples: list[Sample]
    frames: int


def ask_one(loaded: Loaded, asked: Asked, **options: Any) -> list[Reply]:
    """Replies to the questions about one video, in their order; a video that cannot be read is an error."""
    order = {question: k for k, question in enumerate(asked.questions)}
    replies = sorted(Asker(loaded, **options).ask([asked]), key=lambda reply: order[reply.question])
    if problem := next((reply.problem for reply in replies if reply.problem), None):
        raise NumProError(problem)
    return replies
