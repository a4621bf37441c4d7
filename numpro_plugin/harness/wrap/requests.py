"""A base model answers rewritten copies of lmms-eval's requests; the originals stay what they were.

They must, because lmms-eval's response cache computes a request's key before and after it is answered. The base is asked in pieces, and
its answers are kept after each.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from lmms_eval.api.instance import GenerationResult
from tqdm import tqdm

from numpro_plugin.errors import NumProError
from numpro_plugin.harness.cut_answers import report_cut_answers
from numpro_plugin.harness.hf.processes import run_in_all
from numpro_plugin.harness.lmms import (
    failed_answer,
    generation_options,
    in_agentic_loop,
    protocol_of,
    shows_at,
)
from numpro_plugin.harness.session import Announcement
from numpro_plugin.harness.sources import Source, VideoFile
from numpro_plugin.harness.unanswered import asks_a_server
from numpro_plugin.harness.wrap.background import BackgroundWork
from numpro_plugin.harness.wrap.clip_maker import flat_settings
from numpro_plugin.harness.wrap.pieces import Piece, cut, piece_size, prepare_call
from numpro_plugin.harness.wrap.rewriting import Rewriter, StopRun
from numpro_plugin.inference.prefetch import prefetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lmms_eval.api.instance import Instance

    from numpro_plugin.harness.wrap.kept import KeptAnswers
    from numpro_plugin.harness.wrap.messages import Replacer
    from numpro_plugin.inference.answer_log import AnswerKey

log = logging.getLogger(__name__)

_PROBED = 3  # requests of a task that are looked at before the model is asked anything


@dataclass
class _Work:
    """The requests of one call by lmms-eval."""

    requests: list[Instance]
    keys: list[AnswerKey | None]
    answers: dict[int, Any]
    """By index of the request; at first those that are kept from an earlier run."""

    pieces: list[Piece] = field(default_factory=list)
    """What the base is asked, in this order."""

    showing: set[str] = field(default_factory=set)
    """Tasks that have videos."""

    failed: int = 0
    """Requests about videos that cannot be read."""


class RequestRunner:
    """Has a base answer rewritten requests.

    Args:
        base: its name in lmms-eval.
        replacer: puts clips in the place of videos.
        kept: the answers that are kept from run to run.
        chat: whether the base takes messages; else it takes a text and visuals.
        requests_per_call: how many requests the base is asked in one call at most; None: see `piece_size`.
    """

    def __init__(self, base: str, replacer: Replacer, kept: KeptAnswers, *, chat: bool, requests_per_call: int | None = None) -> None:
        self.base = base
        self.replacer = replacer
        self.kept = kept
        self.chat = chat
        self.requests_per_call = requests_per_call
        self.answers_from_log = 0
        """How many answers, of all processes, were there before they were asked for."""
        self.rewriter = Rewriter(replacer, chat=chat, asked=self._asked)
        self._background = BackgroundWork(())

    def answers(
        self,
        model: Any,
        ask: Callable[[list[Instance]], Iterable[Any]],
        requests: list[Instance],
        *,
        request_type: str,
        failed: Callable[[str], Any] = lambda reason: GenerationResult(failed_answer(reason)),
    ) -> list[Any]:
        """What ``ask``, a method of the base, answers to the rewritten requests, in order. Known answers are not asked for again.

        Where a video could not be read the answer is ``failed(reason)``. Bases may wait for each other, so in every process ``ask`` is
        called as often as in the one that has most to ask.

        Raises:
            NumProError: settings contradict each other, a visual is of no known kind, or the folder of a task's videos is not there.
        """
        prepared: list[_Work] = []

        def prepare() -> tuple[int, int]:
            prepared.append(self._prepared(model, request_type, requests))
            return len(prepared[0].pieces), len(prepared[0].answers)

        # Processes do not take part in an agentic loop the same number of times, so there they cannot be brought together.
        pieces, known = zip(*([prepare()] if in_agentic_loop() else run_in_all(prepare)), strict=True)
        calls = max(pieces)
        self.answers_from_log += sum(known)
        (work,) = prepared
        asked = [requests[k] for piece in work.pieces for k in piece.indices]
        ahead = [partial(self._make, model, request) for request in asked if request.task_name in work.showing]
        hidden = len(work.pieces) < 2 or getattr(model, "rank", 0) != 0
        try:
            with (
                tqdm(total=len(asked), desc="numpro", unit="request", disable=hidden) as bar,
                BackgroundWork(ahead) as self._background,
            ):
                for number in range(calls):
                    if number < len(work.pieces):
                        self._ask(model, ask, work, work.pieces[number], request_type, failed)
                        bar.update(len(work.pieces[number].indices))
                    else:
                        self._keep_step(model, ask, work)
        except StopRun as stop:
            raise stop.error from stop.error.__cause__
        if work.failed:
            problems = self.replacer.clips.problems
            log.error("%d of %d requests failed because %d videos cannot be read", work.failed, len(requests), len(problems))
        self._note_settings(requests)
        answers = [work.answers[k] for k in range(len(requests))]
        if request_type == "generate_until":
            report_cut_answers(requests, answers)
        return answers

    def _prepared(self, model: Any, request_type: str, requests: list[Instance]) -> _Work:
        """What is there and what is to be asked, after a look at what may be wrong with all of it."""
        self._check_tasks(requests)
        keys = self.kept.keys(model, request_type, requests)
        work = _Work(requests, keys, self.kept.known(request_type, keys))
        unknown = [k for k in range(len(requests)) if k not in work.answers]
        work.showing = self._probe(model, [requests[k] for k in unknown])
        size = piece_size(model, self.replacer.frames.reader, self.requests_per_call)
        # Without keys nothing is kept, and every call more would only cost time.
        work.pieces = cut(self._by_count(model, requests, unknown), size if any(keys) else None)
        return work

    def _check_tasks(self, requests: list[Instance]) -> None:
        """Refuse NumPro's tasks that were loaded for another model, or show time otherwise than the model's arguments say."""
        checked = set()
        for request in requests:
            if request.task_name not in checked and (protocol := protocol_of(request)) is not None:
                Announcement().check_task(request.task_name, protocol, generation_options(request))
                self.replacer.clips.check_task(request.task_name, protocol)
            checked.add(request.task_name)

    def _ask(
        self,
        model: Any,
        ask: Callable[[list[Instance]], Iterable[Any]],
        work: _Work,
        piece: Piece,
        request_type: str,
        failed: Callable[[str], Any],
    ) -> None:
        """Ask one piece, and keep the answers."""
        requests = [work.requests[k] for k in piece.indices]
        answers = self._call(model, ask, requests, piece.frames)
        if len(answers) != len(requests):
            raise NumProError(f"base={self.base} gave {len(answers)} answers to {len(requests)} requests")
        work.failed += self._mark(model, requests, answers, failed)
        for k, request, answer in zip(piece.indices, requests, answers, strict=True):
            work.answers[k] = answer
            self.kept.add(model, request, request_type, work.keys[k], answer)

    def _call(self, model: Any, ask: Callable[[list[Instance]], Iterable[Any]], requests: list[Instance], frames: int | None) -> list[Any]:
        if frames and (attribute := self.replacer.frames.reader.limit):
            setattr(model, attribute, frames)
        prepare_call(model)
        return list(ask([self.rewriter.rewrite(model, request) for request in requests]))

    def _keep_step(self, model: Any, ask: Callable[[list[Instance]], Iterable[Any]], work: _Work) -> None:
        """Call the base where only other processes have something to ask.

        Not every base can be called with nothing, so it is asked its last request again. A client of a server, where that may cost
        money, is called with nothing.
        """
        if asks_a_server(type(model)) or not work.requests:
            self._call(model, ask, [], None)
        elif work.pieces:
            self._call(model, ask, [work.requests[work.pieces[-1].indices[-1]]], work.pieces[-1].frames)
        else:
            ((frames, _),) = self._by_count(model, work.requests, [0]).items()
            self._call(model, ask, work.requests[:1], frames)

    def _asked(self) -> None:
        self._background.advance()

    def _make(self, model: Any, request: Instance) -> None:
        for source in self.rewriter.sources(model, request):
            self.replacer.clips.shown(source)

    def _probe(self, model: Any, requests: list[Instance]) -> set[str]:
        """Look at each task's first requests, so that what is wrong with all of them shows before hours of answering.

        Returns the tasks that have videos there.
        """
        seen: dict[str, list[Source]] = {}
        asked: dict[str, int] = {}
        for request in requests:
            task = request.task_name
            asked[task] = asked.get(task, 0) + 1
            if asked[task] <= _PROBED:
                seen.setdefault(task, []).extend(self.rewriter.sources(model, request))
        for task, sources in seen.items():
            problems = [problem for source in sources if (problem := self.replacer.clips.shown(source).problem)]
            # That the first ones are unreadable alone proves nothing: of a run out of the response cache they may be all that is left.
            if sources and len(problems) == len(sources) and not any(map(_in_a_folder, sources)):
                raise NumProError(
                    f"task {task}: {problems[0]}, and its folder has no other files; check where the task looks for its videos"
                )
        return {task for task, sources in seen.items() if sources}

    def _by_count(self, model: Any, requests: list[Instance], unknown: list[int]) -> dict[int | None, list[int]]:
        """Indices of requests by how many frames their clips have, the most first, for a base that always takes ``limit`` frames.

        It is asked for clips of one length at a time, with that as its limit. For other bases all are under None.
        """
        if not (self.replacer.frames.reader.exact and self.replacer.frames.limit is None):
            return {None: unknown}
        groups: dict[int | None, list[int]] = {}
        counted = prefetch(unknown, lambda k: self.replacer.count(self.rewriter.sources(model, requests[k])))
        progress = tqdm(counted, total=len(unknown), desc="numpro: numbering", disable=getattr(model, "rank", 0) != 0)
        for k, count in progress:
            if isinstance(count, NumProError):
                raise count
            groups.setdefault(count, []).append(k)
        return {count: groups[count] for count in sorted(groups, key=lambda count: count or 0, reverse=True)}

    def _mark(self, model: Any, requests: list[Instance], answers: list[Any], failed: Callable[[str], Any]) -> int:
        """Put failures in the place of answers about blank clips; returns how many.

        NumPro's own tasks count what could not be read themselves.
        """
        problems = self.replacer.clips.problems
        count = 0
        for k, request in enumerate(requests if problems else []):
            if shows_at(request, chat=self.chat) is None or protocol_of(request) is not None:
                continue
            reason = next((problems[s.name] for s in self.rewriter.sources(model, request) if s.name in problems), None)
            if reason is not None:
                count += 1
                answer = failed(reason)
                answers[k] = [answer.text] if isinstance(answers[k], list) and isinstance(answer, GenerationResult) else answer
        return count

    def _note_settings(self, requests: list[Instance]) -> None:
        """Write what was shown into the original requests, for the log of samples. NumPro's tasks have it in their metadata."""
        for request in requests:
            if shows_at(request, chat=self.chat) is not None and protocol_of(request) is None:
                generation_options(request)["numpro"] = {"base": self.base, **flat_settings(self.replacer.clips.settings)}


def _in_a_folder(source: Source) -> bool:
    """Whether a video's folder is there with something in it."""
    folder = os.path.dirname(os.path.abspath(source.path if isinstance(source, VideoFile) else source.name))
    return os.path.isdir(folder) and any(os.scandir(folder))
