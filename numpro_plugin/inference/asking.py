"""Questions about videos -> answers of a model: frames are read in the background, each video once for all its questions.

The harness's `--model numpro_hf` and `numpro ask` both ask through here.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from numpro_plugin.clips.clip import kept_frames
from numpro_plugin.clips.metadata import read_clip_info
from numpro_plugin.errors import NumProError
from numpro_plugin.inference.generation import GenerationOptions, Generator
from numpro_plugin.inference.prefetch import prefetch
from numpro_plugin.showing import ShownVideo, show
from numpro_plugin.video.packets import PacketIndex, read_packets

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    import torch

    from numpro_plugin.families import Loaded, Sample
    from numpro_plugin.settings import NumProSettings

log = logging.getLogger(__name__)

FRAMES_AHEAD = 960
"""The most frames that wait in memory for the model; a single video may have more. At 336 x 336 in 16 bits: 650 MB."""


@dataclass(frozen=True)
class Question:
    """One question about a video."""

    text: str
    options: GenerationOptions
    key: Hashable = None
    """A name for it that the caller may choose."""

    system: str | None = None
    """The system prompt, instead of the chat template's."""

    @property
    def turns(self) -> list[dict[str, str]]:
        """The question as a conversation."""
        before = [] if self.system is None else [{"role": "system", "content": self.system}]
        return [*before, {"role": "user", "content": self.text}]


@dataclass(frozen=True)
class VideoQuestions:
    """Questions about one video, and how the video is shown."""

    video: str
    settings: NumProSettings
    questions: tuple[Question, ...]
    frames: int
    """How many frames it is expected to have: videos with the most go first."""

    start_s: float = 0.0
    end_s: float | None = None

    index: PacketIndex | None = field(default=None, compare=False, repr=False)
    """The video's packets if they have been read already, which saves reading them again; may hold 64 MB."""


class Answer(NamedTuple):
    """The answer to a question, or why there is none."""

    question: Question
    text: str | None
    """The model's words, or None if the video could not be read."""

    tokens: int
    """How many tokens were generated."""

    problem: str | None
    """Why there is no answer."""

    input_tokens: int | None = None
    """How many tokens the model read, those of the video included."""


def shown_video(asked: VideoQuestions) -> ShownVideo:
    """What the model is shown of a video: pictures with their marks, and texts before them. An ordinary video is opened and demuxed once.

    Raises:
        NumProError: the video cannot be read, or carries numbers already.
    """
    index = asked.index or read_packets(asked.video)
    # Only a file whose comment mentions the plugin can be a clip, so only such a file is opened a second time.
    if "numpro" in index.metadata.get("comment", "") and read_clip_info(asked.video) is not None:
        raise NumProError(f"{asked.video}: is already a NumPro clip; start from the original video")
    return show(kept_frames(index, asked.settings, start_s=asked.start_s, end_s=asked.end_s), asked.settings)


class Asker:
    """Asks one model.

    Args:
        loaded: the model, its processor and family.
        batch_size: answers generated at once; None: as many as the token budget allows.
        token_budget: tokens of a batch, see ``Generator``.
        share_prefix: compute a video once for all questions about it; without it the answers are the same but take longer.
        workers: background threads that read and encode videos.
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
        self._tokenizing = threading.Lock()  # tokenizers are not thread-safe

    def ask(self, work: Sequence[VideoQuestions]) -> Iterator[Answer]:
        """Answers as they come: videos with the most frames first, so that what does not fit into memory shows at once.

        Raises:
            NumProError: an encoding that the model cannot be shown; an input that is too long for the model, or for the memory.
        """
        for encoding in {asked.settings.encoding for asked in work}:
            self.loaded.family.check_encoding(encoding)
        longest_first = sorted(work, key=lambda asked: -asked.frames)
        pending: list[tuple[Question, Sample]] = []
        prefetched = prefetch(longest_first, self._encode, workers=self.workers, weight=lambda asked: asked.frames, limit=FRAMES_AHEAD)
        for asked, encoded in prefetched:
            if isinstance(encoded, NumProError):
                log.error("%s", encoded)
                yield from (Answer(question, None, 0, str(encoded)) for question in asked.questions)
                continue
            by_options: dict[GenerationOptions, list[tuple[Question, Sample]]] = {}
            for question, sample in zip(asked.questions, encoded.samples, strict=True):
                self.generator.check_context(sample, encoded.frames, question.options, asked.video, asked.settings.encoding)
                by_options.setdefault(question.options, []).append((question, sample))
            for options, group in by_options.items():
                if self.share_prefix and len(group) > 1:
                    yield from self._answers(group, options, shared=True)
                    continue
                for one in group:
                    if pending and not self._fits([*pending, one]):
                        yield from self._answers(pending, pending[0][0].options)
                        pending = []
                    pending.append(one)
        if pending:
            yield from self._answers(pending, pending[0][0].options)

    def _fits(self, group: list[tuple[Question, Sample]]) -> bool:
        options = group[0][0].options
        lengths = [sample["input_ids"].shape[1] for _, sample in group]
        return all(question.options == options for question, _ in group) and self.generator.fits(lengths, options)

    def _answers(self, group: list[tuple[Question, Sample]], options: GenerationOptions, *, shared: bool = False) -> Iterator[Answer]:
        samples = [sample for _, sample in group]
        generated = self.generator.one_video(samples, options) if shared else self.generator.batch(samples, options)
        for (question, sample), one in zip(group, generated, strict=True):
            yield Answer(question, one.text, one.tokens, None, sample["input_ids"].shape[1])

    def _encode(self, asked: VideoQuestions) -> _Encoded:
        model, processor, family = self.loaded
        shown = shown_video(asked)
        video = family.prepare(shown.pictures, processor, shown.texts)
        pixels: torch.Tensor = video.inputs["pixel_values_videos"]
        video = replace(video, inputs={**video.inputs, "pixel_values_videos": pixels.to(model.dtype)})
        with self._tokenizing:
            return _Encoded([family.encode(video, question.turns, processor) for question in asked.questions], len(shown.numbers))


class _Encoded(NamedTuple):
    samples: list[Sample]
    frames: int


def ask_one(loaded: Loaded, asked: VideoQuestions, **options: Any) -> list[Answer]:
    """Answers to the questions about one video, in their order. ``options``: of ``Asker``.

    Raises:
        NumProError: the video cannot be read, or an input is too long for the model or the memory.
    """
    order = {question: k for k, question in enumerate(asked.questions)}
    answers = sorted(Asker(loaded, **options).ask([asked]), key=lambda answer: order[answer.question])
    if problem := next((answer.problem for answer in answers if answer.problem), None):
        raise NumProError(problem)
    return answers
