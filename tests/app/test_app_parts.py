"""What `numpro app` does without a browser: arguments, what it shows of a request, and what it removes."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest
from support.videos import write_counter_video

from numpro_plugin.app import markup
from numpro_plugin.app.finding import MOST_QUERIES, Found, find, read_queries
from numpro_plugin.app.models import AppModel
from numpro_plugin.app.uploads import Uploads
from numpro_plugin.cli.main import main
from numpro_plugin.errors import NumProError
from numpro_plugin.inference.localize import Localized
from numpro_plugin.settings import NumProSettings
from numpro_plugin.video.packets import read_packets

EVIL = "<script>window.broken = 1</script> שלום 日本語 \u202e"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("app") / "counter <b>.mp4"
    write_counter_video(path, [250 * k for k in range(40)], rate=4)
    return path


def answering(*spans):
    """Stands in for `localize`: the spans of the queries, in their order."""

    def ask(index, queries, loaded, settings, **options):
        pairs = zip(queries, spans, strict=True)
        return [Localized(query, "From Frame 1", span, (), "no numbers" if span is None else "numbers") for query, span in pairs]

    return ask


def found_in(video: Path, folder: Path, queries: list[str], *spans) -> Found:
    model = AppModel("model", None, NumProSettings(frame_size=(112, 56)))  # type: ignore[arg-type]
    return find(video, queries, model, folder, ask=answering(*spans))


def test_a_request_has_moments_frames_clips_and_lists(video: Path, tmp_path: Path):
    found = found_in(video, tmp_path, ["a door", EVIL, "a cat"], (2.0, 6.0), None, (8.0, 8.0))
    assert [(one.start_s, one.end_s) for one in found.moments] == [(2, 6), (None, None), (8, 10)]
    assert [path.name for path in found.downloads] == ["clip-1.mp4", "clip-3.mp4", "moments.csv", "moments.edl", "moments.srt"]
    assert found.clips[1] is None
    assert found.clips[0] is not None
    assert read_packets(found.clips[0]).duration_s == pytest.approx(4)
    assert [(frame.number, frame.time_s, frame.end_s) for frame in found.frames] == [(k, 2 * k, 2 * k + 2) for k in range(5)]
    assert (tmp_path / "moments.csv").read_text(encoding="utf-8").count("\n") >= 4


def test_texts_of_strangers_are_escaped(video: Path, tmp_path: Path):
    shown = found_in(video, tmp_path, [EVIL], (2.0, 5.0))
    page = markup.timeline(shown) + markup.frames(shown) + markup.problem_of(NumProError(f"{video}: {EVIL}"), video)
    assert "<script" not in page
    assert "<b>.mp4" not in page
    assert "\u202e" not in page
    assert "שלום 日本語" in page
    assert str(video.parent) not in page  # where the file lies on the server


def test_frames_within_a_moment_are_marked(video: Path, tmp_path: Path):
    shown = found_in(video, tmp_path, ["a", "b"], (4.5, 5.5), (0.0, 2.0))
    frames = markup.frames(shown).split("<figure")[1:]
    assert [frame.partition("<figcaption>")[2].partition("<")[0] for frame in frames] == [
        *("0 · 0 s · in 2", "1 · 2 s · in 2", "2 · 4 s · in 1"),  # frame 2 stands for 4 to 6 seconds
        *("3 · 6 s", "4 · 8 s"),
    ]


def test_pictures_are_those_that_the_model_sees(video: Path, tmp_path: Path):
    import base64
    import io

    from PIL import Image

    from numpro_plugin.showing import show_video

    settings = NumProSettings(frame_size=(112, 56))
    seen = show_video(read_packets(video), settings).pictures.pixels
    for pixels, frame in zip(seen, found_in(video, tmp_path, ["a"], None).frames, strict=True):
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(frame.source.partition(",")[2]))))
        assert np.abs(shown.astype(int) - pixels).mean() < 6


def test_queries_are_lines():
    assert read_queries(" a door \n\n  a cat\n") == ["a door", "a cat"]
    with pytest.raises(NumProError, match="Say what to look for"):
        read_queries(" \n ")
    with pytest.raises(NumProError, match=f"{MOST_QUERIES + 1} queries are too many"):
        read_queries("a\n" * (MOST_QUERIES + 1))


def test_uploads_go_with_their_last_visitor():
    uploads = Uploads()
    try:
        video = uploads.visitors / "hash" / "video.mp4"
        video.parent.mkdir()
        video.touch()
        uploads.keep_video("first", video)
        uploads.keep_video("second", video)
        old = uploads.new_results("first")
        new = uploads.new_results("first")
        assert (old.exists(), new.exists()) == (False, True)
        uploads.leave("first")
        assert (new.exists(), video.exists()) == (False, True)
        uploads.leave("second")
        assert not video.exists()
        uploads.leave("nobody")
    finally:
        uploads.remove()
    assert not uploads.folder.exists()


def test_a_video_that_was_not_uploaded_stays(tmp_path: Path):
    uploads = Uploads()
    mine = [tmp_path / "mine.mp4", uploads.folder / "demo.mp4"]
    for video in mine:
        video.touch()
        uploads.keep_video("first", video)
    uploads.leave("first")
    assert all(video.exists() for video in mine)
    uploads.remove()
    assert mine[0].exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "Give --model FOLDER, or --demo"),
        ("--demo --adapter folder", "--adapter belongs to one --model"),
        ("--model ./none", "no such folder"),
        ("--model a/b --model a/b", "given twice"),
        ("--model a/b --adapter ./none", "--adapter ./none: no such folder"),
        ("--demo --dtype int8", "--dtype 'int8' is unknown"),
        ("--demo --fps 0", "fps"),
        ("--demo --max-upload-mb 0", "--max-upload-mb 0 must be more than 0"),
        ("--demo --port 70000", "--port 70000 must be from 1 to 65535"),
        ("--demo --host no.such.host.invalid", "--host no.such.host.invalid"),
    ],
)
def test_bad_arguments_are_told_before_anything_is_loaded(arguments, message, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr("numpro_plugin.app.models.load_models", lambda *_, **__: pytest.fail("a model was loaded"))
    assert main(["app", *arguments.split()]) == 1
    assert message in capsys.readouterr().err


def test_a_port_in_use_is_told(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["app", "--demo", "--port", str(port)]) == 1
    assert f"--port {port}: cannot listen there" in capsys.readouterr().err


def test_without_the_extra_the_error_says_how_to_install_it(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["app", "--demo"]) == 1
    assert "pip install 'numpro-plugin[app]'" in capsys.readouterr().err
