"""With NUMPRO_KEEP_FRAMES another encoding of a video takes its frames from the cache, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.videos import write_counter_video

from numpro_plugin import NumProError, NumProSettings
from numpro_plugin.clips import clip as clip_module
from numpro_plugin.clips.clip import kept_frames, numbered_clip
from numpro_plugin.clips.fitted import clip_pictures
from numpro_plugin.encoding import PRESETS
from numpro_plugin.showing import sampled_frames, show_video


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "video.mp4"
    write_counter_video(path, [k * 100 for k in range(95)], rate=10)
    return path


def count_decodes(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    decoded: list[object] = []
    original = clip_module.sampled_frames

    def counted(video: object, *given: object, **options: object) -> object:
        decoded.append(video)
        return original(video, *given, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(clip_module, "sampled_frames", counted)
    return decoded


def test_every_encoding_of_one_size_is_made_of_one_decoding(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = count_decodes(monkeypatch)
    monkeypatch.setenv("NUMPRO_KEEP_FRAMES", "1")
    names = ("plain", "number", "seconds", "clock", "text", "number+text")
    for name in names:
        settings = NumProSettings(fps=1, encoding=PRESETS[name].encoding)
        seen = show_video(video, settings).pictures.pixels
        assert (np.stack([np.asarray(picture) for picture in clip_pictures(numbered_clip(video, settings))]) == seen).all()
        assert len(kept_frames(video, settings)) == len(seen)
    assert len(decoded) == 1
    grid = NumProSettings(fps=1, encoding=PRESETS["grid"].encoding)  # whose frames have another size
    assert len(clip_pictures(numbered_clip(video, grid))) == 1
    assert len(decoded) == 2


@pytest.mark.parametrize("name", PRESETS)
def test_kept_frames_are_those_that_are_sampled(video: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    settings = NumProSettings(fps=1, max_frames=7, encoding=PRESETS[name].encoding)
    direct = sampled_frames(video, settings, start_s=1.0, end_s=9.0)
    monkeypatch.setenv("NUMPRO_KEEP_FRAMES", "1")
    for _ in range(2):
        kept = kept_frames(video, settings, start_s=1.0, end_s=9.0)
        assert (kept.pixels == direct.pixels).all()
        assert kept.numbers.tolist() == direct.numbers.tolist()
        assert kept.timeline == direct.timeline


def test_the_variable_is_0_or_1(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMPRO_KEEP_FRAMES", "yes")
    with pytest.raises(NumProError, match="NUMPRO_KEEP_FRAMES='yes' must be 1 or 0"):
        kept_frames(video, NumProSettings())
