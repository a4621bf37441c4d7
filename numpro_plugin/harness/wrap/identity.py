"""What decides the answers of a base model beside the request: its arguments, its server or its weights, versions.

Of all this the answer log stores only a hash. Secrets are not even part of that.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import try_to_load_from_cache

from numpro_plugin import __version__
from numpro_plugin.files import file_identity, folder_state, sha256_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECRET = re.compile(r"(^|_)(api_?key|key|secret|password|authorization|(access|auth|bearer|hf|api)_token|token)$", re.IGNORECASE)
_NO_MATTER = re.compile(
    r"(max_)?batch_size|device|device_map|timeout|max_retries|retry_backoff_s|num_cpus|num_concurrent|adaptive_\w+|prefix_aware_queue"
    r"|prefix_hash_chars|httpx_trust_env|work_dir"
)
"""Arguments that decide when, where or how often something is asked, not what."""

_PIXEL_VARIABLES = ("LMMS_IMAGE_ENCODE_FORMAT", "LMMS_IMAGE_JPEG_QUALITY", "LMMS_VIDEO_DECODE_BACKEND")
_SERVER_VARIABLES = (
    *("OPENAI_API_BASE", "OPENAI_BASE_URL", "OPENAI_API_URL", "API_TYPE", "AZURE_ENDPOINT", "AZURE_OPENAI_API_BASE"),
    *("ANTHROPIC_API_URL", "ANTHROPIC_BASE_URL"),
)
"""Where the clients of lmms-eval that do not show their server's address look for it."""

_VERSION_VARIABLES = ("AZURE_API_VERSION", "AZURE_OPENAI_API_VERSION")
_SMALL_BYTES = 1 << 20


def base_identity(name: str, model: Any, arguments: Mapping[str, Any], *, served: bool) -> dict[str, Any]:
    """What makes a base's answers what they are, as plain values.

    Args:
        name: of the base in lmms-eval.
        model: the base, made: the address of its server may come from the environment.
        arguments: with which it was made, its defaults included.
        served: whether the model runs behind a server, so that libraries for models on this machine decide nothing.
    """
    address = server_address(model)
    served = served or address is not None
    given = {key: value for key, value in sorted(arguments.items()) if not (_NO_MATTER.fullmatch(key) or _SECRET.search(key))}
    if address is not None:
        given.pop("base_url", None)
    variables = (*_PIXEL_VARIABLES, *_VERSION_VARIABLES, *(() if address else _SERVER_VARIABLES))
    return {
        "base": name,
        "chat": not model.is_simple,
        "arguments": {key: _plain(value) for key, value in given.items()},
        "server": address,
        "environment": {key: os.environ[key] for key in variables if key in os.environ},
        "files": {} if served else {key: state for key, value in given.items() if (state := _state(value, given)) is not None},
        "prompts": {key: sha256_of(value) for key, value in given.items() if served and _is_small_file(value)},
        "versions": _versions("lmms_eval") if served else _versions("lmms_eval", "torch", "transformers", "vllm", "sglang"),
    }


def server_address(model: Any) -> str | None:
    """The address that a base's client asks; None for a base without such a client."""
    url = getattr(getattr(model, "client", None), "base_url", None)
    return None if url is None else str(url).rstrip("/")


def _versions(*libraries: str) -> dict[str, str]:
    found = {"numpro": __version__}
    for library in libraries:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def _plain(value: Any) -> Any:
    """A value that gives the same hash in every run; objects are known by their kind alone."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items() if not _SECRET.search(str(key))}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else type(value).__qualname__


def _state(value: Any, arguments: Mapping[str, Any]) -> Any:
    """Of weights, adapters and other files: their state, or the commit of a hub repository. None for anything else."""
    if not isinstance(value, str) or not value or "\0" in value:
        return None
    if os.path.isdir(value):
        return folder_state(Path(value), contents=False)
    if os.path.isfile(value):
        return sha256_of(value) if _is_small_file(value) else list(file_identity(value))
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", value):
        return None
    revision = arguments.get("revision")
    with suppress(ValueError):  # it is no name of a repository
        found = try_to_load_from_cache(value, "config.json", revision=revision if isinstance(revision, str) else None)
        return Path(found).parent.name if isinstance(found, str) else None
    return None


def _is_small_file(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value and os.path.isfile(value) and os.path.getsize(value) < _SMALL_BYTES
