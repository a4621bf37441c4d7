"""Starting and stopping the page's server. Nothing is sent anywhere: no usage figures, no fonts or scripts of others, no public link."""

# mypy: allow-untyped-calls

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpro_plugin.app.demo_videos import DemoVideo
    from numpro_plugin.app.models import AppModel
    from numpro_plugin.app.uploads import Uploads

LOCAL = ("127.0.0.1", "localhost", "::1")
"""Addresses that only programs on the same machine reach."""

_STOPPING = (signal.SIGINT, signal.SIGTERM)


def check_gradio() -> None:
    """Raise NumProError if gradio is not installed; it is not imported here."""
    if importlib.util.find_spec("gradio") is None:
        raise NumProError("numpro app needs gradio; run: pip install 'numpro-plugin[app]' (in a clone: pip install -e '.[app]')")


def check_address(host: str, port: int) -> None:
    """Raise NumProError, before a model is loaded, if the server could not listen there."""
    if not 0 <= port <= 65535:
        raise NumProError(f"--port {port} must be from 1 to 65535, or 0 for any free one")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            probe.bind(place)
    except OSError as error:
        what = f"--host {host}" if isinstance(error, socket.gaierror) else f"--host {host} --port {port}"
        raise NumProError(f"{what}: cannot listen there ({error.strerror or error}); choose another, --port 0 takes a free one") from error


def free_port(host: str) -> int:
    """A port that nobody listens on."""
    with socket.create_server((host, 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    models: Sequence[AppModel],
    uploads: Uploads,
    demo_videos: Sequence[DemoVideo] = (),
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    max_upload_mb: float = 500,
    **options: Any,
) -> Iterator[str]:
    """Serve the page while the block runs; gives its address.

    Args:
        models: see ``build_page``.
        uploads: see ``build_page``; whoever made them removes them.
        demo_videos: see ``build_page``.
        host: the address to listen on.
        port: 0 takes a free one.
        max_upload_mb: the largest upload, in megabytes.
        options: of ``build_page``.
    """
    # gradio reads these when it is imported or makes the page.
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(uploads.visitors), "HF_HUB_DISABLE_TELEMETRY": "1"}
    import gradio

    from numpro_plugin.app import markup
    from numpro_plugin.app.page import build_page

    page = build_page(models, uploads, demo_videos, **options)
    fonts = ("system-ui", "Segoe UI", "Noto Sans", "sans-serif")  # names alone: gradio's own themes load theirs from a CDN
    _, address, _ = page.launch(
        server_name=host,
        server_port=port or free_port(host),
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        ssr_mode=False,
        mcp_server=False,
        run_history=False,
        enable_monitoring=False,
        footer_links=[],
        max_file_size=round(max_upload_mb * 1e6),
        allowed_paths=[str(uploads.folder)],
        theme=gradio.themes.Base(font=fonts, font_mono=("ui-monospace", "monospace")),
        css=markup.STYLE,
    )
    try:
        yield str(address)
    finally:
        page.close(verbose=False)


@contextmanager
def until_stopped() -> Iterator[None]:
    """Run the block until Ctrl-C or SIGTERM, which end it wherever it is; a second one does not disturb what it clears away."""

    def stop(*_: object) -> NoReturn:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    # Who started the process may have told it to ignore Ctrl-C, as shells do with what runs in the background.
    before = {number: handler for number in _STOPPING if (handler := signal.getsignal(number)) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def wait_for_the_end() -> None:
    """Wait for a signal."""
    threading.Event().wait()


def leave() -> NoReturn:
    """End the process now: a model that is still answering, maybe for minutes, is not waited for."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
