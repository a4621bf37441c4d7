from __future__ import annotations

import gzip
import json

import pytest
from support.annotations import ACTIVITYNET, DIDEMO, QVHIGHLIGHTS, write_official
from support.videos import write_counter_video

from numpro_plugin import NumProError
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.check import check
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.benchmarks.readers.didemo import file_names, read_hashes
from numpro_plugin.benchmarks.table import read_rows


@pytest.fixture
def official(tmp_path):
    return write_official(tmp_path)


def read(name, path):
    return BENCHMARKS[name].read_annotations(path)


def video(folder, name, seconds):
    folder.mkdir(exist_ok=True)
    return write_counter_video(folder / name, [k * 100 for k in range(round(seconds * 10))], rate=10)


def test_activitynet(official):
    queries = read("activitynet", official["activitynet"])
    assert [(q.id, q.query, q.spans_s, q.duration_s) for q in queries] == [
        ("v_AAAAAAAAAAA:0", "A man lifts a bar.", ((0.0, 4.14),), 20.5),
        ("v_AAAAAAAAAAA:1", "He puts it down.", ((4.14, 21.0),), 20.5),
        ("v_BBBBBBBBBBB:0", "A dog runs.", ((2.5, 7.5),), 10.0),
    ]


def test_didemo(official):
    first, second = read("didemo", official["didemo"])
    assert first.extra["annotators"] == [(0, 5), (5, 15), (5, 15), (25, 30)]
    assert first.spans_s == ((5, 15),)
    assert (first.duration_s, second.duration_s) == (30, 25)
    assert second.extra["annotators"] == [(20, 25), (15, 25), (10, 15), (10, 15)]
    assert second.id == "8"


def test_qvhighlights(official):
    first, _ = read("qvhighlights", official["qvhighlights"])
    assert first.spans_s == ((4, 8), (14, 18))
    assert first.extra == {"clips": 10, "relevant_clip_ids": [2, 3, 7, 8], "saliency_scores": QVHIGHLIGHTS[0]["saliency_scores"]}


@pytest.mark.parametrize("name", ["charades", "activitynet", "didemo", "qvhighlights", "custom"])
def test_gz_is_the_same(official, name):
    path = official[name]
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read(name, packed) == read(name, path)


@pytest.mark.parametrize("name", ["charades", "activitynet", "didemo", "qvhighlights"])
@pytest.mark.parametrize("other", ["charades", "activitynet", "didemo", "qvhighlights"])
def test_another_benchmarks_file_is_refused(official, name, other):
    if name == other:
        return
    with pytest.raises(NumProError) as error:
        prepare(BENCHMARKS[name], official[other], progress=False)
    assert str(official[other]) in str(error.value)
    assert BENCHMARKS[name].sources in str(error.value)


@pytest.mark.parametrize("name", ["activitynet", "didemo", "qvhighlights", "custom"])
def test_half_written_and_wrong_encoding(official, name):
    path = official[name]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(NumProError, match=rf"{path}:\d+: is not JSON"):
        read(name, path)
    path.write_bytes(whole + "é".encode("latin-1"))
    with pytest.raises(NumProError, match=rf"{path}:\d+: is not UTF-8"):
        read(name, path)


def broken(rows, **changes):
    copy = json.loads(json.dumps(rows))
    copy[0 if isinstance(copy, list) else next(iter(copy))].update(changes)
    return copy


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("activitynet", broken(ACTIVITYNET, timestamps=[[0, 1]]), "'v_AAAAAAAAAAA': has 1 timestamps but 2 sentences"),
        ("activitynet", broken(ACTIVITYNET, duration=-3), "must be 0 seconds or more"),
        ("activitynet", broken(ACTIVITYNET, timestamps=[[0, 1], [2]]), "is not a pair [start, end]"),
        ("activitynet", {"../v": ACTIVITYNET["v_AAAAAAAAAAA"]}, "a path inside the folder of videos"),
        ("activitynet", {"v": {"duration": 3}}, "has no 'timestamps'"),
        ("didemo", broken(DIDEMO, times=[[0, 6]]), "annotation 7: chunks [0, 6] are not first and last within 0 to 5"),
        ("didemo", broken(DIDEMO, times=[[3, 2]]), "chunks [3, 2]"),
        ("didemo", broken(DIDEMO, times=[]), "has no annotator"),
        ("didemo", broken(DIDEMO, video="../../x.mov"), "a path inside the folder of videos"),
        ("didemo", broken(DIDEMO, annotation_id=8), "1 ids occur more than once (8)"),
        ("qvhighlights", broken(QVHIGHLIGHTS, qid=12), "1 ids occur more than once (12)"),
        ("qvhighlights", broken(QVHIGHLIGHTS, relevant_clip_ids=[2, 3, 7, 10]), ":1: qid 11: has relevant clips outside 0 to 9"),
        ("qvhighlights", broken(QVHIGHLIGHTS, saliency_scores=[[1, 2, 3]]), "has 4 relevant clips but not as many triples"),
        ("qvhighlights", broken(QVHIGHLIGHTS, relevant_windows=[[1, "x"]]), "'x' is not a number of seconds"),
    ],
)
def test_impossible_annotations_are_named(official, name, content, message):
    text = "".join(json.dumps(row) + "\n" for row in content) if name == "qvhighlights" else json.dumps(content)
    official[name].write_text(text)
    with pytest.raises(NumProError) as error:
        read(name, official[name])
    assert message in str(error.value)
    assert str(official[name]) in str(error.value)


