"""Which file is the video that an annotation names: an exact name wins, and two equally good ones are never chosen between in silence."""

from __future__ import annotations

import os

import pytest

from numpro_plugin import NumProError
from numpro_plugin.benchmarks.by_video import file_names
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.benchmarks.readers.activitynet import ACTIVITYNET
from numpro_plugin.benchmarks.video_files import SeveralFiles, VideoFolder


@pytest.fixture
def folder(tmp_path):
    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"")
        return VideoFolder(tmp_path)

    return make


def found(videos, *names):
    path = videos.find(names)
    return None if path is None else path.relative_to(videos.folder).as_posix()


def test_an_exact_name_wins_over_a_name_without_extension(folder):
    videos = folder("two.mp4", "two.webm", "two.txt", "one.mkv")
    assert found(videos, "two.webm") == "two.webm"
    assert found(videos, "two.mp4") == "two.mp4"
    assert found(videos, "one") == found(videos, "one.mp4") == "one.mkv"
    with pytest.raises(SeveralFiles, match=r"two: .*two\.mp4 and .*two\.webm"):
        videos.find(["two"])
    with pytest.raises(SeveralFiles):
        videos.find(["two.avi"])


def test_paths_inside_the_folder(folder):
    videos = folder("a/x.mp4", "b/x.mp4", "b/y.mkv", "x.v1.mp4")
    assert found(videos, "a/x.mp4") == "a/x.mp4"
    assert found(videos, "b/x") == "b/x.mp4"
    assert found(videos, "b/y.mp4") == "b/y.mkv"
    assert found(videos, "c/x.mp4") is None
    assert found(videos, "x.v1") == "x.v1.mp4"
    with pytest.raises(SeveralFiles, match=r"a/x\.mp4 and .*b/x\.mp4"):
        videos.find(["x.mp4"])


def test_the_first_of_several_names_counts(folder):
    videos = folder("v_abc.mp4", "abc.mkv")
    assert found(videos, "abc", "v_abc") == "abc.mkv"
    assert found(videos, "v_abc", "abc") == "v_abc.mp4"
    assert found(videos, "nothing", "v_abc") == "v_abc.mp4"


def test_one_file_reached_twice_is_one_file(folder, tmp_path):
    folder("real/x.mp4")
    (tmp_path / "link").mkdir()
    os.symlink(tmp_path / "real/x.mp4", tmp_path / "link/x.mp4")
    assert VideoFolder(tmp_path).find(["x"]).name == "x.mp4"


def test_activitynet_with_and_without_v(folder):
    assert file_names("v_abc") == ("v_abc", "abc")
    assert file_names("abc") == ("abc", "v_abc")
    videos = folder("v_abcdefghijk.mp4", "lmnopqrstuv.mkv")
    assert found(videos, *file_names("abcdefghijk")) == "v_abcdefghijk.mp4"
    assert found(videos, *file_names("v_lmnopqrstuv")) == "lmnopqrstuv.mkv"


def test_all_ambiguous_videos_are_listed_before_any_is_opened(folder, tmp_path):
    names = [f"v_{k:011d}" for k in range(12)]
    folder(*(f"videos/{name}.{kind}" for name in names for kind in ("mp4", "webm")))
    entry = '"%s": {"duration": 9, "timestamps": [[1, 2]], "sentences": ["q"]}'
    (tmp_path / "val_1.json").write_text("{" + ", ".join(entry % name for name in names) + "}")
    with pytest.raises(NumProError) as error:
        prepare(ACTIVITYNET, tmp_path / "val_1.json", videos=tmp_path / "videos", progress=False)
    assert "12 of 12 videos have more than one file" in str(error.value)
    assert f"{names[9]}.webm" in str(error.value)
    assert names[10] not in str(error.value)
    assert "and 2 more" in str(error.value)


def test_a_folder_whose_name_is_not_utf8(tmp_path):
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    from pathlib import Path

    with pytest.raises(NumProError, match=r"caf\\udce9: the folder's path is not UTF-8"):
        VideoFolder(Path(os.fsdecode(folder)))


def test_a_file_whose_name_is_not_utf8_is_never_found_by_another_name(tmp_path):
    with open(os.fsencode(tmp_path) + b"/caf\xe9.mp4", "wb"):
        pass
    assert VideoFolder(tmp_path).find(["caf", "cafe", "caf.mp4"]) is None
