"""All that is known of lmms-eval's insides: its private and undocumented names, and what is changed in it.

lmms-eval has an entry point for models, but none for tasks, sessions or its response cache. What is missing is put in from here when
its models are imported. ``tests/harness/test_lmms.py`` names everything that this module leans on; written for release 0.7.3.
"""

from __future__ import annotations

import copy
import weakref
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

from numpro_plugin.harness import session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lmms_eval.api.instance import Instance

FAILURE_MARKER = "[LMMS_EVAL_REQUEST_FAILED"
"""How lmms-eval's API models begin the text that stands for a request without an answer."""


@dataclass(frozen=True)
class RequestArguments:
    """The arguments of a request by name; in ``Instance.args`` their order depends on the kind of model.

    ======  =====================================================================================
    chat    context, doc_to_messages, generation arguments, doc id, task, split
    simple  context, generation arguments or target, doc_to_visual, [doc_to_text], doc id, task, split
    ======  =====================================================================================
    """

    request: Instance
    chat: bool

    @property
    def context(self) -> str:
        """The question's text."""
        return str(self.request.args[0])

    @property
    def shows(self) -> Callable[..., Any] | None:
        """doc_to_messages or doc_to_visual; None if the request shows nothing."""
        arguments, place = self.request.args, self._shows_at
        return arguments[place] if len(arguments) >= 6 and callable(arguments[place]) else None

    @property
    def later_rounds(self) -> Callable[..., Any] | None:
        """A simple model's doc_to_text, by which it learns of later rounds; None for one round."""
        following = self.request.args[self._shows_at + 1]
        return following if not self.chat and callable(following) else None

    @property
    def options(self) -> dict[str, Any]:
        """The generation arguments themselves, not a copy; empty if there are none."""
        return next((argument for argument in self.request.args if isinstance(argument, dict)), {})

    @property
    def task(self) -> str:
        """Name of the task."""
        return str(self.request.args[-2])

    def document(self, model: Any) -> Any:
        """The row that the request is about."""
        doc_id, task, split = self.request.args[-3:]
        return model.task_dict[task][split][doc_id]

    def metadata(self) -> Mapping[str, Any]:
        """What a task of NumPro's says about itself, see `protocol.protocol`; empty for other tasks."""
        config = getattr(getattr(self.shows, "__self__", None), "config", None)
        metadata = getattr(config, "metadata", None)
        numpro = metadata.get("numpro") if isinstance(metadata, dict) else None
        return numpro if isinstance(numpro, dict) and "task" in numpro else {}

    def functions(self) -> Any:
        """The `task.TaskFunctions` of a task of NumPro's."""
        return self.shows.__self__.config.doc_to_visual.__self__  # type: ignore[union-attr]

    def replaced(self, *, context: str | None = None, shows: Any = None, later_rounds: Any = None) -> Instance:
        """A copy of the request with other arguments. Its generation arguments are copied too, because bases write into them."""
        arguments = [copy.deepcopy(one) if isinstance(one, dict) else one for one in self.request.args]
        if context is not None:
            arguments[0] = context
        if shows is not None:
            arguments[self._shows_at] = shows
        if later_rounds is not None:
            arguments[self._shows_at + 1] = later_rounds
        request = copy.copy(self.request)
        request.arguments = tuple(arguments)
        return request

    @property
    def _shows_at(self) -> int:
        return 1 if self.chat else 2


def failure_text(reason: str) -> str:
    """The text that stands for an answer that a model could not give."""
    return f"{FAILURE_MARKER}] NumPro: {reason}"


def keep_out_of_response_cache(request: Instance, *, chat: bool) -> None:
    """See to it that lmms-eval does not store the answer to a request: it stores only what is deterministic."""
    RequestArguments(request, chat).options["do_sample"] = "not asked: the video cannot be read"


def begin_sessions() -> None:
    """Have every model that lmms-eval makes begin a session of its own: its class is looked up right before it is made."""
    from lmms_eval.models.registry_v2 import ModelRegistryV2

    original = ModelRegistryV2.get_model_class
    if getattr(original, "_numpro", False):
        return

    @wraps(original)
    def get_model_class(self: Any, *args: Any, **kwargs: Any) -> Any:
        session.begin()
        return original(self, *args, **kwargs)

    get_model_class._numpro = True  # type: ignore[attr-defined]
    ModelRegistryV2.get_model_class = get_model_class


_task_managers: weakref.WeakSet[Any] = weakref.WeakSet()


def use_prompts_of(base: str) -> None:
    """Tell lmms-eval's task managers that the model called ``numpro`` is this base, so that tasks use their prompts for the base.

    A manager is made before the model, with the name on the command line; it builds the tasks after it.
    """
    for manager in _task_managers:
        manager.model_name = base


def add_tasks_folder(folder: str) -> None:
    """Have lmms-eval's task index look into one more folder."""
    from lmms_eval.tasks import TaskManager

    original = TaskManager.initialize_tasks
    if getattr(original, "_numpro", False):
        return

    @wraps(original)
    def initialize_tasks(self: Any, include_path: str | list[str] | None = None, *args: Any, **kwargs: Any) -> Any:
        if getattr(self, "model_name", None) == "numpro":
            _task_managers.add(self)
        given = [include_path] if isinstance(include_path, str) else list(include_path or [])
        return original(self, [*given, *([] if folder in given else [folder])], *args, **kwargs)

    initialize_tasks._numpro = True  # type: ignore[attr-defined]
    TaskManager.initialize_tasks = initialize_tasks


def guard_response_cache(kind: type) -> None:
    """Let the response cache serve models of this kind NumPro's own tasks only, and have it call them in every process.

    The cache's keys know a task's metadata. Those of NumPro's tasks hold settings and adapter; of other tasks it would serve answers to
    other pixels or of another adapter (the answer log knows better). And it does not call a model that has nothing left to answer,
    although the model's other processes wait for it.
    """
    from lmms_eval.caching.response_cache import ResponseCache

    original = ResponseCache.execute
    if getattr(original, "_numpro", False):
        return

    @wraps(original)
    def execute(self: Any, lm: Any, reqtype: str, requests: list[Instance]) -> list[Any]:
        if not isinstance(lm, kind) or reqtype != "generate_until":
            answers: list[Any] = original(self, lm, reqtype, requests)
            return answers
        ours = [k for k, request in enumerate(requests) if RequestArguments(request, chat=True).metadata()]
        others = sorted(set(range(len(requests))) - set(ours))
        made: list[Any] = [None] * len(requests)
        before = lm.calls  # type: ignore[attr-defined]
        cached = original(self, lm, reqtype, [requests[k] for k in ours])
        if lm.calls == before:  # type: ignore[attr-defined]
            lm.generate_until([])  # type: ignore[attr-defined]
        asked = lm.generate_until([requests[k] for k in others])  # type: ignore[attr-defined]
        for places, part in ((ours, cached), (others, asked)):
            for k, answer in zip(places, part, strict=True):
                made[k] = answer
        return made

    execute._numpro = True  # type: ignore[attr-defined]
    ResponseCache.execute = execute
