"""Files appear whole or not at all, whatever stands at their name; identities and digests are what older versions computed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpro_plugin import NumProError, files


def parts(folder):
    return sorted(folder.glob("**/.*.part"))


def test_a_reader_sees_the_old_file_until_the_new_one_is_finished(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with files.written_whole(target) as part:
        part.write_text("new")
        assert target.read_text() == "old"
        assert part.parent == tmp_path  # the same file system, so that the rename is atomic
    assert target.read_text() == "new"
    assert not parts(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail():
        with files.written_whole(target) as part:
            part.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert (target.read_text(), os.listdir(tmp_path)) == ("old", ["a.txt"])


def test_a_folder_that_becomes_read_only_meanwhile_is_named_by_the_file_that_was_wanted(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    def write(error=None):
        with files.written_whole(tmp_path / "a.txt"):
            monkeypatch.setattr(os, "replace", refuse)
            monkeypatch.setattr(Path, "unlink", refuse)
            if error:
                raise error

    with pytest.raises(OSError, match=rf"Read-only file system: '{tmp_path}/a.txt'"):
        write()
    with pytest.raises(BrokenPipeError, match="Broken pipe$"):
        write(BrokenPipeError(errno.EPIPE, "Broken pipe"))


def test_files_called_like_a_part_are_never_touched(tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "a.part").symlink_to(tmp_path / "victim")
    (tmp_path / ".a.part").write_text("mine too")
    files.write_text_whole(tmp_path / "a", "new")
    assert (tmp_path / "victim").read_text() == "mine"
    assert (tmp_path / "a.part").is_symlink()
    assert (tmp_path / ".a.part").read_text() == "mine too"


def test_a_part_is_created_exclusively(tmp_path, monkeypatch):
    (tmp_path / "victim").write_text("mine")
    taken = tmp_path / ".a.taken.part"
    taken.symlink_to(tmp_path / "victim")
    monkeypatch.setattr(files, "_part_name", lambda _: taken)
    with pytest.raises(FileExistsError), files.written_whole(tmp_path / "a"):
        pass
    assert (tmp_path / "victim").read_text() == "mine"


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed_and_stays(tmp_path, there):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere/b.txt", tmp_path / "a.txt"
    if there:
        target.write_text("old")
    link.symlink_to("elsewhere/b.txt")
    files.write_text_whole(link, "new")
    assert (link.is_symlink(), target.is_symlink(), target.read_text()) == (True, False, "new")


def test_an_existing_file_keeps_its_permissions_and_a_new_one_obeys_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        files.write_text_whole(tmp_path / "new", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640
    (tmp_path / "new").chmod(0o600)
    files.write_text_whole(tmp_path / "new", "y")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["folder", "FIFO", "socket", "device"])
def test_only_regular_files_are_replaced(tmp_path, kind):
    place = tmp_path / "x"
    opened = None
    if kind == "folder":
        place.mkdir()
    elif kind == "FIFO":
        os.mkfifo(place)
    elif kind == "socket":
        opened = socket.socket(socket.AF_UNIX)
        opened.bind(str(place))
    else:
        place.symlink_to(os.devnull)
    with pytest.raises(NumProError, match=rf"x: is a {kind}, and only a regular file can be written; choose another name"):
        files.write_text_whole(place, "x")
    assert os.listdir(tmp_path) == ["x"]
    if opened is not None:
        opened.close()


def test_a_missing_folder_and_a_circle_of_links_are_named(tmp_path):
    with pytest.raises(NumProError, match=r"nowhere/a.txt: the folder .*nowhere does not exist; create it first"):
        files.write_text_whole(tmp_path / "nowhere/a.txt", "x")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(NumProError, match="a: cannot be written"):
        files.write_text_whole(tmp_path / "a", "x")


def test_the_longest_name_that_a_file_may_have(tmp_path):
    name = "ü" * 125 + ".json"
    files.write_text_whole(tmp_path / name, "x")
    assert os.listdir(tmp_path) == [name]


def test_many_writers_of_one_file(tmp_path):
    """Whoever is last wins, and no writer meets another's part."""
    texts = [str(k) * 100_000 for k in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: files.write_text_whole(tmp_path / "a", text), texts * 3))
    assert (tmp_path / "a").read_text() in texts
    assert os.listdir(tmp_path) == ["a"]


