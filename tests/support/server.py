"""An OpenAI-compatible server on this machine that fails where it is told to."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable
from contextlib import suppress
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


class _Server(ThreadingHTTPServer):
    request_queue_size = 64


class FaultyServer:
    """Answers ``answer`` to every question, except to those with a word of ``FAULTS``, as long as ``well`` is False."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.well = False
        self.asked: list[str] = []
        """The text of each question, in the order of arrival."""
        self.frames: list[list[NDArray[np.uint8]]] = []
        """The pictures that came with it, (H, W, 3) each."""
        self.slow_s = 0.0
        """How long a "slow" question waits before it is dropped."""
        self.before_answer: Callable[[], None] = lambda: None
        self._end = threading.Event()
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
        self._http = _Server(("127.0.0.1", port), self._handler)
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        self._end.set()
        self._http.shutdown()
        self._http.server_close()

    def start_again(self) -> None:
        """Listen at the old address."""
        self._end.clear()
        self._listen(self._http.server_port)

    def take_asked(self) -> list[str]:
        """The questions since the last call, sorted."""
        asked, self.asked = sorted(self.asked), []
        return asked

    def _reply(self, handler: BaseHTTPRequestHandler) -> None:
        contents = [
            content
            for message in json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))["messages"]
            for content in message["content"]
        ]
        text = " ".join(content["text"] for content in contents if content["type"] == "text")
        self.asked.append(text)
        self.frames.append([_picture(content["image_url"]["url"]) for content in contents if content["type"] == "image_url"])
        self.before_answer()
        name = None if self.well else next((name for name in FAULTS if name in text), None)
        handler.close_connection = True
        if name == "slow":
            self._end.wait(self.slow_s)
        if name in ("slow", "dropped"):
            return
        fault = FAULTS.get(name or "", {})
        message = {"role": "assistant", "content": fault.get("content", self.answer), "refusal": fault.get("refusal")}
        choice = {"index": 0, "finish_reason": fault.get("finish_reason", "stop"), "message": message}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        reply = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "usage": usage, "choices": [choice]}
        status = fault.get("status", 200)
        data = json.dumps(reply if status == 200 else {"error": {"message": "from frame 0 to frame 1", "type": "server"}}).encode()
        with suppress(OSError):  # the client may be gone
            handler.send_response(status)
            handler.send_header("Connection", "close")  # else a client may use the connection again in the moment in which it is closed
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data)


def _picture(url: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"))