def test_qvhighlights_test_split_without_annotations(official):
    official["qvhighlights"].write_text('{"qid": 1, "vid": "x", "query": "y", "duration": 150}\n')
    with pytest.raises(NumProError, match=r":1: has no relevant_windows, relevant_clip_ids, saliency_scores"):
        read("qvhighlights", official["qvhighlights"])


CUSTOM_KINDS = {
    "mine.jsonl": '{"video": "a.mp4", "query": "x", "start_time": 1, "end_time": 2.5}\n\n{"id": "q", "video": "b", "query": "y"}\n',
    "mine.csv": 'video,query,start_time,end_time,id\na.mp4,x,1,2.5,\nb,"y",,,q\n',
    "mine.json": '[{"video": "a.mp4", "query": "x", "spans": [[1, 2.5]]}, {"id": "q", "video": "b", "query": "y"}]',
}


@pytest.mark.parametrize("name", CUSTOM_KINDS)
def test_custom(tmp_path, name):
    (tmp_path / name).write_text(CUSTOM_KINDS[name])
    first, second = read("custom", tmp_path / name)
    assert (first.id, first.video, first.query, first.spans_s) == ("0", "a.mp4", "x", ((1.0, 2.5),))
    assert (second.id, second.query, second.spans_s) == ("q", "y", ())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.mp4,,1,2", "has no query"),
        (",x,1,2", "has no video"),
        ("a.mp4,x,1,", "has one of start_time and end_time but not the other"),
        ("a.mp4,x,one,two", "'one' is not a number of seconds"),
        ("a.mp4,x,-1,2", "-1 must be 0 seconds or more"),
        ("../a.mp4,x,1,2", "a path inside the folder of videos"),
    ],
)
def test_custom_rows_are_named_by_line(tmp_path, row, message):
    path = tmp_path / "mine.csv"
    path.write_text(f"video,query,start_time,end_time\nb.mp4,y,1,2\n{row}\n")
    with pytest.raises(NumProError) as error:
        read("custom", path)
    assert f"{path}:3: " in str(error.value)
    assert message in str(error.value)


def test_flat_json_of_numpros_own_scripts(tmp_path):
    path = tmp_path / "charades_test.json"
    rows = [{"id": 5, "video": "AAAAA.mp4", "query": "a door.", "start_time": 1.0, "end_time": 4.0, "duration": 30.5}]
    path.write_text(json.dumps(rows))
    table, report = prepare(BENCHMARKS["charades"], path, progress=False)
    assert report.benchmark == "charades"
    row = read_rows(table)[0]
    assert (row["id"], row["query"], row["spans_s"], row["duration_s"]) == ("5", "a door.", [[1.0, 4.0]], 30.5)


def test_didemo_uses_the_first_thirty_seconds(official, tmp_path):
    videos = tmp_path / "videos"
    video(videos, "111@N01_222_abc.mp4", 65)
    video(videos, "111@N01_333_def.mp4", 23.8)
    table, report = prepare(BENCHMARKS["didemo"], official["didemo"], videos=videos, progress=False)
    first, second = read_rows(table)
    assert (first["duration_s"], first["end_s"]) == (30, 30)
    assert second["duration_s"] == pytest.approx(23.8)
    assert first["annotators"] == [[0, 5], [5, 15], [5, 15], [25, 30]]
    assert report.differing_durations == {}
    report = check(BENCHMARKS["didemo"], progress=False)
    assert (report.missing, report.unreadable, report.differing_durations) == ([], {}, {})


