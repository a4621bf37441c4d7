"""OpenAI-compatible servers on this machine: one that keeps what it is asked, and one that fails where it is told to."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FAULTS: dict[str, dict[str, Any]] = {
    "too many": {"status": 429},
    "broken": {"status": 500},
    "slow": {},
    "dropped": {},
    "null": {"content": None},
    "refused": {"content": None, "refusal": "I cannot help with that."},
    "empty": {"content": ""},
    "filtered": {"content": "", "finish_reason": "content_filter"},
    "error": {"content": "Error: upstream timed out between 0 and 1"},
    "cut": {"content": "<think>The door opens from Frame 0 to", "finish_reason": "length"},
}
"""How a question fails, by the word that stands in it."""

LOST = tuple(name for name in FAULTS if name != "cut")
"""Those that leave the question unanswered."""


@dataclass(frozen=True, eq=False)
class Asked:
    """One question as it came."""

    parts: tuple[str | NDArray[np.uint8], ...]
    """Its texts and pictures (H, W, 3), in order."""

    @property
    def text(self) -> str:
        """All texts."""
        return " ".join(part for part in self.parts if isinstance(part, str))

    @property
    def frames(self) -> list[NDArray[np.uint8]]:
        """All pictures."""
        return [part for part in self.parts if not isinstance(part, str)]


class _Http(ThreadingHTTPServer):
    request_queue_size = 64


class ChatServer:
    """Answers every question and keeps it.

    Args:
        answer: to a question; it is called for one question at a time.
        usage: tokens of a question and of an answer.
    """

    def __init__(self, answer: Callable[[Asked], str | None], *, usage: tuple[int, int] = (1, 1)) -> None:
        self.answer = answer
        self.usage = usage
        self.requests: list[Asked] = []
        """In the order of arrival."""
        self.company = threading.Event()
        """Set once two questions were under way at once."""
        self.waits_for_company = False
        """Whether a question is answered only then, or after half a minute alone."""
        self._busy = 0
        self.lock = threading.Lock()
        """Held while a question is kept and answered."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                server._reply(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._handler = Handler
        self._listen(0)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def _listen(self, port: int) -> None:
        self._http = _Http(("127.0.0.1", port), self._handler)
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        self._http.shutdown()
        self._http.server_close()

    def take(self) -> list[Asked]:
        """The questions since the last call."""
        asked, self.requests = self.requests, []
        return asked

    def _read(self, handler: BaseHTTPRequestHandler) -> Asked:
        messages = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))["messages"]
        contents = [content for message in messages for content in message["content"]]
        return Asked(tuple(c["text"] if c["type"] == "text" else _picture(c["image_url"]["url"]) for c in contents))

    def _reply(self, handler: BaseHTTPRequestHandler) -> None:
        with self.lock:
            self._busy += 1
            if self._busy > 1:
                self.company.set()
        if self.waits_for_company:
            self.company.wait(30)
        asked = self._read(handler)
        with self.lock:
            self._busy -= 1
            self.requests.append(asked)
            content = self.answer(asked)
        self._send(handler, {"role": "assistant", "content": content})

    def _send(self, handler: BaseHTTPRequestHandler, message: dict[str, Any], *, status: int = 200, finish_reason: str = "stop") -> None:
        tokens = dict(zip(("prompt_tokens", "completion_tokens"), self.usage, strict=True))
        usage = {**tokens, "total_tokens": sum(self.usage)}
        choice = {"index": 0, "finish_reason": finish_reason, "message": message}
        reply = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "usage": usage, "choices": [choice]}
        data = json.dumps(reply if status == 200 else {"error": {"message": "from frame 0 to frame 1", "type": "server"}}).encode()
        with suppress(OSError):  # the client may be gone
            handler.send_response(status)
            if handler.close_connection:
                handler.send_header("Connection", "close")  # else a client may use the connection again while it is closed
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data)


class FaultyServer(ChatServer):
    """Answers ``answer`` to every question, except to those with a word of ``FAULTS``, as long as ``well`` is False."""

    def __init__(self, answer: str) -> None:
        super().__init__(lambda _: answer)
        self.well = False
        self.slow_s = 0.0
        """How long a "slow" question waits before it is dropped."""
        self.before_answer: Callable[[], None] = lambda: None
        self._end = threading.Event()

    @property
    def asked(self) -> list[str]:
        """The text of each question, in the order of arrival."""
        return [asked.text for asked in self.requests]

    @property
    def frames(self) -> list[list[NDArray[np.uint8]]]:
        """The pictures that came with each."""
        return [asked.frames for asked in self.requests]

    def stop(self) -> None:
        """Refuse connections from now on."""
        self._end.set()
        super().stop()

    def start_again(self) -> None:
        """Listen at the old address."""
        self._end.clear()
        self._listen(self._http.server_port)

    def take_asked(self) -> list[str]:
        """The questions since the last call, sorted."""
        return sorted(asked.text for asked in self.take())

    def _reply(self, handler: BaseHTTPRequestHandler) -> None:
        asked = self._read(handler)
        self.requests.append(asked)
        self.before_answer()
        name = None if self.well else next((name for name in FAULTS if name in asked.text), None)
        handler.close_connection = True
        if name == "slow":
            self._end.wait(self.slow_s)
        if name in ("slow", "dropped"):
            return
        fault = FAULTS.get(name or "", {})
        message = {"role": "assistant", "content": fault.get("content", self.answer(asked)), "refusal": fault.get("refusal")}
        self._send(handler, message, status=fault.get("status", 200), finish_reason=fault.get("finish_reason", "stop"))


def _picture(url: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"))
