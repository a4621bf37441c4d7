"""lmms-eval in process, as the tests run it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any


@cache
def task_manager():
    """lmms-eval's index of task files: making it takes seconds, and it does not change."""
    import lmms_eval.models  # noqa: F401 (loads the entry points, which add NumPro's tasks)
    from lmms_eval.tasks import TaskManager

    return TaskManager()


def evaluate(model: Any, tasks: Sequence[str], **options: Any) -> Any:
    """``simple_evaluate`` with that index, unless another is given."""
    from lmms_eval.evaluator import simple_evaluate

    if "task_manager" not in options:
        options["task_manager"] = task_manager()
    return simple_evaluate(model=model, tasks=list(tasks), bootstrap_iters=0, **options)
