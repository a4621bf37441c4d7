"""numpro: any model of lmms-eval with the videos of every request, of any task, replaced by their numbered clips.

``--model numpro --model_args base=qwen2_5_vl,pretrained=...,font_size=60`` is an instance of a class made of `NumProMixin` and the
base's own class, so it is the base in every respect but one: what it is shown.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from lmms_eval.api.model import lmms

from numpro_plugin.clips.cache import ClipCache
from numpro_plugin.encoding import parse_encoding
from numpro_plugin.environment import answer_token_limit, decoder_name, settings_from_environment
from numpro_plugin.errors import NumProError
from numpro_plugin.harness.lmms import keep_task_token_limits, use_prompts_of
from numpro_plugin.harness.unanswered import asks_a_server
from numpro_plugin.harness.wrap.clip_maker import ClipMaker, flat_settings
from numpro_plugin.harness.wrap.identity import base_identity
from numpro_plugin.harness.wrap.kept import KeptAnswers
from numpro_plugin.harness.wrap.messages import Replacer
from numpro_plugin.harness.wrap.readers import check_encoding, constructor_defaults, frame_arguments
from numpro_plugin.harness.wrap.requests import RequestRunner
from numpro_plugin.inference.answer_log import AnswerLog
from numpro_plugin.numbering import NumberStyle
from numpro_plugin.settings import NumProSettings, parse_frame_size

if TYPE_CHECKING:
    from lmms_eval.api.instance import Instance

    from numpro_plugin.harness.wrap.readers import FrameArguments

log = logging.getLogger(__name__)

_STYLE = ("position", "font_size", "color", "stroke_width", "stroke_color")
SETTINGS = ("fps", "frame_size", "max_frames", "numbers", "encoding", *_STYLE)
"""Settings of clips in model_args."""

RUN = ("resume", "requests_per_call")
"""What else of model_args is NumPro's own. An argument of the base with the same name is given as ``base_fps`` and so on."""


class NumProMixin:
    """Stands before a base's class: rewrites the requests, lets the base answer them, and marks those it could not be asked."""

    numpro: RequestRunner
    called_in_every_process: ClassVar[bool] = True
    """For `unanswered`: the processes agree how often they call the base, so each must be called, also with nothing left to ask."""

    @property
    def answers_from_log(self) -> int:
        """How many answers were there before this object was asked."""
        return self.numpro.answers_from_log

    @property
    def shown_settings(self) -> NumProSettings:
        """How videos of tasks that are not NumPro's are shown."""
        return self.numpro.replacer.clips.settings

    def generate_until(self, requests: list[Instance]) -> list[Any]:
        """One answer per request, in order."""
        return self._numpro_answers("generate_until", super().generate_until, requests)  # type: ignore[misc]

    def generate_until_multi_round(self, requests: list[Instance]) -> list[Any]:
        """One list of answers per request, in order."""
        return self._numpro_answers("generate_until_multi_round", super().generate_until_multi_round, requests)  # type: ignore[misc]

    def generate_visual_cot(self, requests: list[Instance]) -> list[Any]:
        """One answer per request, in order."""
        return self._numpro_answers("generate_visual_cot", super().generate_visual_cot, requests)  # type: ignore[misc]

    def loglikelihood(self, requests: list[Instance]) -> list[Any]:
        """(log-likelihood, whether greedy) per request, in order; (-inf, False) where the video could not be read."""
        return self._numpro_answers(
            "loglikelihood",
            super().loglikelihood,  # type: ignore[misc]
            requests,
            failed=lambda _: (float("-inf"), False),
        )

    def _numpro_answers(self, request_type: str, ask: Callable[..., Any], requests: list[Instance], **options: Any) -> list[Any]:
        return self.numpro.answers(self, ask, requests, request_type=request_type, **options)


class NumPro(lmms):
    """What lmms-eval finds under ``numpro``; instances are of other classes (see the module)."""

    is_simple = False
    _force_simple: ClassVar[bool] = False

    @classmethod
    def create_from_arg_string(cls, arg_string: str | Mapping[str, Any], additional_config: dict[str, Any] | None = None) -> Any:
        """The wrapped base.

        Args:
            arg_string: ``base=NAME``, NumPro's settings, ``resume`` (False asks everything again), ``requests_per_call`` and the base's
                own arguments, as ``--model_args`` has them, or a dict.
            additional_config: ``batch_size``, ``max_batch_size`` and ``device`` of the command line.

        Raises:
            NumProError: no base or an unknown one; a setting out of range, or other than a ``NUMPRO_*`` variable says.
        """
        from lmms_eval.utils import simple_parse_args_string

        given = dict(arg_string) if isinstance(arg_string, Mapping) else simple_parse_args_string(arg_string)
        arguments = _Arguments.read(given)
        base_class = _base_class(arguments.base, force_simple=cls._force_simple)
        return _wrapped(base_class, arguments, {k: v for k, v in (additional_config or {}).items() if v is not None})


class NumProSimple(NumPro):
    """The same under ``--force_simple``."""

    is_simple = True
    _force_simple = True


