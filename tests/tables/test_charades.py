from __future__ import annotations

import gzip
import json
import shutil
from fractions import Fraction

import pytest
from support.videos import write_counter_video

from numpro_plugin import NumProError
from numpro_plugin.benchmarks import benchmark_named
from numpro_plugin.benchmarks.check import check
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.benchmarks.readers.charades import CHARADES, read_annotations, read_durations
from numpro_plugin.benchmarks.table import read_report, read_rows, table_path

GOOD = "AAAAA 0.0 4.5##a person walks in.\nAAAAA 2.0 9.9##a person sits down.\nBBBBB 1.0 3.0##person opens a book # quickly.\n"


@pytest.fixture
def annotations(tmp_path):
    path = tmp_path / "charades_sta_test.txt"
    path.write_text(GOOD)
    return path


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    (folder / "sub").mkdir(parents=True)
    write_counter_video(folder / "AAAAA.mp4", [k * 100 for k in range(80)], rate=10)
    write_counter_video(folder / "sub" / "BBBBB.mkv", [k * 100 for k in range(50)], rate=10)
    return folder


def test_reads_lines(annotations):
    queries = read_annotations(annotations)
    assert [(q.id, q.video, q.query, q.spans_s) for q in queries] == [
        ("0", "AAAAA", "a person walks in.", ((0.0, 4.5),)),
        ("1", "AAAAA", "a person sits down.", ((2.0, 9.9),)),
        ("2", "BBBBB", "person opens a book # quickly.", ((1.0, 3.0),)),
    ]


def test_gz_crlf_byte_order_mark_and_empty_lines(tmp_path):
    path = tmp_path / "charades_sta_test.txt.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n\r\n").encode()))
    assert [q.query for q in read_annotations(path)] == ["a person walks in.", "a person sits down.", "person opens a book # quickly."]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("AAAAA 0.0##no end", "is not 'VIDEO START END##QUERY'"),
        ("AAAAA 0.0 1.0", "is not 'VIDEO START END##QUERY'"),
        ("AAAAA 0.0 1.0## ", "is not 'VIDEO START END##QUERY'"),
        ("AAAAA one two##words", "must be seconds, got 'one' and 'two'"),
        ("AAAAA 0.0 1_0##a number to Python only", "must be seconds, got '0.0' and '1_0'"),
        ("AAAAA -1.0 2.0##negative", "-1.0 must be 0 seconds or more"),
        ("AAAAA nan 2.0##not a number", "nan must be 0 seconds or more"),
        ("../../etc/passwd 0.0 1.0##out of the folder", "a path inside the folder of videos"),
        (".. 0.0 1.0##the folder above", "a path inside the folder of videos"),
    ],
)
def test_bad_lines_are_named_by_file_and_line(tmp_path, line, message):
    path = tmp_path / "charades_sta_test.txt"
    path.write_text(GOOD + line + "\n")
    with pytest.raises(NumProError) as error:
        read_annotations(path)
    assert f"{path}:4: " in str(error.value)
    assert message in str(error.value)
    assert "use the official file" in str(error.value)


def test_every_bad_line_is_listed(tmp_path):
    path = tmp_path / "charades_sta_test.txt"
    path.write_text("bad\n" * 15)
    with pytest.raises(NumProError) as error:
        read_annotations(path)
    assert f"{path}:1: " in str(error.value)
    assert "and 5 more lines" in str(error.value)


def test_wrong_encoding_missing_empty_and_broken_gz(tmp_path):
    path = tmp_path / "charades_sta_test.txt"
    path.write_bytes(GOOD.encode() + "AAAAA 0.0 1.0##caf\xe9".encode("latin-1"))
    with pytest.raises(NumProError, match=rf"{path}:4: is not UTF-8 \(byte 0xe9 at column 19\)"):
        read_annotations(path)
    with pytest.raises(NumProError, match="no such file"):
        read_annotations(tmp_path / "none.txt")
    path.write_text("")
    with pytest.raises(NumProError, match="holds no queries"):
        read_annotations(path)
    broken = tmp_path / "a.txt.gz"
    broken.write_bytes(gzip.compress(GOOD.encode() * 99)[:-20])
    with pytest.raises(NumProError, match="cannot be read"):
        read_annotations(broken)


