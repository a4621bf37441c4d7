"""lmms-eval's requests, rewritten: a base model gets copies of them that show clips; the originals stay what they were.

They must, because lmms-eval's response cache computes a request's key before and after it is answered.
"""

from __future__ import annotations

import copy
import logging
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from lmms_eval.api.instance import GenerationResult
from tqdm import tqdm

from numpro_plugin.errors import NumProError
from numpro_plugin.harness.lmms import (
    document,
    failed_answer,
    generation_options,
    keep_out_of_cache,
    protocol_of,
    shows_at,
)
from numpro_plugin.harness.session import Announcement
from numpro_plugin.harness.sources import Source, VideoFile, message_sources, sources_of
from numpro_plugin.harness.wrap.background import BackgroundWork
from numpro_plugin.harness.wrap.clip_maker import flat_settings
from numpro_plugin.inference.prefetch import prefetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lmms_eval.api.instance import Instance

    from numpro_plugin.harness.wrap.messages import Replacer

log = logging.getLogger(__name__)

_PROBED = 3  # requests of a task that are looked at before the model is asked anything


class _Stop(BaseException):
    """Carries an error out of base models that take every Exception for a failed request and try again."""

    def __init__(self, error: NumProError) -> None:
        super().__init__(str(error))
        self.error = error