@pytest.mark.parametrize("name", ["111@N01_222_abc.mp4", "111@N01_222_abc.mov.mp4", "111@N01_222_abc.MOV", "222.mp4", "hash222.mp4"])
def test_didemo_files_as_downloads_name_them(official, tmp_path, name):
    official["didemo"].write_text(json.dumps(DIDEMO[:1]))
    hashes = tmp_path / "yfcc100m_hash.txt"
    hashes.write_text("222\thash222\n999\tother\n")
    video(tmp_path / "videos", name.replace(".MOV", ".mov"), 30).rename(tmp_path / "videos" / name)
    _, report = prepare(BENCHMARKS["didemo"], official["didemo"], videos=tmp_path / "videos", yfcc_hash=hashes, progress=False)
    assert report.n_used == 1


def test_didemo_file_without_extension(official, tmp_path):
    official["didemo"].write_text(json.dumps(DIDEMO[1:]))
    video(tmp_path / "videos", "x.mp4", 25).rename(tmp_path / "videos" / "111@N01_333_def.")
    _, report = prepare(BENCHMARKS["didemo"], official["didemo"], videos=tmp_path / "videos", progress=False)
    assert report.n_used == 1
    assert file_names("111@N01_333_def.") == ("111@N01_333_def", "333")


def test_hash_file_is_checked(tmp_path):
    path = tmp_path / "yfcc100m_hash.txt"
    path.write_text("222 abc\n333 ../abc\nnonsense\n")
    with pytest.raises(NumProError) as error:
        read_hashes(path)
    assert f"{path}:2: " in str(error.value)
    assert f"{path}:3: " in str(error.value)


def test_majority_is_said_in_the_protocol(official):
    table, report = prepare(BENCHMARKS["didemo"], official["didemo"], majority=True, progress=False)
    assert report.protocol()["truth"] == "majority"
    assert "annotators" not in read_rows(table)[0]
    assert read_rows(table)[0]["spans_s"] == [[5, 15]]
    with pytest.raises(NumProError, match="are for DiDeMo"):
        prepare(BENCHMARKS["qvhighlights"], official["qvhighlights"], majority=True, progress=False)


def test_options_that_do_not_fit_are_refused(official, tmp_path):
    with pytest.raises(NumProError, match="has its lengths in the annotations"):
        prepare(BENCHMARKS["didemo"], official["didemo"], durations=tmp_path / "x.csv", progress=False)
    with pytest.raises(NumProError, match="has no split 'dev'; allowed: val_2, val_1, train"):
        prepare(BENCHMARKS["activitynet"], official["activitynet"], split="dev", progress=False)


def test_links_in_circles_end(official, tmp_path):
    videos = tmp_path / "videos"
    video(videos, "AAAAA.mp4", 20)
    (videos / "._AAAAA.mp4").write_bytes(b"notes of macOS")
    (videos / "again").symlink_to(videos)
    _, report = prepare(BENCHMARKS["charades"], official["charades"], videos=videos, progress=False)
    assert report.n_used == 1


OFFICIAL = {
    "activitynet_captions/val_2.json": ("activitynet", "val_2", 17031),
    "activitynet_captions/val_1.json": ("activitynet", "val_1", 17505),
    "activitynet_captions/train.json.gz": ("activitynet", "train", 37421),
    "didemo/test_data.json": ("didemo", "test", 4021),
    "didemo/val_data.json": ("didemo", "val", 4180),
    "qvhighlights/highlight_val_release.jsonl": ("qvhighlights", "val", 1550),
    "qvhighlights/highlight_train_release.jsonl.gz": ("qvhighlights", "train", 7218),
    "qvhighlights/highlight_test_with_gt.jsonl": ("qvhighlights", "test", 1542),
}


@pytest.mark.shared
@pytest.mark.parametrize("name", OFFICIAL)
@pytest.mark.slow
def test_official_files(shared, name):
    benchmark, split, n = OFFICIAL[name]
    _, report = prepare(BENCHMARKS[benchmark], shared / "annotations" / name, progress=False)
    assert (report.split, report.n_used, report.n_expected) == (split, n, n)


@pytest.mark.shared
def test_every_didemo_video_has_a_hash(shared):
    hashes = read_hashes(shared / "annotations/didemo/yfcc100m_hash.txt")
    queries = read("didemo", shared / "annotations/didemo/test_data.json")
    assert all(any(name in hashes for name in q.files) for q in queries)