@dataclass(frozen=True)
class _Arguments:
    """model_args, sorted."""

    base: str
    settings: NumProSettings
    given: dict[str, Any]
    """The settings that were written down, as `flat_settings` names and holds them."""
    of_base: dict[str, Any]
    resume: bool = True
    requests_per_call: int | None = None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> _Arguments:
        values = dict(values)
        base = values.pop("base", None)
        if not base:
            raise NumProError(
                "numpro wraps another model of lmms-eval and must be told which: --model_args base=qwen2_5_vl,pretrained=... "
                "(what follows goes to that model)"
            )
        ours = {name: values.pop(name) for name in SETTINGS if name in values}
        resume, per_call = values.pop("resume", True), values.pop("requests_per_call", None)
        if not isinstance(resume, bool):
            raise NumProError(f"resume={resume!r} must be True or False (from model_args of numpro)")
        if per_call is not None and (isinstance(per_call, bool) or not isinstance(per_call, int) or per_call < 1):
            raise NumProError(f"requests_per_call={per_call!r} must be an integer, 1 or more (from model_args of numpro)")
        names = {f"base_{name}": name for name in (*SETTINGS, *RUN)}
        of_base = {names.get(name, name): value for name, value in values.items()}
        settings = _settings(ours)
        flat = flat_settings(settings)
        return cls(str(base), settings, {name: flat[name] for name in ours}, of_base, resume, per_call)


def _settings(values: dict[str, Any]) -> NumProSettings:
    try:
        read = {name: _READ[name](value) if name in _READ else value for name, value in values.items()}
        style = NumberStyle(**{name: read.pop(name) for name in _STYLE if name in read})
        return NumProSettings(**read, style=style)
    except (NumProError, TypeError, ValueError) as error:
        raise NumProError(f"{error} (from model_args of numpro)") from error


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise NumProError(f"{value!r} is not a number")
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise NumProError(f"numbers={value!r} must be true or false")
    return value


_READ: dict[str, Any] = {
    "fps": _number,
    "frame_size": parse_frame_size,
    "numbers": _flag,
    "encoding": lambda value: parse_encoding(str(value)),
    "font_size": _number,
    "stroke_width": _number,
}


_OURS = ("numpro", "numpro_hf")


def _base_class(base: str, *, force_simple: bool) -> type:
    from lmms_eval.models import get_model, list_available_models

    names = list_available_models(include_aliases=True)
    if base in _OURS:
        raise NumProError(f"base={base} numbers frames itself and cannot be wrapped; use --model {base} or another base")
    if base not in names:
        close = difflib.get_close_matches(base, [name for name in names if name not in _OURS], n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(close)}?" if close else "lmms-eval models lists them."
        raise NumProError(f"base={base} is not a model of lmms-eval; {hint}")
    try:
        return get_model(base, force_simple)
    except ImportError as error:
        raise NumProError(f"base={base} cannot be loaded: {error}") from error


def _wrapped(base_class: type, arguments: _Arguments, configuration: Mapping[str, Any]) -> Any:
    from lmms_eval.models import get_model_manifest

    settings = arguments.settings
    tasks = settings_from_environment()
    answer_token_limit(arguments.of_base, source=f"base={arguments.base}")
    # Where model_args are silent the clips of NumPro's tasks follow the environment; where they speak both must agree.
    expected = replace(
        settings,
        **{name: max(getattr(settings, name), getattr(tasks, name)) for name in ("max_frames", "fps") if name not in arguments.given},
        frame_size=settings.frame_size if "frame_size" in arguments.given else tasks.frame_size,
    )
    ClipCache(), decoder_name()  # a wrong NUMPRO_CACHE_GB or NUMPRO_DECODER is not every video's fault
    clips = ClipMaker(settings, arguments.given)
    name, chat = get_model_manifest(arguments.base).model_id, not getattr(base_class, "is_simple", True)
    check_encoding(name, settings.encoding, chat=chat, source="from model_args of numpro")
    check_encoding(name, tasks.encoding, chat=chat, source="NUMPRO_ENCODING")
    frames = frame_arguments(
        name,
        base_class,
        arguments.of_base,
        most_frames=expected.max_frames,
        fps=expected.fps,
        frame_size=expected.frame_size,
    )
    _look_for_slips(base_class, arguments)
    log.info("numpro: base %s with %s; %s", arguments.base, frames.values or "its own arguments", flat_settings(settings))
    combined = type(f"NumPro_{base_class.__name__}", (NumProMixin, base_class), {"__module__": __name__})
    model = combined(**frames.values, **arguments.of_base, **configuration)
    if "max_new_tokens" not in arguments.of_base:
        keep_task_token_limits(model)
    for name, value in frames.attributes.items():
        setattr(model, name, value)
    replacer = Replacer(clips, frames, timestamps=bool(getattr(model, "is_qwen3_vl", False)))
    kept = KeptAnswers(_answer_log(model, base_class, arguments, frames), settings, chat=not model.is_simple)
    model.numpro = RequestRunner(arguments.base, replacer, kept, chat=not model.is_simple, requests_per_call=arguments.requests_per_call)
    use_prompts_of(arguments.base)
    return model


def _answer_log(model: Any, base_class: type, arguments: _Arguments, frames: FrameArguments) -> AnswerLog | None:
    """Where the base's answers are kept; None if they are not. What tools answer has no identity."""
    if not arguments.resume or getattr(model, "mcp_client", None) is not None:
        return None
    made_with = {**constructor_defaults(base_class), **frames.values, **arguments.of_base, "attributes": frames.attributes}
    identity = base_identity(arguments.base, model, made_with, served=asks_a_server(base_class))
    return AnswerLog(identity, empty=False)  # bases answer with an empty text where their model or server failed


def _look_for_slips(base_class: type, arguments: _Arguments) -> None:
    """What neither NumPro nor the base has a name for goes to the base, but close to one of ours it is probably a slip."""
    known = constructor_defaults(base_class)
    for name in arguments.of_base:
        if name not in known and (close := difflib.get_close_matches(name, (*SETTINGS, *RUN), n=1, cutoff=0.75)):
            log.warning("%s is not an argument of base=%s; did you mean NumPro's %s?", name, arguments.base, close[0])
