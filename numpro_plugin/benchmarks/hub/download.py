"""``hf://datasets/ORG/NAME/PATH`` -> files on this machine: downloaded once and kept in huggingface_hub's cache."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from numpro_plugin.benchmarks.hub.archives import ARCHIVE, unpacked
from numpro_plugin.benchmarks.video_files import VIDEO_SUFFIXES
from numpro_plugin.environment import user_folder
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

_LOCATION = re.compile(
    r"hf://datasets/(?P<repository>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w.%-]+))?(?:/(?P<path>[^/].*?))?/?",
    re.ASCII,
)
_BROKEN_OFF = "the download broke off ({}); run it again, what is complete is not downloaded twice"
_CONNECT_S = 4
_ARCHIVE_PATTERNS = ("*.tar", "*.tar.gz", "*.tgz", "*.tar.part*", "*.tar.gz.part*", "*.tgz.part*")


@dataclass(frozen=True)
class HubPlace:
    """A file, a folder or the whole of a data set on the hub."""

    repository: str
    path: str = ""
    revision: str | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf://datasets/{self.repository}{revision}" + (f"/{self.path}" if self.path else "")


def is_on_hub(place: str | os.PathLike[str]) -> bool:
    """Whether a place on the command line is one on the hub."""
    return str(place).startswith("hf:")


def parse_place(text: str) -> HubPlace:
    """``hf://datasets/ORG/NAME/PATH``, with ``@REVISION`` after NAME if another than the newest is wanted.

    Raises:
        NumProError: another form.
    """
    match = _LOCATION.fullmatch(text)
    if match is None or ".." in (match["path"] or "").split("/"):
        raise NumProError(f"{text}: must be hf://datasets/ORG/NAME/PATH, or hf://datasets/ORG/NAME@REVISION/PATH")
    return HubPlace(match["repository"], match["path"] or "", match["revision"])


def fetched_file(text: str) -> Path:
    """The file at a place on the hub, in the hub's cache.

    Raises:
        NumProError: no such data set or file, or the hub cannot be reached and the file is not in the cache.
    """
    place = parse_place(text)
    if not place.path:
        raise NumProError(f"{text}: names a data set; add the path of the annotation file in it")
    from huggingface_hub import hf_hub_download

    return Path(_asked(place, partial(hf_hub_download, place.repository, place.path, repo_type="dataset", revision=place.revision)))


def fetched_videos(text: str, *, progress: bool = True) -> Path:
    """A folder with the videos below a place on the hub; tar shards (and shards in parts) are unpacked, once.

    Args:
        text: a folder of the data set, one archive, or the whole data set.
        progress: show a progress bar while archives are unpacked; downloads have their own.

    Raises:
        NumProError: as `fetched_file`; or there is no video and no archive, or an archive is damaged.
    """
    from huggingface_hub import snapshot_download

    place = parse_place(text)
    before = f"{place.path}/" if place.path else ""
    patterns = [f"{before}*{end}" for end in (*VIDEO_SUFFIXES, *(pattern[1:] for pattern in _ARCHIVE_PATTERNS))]
    if place.path:
        patterns.append(place.path)
    asked = partial(snapshot_download, place.repository, repo_type="dataset", revision=place.revision, allow_patterns=patterns)
    snapshot = Path(_asked(place, asked))
    root = snapshot / place.path
    base = root.parent if root.is_file() else root
    files = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
    archives = [path for path in files if ARCHIVE.fullmatch(path.name)]
    if not files:
        raise NumProError(f"{text}: has no videos and no tar archives of videos")
    if not archives:
        return base
    loose = [path for path in files if path not in archives]
    target = user_folder() / "hub" / place.repository.replace("/", "--") / snapshot.name / base.relative_to(snapshot)
    return unpacked(archives, base, target, loose=loose, progress=progress)


def _asked(place: HubPlace, ask: Callable[..., Any]) -> str:
    """What the hub answers, or its cache if nothing listens there; its errors in our words."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return str(ask() if _listens(constants.ENDPOINT) or constants.HF_HUB_OFFLINE else ask(local_files_only=True))
    except GatedRepoError:
        problem = "wants its conditions accepted: do so on its page, then run hf auth login"
    except RepositoryNotFoundError:
        problem = f"there is no data set {place.repository} that can be seen; if it is private, run hf auth login"
    except RevisionNotFoundError:
        problem = f"{place.repository} has no revision {place.revision!r}"
    except LocalEntryNotFoundError:
        problem = (
            f"the hub cannot be reached at {constants.ENDPOINT}, and this is not wholly in its cache. Run it again where there is a "
            "network (what was downloaded is kept), or give a file or folder of this machine"
        )
    except EntryNotFoundError:
        problem = f"{place.repository} has no file {place.path}"
    except (HfHubHTTPError, OSError) as error:
        problem = _BROKEN_OFF.format((str(error).strip() or type(error).__name__).splitlines()[0][:200])
    except Exception as error:  # of the library that it speaks HTTP with, which changes with its releases
        if not _is_of_http(error):
            raise
        problem = _BROKEN_OFF.format(f"{type(error).__name__}: {str(error)[:200]}")
    raise NumProError(f"{place}: {problem}")


def _listens(endpoint: str) -> bool:
    """Whether anything answers at an address, within `_CONNECT_S`: the hub's library goes on trying a closed port for half a minute.

    True without a look where connections go through a proxy.
    """
    address = urlsplit(endpoint)
    if {"all", address.scheme} & getproxies().keys() or not address.hostname:
        return True
    try:
        socket.create_connection((address.hostname, address.port or (80 if address.scheme == "http" else 443)), _CONNECT_S).close()
    except OSError:
        return False
    return True


def _is_of_http(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] in {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"}
