"""What NumPro knows of lmms-eval's insides: the order of a request's arguments, how a failed request is marked, and patches.

Written against lmms-eval 0.7.3. The patches of its response cache are in `unanswered`. Whatever is private or undocumented there is named,
one by one, in ``tests/harness/test_lmms_internals.py``.
"""

from __future__ import annotations

import inspect
import sys
import weakref
from functools import wraps
from typing import TYPE_CHECKING, Any

from numpro_plugin.answers.failures import REQUEST_FAILED
from numpro_plugin.harness import session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lmms_eval.api.instance import Instance


def failed_answer(reason: str) -> str:
    """The text that stands for a request that NumPro could not have answered."""
    return f"{REQUEST_FAILED}] NumPro: {reason}"


# ---------------------------------------------------------------- requests
#
# What ``request.args`` holds, by request type and kind of model:
#   generate_until              chat:   context, doc_to_messages, options, doc_id, task, split
#   generate_until_multi_round  chat:   the same
#   generate_until              simple: context, options, doc_to_visual, doc_id, task, split      (generate_visual_cot too)
#   generate_until_multi_round  simple: context, options, doc_to_visual, doc_to_text, doc_id, task, split
#   loglikelihood               simple: context, continuation, doc_to_visual, doc_id, task, split
#   loglikelihood without media simple: context, continuation


def shows_at(request: Instance, *, chat: bool) -> int | None:
    """The index in ``request.args`` of the function that gives messages (chat) or visuals (simple); None if nothing is shown."""
    index = 1 if chat else 2
    return index if len(request.args) >= 6 and callable(request.args[index]) else None


def document(model: Any, request: Instance) -> Any:
    """The row of its task's dataset that a request asks about."""
    doc_id, task, split = request.args[-3:]
    return model.task_dict[task][split][doc_id]


def messages_of(request: Instance, doc: Any) -> list[dict[str, Any]]:
    """The conversation that a chat model is asked to continue."""
    messages: list[dict[str, Any]] = request.args[1](doc)
    return messages


def generation_options(request: Instance) -> dict[str, Any]:
    """A request's own generation options; they are logged with its sample."""
    return next((argument for argument in request.args if isinstance(argument, dict)), {})


def protocol_of(request: Instance) -> Mapping[str, Any] | None:
    """What the metadata of a request's task say under ``numpro``; None for tasks that are not NumPro's."""
    protocol: Mapping[str, Any] | None = request.metadata.get("numpro")
    return protocol


def in_agentic_loop() -> bool:
    """Whether lmms-eval is asking one question of an agentic task, whose number of rounds differs from document to document."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_name == "_run_generate_until_agentic":
            return True
    return False


# ---------------------------------------------------------------- patches


def patch(owner: type, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replace a method (or a static method) of a class by ``make(method)``, once."""
    original = getattr(owner, name)
    if not getattr(original, "_numpro", False):
        replacement = wraps(original)(make(original))
        replacement._numpro = True  # type: ignore[attr-defined]
        static = isinstance(inspect.getattr_static(owner, name), staticmethod)
        setattr(owner, name, staticmethod(replacement) if static else replacement)


_task_managers: weakref.WeakSet[Any] = weakref.WeakSet()
"""Task managers that were made for the model called ``numpro``."""


def add_tasks_folder(folder: str) -> None:
    """Tell lmms-eval's task index of one more folder: there is an entry point for models but none for tasks."""
    from lmms_eval.tasks import TaskManager

    def initialize_tasks(original: Callable[..., Any]) -> Callable[..., Any]:
        def with_folder(self: Any, include_path: str | list[str] | None = None, *args: Any, **kwargs: Any) -> Any:
            if getattr(self, "model_name", None) == "numpro":
                _task_managers.add(self)
            given = [include_path] if isinstance(include_path, str) else list(include_path or [])
            return original(self, [*given, *([] if folder in given else [folder])], *args, **kwargs)

        return with_folder

    patch(TaskManager, "initialize_tasks", initialize_tasks)


def use_prompts_of(base: str) -> None:
    """Have tasks use their prompts for ``base`` until the evaluation ends.

    A task manager is made before the model, with the name on the command line (``numpro``); it loads the tasks after it.
    """
    for manager in _task_managers:
        manager.model_name = base


def follow_evaluations(made: Callable[[type], object] = lambda model_class: None) -> None:
    """Begin a session whenever a model is made, and end it with the model's ``clean()``.

    Args:
        made: called with the class of every model that is made, before the model is.
    """
    from lmms_eval.api.model import lmms

    def forget(model_class: type | None = None) -> None:
        session.begin().model_class = model_class
        for manager in _task_managers:
            manager.model_name = "numpro"

    def begin(original: Callable[..., Any]) -> Callable[..., Any]:
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            forget(type(self))
            made(type(self))
            original(self, *args, **kwargs)

        return __init__

    def end(original: Callable[..., Any]) -> Callable[..., Any]:
        def clean(self: Any) -> None:
            forget()
            original(self)

        return clean

    patch(lmms, "__init__", begin)
    patch(lmms, "clean", end)


def remember_model_arguments() -> None:
    """Have the session of a model know what lmms-eval made it with."""
    from lmms_eval.api.model import lmms
    from lmms_eval.utils import simple_parse_args_string

    original = lmms.__dict__["create_from_arg_string"].__func__
    if getattr(original, "_numpro", False):
        return

    @wraps(original)
    def create_from_arg_string(cls: Any, arg_string: str, additional_config: dict[str, Any] | None = None) -> Any:
        model = original(cls, arg_string, additional_config)
        session.current().model_arguments = simple_parse_args_string(arg_string)
        return model

    create_from_arg_string._numpro = True  # type: ignore[attr-defined]
    lmms.create_from_arg_string = classmethod(create_from_arg_string)


def keep_task_token_limits(model: Any) -> None:
    """Have a vLLM model of lmms-eval keep to the token limit of each task.

    It takes the larger of that and its own, which is 1,024 or 4,096 where nobody has chosen it.
    """
    own = getattr(model, "_select_max_new_tokens", None)
    if own is not None:
        model._select_max_new_tokens = lambda of_task: own(of_task) if of_task is None else int(of_task)
