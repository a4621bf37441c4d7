"""The result of a run on the hub: a repository that is made before training, and one commit at the end."""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpro_plugin.errors import NumProError
from numpro_plugin.weights.folder import first_line

from .resume import RECIPE
from .status import write_status

if TYPE_CHECKING:
    from pathlib import Path

    from ..recipe.record import Recipe


def make_repository(recipe: Recipe) -> str:
    """Make ``run.push_to_hub``, or find it, and commit the recipe to it. So what would prevent the upload shows before training.

    Returns:
        The whole name, ``ORG/NAME``, which the hub wants wherever it does not make a repository.

    Raises:
        NumProError: this machine is offline or has no token, the token may not write there, or the repository is public although
            ``run.hub_private`` is true.
    """
    from huggingface_hub import constants, get_token

    name, private = recipe.run.push_to_hub, recipe.run.hub_private
    stay = "or set run.push_to_hub='' and upload the result later"
    if constants.HF_HUB_OFFLINE:
        raise NumProError(f"run.push_to_hub={name} needs the hub, but HF_HUB_OFFLINE is set: unset it, {stay}")
    if get_token() is None:
        raise NumProError(f"run.push_to_hub={name} needs a token that may write: run `hf auth login` or set HF_TOKEN, {stay}")
    api = _api()
    try:
        whole_name = str(api.create_repo(name, private=private, exist_ok=True).repo_id)
        is_private = api.model_info(whole_name).private
        if is_private or not private:
            _commit(api, whole_name, {RECIPE: recipe.to_yaml().encode()}, "The recipe of a run that begins")
    except Exception as error:  # the hub's client raises a dozen kinds
        raise NumProError(
            f"run.push_to_hub={name} cannot be written to ({_reason(error)}): check name, token and network, {stay}"
        ) from error
    if private and not is_private:
        raise NumProError(f"run.push_to_hub={name} is a public repository: pass run.hub_private=false if that is meant, or another name")
    return whole_name


def push(recipe: Recipe, result: Path, /, **details: Any) -> None:
    """Upload a finished run's result (weights, model card, record) and its recipe in one commit, and record that in its status.

    ``details``: what the status of the finished run says (see `write_status`).

    Raises:
        NumProError: it failed. The result is untouched, and the message says how to upload it by hand.
    """
    name, output = recipe.run.push_to_hub, result.parent
    files = {str(path.relative_to(result)): path for path in sorted(result.rglob("*")) if path.is_file()}
    try:
        url = _commit(_api(), name, {**files, RECIPE: output / RECIPE}, "The result of a run")
    except Exception as error:
        reason = _reason(error)
        write_status(output, "finished", **details, upload_failed=reason)
        raise NumProError(
            f"the run is finished and its result is {result}, but the upload to {name} failed ({reason}). Upload it with: "
            f"hf upload {name} {result} ."
        ) from error
    write_status(output, "finished", **details, uploaded=url)


def _commit(api: Any, name: str, files: dict[str, Any], message: str) -> str:
    """Commit files (paths, or bytes) in one piece; returns the address of the commit."""
    from huggingface_hub import CommitOperationAdd

    operations = [CommitOperationAdd(path_in_repo=path, path_or_fileobj=content) for path, content in files.items()]
    return str(api.create_commit(name, operations, commit_message=message).commit_url)


def _reason(error: Exception) -> str:
    """The client's words and the hub's own, which stand further down: that a token is expired, say."""
    words, told = first_line(error), getattr(error, "server_message", None)
    return f"{words}: {told.splitlines()[0]}" if told and told.splitlines()[0] not in words else words


def _api() -> Any:
    from huggingface_hub import HfApi

    return HfApi(library_name="numpro-plugin")
