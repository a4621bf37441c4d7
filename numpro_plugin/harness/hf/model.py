"""numpro_hf: Hugging Face video LLMs under lmms-eval, with or without a NumPro-FT adapter."""

# mypy: allow-untyped-calls

from __future__ import annotations

import inspect
import logging
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from lmms_eval.api.instance import GenerationResult, TokenCounts
from lmms_eval.api.model import lmms
from lmms_eval.utils import simple_parse_args_string
from tqdm import tqdm

from numpro_plugin import __version__
from numpro_plugin.encoding import NUMBER, PLAIN, parse_encoding
from numpro_plugin.environment import answer_token_limit, settings_from_environment
from numpro_plugin.errors import NumProError
from numpro_plugin.families import Loaded, family_at, load_model
from numpro_plugin.files import folder_state
from numpro_plugin.harness import session
from numpro_plugin.harness.cut_answers import report_cut_answers
from numpro_plugin.harness.hf.arguments import answers_at_once, check_arguments, check_trained, decided_by_model
from numpro_plugin.harness.hf.processes import balanced_shares, run_in_all
from numpro_plugin.harness.hf.questions import key_of, read_request
from numpro_plugin.harness.lmms import (
    document,
    failed_answer,
    generation_options,
    protocol_of,
)
from numpro_plugin.harness.session import Announcement
from numpro_plugin.inference.answer_log import AnswerKey, AnswerLog, LoggedAnswer
from numpro_plugin.inference.asking import Asker, VideoQuestions
from numpro_plugin.inference.generation import GenerationOptions
from numpro_plugin.weights.folder import local_folder
from numpro_plugin.weights.record import numpro_settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmms_eval.api.instance import Instance

    from numpro_plugin.settings import SettingsByVideo

log = logging.getLogger(__name__)

DEFAULT_TOKEN_BUDGET = 65_536
_QUESTION_COST = 8  # one more question about a video costs about as much as this many frames


class _Request(NamedTuple):
    """One request: where it came from, what it asks, and the answer if an earlier run had it."""

    origin: tuple[int, int]  # rank, index among its requests
    asked: VideoQuestions
    key: AnswerKey | None  # in the answer log; None for what is sampled
    known: LoggedAnswer | None


class _Outcome(NamedTuple):
    text: str | None
    tokens: int
    problem: str | None
    input_tokens: int | None = None


