"""`numpro app`: its arguments, and what it prints."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from numpro_plugin.cli.terminal import say
from numpro_plugin.errors import NumProError
from numpro_plugin.inference.device import DTYPES

if TYPE_CHECKING:
    import argparse

    from numpro_plugin.app.demo_videos import DemoVideo
    from numpro_plugin.app.uploads import Uploads


def add_app_verb(verbs: Any) -> None:
    """The verb on the command's parser."""
    verb = verbs.add_parser(
        "app",
        help="a page in the browser: drop a video, say what to look for, see and download the moment (extra: app)",
        description="Serve a page that asks a video LLM when something happens in a video. Only this machine reaches it unless --host says "
        "otherwise. Uploads are removed when their visitor leaves, after an hour, or at the end (Ctrl-C).",
    )
    verb.add_argument(
        "--model", action="append", default=[], metavar="FOLDER", help="folder or hub id of a model; again for more to choose from"
    )
    verb.add_argument("--adapter", metavar="FOLDER", help="folder or hub id of a NumPro-FT adapter for the model")
    verb.add_argument("--demo", action="store_true", help="offer the included tiny model and videos that it was made for; works offline")
    verb.add_argument("--fps", type=float, help="numbers per second (default: the adapter's, else 0.5)")
    verb.add_argument("--max-frames", type=int, help="most frames; longer videos are thinned evenly (default: the adapter's, else 240)")
    verb.add_argument("--dtype", default="auto", help="auto (default: the checkpoint's), bfloat16, float16 or float32")
    verb.add_argument("--device", help="such as cuda:1 or cpu (default: the first GPU, else the CPU); auto: over all GPUs")
    verb.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen on (default: 127.0.0.1: this machine)")
    verb.add_argument("--port", type=int, default=7860, help="default: 7860; 0 takes a free one")
    verb.add_argument("--max-upload-mb", type=float, default=500, metavar="MB", help="largest video that can be uploaded (default: 500)")
    verb.set_defaults(run=_app)


def _app(args: argparse.Namespace) -> int:
    _check(args)  # before gradio and torch are imported and models loaded
    from numpro_plugin.app.models import load_models
    from numpro_plugin.app.server import LOCAL, leave, serving, until_stopped, wait_for_the_end
    from numpro_plugin.app.uploads import Uploads

    if args.host not in LOCAL:
        print(
            f"warning: --host {args.host}: whoever reaches this machine over the network can upload videos and use the model; there is no "
            "password, and nothing is encrypted",
            file=sys.stderr,
        )
    with until_stopped(), Uploads() as uploads:
        say("loading ...")
        models = load_models(
            args.model,
            args.adapter,
            demo=args.demo,
            fps=args.fps,
            max_frames=args.max_frames,
            dtype=args.dtype,
            device=args.device,
        )
        videos = _demo_videos(uploads) if args.demo else []
        with serving(models, uploads, videos, host=args.host, port=args.port, max_upload_mb=args.max_upload_mb) as address:
            say(f"open {address} in a browser; Ctrl-C ends it")
            wait_for_the_end()
    say("stopped; all uploads are removed")
    leave()


def _check(args: argparse.Namespace) -> None:
    from numpro_plugin.app.models import check_folders
    from numpro_plugin.app.server import check_address, check_gradio
    from numpro_plugin.settings import NumProSettings

    if not (args.model or args.demo):
        raise NumProError("which model? Give --model FOLDER, or --demo for the included tiny one")
    if args.adapter and len(args.model) != 1:
        raise NumProError(
            f"--adapter belongs to one --model, and {len(args.model)} are given; merge it (numpro-train merge) to offer several"
        )
    if args.dtype not in DTYPES:
        raise NumProError(f"--dtype {args.dtype!r} is unknown; allowed: {', '.join(DTYPES)}")
    if not 0 < args.max_upload_mb < float("inf"):
        raise NumProError(f"--max-upload-mb {args.max_upload_mb:g} must be more than 0")
    given = {"fps": args.fps, "max_frames": args.max_frames}
    NumProSettings(**{name: value for name, value in given.items() if value is not None})
    check_folders(args.model, args.adapter)
    check_gradio()
    check_address(args.host, args.port)


def _demo_videos(uploads: Uploads) -> list[DemoVideo]:
    from numpro_plugin.app.demo_videos import render_demo_videos

    return render_demo_videos(uploads.folder / "demo")