def test_killed_before_the_end(tmp_path):
    (tmp_path / "a").write_text("old")
    program = (
        "import os, signal, sys\nfrom numpro_plugin.files import written_whole\n"
        "with written_whole(sys.argv[1]) as part:\n    part.write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "a"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "a").read_text() == "old"


def test_content_and_name_are_on_the_disk_before_it_returns(tmp_path, monkeypatch):
    """The order that a power cut cannot break: the content is flushed, then it is renamed, then the folder is flushed."""
    done = []
    replace, fsync = os.replace, os.fsync
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("rename"), replace(a, b)))
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd)))
    files.write_text_whole(tmp_path / "a", "x")
    assert done[0].endswith(".part")
    assert done[1:] == ["rename", str(tmp_path)]


def test_a_folder_is_whole_or_not_there(tmp_path):
    def fail():
        with files.folder_written_whole(tmp_path / "deep/out") as part:
            (part / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert os.listdir(tmp_path / "deep") == []
    with files.folder_written_whole(tmp_path / "deep/out") as part:
        (part / "inside").mkdir()
        (part / "inside/b").write_text("x")
    assert (tmp_path / "deep/out/inside/b").read_text() == "x"
    assert os.listdir(tmp_path / "deep") == ["out"]


@pytest.mark.parametrize(("umask", "of_files", "of_folders"), [(0o002, 0o664, 0o775), (0o077, 0o600, 0o700)])
def test_all_that_is_in_a_folder_obeys_the_umask(tmp_path, umask, of_files, of_folders):
    """Also what a library writes for its owner alone, as safetensors does."""
    before = os.umask(umask)
    try:
        with files.folder_written_whole(tmp_path / "out") as part:
            (part / "deep").mkdir(mode=0o700)
            os.close(os.open(part / "deep" / "weights", os.O_CREAT | os.O_WRONLY, 0o600))
            (part / "open").touch()
            (part / "open").chmod(0o666)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "out").rglob("*")}
    assert modes == {"deep": of_folders, "weights": of_files, "open": of_files}
    assert (tmp_path / "out").stat().st_mode & 0o777 == of_folders


def test_an_identity_follows_links_and_changes(tmp_path):
    file, link = tmp_path / "a", tmp_path / "link"
    file.write_text("abc")
    link.symlink_to(file)
    os.utime(file, ns=(5, 7))
    assert files.file_identity(link) == (os.path.realpath(file), 3, 7)
    os.utime(file, ns=(5, 8))
    assert files.file_identity(link).mtime_ns == 8
    with pytest.raises(NumProError, match="absent: no such file or directory"):
        files.file_identity(tmp_path / "absent")
    with pytest.raises(NumProError, match="null"):
        files.file_identity("a\0b")


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda s: st.lists(s) | st.dictionaries(st.text(), s),
    max_leaves=8,
)


@given(plain, st.lists(st.binary(max_size=9), max_size=3), st.integers(1, 64))
def test_digests_are_those_of_older_versions(values, pieces, length):
    """Keys of clips, answer logs and shards: SHA-256 over sorted JSON, then over the pieces."""
    old = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode())
    for piece in pieces:
        old.update(piece)
    assert files.digest(values, *pieces, length=length) == old.hexdigest()[:length]


def test_checksums_of_files(tmp_path):
    data = os.urandom(3_000_001)
    (tmp_path / "a").write_bytes(data)
    assert files.sha256_of(tmp_path / "a") == hashlib.sha256(data).hexdigest()
    assert files.crc32_of(tmp_path / "a") == zlib.crc32(data)
    assert files.crc32_of(tmp_path / "a", size=2_000_003) == zlib.crc32(data[:2_000_003])


def test_nothing_heavy_is_imported():
    program = "import sys, numpro_plugin.files; print(sorted({'numpy', 'torch', 'av', 'cv2', 'pyarrow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_copies_of_a_models_folder_are_alike_and_other_weights_are_not(tmp_path):
    weights = np.random.default_rng(0).integers(0, 256, 9_000_000, dtype=np.uint8)
    for name in ("model", "copy", "trained"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_bytes(weights.tobytes())
    os.utime(tmp_path / "copy" / "model.safetensors", (1, 1))
    of_model = files.sample_of_folder(tmp_path / "model")
    assert of_model == files.sample_of_folder(tmp_path / "copy")
    weights[3_000_000:3_500_000] += 1  # a few layers
    (tmp_path / "trained" / "model.safetensors").write_bytes(weights.tobytes())
    assert files.sample_of_folder(tmp_path / "trained") != of_model
    (tmp_path / "copy" / "config.json").write_text("{ }")
    assert files.sample_of_folder(tmp_path / "copy") != of_model
