"""A hub on this machine: data sets in memory, as the Hugging Face hub serves them."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

SHA = "0123456789abcdef0123456789abcdef01234567"


class LocalHub:
    """Serves ``{"ORG/NAME": {"path": bytes}}`` as data sets of one commit.

    ``cut`` maps a path to how many bytes of its answers are sent before the connection breaks off; ``log`` has path and first byte of what
    was asked for.
    """

    def __init__(self, data_sets: dict[str, dict[str, bytes]]) -> None:
        self.data_sets = data_sets
        self.cut: dict[str, int] = {}
        self.log: list[tuple[str, int]] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def do_GET(self) -> None:
                hub.answer(self, body=True)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        """For ``HF_ENDPOINT``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        """One request."""
        pieces = [unquote(piece) for piece in urlsplit(request.path).path.strip("/").split("/")]
        if pieces[:2] == ["api", "datasets"]:
            self._describe(request, "/".join(pieces[2:4]), pieces[4:5])
        elif pieces[0] == "datasets" and pieces[3:4] == ["resolve"]:
            self._send_file(request, "/".join(pieces[1:3]), "/".join(pieces[5:]), body=body)
        else:
            self._refuse(request, "EntryNotFound")

    def _describe(self, request: BaseHTTPRequestHandler, name: str, what: list[str]) -> None:
        files = self.data_sets.get(name)
        if files is None:
            self._refuse(request, "RepoNotFound")
            return
        if what == ["tree"]:
            content: Any = [
                {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()} for path, data in files.items()
            ]
        else:
            siblings = [{"rfilename": path} for path in files]
            content = {"id": name, "sha": SHA, "siblings": siblings, "private": False, "gated": False, "downloads": 0, "tags": []}
        data = json.dumps(content).encode()
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    def _send_file(self, request: BaseHTTPRequestHandler, name: str, path: str, *, body: bool) -> None:
        if name not in self.data_sets:
            self._refuse(request, "RepoNotFound")
            return
        if path not in self.data_sets[name]:
            self._refuse(request, "EntryNotFound")
            return
        data = self.data_sets[name][path]
        first = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        request.send_response(206 if first else 200)
        request.send_header("X-Repo-Commit", SHA)
        request.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        request.send_header("Accept-Ranges", "bytes")
        if first:
            request.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        request.send_header("Content-Length", str(len(data) - first))
        request.end_headers()
        if not body:
            return
        self.log.append((path, first))
        rest = data[first:]
        if path in self.cut:
            request.wfile.write(rest[: self.cut[path]])
            request.wfile.flush()
            request.close_connection = True
            request.connection.close()
            return
        request.wfile.write(rest)

    def _refuse(self, request: BaseHTTPRequestHandler, code: str) -> None:
        request.send_response(404)
        request.send_header("X-Error-Code", code)
        request.send_header("Content-Length", "0")
        request.end_headers()
