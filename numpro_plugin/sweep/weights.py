"""A fresh model object for each cell, with the weights of the first: an evaluation of lmms-eval ends its model, loading takes minutes."""

# mypy: allow-untyped-calls

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmms_eval.api.model import lmms as Model


class Weights:
    """Makes the models of a sweep.

    Args:
        model: name of the model, as for lmms-eval's ``--model``.
        arguments: its ``--model_args``.
        options: ``batch_size`` and ``device`` of the command line.
    """

    def __init__(self, model: str, arguments: str, **options: Any) -> None:
        self.model = model
        self.arguments = arguments
        self.options = options
        self._loaded: Any = None
        self._made: dict[Any, Any] = {}

    def fresh(self, more: dict[str, Any]) -> Model:
        """A model for one evaluation.

        Args:
            more: arguments of this cell, beside those of the sweep.
        """
        from lmms_eval.api.model import lmms
        from lmms_eval.models import get_model
        from lmms_eval.utils import simple_parse_args_string

        kind = get_model(self.model, False)
        given: Any = self.arguments
        if kind.create_from_arg_string.__func__ is not lmms.create_from_arg_string.__func__:  # numpro and numpro_hf take a dict as well
            given = {**simple_parse_args_string(self.arguments), **more}
            if self._loaded is not None:
                given["loaded"] = self._loaded
        with _remembered(self._made):
            made: Model = kind.create_from_arg_string(given, self.options)
        self._loaded = getattr(made, "loaded", None)
        return made


@contextmanager
def _remembered(made: dict[Any, Any]) -> Iterator[None]:
    """Have transformers' ``from_pretrained`` open each model once: the wrapped bases of ``--model numpro`` open theirs in this way."""
    from transformers import PreTrainedModel

    with ExitStack() as stack:
        original = PreTrainedModel.__dict__["from_pretrained"].__func__

        @wraps(original)
        def from_pretrained(cls: Any, *args: Any, **kwargs: Any) -> Any:
            key = cls, repr(args), repr(sorted(kwargs.items(), key=lambda pair: pair[0]))
            if kwargs.get("output_loading_info") or key not in made:
                opened = original(cls, *args, **kwargs)
                if kwargs.get("output_loading_info"):
                    return opened
                made[key] = opened
            return made[key]

        PreTrainedModel.from_pretrained = classmethod(from_pretrained)  # type: ignore[assignment]
        stack.callback(setattr, PreTrainedModel, "from_pretrained", classmethod(original))
        yield
