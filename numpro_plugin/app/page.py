"""The page itself, made of gradio's parts."""

# mypy: allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio

from numpro_plugin.app import markup
from numpro_plugin.app.finding import find, read_queries
from numpro_plugin.app.uploads import KEPT_S, LOOKED_AFTER_EVERY_S
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpro_plugin.app.demo_videos import DemoVideo
    from numpro_plugin.app.finding import Found
    from numpro_plugin.app.models import AppModel
    from numpro_plugin.app.uploads import Uploads

log = logging.getLogger(__name__)

MOST_WAITING = 20
"""Requests that wait for the model; one more is turned away."""

_INTRO = """
## When does it happen?
Drop a video, say what to look for, and the model names the moment. It sees numbered frames of the video and reads their numbers.
"""
_FAILED = "The model failed on this request ({}). The terminal in which numpro app runs says more."


class _Shown(NamedTuple):
    """New values of the page's parts."""

    timeline: Any
    chosen: Any
    player: Any
    downloads: Any
    frames: Any
    clips: list[str | None]


class _Answers:
    """What the page does when its visitors do something."""

    def __init__(
        self, models: Sequence[AppModel], uploads: Uploads, demo_videos: Sequence[DemoVideo], finder: Callable[..., Found]
    ) -> None:
        self.models = {model.name: model for model in models}
        self.demo_videos = {video.title: video for video in demo_videos}
        self._uploads, self._finder = uploads, finder

    def find(self, video: str | None, text: str, name: str, request: gradio.Request) -> _Shown:
        """The moments of all queries, or what is wrong with them."""
        path = None if not video else Path(video)
        try:
            queries = read_queries(text or "")
            if path is None:
                raise NumProError("Drop a video first" + (", or choose one of the demo's" if self.demo_videos else ""))
            if not path.is_file():
                raise NumProError("The video is no longer here: uploads are removed after an hour. Drop it again")
            return _shown(self._finder(path, queries, self.models[name], self._uploads.new_results(request.session_hash or "")))
        except NumProError as error:
            return _nothing(markup.problem_of(error, path))
        except Exception as error:  # whatever the model or the disk does, the visitor gets an answer and the server goes on
            log.exception("a request failed")
            return _nothing(markup.problem(_FAILED.format(type(error).__name__)))

    def keep(self, video: str | None, request: gradio.Request) -> None:
        """An upload stays as long as its visitor."""
        if video:
            self._uploads.keep_video(request.session_hash or "", Path(video))

    def leave(self, request: gradio.Request) -> None:
        """A visitor has left."""
        self._uploads.leave(request.session_hash or "")

    def offer(self, title: str | None) -> tuple[Any, Any]:
        """The file and the queries of a video of the demo."""
        chosen = self.demo_videos.get(title or "")
        return (gradio.skip(), gradio.skip()) if chosen is None else (str(chosen.path), "\n".join(chosen.queries))


def build_page(
    models: Sequence[AppModel], uploads: Uploads, demo_videos: Sequence[DemoVideo] = (), *, finder: Callable[..., Found] = find
) -> Any:
    """The page as gradio's ``Blocks``.

    Args:
        models: loaded ones, at least one.
        uploads: where files go.
        demo_videos: videos to choose from.
        finder: stands in for `find` in tests.
    """
    answers = _Answers(models, uploads, demo_videos, finder)
    with gradio.Blocks(title="numpro app", analytics_enabled=False, delete_cache=(LOOKED_AFTER_EVERY_S, KEPT_S)) as page:
        gradio.Markdown(_INTRO)
        with gradio.Row():
            with gradio.Column(scale=2, min_width=300):
                demo = gradio.Dropdown(
                    list(answers.demo_videos), value=None, label="A video of the demo", visible=bool(demo_videos), elem_id="demo"
                )
                video = gradio.File(label="Video", elem_id="video", height=120)
                text = gradio.Textbox(
                    label="What to look for, one query a line", lines=3, elem_id="queries", placeholder="a person opens a door"
                )
                name = gradio.Dropdown(list(answers.models), value=models[0].name, label="Model", visible=len(models) > 1, elem_id="model")
                button = gradio.Button("Find", variant="primary", elem_id="find")
            with gradio.Column(scale=3, min_width=300):
                timeline = gradio.HTML(markup.WAITING, elem_id="timeline", min_height=96)
                chosen = gradio.Radio([], label="Play", visible=False, elem_id="chosen")
                player = gradio.Video(
                    label="The moment", interactive=False, autoplay=True, visible=False, elem_id="player", height=360, buttons=[]
                )
                downloads = gradio.File(label="Downloads", file_count="multiple", interactive=False, visible=False, elem_id="downloads")
        frames = gradio.HTML(elem_id="frames")
        clips = gradio.State([], time_to_live=KEPT_S)

        private: dict[str, Any] = {"api_visibility": "private"}
        gradio.on(
            [button.click],
            answers.find,
            [video, text, name],
            [timeline, chosen, player, downloads, frames, clips],
            show_progress_on=[timeline],
            concurrency_limit=1,
            concurrency_id="model",
            trigger_mode="once",
            **private,
        )
        chosen.input(_play, [chosen, clips], player, show_progress="hidden", **private)
        video.upload(answers.keep, video, None, queue=False, **private)
        demo.input(answers.offer, demo, [video, text], show_progress="hidden", **private)
        page.unload(answers.leave)
    return page.queue(max_size=MOST_WAITING, api_open=False)


def _shown(found: Found) -> _Shown:
    clips = [None if clip is None else str(clip) for clip in found.clips]
    choices = [(f"{k + 1}. {moment.query}", k) for k, moment in enumerate(found.moments) if clips[k]]
    first = choices[0][1] if choices else None
    return _Shown(
        timeline=markup.timeline(found),
        chosen=gradio.update(choices=choices, value=first, visible=len(choices) > 1),
        player=gradio.update(value=None if first is None else clips[first], visible=first is not None),
        downloads=gradio.update(value=[str(path) for path in found.downloads], visible=bool(found.downloads)),
        frames=markup.frames(found),
        clips=clips,
    )


def _nothing(timeline: str) -> _Shown:
    hidden = gradio.update(value=None, visible=False)
    return _Shown(timeline, gradio.update(choices=[], value=None, visible=False), hidden, hidden, "", [])


def _play(chosen: int | None, clips: list[str | None]) -> Any:
    clip = clips[chosen] if chosen is not None and chosen < len(clips) else None
    return gradio.update(value=clip if clip and Path(clip).is_file() else None)
