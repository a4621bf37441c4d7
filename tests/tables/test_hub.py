"""Annotations and videos from a hub: a server on this machine that speaks its protocol."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile

import pytest
from support.hub import SHA, LocalHub
from support.todays import TODAYS
from support.videos import write_counter_video

from numpro_plugin import NumProError
from numpro_plugin.benchmarks.hub.archives import unpacked
from numpro_plugin.benchmarks.hub.download import HubPlace, is_on_hub, parse_place
from numpro_plugin.benchmarks.table import read_report, read_rows, table_path

NAME, ANNOTATIONS = "TencentARC/TimeLens-Bench", json.dumps(TODAYS["timelens_charades"][1]).encode()


def tarred(files, mode="w:gz"):
    """An archive of files by name, in memory."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = write_counter_video(tmp_path_factory.mktemp("film") / "AAAAA.mp4", [k * 500 for k in range(62)], rate=2, size=(64, 48))
    return path.read_bytes()


@pytest.fixture
def hub(film):
    shard = tarred({"videos/charades/AAAAA.mp4": film, "videos/charades/README.md": b"no video"})
    half = len(shard) // 2
    served = LocalHub(
        {
            NAME: {
                "charades-timelens.json": ANNOTATIONS,
                "video_shards/charades_0.tar.gz": shard,
                "parts/videos.tar.gz.part_aa": shard[:half],
                "parts/videos.tar.gz.part_ab": shard[half:],
                "loose/AAAAA.mp4": film,
                "empty/README.md": b"nothing here",
            }
        }
    )
    yield served
    served.close()


def numpro(hub, tmp_path, *words, **more):
    """The command in a process of its own: the hub's library reads its variables when it is imported."""
    environment = {
        **os.environ,
        **{"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1"},
        **{"XDG_CACHE_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"},
        **more,
    }
    return subprocess.run([sys.executable, "-m", "numpro_plugin.cli", *words], env=environment, capture_output=True, text=True, check=False)


def prepare(hub, tmp_path, videos, **more):
    annotations = f"hf://datasets/{NAME}/charades-timelens.json"
    place = ["--videos", f"hf://datasets/{NAME}/{videos}"] if videos else ["--without-videos"]
    return numpro(hub, tmp_path, "prepare", "timelens_charades", "--annotations", annotations, *place, **more)


@pytest.mark.slow
def test_annotations_and_a_tar_shard(hub, tmp_path):
    done = prepare(hub, tmp_path, "video_shards")
    assert done.returncode == 0, done.stderr
    table = table_path("timelens_charades", "test")
    (video,) = {row["video"] for row in read_rows(table)}
    assert video == str(tmp_path / f"cache/numpro/hub/TencentARC--TimeLens-Bench/{SHA}/video_shards/videos/charades/AAAAA.mp4")
    assert read_report(table).annotations == f"hf://datasets/{NAME}/charades-timelens.json"
    asked = {path for path, _ in hub.log}
    assert asked == {"charades-timelens.json", "video_shards/charades_0.tar.gz"}
    again = prepare(hub, tmp_path, "video_shards")
    assert (again.returncode, len(hub.log)) == (0, 2)  # nothing is downloaded twice
    hub.close()
    offline = prepare(hub, tmp_path, "video_shards")
    assert offline.returncode == 0, offline.stderr  # what is in the cache needs no network


@pytest.mark.slow
def test_a_hub_that_stops_in_the_middle(hub, tmp_path):
    files, last = hub.data_sets[NAME], "video_shards/charades_1.tar.gz"
    files[last] = tarred({"videos/charades/BBBBB.mp4": files["loose/AAAAA.mp4"]})
    hub.cut[last] = len(files[last]) // 3
    broken = prepare(hub, tmp_path, "video_shards")
    assert (broken.returncode, "the download broke off" in broken.stderr) == (1, True), broken.stderr
    assert not table_path("timelens_charades", "test").exists()
    hub.cut.clear()
    del hub.log[:]
    again = prepare(hub, tmp_path, "video_shards")
    assert again.returncode == 0, again.stderr
    assert last in {path for path, _ in hub.log}
    assert "charades-timelens.json" not in {path for path, _ in hub.log}  # what was complete is kept


@pytest.mark.slow
def test_a_connection_that_breaks_is_taken_up_where_it_was(hub, tmp_path):
    hub.data_sets[NAME]["large/a.tar"] = tarred({"filler": bytes(24 << 20), "AAAAA.mp4": hub.data_sets[NAME]["loose/AAAAA.mp4"]}, "w")
    hub.cut["large/a.tar"] = 11 << 20
    done = prepare(hub, tmp_path, "large")
    assert done.returncode == 0, done.stderr
    assert [first for path, first in hub.log if path == "large/a.tar"] == [
        0,
        10 << 20,
        20 << 20,
    ]  # the hub's library writes 10 MiB at a time


