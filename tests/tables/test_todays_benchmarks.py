"""The sets that are compared on today: each reader on its published layout, and on the real file where there is one."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

import pytest
from support.todays import EGO4D_CLIP, TODAYS, tvgbench_row, vue_tr_row, write_one, write_todays
from support.videos import write_counter_video

from numpro_plugin import NumProError
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.check import check
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.benchmarks.table import read_rows

EXPECTED: dict[str, list[tuple[str, str, str, list[list[float]], float]]] = {
    "timelens_charades": [
        ("AAAAA:0", "AAAAA", "A man opens a box", [[4, 9.5]], 31),
        ("AAAAA:1", "AAAAA", "He sits down", [[12, 20]], 31),
    ],
    "timelens_activitynet": [("v_AAAAAAAAAAA:0", "v_AAAAAAAAAAA", "A dog runs", [[4, 9]], 60)],
    "timelens_qvhighlights": [("AAAAAAAAAAA_60.0_210.0:0", "AAAAAAAAAAA_60.0_210.0", "A boat", [[4, 9]], 150)],
    "vue_tr": [
        ("0", "AAAAAAAAAAA", "a boat 0", [[4, 8], [20, 24.5]], 60.5),
        ("2", "AAAAAAAAAAA", "a boat 2", [], 60.5),
    ],
    "vue_tr_v2": [("7", "AAAAAAAAAAA", "a boat 7", [[4, 8]], 60.5)],
    "ego4d_nlq": [("9f:0", EGO4D_CLIP, "Where is the cup?", [[4.5, 6]], 480)],
    "tvgbench": [("0", "AAAAA.mp4", "a man sits.", [[3.4, 8.1]], 30), ("1", "AAAAA.mp4", "a man sits.", [[1, 7.5]], 12)],
    "tacos": [
        ("s13-d21:0", "s13-d21", "He took a knife.", [[10, 20]], 100),
        ("s13-d21:1", "s13-d21", "He cut.", [[600 / 29.4, 50]], 100),
    ],
    "youcook2": [
        ("AAAAAAAAAAA:0", "AAAAAAAAAAA", "chop an onion", [[4, 12]], 30.5),
        ("AAAAAAAAAAA:1", "AAAAAAAAAAA", "fry it", [[12, 19]], 30.5),
    ],
    "hirest": [("0", "AAAAAAAAAAA.mp4", "Make Vegan Gumbo", [[5, 21]], 30.5)],
    "charades_ood": [("AAAAA:0", "AAAAA", "a person opens a door.", [[4, 12]], 30.5)],
    "rextime": [("anet_val1", "v_AAAAAAAAAAA", "Why does he run?", [[4, 12]], 30.5)],
    "etbench_tvg": [("1", "charades_sta/AAAAA.mp4", "the man's door opens", [[4, 9.5]], 30.5)],
}
LEFT_OUT = {
    "vue_tr": {"query_modality audio": 1},
    "ego4d_nlq": {"query null": 1},
    "hirest": {"clip false": 1},
    "etbench_tvg": {"task rar": 1},
}


@pytest.fixture
def files(tmp_path):
    return write_todays(tmp_path)


def rows_of(table):
    return [(row["id"], row["video"], row["query"], row["spans_s"], pytest.approx(row["duration_s"])) for row in read_rows(table)]


@pytest.mark.parametrize("name", EXPECTED)
def test_the_published_layout(files, name):
    table, report = prepare(BENCHMARKS[name], files[name], progress=False)
    assert rows_of(table) == EXPECTED[name]
    assert report.left_out == LEFT_OUT.get(name, {})
    protocol = report.protocol()
    assert protocol.get("left_out", {}) == report.left_out
    if BENCHMARKS[name].sizes:
        assert "the official split" in protocol["unlike_official"]


def test_momentseekers_durations_are_those_of_the_files(files, tmp_path):
    with pytest.raises(NumProError, match="without videos needs the videos' lengths"):
        prepare(BENCHMARKS["momentseeker"], files["momentseeker"], progress=False)
    video(tmp_path / "videos", "sport_12.mp4", 50)
    table, report = prepare(BENCHMARKS["momentseeker"], files["momentseeker"], videos=tmp_path / "videos", progress=False)
    (row,) = read_rows(table)
    assert (row["id"], row["query"], row["spans_s"], row["duration_s"]) == ("0", "A goal.", [[15, 18], [40, 46]], 50)
    assert report.left_out == {"no answering_time_interval": 1}


def video(folder, name, seconds):
    folder.mkdir(exist_ok=True)
    return write_counter_video(folder / name, [k * 100 for k in range(round(seconds * 10))], rate=10)


def test_parts_of_files(files, tmp_path):
    video(tmp_path / "videos", "AAAAA.mp4", 30)
    table, report = prepare(BENCHMARKS["tvgbench"], files["tvgbench"], videos=tmp_path / "videos", progress=False)
    whole, cut = read_rows(table)
    assert (whole["start_s"], whole["end_s"], whole["duration_s"]) == (0, None, 30)
    assert (cut["start_s"], cut["end_s"], cut["duration_s"], cut["spans_s"]) == (10.25, 22.25, 12, [[1, 7.5]])
    assert report.differing_durations == {}
    assert check(BENCHMARKS["tvgbench"], progress=False).differing_durations == {}


def test_a_part_that_its_file_does_not_have(tmp_path):
    video(tmp_path / "videos", "AAAAA.mp4", 30)
    path = write_one(tmp_path, "x", "tvgbench.json", [tvgbench_row("1.0-7.5", 35.0, 50.0)])
    with pytest.raises(NumProError, match=r"lasts 30.00 s, but a query is about its part from 35.00 s on"):
        prepare(BENCHMARKS["tvgbench"], path, videos=tmp_path / "videos", progress=False)
    path = write_one(tmp_path, "x", "tvgbench.json", [tvgbench_row("1.0-7.5", 25.0, 50.0)])
    table, report = prepare(BENCHMARKS["tvgbench"], path, videos=tmp_path / "videos", progress=False)
    assert read_rows(table)[0]["duration_s"] == 5
    assert report.differing_durations == {"AAAAA.mp4": (30, 50)}


def test_tacos_in_seconds_and_its_files(tmp_path):
    rows = [{"qid": "s30-d52_0", "query": "She took a kiwi", "duration": 20.0, "vid": "s30-d52", "relevant_windows": [[4.75, 12.0]]}]
    video(tmp_path / "videos", "s30-d52-cam-002.mp4", 20)
    path = write_one(tmp_path, "tacos", "tacos_test_release.jsonl", rows)
    table, _ = prepare(BENCHMARKS["tacos"], path, videos=tmp_path / "videos", progress=False)
    assert read_rows(table)[0]["spans_s"] == [[4.75, 12]]


def test_the_splits_of_one_file(files):
    table, report = prepare(BENCHMARKS["youcook2"], files["youcook2"], split="train", progress=False)
    assert (report.split, [row["video"] for row in read_rows(table)]) == ("train", ["BBBBBBBBBBB"])
    only = {"database": {"AAAAAAAAAAA": TODAYS["youcook2"][1]["database"]["AAAAAAAAAAA"]}}
    files["youcook2"].write_text(json.dumps(only))
    with pytest.raises(NumProError, match="has no queries of the split 'train'; it has: val"):
        prepare(BENCHMARKS["youcook2"], files["youcook2"], split="train", progress=False)


def test_other_forms(files, tmp_path):
    hub = {"vid": "v_AAAAAAAAAAA", "question": "Why?", "options": ["a"], "answer": "From <s0> to <e0>", "ans": "A", "span": [4, 12]}
    path = write_one(tmp_path, "hub", "rextime.jsonl", [{**hub, "duration": 30.5, "category": "x", "qid": "q1"}])
    table, _ = prepare(BENCHMARKS["rextime"], path, progress=False)
    assert rows_of(table) == [("q1", "v_AAAAAAAAAAA", "Why?", [[4, 12]], 30.5)]
    flat = {"video_id": EGO4D_CLIP, "query": "Where?", "duration": 480.0, "timestamps": [[4.5, 6]], "query_type": "x"}
    path = write_one(tmp_path, "hub", "ego4d_nlq_val_v2.jsonl", [{**flat, "query_id": "9f_0"}])
    table, _ = prepare(BENCHMARKS["ego4d_nlq"], path, progress=False)
    assert rows_of(table) == [("9f_0", EGO4D_CLIP, "Where?", [[4.5, 6]], 480)]


def test_an_official_size_is_recognised_whatever_the_file_is_called(tmp_path):
    rows = [vue_tr_row(k, [[4, 8]]) for k in range(1600)]
    path = write_one(tmp_path, "x", "renamed.json", rows)
    _, report = prepare(BENCHMARKS["vue_tr_v2"], path, progress=False)
    assert (report.n_used, report.unlike_official) == (1600, "")
    with pytest.raises(NumProError, match="its 1600 queries are those of VUE-TR-V2, not of VUE-TR; run: numpro prepare vue_tr_v2"):
        prepare(BENCHMARKS["vue_tr"], path, progress=False)


ORDER = list(EXPECTED)


@pytest.mark.parametrize("name", ORDER)
def test_another_benchmarks_file_is_refused(files, name):
    same_kind = {"vue_tr", "vue_tr_v2"}  # told apart by their sizes alone
    for other, path in files.items():
        if other == name or {name, other} <= same_kind:
            continue
        with pytest.raises(NumProError) as error:
            prepare(BENCHMARKS[name], path, progress=False)
        assert str(path) in str(error.value)
        assert BENCHMARKS[name].sources in str(error.value)


def test_timelens_names_the_right_command(files):
    with pytest.raises(NumProError, match="those of Charades-TimeLens, not of ActivityNet-TimeLens; run: numpro prepare timelens_charades"):
        prepare(BENCHMARKS["timelens_activitynet"], files["timelens_charades"], progress=False)


@pytest.mark.parametrize("vid", ["AAAAAAAAAAA_60.0_210.0", "v_AAAAAAAAAAA"])
def test_rextimes_videos_in_a_file_of_their_own_benchmark(tmp_path, vid):
    """QVHighlights and ActivityNet Captions as JSON lines have all columns of ReXTime but the right option."""
    row = {"qid": 1, "query": "a boat", "duration": 150, "vid": vid, "relevant_windows": [[4, 8]]}
    with pytest.raises(NumProError, match="no row has 'ans', the option that is right, so it is not ReXTime's file"):
        prepare(BENCHMARKS["rextime"], write_one(tmp_path, "x", "val.jsonl", [row]), progress=False)


NAN = float("nan")


def changed(name: str, change: Any) -> Any:
    content = copy.deepcopy(TODAYS[name][1])
    change(content)
    return content


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("timelens_charades", lambda c: c["AAAAA"]["spans"].pop(), "'AAAAA': has 1 spans but 2 queries"),
        ("timelens_charades", lambda c: c["AAAAA"].update(spans=[[4, NAN], [1, 2]]), "nan must be 0 seconds or more"),
        ("timelens_charades", lambda c: c["AAAAA"].update(queries=["", "x"]), "has no sentence"),
        ("vue_tr", lambda c: c[0].update(gt=[[4, NAN]]), ":0: nan must be 0 seconds or more"),
        ("vue_tr", lambda c: c[0].pop("gt"), ":0: has no 'gt'"),
        ("vue_tr", lambda c: c[0].update(query_id=2), "1 ids occur more than once (2)"),
        ("vue_tr", lambda c: [row.update(query_modality="audio") for row in c], "evaluates none of its 3 rows (query_modality audio: 3)"),
        ("momentseeker", lambda c: c[0].update(qry_img_path="a.jpg"), ":0: asks with qry_img_path"),
        ("ego4d_nlq", lambda c: c["videos"][0]["clips"][0].update(video_end_sec=50.0), "must end after it starts, got 100 to 50 s"),
        ("ego4d_nlq", lambda c: c["videos"][0]["clips"][0].pop("annotations"), "is not Ego4D's file"),
        ("tvgbench", lambda c: c[1].update(end=3.0), ":1: the part of the file that is shown must end after it starts, got 10.25 to 3 s"),
        ("tvgbench", lambda c: c[1].update(end=None), ":1: None is not a number of seconds"),
        ("tvgbench", lambda c: c[0].update(answer="3.4"), "answer must be two times in seconds"),
        ("tacos", lambda c: c["s13-d21.avi"].pop("fps"), "has no 'fps', and its times are frames"),
        ("tacos", lambda c: c["s13-d21.avi"].update(fps=0), "'s13-d21.avi': fps must be a number of frames a second above 0, got 0"),
        ("tacos", lambda c: c["s13-d21.avi"].update(timestamps=[3, 4]), "'s13-d21.avi'"),
        ("youcook2", lambda c: c["database"]["AAAAAAAAAAA"].update(subset="testing"), "subset must be validation or training"),
        ("youcook2", lambda c: c["database"]["AAAAAAAAAAA"]["annotations"][0].pop("segment"), "has no 'segment'"),
        ("hirest", lambda c: c["Make Lanyards"]["AAAAAAAAAAA.mp4"].update(clip="no"), "clip must be true or false"),
        ("charades_ood", lambda c: c["AAAAA"].pop("video_duration"), "has no 'video_duration'"),
        ("rextime", lambda c: c[0].pop("relevant_windows"), ":1: has no annotated span"),
        ("etbench_tvg", lambda c: c[1].update(q="When does it happen?"), "q has no query after"),
        ("etbench_tvg", lambda c: c[1].update(tgt=[[4, 9]]), "is not a pair"),
        ("etbench_tvg", lambda c: c[1].update(video="../A.mp4"), "a path inside the folder of videos"),
    ],
)
def test_impossible_annotations_are_named(tmp_path, name, change, message):
    path = write_one(tmp_path, name, TODAYS[name][0], changed(name, change))
    with pytest.raises(NumProError) as error:
        prepare(BENCHMARKS[name], path, progress=False)
    assert message in str(error.value)
    assert str(path) in str(error.value)


STRANGE = (None, -1, float("nan"), 10**400, "", "../x", [], [[1, 2]], {"a": 1}, [None])


def places(content, path=()):
    """The paths of all values in a JSON file's content."""
    for key, value in content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ():
        yield (*path, key)
        yield from places(value, (*path, key))