def test_durations(tmp_path):
    path = tmp_path / "Charades_v1_test.csv"
    path.write_text('id,script,length\nAAAAA,"two\nlines",30.5\nBBBBB,x,12\n')
    assert read_durations(path) == {"AAAAA": 30.5, "BBBBB": 12.0}
    path.write_text("id,length\nAAAAA,long\nBBBBB,-1\n")
    with pytest.raises(NumProError) as error:
        read_durations(path)
    assert f"{path}:2: length of video 'AAAAA'" in str(error.value)
    assert f"{path}:3: length of video 'BBBBB'" in str(error.value)
    path.write_text("id,length\nAAAAA,10\nAAAAA,12\n")
    with pytest.raises(NumProError, match=":3: gives video 'AAAAA' 12 seconds, a line before it 10"):
        read_durations(path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(NumProError, match="no columns 'id' and 'length'"):
        read_durations(path)


def test_prepare_probes_real_lengths(annotations, videos, tmp_path):
    path, report = prepare(CHARADES, annotations, videos=videos, progress=False)
    assert path == table_path("charades", "test")
    rows = read_rows(path)
    assert [(row["id"], row["query"], row["spans_s"]) for row in rows] == [
        ("0", "a person walks in.", [[0.0, 4.5]]),
        ("1", "a person sits down.", [[2.0, 9.9]]),
        ("2", "person opens a book # quickly.", [[1.0, 3.0]]),
    ]
    assert [row["duration_s"] for row in rows] == pytest.approx([8, 8, 5], abs=0.05)
    assert rows[0]["video"] == str((videos / "AAAAA.mp4").resolve())
    assert (report.n_used, report.n_expected, report.videos_used, report.beyond_end) == (3, 3, 2, 1)
    assert read_report(path) == report


def test_missing_and_unreadable_fail_and_are_listed(annotations, videos):
    (videos / "AAAAA.mp4").write_bytes(b"rubbish" * 100)
    shutil.rmtree(videos / "sub")
    with pytest.raises(NumProError) as error:
        prepare(CHARADES, annotations, videos=videos, progress=False)
    assert "1 of 2 videos are not in" in str(error.value)
    assert "BBBBB" in str(error.value)
    assert "1 of 2 videos cannot be read" in str(error.value)
    assert "AAAAA.mp4: cannot be opened as a video" in str(error.value)
    assert "--allow-missing" in str(error.value)
    assert not table_path("charades", "test").exists()
    with pytest.raises(NumProError, match="No table was written"):  # nothing is left at all
        prepare(CHARADES, annotations, videos=videos, allow_missing=True, progress=False)


def test_allow_missing_counts(annotations, videos):
    shutil.rmtree(videos / "sub")
    path, report = prepare(CHARADES, annotations, videos=videos, allow_missing=True, progress=False)
    assert (report.n_used, report.n_expected, report.missing) == (2, 3, ["BBBBB"])
    assert len(read_rows(path)) == 2
    assert read_report(path).protocol()["n_used"] == 2


def test_reversed_spans_are_kept_and_counted(tmp_path, videos):
    path = tmp_path / "charades_sta_train.txt"
    path.write_text("AAAAA 7.0 3.0##person opens a cabinet.\n")
    table, report = prepare(CHARADES, path, videos=videos, progress=False)
    assert report.split == "train"
    assert report.reversed_spans == 1
    assert read_rows(table)[0]["spans_s"] == [[7.0, 3.0]]


def test_without_videos(annotations, tmp_path):
    with pytest.raises(NumProError, match="--durations"):
        prepare(CHARADES, annotations, progress=False)
    durations = tmp_path / "Charades_v1_test.csv"
    durations.write_text("id,length\nAAAAA,30.5\nBBBBB,12\n")
    path, report = prepare(CHARADES, annotations, durations=durations, progress=False)
    assert [row["duration_s"] for row in read_rows(path)] == [30.5, 30.5, 12.0]
    assert not report.with_videos
    durations.write_text("id,length\nAAAAA,30.5\n")
    with pytest.raises(NumProError, match="1 of 2 videos have no duration"):
        prepare(CHARADES, annotations, durations=durations, progress=False)


def test_other_lengths_than_the_annotations_say_are_reported(annotations, videos, tmp_path):
    durations = tmp_path / "Charades_v1_test.csv"
    durations.write_text("id,length\nAAAAA,30.5\nBBBBB,5.2\n")
    _, report = prepare(CHARADES, annotations, videos=videos, durations=durations, progress=False)
    assert list(report.differing_durations) == ["AAAAA"]
    assert report.differing_durations["AAAAA"] == pytest.approx((8, 30.5), abs=0.05)


def test_a_damaged_video_is_used_and_named(annotations, videos):
    path = videos / "sub" / "BBBBB.mkv"
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    _, report = prepare(CHARADES, annotations, videos=videos, progress=False)
    assert report.n_used == 3
    assert "header promises 5.00 s" in report.damaged[str(path.resolve())]


def test_check_finds_what_changed(annotations, videos):
    with pytest.raises(NumProError, match="numpro prepare charades"):
        check(CHARADES, progress=False)
    prepare(CHARADES, annotations, videos=videos, progress=False)
    report = check(CHARADES, progress=False)
    assert (report.missing, report.unreadable, report.differing_durations) == ([], {}, {})
    (videos / "AAAAA.mp4").unlink()
    (videos / "sub" / "BBBBB.mkv").write_bytes(b"rubbish" * 100)
    report = check(CHARADES, progress=False)
    assert [name.endswith("AAAAA.mp4") for name in report.missing] == [True]
    assert [name.endswith("BBBBB.mkv") for name in report.unreadable] == [True]


def test_videos_is_no_folder(annotations, tmp_path):
    with pytest.raises(NumProError, match="is not a folder"):
        prepare(CHARADES, annotations, videos=tmp_path / "nowhere", progress=False)


def test_two_files_of_one_name_are_an_error_that_lists_both(annotations, videos):
    write_counter_video(videos / "AAAAA.avi", list(range(10)), codec="mpeg4", options={"b": "1M"}, time_base=Fraction(1, 10), rate=10)
    with pytest.raises(NumProError) as error:
        prepare(CHARADES, annotations, videos=videos, progress=False)
    assert "AAAAA.avi and " in str(error.value)
    assert "AAAAA.mp4" in str(error.value)
    assert "Remove all but one" in str(error.value)


def test_unknown_benchmark_is_named():
    with pytest.raises(NumProError, match="'charade' is unknown; known: charades"):
        benchmark_named("charade")


@pytest.mark.shared
def test_official_files(shared, tmp_path):
    folder = shared / "annotations/charades_sta"
    test, train = (read_annotations(folder / f"charades_sta_{split}.txt") for split in ("test", "train"))
    assert (len(test), len(train)) == (3720, 12408)
    assert len({q.video for q in test}) == 1334
    assert test[32].video == "Y1HGC"
    assert test[32].spans_s == ((0.2, 9.8),)
    path, report = prepare(CHARADES, folder / "charades_sta_test.txt", durations=folder / "Charades_v1_test.csv", progress=False)
    assert (report.n_used, report.n_expected, report.beyond_end) == (3720, 3720, 562)
    _, report = prepare(CHARADES, folder / "charades_sta_train.txt", durations=folder / "Charades_v1_train.csv.gz", progress=False)
    assert (report.n_used, report.reversed_spans) == (12408, 4)
    assert json.loads(path.with_suffix(".json").read_text())["annotations_sha256"]
