"""The videos that the page offers with ``--demo``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from numpro_plugin.demo.world import render, tiny_videos

if TYPE_CHECKING:
    from pathlib import Path


class DemoVideo(NamedTuple):
    """A video that the page offers."""

    title: str
    path: Path
    queries: tuple[str, ...]


def render_demo_videos(folder: Path, *, count: int = 6, seed: int = 0) -> list[DemoVideo]:
    """Render the demo's first ``count`` videos into ``folder``; their queries come with them."""
    made = tiny_videos(count, seed=seed, prefix="shapes")
    render(made, folder)
    return [
        DemoVideo(
            title=f"{k}: " + ", ".join(event.query for event in video.events) + f" ({video.duration_s:.0f} s)",
            path=folder / f"{video.name}.mp4",
            queries=tuple(event.query for event in video.events),
        )
        for k, video in enumerate(made, 1)
    ]
