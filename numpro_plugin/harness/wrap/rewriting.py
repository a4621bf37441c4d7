"""A request of lmms-eval -> the same request with clips, or text and pictures in turn, in the place of its videos."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from numpro_plugin.errors import NumProError
from numpro_plugin.harness.lmms import document, protocol_of, shows_at
from numpro_plugin.harness.sources import Source, message_sources, sources_of
from numpro_plugin.settings import SettingsByVideo

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmms_eval.api.instance import Instance

    from numpro_plugin.encoding import TimeEncoding
    from numpro_plugin.harness.wrap.messages import Replacer


class StopRun(BaseException):
    """Carries an error out of base models that take every Exception for a failed request and try again."""

    def __init__(self, error: NumProError) -> None:
        super().__init__(str(error))
        self.error = error


class Rewriter:
    """Rewrites requests.

    Args:
        replacer: puts clips in the place of videos.
        chat: whether the base takes messages; else it takes a text and visuals.
        asked: called whenever the base asks what it is to be shown.
    """

    def __init__(self, replacer: Replacer, *, chat: bool, asked: Callable[[], None] = lambda: None) -> None:
        self.replacer = replacer
        self.chat = chat
        self.asked = asked

    def rewrite(self, model: Any, request: Instance) -> Instance:
        """A request whose functions give what the base is shown instead. Errors of ours come out of them as `StopRun`."""
        index = shows_at(request, chat=self.chat)
        if index is None:
            return request
        arguments = list(request.args)
        shows = arguments[index]
        protocol = protocol_of(request)
        arguments = [copy.deepcopy(a) if isinstance(a, dict) else a for a in arguments]  # bases write into it
        if self.chat:
            own = None if protocol is None else SettingsByVideo.from_dict(protocol["settings"]).base.encoding
            arguments[index] = self._messages(shows, own)
        else:
            arguments[index] = _stopping(lambda doc: self.replacer.visuals(shows(doc)), self.asked)
            if protocol is None:
                arguments[0] = self.replacer.text(arguments[0], sources_of(shows(document(model, request))))
            if callable(arguments[index + 1]):
                arguments[index + 1] = self._rounds(arguments[index + 1])
        rewritten = copy.copy(request)
        rewritten.arguments = tuple(arguments)
        return rewritten

    def _messages(self, doc_to_messages: Callable[..., Any], own: TimeEncoding | None) -> Callable[..., Any]:
        def messages(doc: Any, **round_: Any) -> Any:
            given = doc_to_messages(doc, **round_)
            if isinstance(given, tuple):  # a later round: messages, whether that was all, and what went before
                return (given[0] and self.replacer.messages(given[0], own=own), *given[1:])
            return self.replacer.messages(given, own=own)

        return _stopping(messages, self.asked)

    def _rounds(self, doc_to_text: Callable[..., Any]) -> Callable[..., Any]:
        """Of later rounds a simple model learns through ``doc_to_text``: visuals, text, and what went before."""

        def text(*arguments: Any, **round_: Any) -> Any:
            given = doc_to_text(*arguments, **round_)
            if isinstance(given, tuple) and len(given) == 5 and given[0]:
                return (self.replacer.visuals(given[0]), self.replacer.text(given[1], sources_of(given[0])), *given[2:])
            return given

        return _stopping(text, self.asked)

    def sources(self, model: Any, request: Instance) -> list[Source]:
        """The videos of a request."""
        index = shows_at(request, chat=self.chat)
        if index is None:
            return []
        shown = request.args[index](document(model, request))
        return message_sources(shown) if self.chat else sources_of(shown)


def _stopping(function: Callable[..., Any], asked: Callable[[], None]) -> Callable[..., Any]:
    """Calls ``asked`` first. Errors of ours stop the run even inside bases that would try the request again."""

    def stopping(*arguments: Any, **options: Any) -> Any:
        asked()
        try:
            return function(*arguments, **options)
        except NumProError as error:
            raise StopRun(error) from error

    return stopping
