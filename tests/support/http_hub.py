"""A hub on this machine: it answers over HTTP what huggingface_hub asks to make a repository and to commit to it."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.utils import _http

TOKEN = "hf_of_me"
LARGE_BYTES = 10_000  # from this size on a file goes to the large-file storage, as weights do


@dataclass
class Repository:
    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    """Of the commits, oldest first."""


class HttpHub:
    """A server in a thread, for as long as a ``with`` block lasts.

    ``refuse``: the path's end -> the answers to the next requests there, in this order: (status, reason), or None to answer as usual.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.stored: dict[str, bytes] = {}
        """The large files by SHA-256."""
        self.refuse: dict[str, deque[tuple[int, str] | None]] = {}
        self.asked: list[str] = []
        """``METHOD /path`` of every request."""
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Transfer-Encoding") == "chunked":
                    while size := int(self.rfile.readline(), 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                status, content = hub.answer(self.command, self.path.partition("?")[0], self.headers.get("Authorization"), body)
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                if "error" in content:
                    self.send_header("X-Error-Message", content["error"])
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = answer

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> HttpHub:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def used_by(self, patch: pytest.MonkeyPatch) -> None:
        """Let this process ask here, with a valid token, and not wait between attempts."""
        patch.setenv("HF_TOKEN", TOKEN)
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        patch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)  # a storage with a protocol of its own
        patch.setattr(huggingface_hub.constants, "ENDPOINT", self.url)
        patch.setattr(_http.time, "sleep", lambda _: None)

    def answer(self, method: str, path: str, token: str | None, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and JSON of an answer."""
        self.asked.append(f"{method} {path}")
        refused = next((answers.popleft() for end, answers in self.refuse.items() if path.endswith(end) and answers), None)
        if refused:
            return refused[0], {"error": refused[1]}
        if path.startswith("/storage/"):
            return self._store(path.rpartition("/")[2], body)
        if token != f"Bearer {TOKEN}":
            return 401, {"error": "Invalid credentials in Authorization header"}
        if path == "/api/validate-yaml":
            return 200, {"warnings": [], "errors": []}
        if path == "/api/repos/create":
            return self._create(**json.loads(body))
        parts = path.removeprefix("/api/models").strip("/").split("/")
        name = "/".join(parts[:2]).removesuffix(".git")
        if name not in self.repositories:
            return 404, {"error": "Repository not found"}
        found, what = self.repositories[name], parts[2] if len(parts) > 2 else ""
        if what == "preupload":
            sizes = {file["path"]: file["size"] for file in json.loads(body)["files"]}
            modes = {place: "lfs" if size >= LARGE_BYTES else "regular" for place, size in sizes.items()}
            return 200, {"files": [{"path": place, "uploadMode": mode, "shouldIgnore": False} for place, mode in modes.items()]}
        if what == "info":
            return 200, {"transfer": "basic", "objects": [self._place(**wanted) for wanted in json.loads(body)["objects"]]}
        if what == "commit":
            return self._commit(name, found, [json.loads(line) for line in body.splitlines()])
        return 200, {"id": name, "private": found.private}

    def _create(self, *, name: str, organization: str | None, visibility: str | None = None, **_: Any) -> tuple[int, dict[str, Any]]:
        whole = f"{organization or 'me'}/{name}"
        known = whole in self.repositories
        self.repositories.setdefault(whole, Repository(visibility == "private"))
        if known:
            return 409, {"error": "You already created this model repo", "url": f"{self.url}/{whole}"}
        return 200, {"url": f"{self.url}/{whole}"}

    def _place(self, oid: str, size: int) -> dict[str, Any]:
        return {"oid": oid, "size": size, "actions": {"upload": {"href": f"{self.url}/storage/{oid}"}}}

    def _store(self, oid: str, body: bytes) -> tuple[int, dict[str, Any]]:
        if hashlib.sha256(body).hexdigest() != oid:
            return 400, {"error": "the content has another hash"}
        self.stored[oid] = body
        return 200, {}

    def _commit(self, name: str, found: Repository, lines: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        added = {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                added[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.stored:
                    return 422, {"error": f"{value['path']} was not uploaded"}
                added[value["path"]] = self.stored[value["oid"]]
        found.files |= added
        found.messages += [line["value"]["summary"] for line in lines if line["key"] == "header"]
        return 200, {"success": True, "commitOid": "0" * 40, "commitUrl": f"{self.url}/{name}/commit/{len(found.messages)}"}