@pytest.mark.slow
def test_places_that_are_not_there_and_no_network(hub, tmp_path):
    missing = numpro(hub, tmp_path, "prepare", "timelens_charades", "--without-videos", "--annotations", f"hf://datasets/{NAME}/x.json")
    assert (missing.returncode, f"{NAME} has no file x.json" in missing.stderr) == (1, True), missing.stderr
    scored = numpro(hub, tmp_path, "score", "moment", str(tmp_path / "mine.jsonl"), "--truth", f"hf://datasets/{NAME}/y.json")
    assert (scored.returncode, f"{NAME} has no file y.json" in scored.stderr) == (1, True), scored.stderr
    hub.data_sets["O/N"] = hub.data_sets.pop(NAME)
    none = prepare(hub, tmp_path, None)
    assert (none.returncode, f"there is no data set {NAME}" in none.stderr) == (1, True), none.stderr
    offline = prepare(hub, tmp_path, None, HF_HUB_OFFLINE="1")
    assert (offline.returncode, "the hub cannot be reached" in offline.stderr) == (1, True), offline.stderr
    hub.close()  # the hub's library would try the closed port six times
    closed = prepare(hub, tmp_path, None)
    assert (closed.returncode, f"the hub cannot be reached at {hub.endpoint}" in closed.stderr) == (1, True), closed.stderr
    assert "Retrying" not in closed.stderr


@pytest.mark.slow
def test_parts_loose_files_and_folders_without_videos(hub, tmp_path):
    assert prepare(hub, tmp_path, "parts").returncode == 0
    assert "parts/videos/charades/AAAAA.mp4" in read_rows(table_path("timelens_charades", "test"))[0]["video"]
    assert prepare(hub, tmp_path, "loose").returncode == 0
    assert read_rows(table_path("timelens_charades", "test"))[0]["video"].endswith("loose/AAAAA.mp4")
    empty = prepare(hub, tmp_path, "empty")
    assert (empty.returncode, "has no videos and no tar archives" in empty.stderr) == (1, True), empty.stderr


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_archives_are_unpacked_once_and_go_on(tmp_path, film, mode):
    root = tmp_path / "snapshot"
    root.mkdir()
    suffix = ".tar.gz" if mode == "w:gz" else ".tar"
    (root / f"a{suffix}").write_bytes(tarred({"AAAAA.mp4": film}, mode))
    (root / f"b{suffix}").write_bytes(tarred({"BBBBB.mp4": film}, mode)[:200])
    archives = [root / f"{name}{suffix}" for name in "ab"]
    with pytest.raises(NumProError, match=rf"b\{suffix}: cannot be unpacked"):
        unpacked(archives, root, tmp_path / "out", progress=False)
    assert not list((tmp_path / "out").rglob("BBBBB.mp4"))  # never half a video
    first = tmp_path / "out" / "AAAAA.mp4"
    state = first.stat().st_mtime_ns
    archives[1].write_bytes(tarred({"BBBBB.mp4": film}, mode))
    unpacked(archives, root, tmp_path / "out", progress=False)
    assert first.stat().st_mtime_ns == state
    assert (tmp_path / "out" / "BBBBB.mp4").read_bytes() == film


@pytest.mark.parametrize("name", ["../evil.mp4", "/evil.mp4", "a/../../evil.mp4", "a\\..\\evil.mp4"])
def test_an_archive_cannot_leave_its_folder(tmp_path, name):
    (tmp_path / "a.tar").write_bytes(tarred({name: b"x"}, "w"))
    with pytest.raises(NumProError, match="names a file outside its folder"):
        unpacked([tmp_path / "a.tar"], tmp_path, tmp_path / "out", progress=False)
    assert not list(tmp_path.rglob("evil.mp4"))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("hf://datasets/o/n/a/b.json", HubPlace("o/n", "a/b.json")),
        ("hf://datasets/o/n@main/b.json", HubPlace("o/n", "b.json", "main")),
        ("hf://datasets/o.x/n-1_2/", HubPlace("o.x/n-1_2")),
    ],
)
def test_places(text, place):
    assert parse_place(text) == place
    assert is_on_hub(text)
    assert parse_place(str(place)) == place


@pytest.mark.parametrize(
    "text", ["hf://o/n/a.json", "hf:/datasets/o/n/a", "hf://datasets/o", "hf://datasets/o/n/../x", "hf://datasets/o/n//x"]
)
def test_places_that_are_none(text):
    with pytest.raises(NumProError, match="must be hf://datasets/ORG/NAME/PATH"):
        parse_place(text)