class Rewriter:
    """Has a base answer rewritten requests.

    Args:
        base: its name in lmms-eval.
        replacer: puts clips in the place of videos.
        chat: whether the base takes messages; else it takes a text and visuals.
    """

    def __init__(self, base: str, replacer: Replacer, *, chat: bool) -> None:
        self.base = base
        self.replacer = replacer
        self.chat = chat
        self._background = BackgroundWork(())

    def answers(
        self,
        model: Any,
        ask: Callable[[list[Instance]], Iterable[Any]],
        requests: list[Instance],
        *,
        failed: Callable[[str], Any] = lambda reason: GenerationResult(failed_answer(reason)),
    ) -> list[Any]:
        """What ``ask``, a method of the base, answers to the rewritten requests, in order.

        Where a video could not be read the answer is ``failed(reason)``.

        Raises:
            NumProError: settings contradict each other, a visual is of no known kind, or the folder of a task's videos is not there.
        """
        showing = self._probe(model, requests)
        rewritten = [self._rewrite(model, request) for request in requests]
        try:
            if self.replacer.frames.reader.exact and self.replacer.frames.limit is None:
                answers = self._by_count(model, ask, requests, rewritten)
            else:
                work = [partial(self._make, model, request) for request in requests if request.task_name in showing]
                with BackgroundWork(work) as self._background:
                    answers = list(ask(rewritten))
        except _Stop as stop:
            raise stop.error from stop.error.__cause__
        if len(answers) != len(requests):
            raise NumProError(f"base={self.base} gave {len(answers)} answers to {len(requests)} requests")
        return self._marked(model, requests, answers, failed)

    def _make(self, model: Any, request: Instance) -> None:
        for source in self._sources(model, request):
            self.replacer.clips.shown(source)

    def _probe(self, model: Any, requests: list[Instance]) -> set[str]:
        """Look at each task's first requests, so that what is wrong with all of them shows before hours of answering.

        Returns the tasks that have videos there.
        """
        seen: dict[str, list[Source]] = {}
        asked: dict[str, int] = {}
        for request in requests:
            task = request.task_name
            if task not in asked and (protocol := protocol_of(request)) is not None:
                Announcement().check_task(task, protocol, generation_options(request))
            asked[task] = asked.get(task, 0) + 1
            if asked[task] <= _PROBED:
                seen.setdefault(task, []).extend(self._sources(model, request))
        for task, sources in seen.items():
            problems = [problem for source in sources if (problem := self.replacer.clips.shown(source).problem)]
            # That the first ones are unreadable alone proves nothing: of a run out of the response cache they may be all that is left.
            if sources and len(problems) == len(sources) and not any(map(_in_a_folder, sources)):
                raise NumProError(
                    f"task {task}: {problems[0]}, and its folder has no other files; check where the task looks for its videos"
                )
        return {task for task, sources in seen.items() if sources}

    def _by_count(
        self, model: Any, ask: Callable[[list[Instance]], Iterable[Any]], requests: list[Instance], rewritten: list[Instance]
    ) -> list[Any]:
        """A base that always takes ``limit`` frames is asked for clips of one length at a time, with that as its limit."""
        attribute = self.replacer.frames.reader.limit
        groups: dict[int, list[int]] = {}
        counted = prefetch(requests, lambda request: self.replacer.count(self._sources(model, request)))
        progress = tqdm(counted, total=len(requests), desc="numpro: numbering", disable=getattr(model, "rank", 0) != 0)
        for k, (_, count) in enumerate(progress):
            if isinstance(count, NumProError):
                raise count
            groups.setdefault(count, []).append(k)
        answers: list[Any] = [None] * len(requests)
        for count in sorted(groups, reverse=True):
            if count and attribute:
                setattr(model, attribute, count)
            for k, answer in zip(groups[count], ask([rewritten[k] for k in groups[count]]), strict=True):
                answers[k] = answer
        return answers

    def _rewrite(self, model: Any, request: Instance) -> Instance:
        index = shows_at(request, chat=self.chat)
        if index is None:
            return request
        arguments = list(request.args)
        shows = arguments[index]
        ours = protocol_of(request) is not None
        arguments = [copy.deepcopy(a) if isinstance(a, dict) else a for a in arguments]  # bases write into it
        if self.chat:
            arguments[index] = self._messages(shows, add_sentence=not ours)
        else:
            arguments[index] = _stopping(lambda doc: self.replacer.visuals(shows(doc)), self._asked)
            if not ours:
                arguments[0] = self.replacer.text(arguments[0], sources_of(shows(document(model, request))))
            if callable(arguments[index + 1]):
                arguments[index + 1] = self._rounds(arguments[index + 1])
        rewritten = copy.copy(request)
        rewritten.arguments = tuple(arguments)
        return rewritten

    def _messages(self, doc_to_messages: Callable[..., Any], *, add_sentence: bool) -> Callable[..., Any]:
        def messages(doc: Any, **round_: Any) -> Any:
            given = doc_to_messages(doc, **round_)
            if isinstance(given, tuple):  # a later round: messages, whether that was all, and what went before
                return (given[0] and self.replacer.messages(given[0], add_sentence=add_sentence), *given[1:])
            return self.replacer.messages(given, add_sentence=add_sentence)

        return _stopping(messages, self._asked)

    def _asked(self) -> None:
        self._background.advance()

    def _rounds(self, doc_to_text: Callable[..., Any]) -> Callable[..., Any]:
        """Of later rounds a simple model learns through ``doc_to_text``: visuals, text, and what went before."""

        def text(*arguments: Any, **round_: Any) -> Any:
            given = doc_to_text(*arguments, **round_)
            if isinstance(given, tuple) and len(given) == 5 and given[0]:
                return (self.replacer.visuals(given[0]), self.replacer.text(given[1], sources_of(given[0])), *given[2:])
            return given

        return _stopping(text, self._asked)

    def _sources(self, model: Any, request: Instance) -> list[Source]:
        """The videos of a request."""
        index = shows_at(request, chat=self.chat)
        if index is None:
            return []
        shown = request.args[index](document(model, request))
        return message_sources(shown) if self.chat else sources_of(shown)

    def _marked(self, model: Any, requests: list[Instance], answers: list[Any], failed: Callable[[str], Any]) -> list[Any]:
        """Failures in the place of answers about blank clips; and what was shown, in the originals for the log of samples."""
        problems = self.replacer.clips.problems
        count = 0
        for k, request in enumerate(requests):
            if shows_at(request, chat=self.chat) is None or protocol_of(request) is not None:
                continue  # NumPro's tasks have the protocol in their metadata and count what could not be read
            generation_options(request)["numpro"] = {"base": self.base, **flat_settings(self.replacer.clips.settings)}
            reason = next((problems[s.name] for s in self._sources(model, request) if s.name in problems), None) if problems else None
            if reason is not None:
                count += 1
                answer = failed(reason)
                answers[k] = [answer.text] if isinstance(answers[k], list) and isinstance(answer, GenerationResult) else answer
                keep_out_of_cache(request)
        if count:
            log.error("%d of %d requests failed because %d videos cannot be read", count, len(requests), len(problems))
        return answers


def _in_a_folder(source: Source) -> bool:
    """Whether a video's folder is there with something in it."""
    folder = os.path.dirname(os.path.abspath(source.path if isinstance(source, VideoFile) else source.name))
    return os.path.isdir(folder) and any(os.scandir(folder))


def _stopping(function: Callable[..., Any], asked: Callable[[], None]) -> Callable[..., Any]:
    """Calls ``asked`` first. Errors of ours stop the run even inside bases that would try the request again."""

    def stopping(*arguments: Any, **options: Any) -> Any:
        asked()
        try:
            return function(*arguments, **options)
        except NumProError as error:
            raise _Stop(error) from error

    return stopping
