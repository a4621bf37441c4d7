"""The videos that the page offers with ``--demo``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpro_plugin.demo.world import render, tiny_videos

if TYPE_CHECKING:
    from pathlib import Path

    from numpro_plugin.app.page import DemoVideo


def render_demo_videos(folder: Path, *, count: int = 6, seed: int = 0) -> list[DemoVideo]:
    """Render the demo's first ``count`` videos into ``folder``; their queries come with them."""
    from numpro_plugin.app.page import DemoVideo

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