class NumProHF(lmms):
    """A video LLM of ``numpro_plugin.families`` that answers about numbered frames.

    Frames are sampled in the size that the model takes and numbered after that; nothing resamples or resizes them again. Every video is
    read once, in the background, and goes through the model once for all questions about it. Answers are kept as they come: a run
    that was killed is continued by the next one.

    Args:
        pretrained: folder or hub id of the model.
        adapter: folder or hub id of a NumPro-FT adapter (this project's or the reference's); merged into the weights.
        dtype: "auto" (the checkpoint's), "bfloat16", "float16" or "float32".
        attn_implementation: "sdpa", "eager", "flash_attention_2", ...
        max_new_tokens: instead of the tasks' own, for all tasks; ``NUMPRO_MAX_NEW_TOKENS`` is for NumPro's.
        batch_size: answers generated at once (lmms-eval's ``--batch_size``); "auto": as many as ``token_budget`` allows.
        max_frames: instead of ``NUMPRO_MAX_FRAMES``; stands in the results' protocol.
        encoding: how time is shown and asked for, instead of ``NUMPRO_ENCODING``: a preset's name, or fields such as
            ``drawn:seconds;text:clock;answer:seconds``; stands in the results' protocol. Tasks with an encoding of their own keep it.
        blocks: of Qwen models where texts stand before frames: "frame" puts one before each frame (twice the tokens of a pair), "pair"
            one before two frames.
        device_map: "auto" spreads one model over all GPUs of a process.
        device: lmms-eval's ``--device``; default the first GPU, else the CPU.
        token_budget: tokens of a padded batch at most.
        share_prefix: False computes the video anew for each question (same answers, later).
        workers: background threads that read and encode videos.
        resume: False asks everything again.
        loaded: ``pretrained`` with ``adapter`` as another object of this class has it (`NumProHF.loaded`): it is not opened again.
    """

    is_simple = False
    called_in_every_process: ClassVar[bool] = True
    """For `unanswered`: the processes share the work, so each must be called, also with nothing left to ask."""
    caches_other_tasks: ClassVar[bool] = False
    """For `unanswered`: answers to tasks that are not NumPro's are in its own log alone, whose keys know pixels and adapter."""

    def __init__(
        self,
        pretrained: str = "",
        *,
        adapter: str | None = None,
        dtype: str = "auto",
        attn_implementation: str | None = None,
        max_new_tokens: int | None = None,
        batch_size: int | str = 1,
        max_frames: int | None = None,
        encoding: str | None = None,
        blocks: str = "frame",
        device_map: str | None = None,
        device: str | None = None,
        token_budget: int = DEFAULT_TOKEN_BUDGET,
        share_prefix: bool = True,
        workers: int = 2,
        resume: bool = True,
        loaded: Loaded | None = None,
        max_batch_size: int | None = None,  # lmms-eval passes it to every model
        **unknown: Any,
    ) -> None:
        super().__init__()
        _refuse(unknown)
        check_arguments(
            pretrained=pretrained,
            share_prefix=share_prefix,
            resume=resume,
            workers=workers,
            max_new_tokens=max_new_tokens,
            max_frames=max_frames,
        )
        name = f"the model {pretrained}"
        at_once = answers_at_once(batch_size)
        chosen = {} if encoding is None else {"encoding": parse_encoding(str(encoding))}
        answer_token_limit({"max_new_tokens": max_new_tokens}, source=name)
        # What is wrong with the settings shows before the weights are opened.
        settings_from_environment(fixed=chosen, source=name)
        family = (family_at(pretrained) if loaded is None else loaded.family).with_blocks(blocks)
        decided = {**decided_by_model(family, max_frames), **chosen}
        family.check_encoding(settings_from_environment(fixed=decided, source=name).encoding)
        self._max_new_tokens = max_new_tokens
        self._device = self._join_processes(device, device_map)
        place = device_map or (None if self._device.type == "cpu" else {"": str(self._device)})
        if loaded is None:
            loaded = load_model(
                pretrained,
                adapter,
                dtype=dtype,
                attn_implementation=attn_implementation,
                device_map=place,
                merge=adapter is not None,
                blocks=blocks,
            )
        loaded = loaded._replace(family=loaded.family.with_blocks(blocks))
        self.loaded: Loaded | None = loaded
        self.answers_from_log = 0
        """How many answers were there before this object was asked."""
        self._device = loaded.model.device  # of its first layers, if it is spread
        tuned = adapter or pretrained
        self._trained = numpro_settings_of(local_folder(tuned))  # merged checkpoints have a record too
        self._tuned = tuned if adapter is not None or self._trained is not None else None
        self._warned: set[str] = set()
        self._asker: Asker | None = Asker(loaded, batch_size=at_once, token_budget=token_budget, share_prefix=share_prefix, workers=workers)
        identity = _identity(pretrained, adapter, attn_implementation, blocks, dtype=str(loaded.model.dtype))
        announced = {**identity, **{key: value.name for key, value in chosen.items()}}
        self._session = session.begin(Announcement(name, decided, announced))
        self._session.model_class = type(self)
        self._settings = self._session.settings_by_video()
        check_trained(tuned, self._trained, self._settings)
        versions = {"numpro": __version__, **{library: version(library) for library in ("torch", "transformers")}}
        self._log = AnswerLog({**identity, **versions}) if resume else None

    @classmethod
    def create_from_arg_string(cls, arg_string: str | Mapping[str, Any], additional_config: dict[str, Any] | None = None) -> NumProHF:
        """As lmms-eval makes models, but what ``--model_args`` say comes before ``--batch_size`` and ``--device``."""
        given = dict(arg_string) if isinstance(arg_string, Mapping) else simple_parse_args_string(arg_string)
        return cls(**{**{name: value for name, value in (additional_config or {}).items() if value is not None}, **given})

    @property
    def device(self) -> torch.device:
        """Where the model is (its first layers, if it is spread)."""
        return self._device

    @property
    def shown_settings(self) -> SettingsByVideo:
        """How videos of tasks that are not NumPro's are shown."""
        return self._settings

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """One answer per request, in order. All processes share the work, video by video."""
        read_by_rank = run_in_all(lambda: [self._read(request, index) for index, request in enumerate(requests)])
        everything = [request for read in read_by_rank for request in read]
        outcomes = {origin: outcome for share in run_in_all(lambda: self._answered(everything)) for origin, outcome in share.items()}
        results = [self._result(request, outcomes[self.rank, index]) for index, request in enumerate(requests)]
        report_cut_answers(requests, results, limit=self._max_new_tokens)
        return results

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Not available."""
        raise NotImplementedError("numpro_hf only generates")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        """Not available."""
        raise NotImplementedError("numpro_hf answers in one round")

    def clean(self) -> None:
        """Free the model; lmms-eval calls it when everything is answered."""
        self._asker = self.loaded = None
        super().clean()

    def _join_processes(self, device: str | None, device_map: str | None) -> torch.device:
        """Data parallel as lmms-eval's own models: one copy of the model a process."""
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            self.accelerator = Accelerator(kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(weeks=4))])
            if device_map:
                raise NumProError(f"device_map={device_map} spreads one model over all GPUs; leave it out with several processes")
            self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes
            return self.accelerator.device
        return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def _read(self, request: Instance, index: int) -> _Request:
        if protocol := protocol_of(request):
            self._session.announcement.check_task(request.task_name, protocol, generation_options(request))
        options = GenerationOptions.from_lmms_eval(generation_options(request), max_new_tokens=self._max_new_tokens)
        asked = read_request(request, document(self, request), options, self._settings)
        self._check_question(asked, protocol)
        key = None if options.temperature > 0 else key_of(asked)
        known = self._log.get(key) if self._log is not None and key is not None else None
        return _Request((self.rank, index), asked, key, known)

    def _answered(self, everything: Sequence[_Request]) -> dict[tuple[int, int], _Outcome]:
        """Outcomes of this process's share of the work, and of all that was known."""
        outcomes = {
            request.origin: _Outcome(str(request.known.text), request.known.tokens or 0, None, request.known.input_tokens)
            for request in everything
            if request.known
        }
        unknown = [request for request in everything if not request.known]
        self.answers_from_log += len(everything) - len(unknown)
        waiting: dict[Any, list[_Request]] = defaultdict(list)  # equal requests are asked once
        for request in unknown:
            waiting[request.key or request.origin].append(request)
        videos: dict[VideoQuestions, VideoQuestions] = {}
        for key, (first, *_) in waiting.items():
            question = replace(first.asked.questions[0], key=key)
            shown = replace(first.asked, questions=())
            videos[shown] = replace(shown, questions=(*videos[shown].questions, question) if shown in videos else (question,))
        work = list(videos.values())
        costs = [video.frames + _QUESTION_COST * len(video.questions) for video in work]
        mine = [work[k] for k in balanced_shares(costs, self.world_size)[self.rank]]
        if self._log is not None:
            self._log.report(len(everything) - len(unknown), len(everything))
        assert self._asker is not None
        total = sum(len(video.questions) for video in mine)
        with tqdm(total=total, desc="numpro_hf", unit="question", disable=self.rank != 0) as bar:
            for reply in self._asker.ask(mine):
                key = reply.question.key
                if self._log is not None and reply.text is not None and isinstance(key, AnswerKey):
                    self._log.add(key, LoggedAnswer(reply.text, reply.tokens, reply.input_tokens))
                outcomes |= {
                    request.origin: _Outcome(reply.text, reply.tokens, reply.problem, reply.input_tokens) for request in waiting[key]
                }
                bar.update()
        return outcomes

    def _result(self, request: Instance, outcome: _Outcome) -> GenerationResult:
        if protocol_of(request):
            self._session.note_shown(document(self, request), outcome.problem)
        text = failed_answer(str(outcome.problem)) if outcome.text is None else outcome.text
        return GenerationResult(text=text, token_counts=TokenCounts(outcome.input_tokens, outcome.tokens))

    def _check_question(self, asked: VideoQuestions, protocol: Mapping[str, Any] | None) -> None:
        """Warn once if a question is not of the kind that the model was trained for: it does worse than it could."""
        if protocol and protocol["task"] == "highlight":
            kind = asked.settings.prompt
            fits = "zeroshot" if self._tuned is None else "ft"
            what = "without an adapter" if self._tuned is None else f"with {self._tuned}"
            if kind != fits:
                self._warn(
                    f"numpro_hf {what} is asked for highlights in the wording for the other kind of model (NUMPRO_PROMPT={kind}); "
                    f"use NUMPRO_PROMPT={fits}"
                )
        if self._trained is not None and not self._trained.numbers and asked.settings.numbers:
            self._warn(f"{self._tuned} was trained without numbers, but the task draws them; its _plain twin does not")

        trained = self._trained
        if trained is not None and asked.settings.encoding not in (trained.encoding, NUMBER, PLAIN):
            self._warn(
                f"{self._tuned} was trained with encoding {trained.encoding.name}, but is asked in {asked.settings.encoding.name}: what it "
                "answers says little about either"
            )

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            log.warning("%s", text)


def _refuse(unknown: Mapping[str, Any]) -> None:
    """Raise NumProError for arguments that `NumProHF` does not have."""
    if unknown:
        not_typed = ("loaded", "max_batch_size", "unknown")
        allowed = ", ".join(name for name in inspect.signature(NumProHF).parameters if name not in not_typed)
        raise NumProError(f"numpro_hf has no argument {', '.join(unknown)}; its arguments are: {allowed}")


def _identity(pretrained: str, adapter: str | None, attn_implementation: str | None, blocks: str, *, dtype: str) -> dict[str, Any]:
    """What a model's answers depend on, besides questions and pictures."""
    return {
        "pretrained": folder_state(local_folder(pretrained), contents=False),
        "adapter": None if adapter is None else folder_state(local_folder(adapter), contents=True),
        "dtype": dtype,
        "attn_implementation": attn_implementation,
        **({} if blocks == "frame" else {"blocks": blocks}),
    }