@pytest.mark.parametrize("name", TODAYS)
def test_no_value_raises_anything_but_our_error(tmp_path, name):
    """Every value of the file is once each strange value, and once missing."""
    file, content = TODAYS[name]
    for path in places(content):
        for strange in (*STRANGE, "missing"):
            changed = copy.deepcopy(content)
            inside = changed
            for key in path[:-1]:
                inside = inside[key]
            if strange == "missing":
                inside.pop(path[-1])
            else:
                inside[path[-1]] = strange
            if file.endswith(".jsonl") and not all(isinstance(row, dict) for row in changed):
                continue
            with contextlib.suppress(NumProError):
                BENCHMARKS[name].read_annotations(write_one(tmp_path, name, file, changed))


def test_a_video_named_twice(tmp_path):
    path = tmp_path / "charades-timelens.json"
    path.write_text('{"AAAAA": {"duration": 3, "spans": [], "queries": []}, "AAAAA": {"duration": 3, "spans": [], "queries": []}}')
    with pytest.raises(NumProError, match="the key 'AAAAA' occurs twice"):
        prepare(BENCHMARKS["timelens_charades"], path, progress=False)


@pytest.mark.shared
def test_tvgbench_as_it_is(shared):
    queries = BENCHMARKS["tvgbench"].read_annotations(shared / "annotations/variants/tvgbench.json")
    assert (len(queries), len({query.video for query in queries}), sum(query.part_s is not None for query in queries)) == (800, 462, 252)
    first, last = queries[0], queries[-1]
    assert (first.video, first.query, first.spans_s) == ("KWZSA.mp4", "a person was sitting at a table.", ((13.4, 28.1),))
    assert (last.query, last.spans_s, last.part_s) == ("where is dough cutter", ((60.0, 77.7),), (12.3, 130.01))
    assert sum(end - start for query in queries for start, end in query.spans_s) == pytest.approx(9707.87)
    _, report = prepare(BENCHMARKS["tvgbench"], shared / "annotations/variants/tvgbench.json", progress=False)
    assert (report.n_used, report.videos_used, report.unlike_official, report.beyond_end) == (800, 462, "", 27)


@pytest.mark.shared
@pytest.mark.slow
def test_tacos_as_lighthouse_passes_it_on(shared):
    path = shared / "annotations/variants/lighthouse_tacos_test_release.jsonl"
    _, report = prepare(BENCHMARKS["tacos"], path, progress=False)
    assert (report.split, report.n_used, report.videos_used, report.unlike_official) == ("test", 4001, 25, "")
    queries = BENCHMARKS["tacos"].read_annotations(path)
    assert (queries[0].id, queries[0].query, queries[0].spans_s[0][0]) == ("s30-d52_0", "She took out kiwi", pytest.approx(4.7959183673))
    assert (queries[-1].id, queries[-1].spans_s[0][1]) == ("s30-d29_191", pytest.approx(206.3265306122))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    total = sum(end - start for row in rows for start, end in row["relevant_windows"])
    assert sum(end - start for query in queries for start, end in query.spans_s) == pytest.approx(total)
