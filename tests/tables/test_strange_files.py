"""Annotation files that people really bring: read right, or refused with file, line and remedy. Nothing ends in a traceback."""

from __future__ import annotations

import contextlib
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpro_plugin import NumProError
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.annotations import seconds, video_name
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.benchmarks.table import read_rows
from numpro_plugin.benchmarks.text_files import file_kind, read_csv, read_json, read_json_entries, read_jsonl, read_lines
from numpro_plugin.printable import printable

ROW = {"video": "a.mp4", "query": "q", "start_time": 0, "end_time": 1, "duration": 9}


def custom(path):
    return BENCHMARKS["custom"].read_annotations(path)


def written(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return path


def one(**changes):
    return json.dumps({**ROW, **changes})


REFUSED = {
    "nested.json": ("[" * 100_000, "is nested too deeply"),
    "nested.jsonl": (one(spans=[]).replace("[]", "[" * 50_000 + "]" * 50_000) + "\n", ":1: is nested too deeply"),
    "digits.jsonl": (one() + "\n" + one().replace('"duration": 9', '"duration": ' + "9" * 5000), ":2: holds an integer with thousands of"),
    "large_integer.jsonl": (one().replace('"duration": 9', '"duration": ' + "9" * 400), "is more than 1,000,000 seconds"),
    "huge_duration.jsonl": (one(duration=1e15), "times must be in seconds, not in milliseconds or frames"),
    "infinite.jsonl": (one(end_time=float("inf")), "is more than 1,000,000 seconds"),
    "nan.jsonl": (one(end_time=float("nan")), "nan must be 0 seconds or more"),
    "no_length.jsonl": (one(duration=0), "must be more than 0 seconds"),
    "surrogate_query.jsonl": (one(query="a \ud800 b"), "half of a surrogate pair"),
    "surrogate_video.jsonl": (one(video="\udc80.mp4"), "half of a surrogate pair"),
    "surrogate_id.jsonl": (one(id="\udfff"), "half of a surrogate pair"),
    "true.jsonl": (one(start_time=True), "True is not a number of seconds"),
    "number_query.jsonl": (one(query=7), "query must be text, got 7"),
    "list_id.jsonl": (one(id=[1]), "id must be text, got [1]"),
    "float_id.jsonl": (one(id=1.5), "id must be text, got 1.5"),
    "escapes.jsonl": (one(video="\x1b[2J\x1b]0;x\x07.mp4"), "holds control characters"),
    "misspelt.jsonl": (one(strat_time=0), "has an unknown column 'strat_time'; did you mean 'start_time'?"),
    "two_names.jsonl": (one(caption="q"), "gives query twice, the second time as 'caption'"),
    "two_spans.jsonl": (one(timestamps=[[0, 1]]), "gives its span twice"),
    "repeated_key.jsonl": ('{"video": "a", "query": "q", "query": "r"}', "the key 'query' occurs twice"),
    "window_3.jsonl": ('{"video": "a", "query": "q", "relevant_windows": [[1, 2, 3]]}', "[1, 2, 3] is not a pair [start, end]"),
    "window_1.jsonl": ('{"video": "a", "query": "q", "spans": [[1]]}', "[1] is not a pair"),
    "window_none.jsonl": ('{"video": "a", "query": "q", "spans": [[null, 2]]}', "None is not a number of seconds"),
    "window_flat_3.jsonl": ('{"video": "a", "query": "q", "spans": [1, 2, 3]}', "[1, 2, 3] is not a pair"),
    "window_object.jsonl": ('{"video": "a", "query": "q", "spans": {"start": 1}}', "is not a list of pairs"),
    "window_text.jsonl": ('{"video": "a", "query": "q", "spans": "early"}', "'early' is not a list of pairs"),
    "scalar.json": ("3", "must be a list of rows"),
    "list_of_numbers.json": ("[1, 2]", ":0: is not a row"),
    "frames.json": ('{"s13.avi": {"timestamps": [[1, 90]], "sentences": ["q"], "num_frames": 99, "fps": 29.4}}', "its times are frames"),
    "lines.json": (one() + "\n" + one() + "\n", ":2: a second value begins here, so this is not JSON but JSON lines; name it .jsonl"),
    "list.jsonl": (f"[{one()}]\n", ":1: is not a JSON object but list; if the file is a single JSON list, name it .json"),
    "spread.jsonl": (f"[\n{one()}\n]\n", ":1: one JSON value goes over several lines here, so this is not JSON lines; name it .json"),
    "row.json": (one(), "is a single row and no list of rows"),
    "sets_by_video.json": ('{"a": {"timestamps": [[[1, 2], [3, 4]]], "sentences": ["q"]}}', "gives a query a list of spans"),
    "unknown_by_video.json": ('{"a": {"timestamps": [[1, 9]], "sentences": ["q"], "unit": "ms"}}', "unknown key 'unit'"),
    "long_cell.csv": ("video,query\na," + "x" * 140_000 + "\n", "field larger than field limit"),
    "open_quote.csv": ('video,query\na,"x\nb,y\nc,z\n', "is a quotation mark not closed?"),
    "more_cells.csv": ("video,query,start_time,end_time\na,a man, a plan,1,2\n", ":2: has 5 cells but the header names 4"),
    "fewer_cells.csv": ("video,query,start_time,end_time\na,x\n", ":2: has 2 cells but the header names 4"),
    "same_columns.csv": ("video,query,query\na,b,c\n", "each column needs a name of its own"),
    "comma_decimals.csv": ("video;query;start_time;end_time\na;x;1,5;2,5\n", "'1,5' is not a number of seconds"),
    "clock.csv": ("video,query,start_time,end_time\na,x,0:75,1:99\n", "'0:75' is not a number of seconds"),
    "latin.csv": ("video,query\na,caf\xe9\n".encode("latin-1"), ":2: is not UTF-8 (byte 0xe9 at column 6)"),
    "utf16.csv": ("video,query\na,b\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
    "packed.jsonl": (gzip.compress(b"{}"), "is a gzip file; add .gz to its name"),
    "not_packed.jsonl.gz": (b"{}\n", "cannot be read"),
    "rubbish.parquet": (b"PAR1 and nothing else", "cannot be read as parquet"),
    "nothing.jsonl": ("", "holds no queries"),
    "header_only.csv": ("video,query\n", "holds no queries"),
    "kind.xlsx": ("PK", "must be a file of rows"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_file_and_reason(tmp_path, name):
    content, reason = REFUSED[name]
    path = written(tmp_path, name, content)
    with pytest.raises(NumProError) as error:
        prepare(BENCHMARKS["custom"], path, progress=False)
    assert str(path) in str(error.value)
    assert reason in str(error.value)
    assert len(str(error.value)) < 3000
    assert printable(str(error.value)) == str(error.value)


@pytest.mark.parametrize("position", [12, 30, -9, -2])
def test_a_damaged_gzip_file_is_named(tmp_path, position):
    packed = bytearray(gzip.compress("".join(one(id=k) + "\n" for k in range(300)).encode()))
    packed[position] ^= 0x5A
    path = written(tmp_path, "flip.jsonl.gz", bytes(packed))
    with pytest.raises(NumProError, match=str(path)):
        custom(path)


def test_a_gzip_bomb_ends_at_the_limit(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMPRO_UNPACKED_GB", "0.001")
    path = written(tmp_path, "bomb.json.gz", gzip.compress(b"[" + b" " * 3_000_000 + b"]"))
    for read in (read_json, lambda path: list(read_lines(path)), lambda path: list(read_csv(path))):
        with pytest.raises(NumProError, match=r"unpacks to more than 0.001 GB.*NUMPRO_UNPACKED_GB"):
            read(path)
    monkeypatch.setenv("NUMPRO_UNPACKED_GB", "0")
    assert read_json(path) == []


def test_folders_and_devices_are_refused(tmp_path):
    (tmp_path / "x.jsonl").mkdir()
    with pytest.raises(NumProError, match="is a folder"):
        list(read_jsonl(tmp_path / "x.jsonl"))
    from pathlib import Path

    with pytest.raises(NumProError, match="not a regular file"):
        next(read_lines(Path("/dev/zero")))


SAME = [("0", "a.mp4", "the first", ((43.0, 45.5),)), ("1", "b", "the second", ())]
READ = {
    "commas.csv": "video,query,start_time,end_time\na.mp4,the first,43,45.5\nb,the second,,\n",
    "semicolons.csv": "video;query;start_time;end_time\na.mp4;the first;43;45.5\nb;the second;;\n",
    "tabs.tsv": "video\tquery\tstart_time\tend_time\na.mp4\tthe first\t43\t45.5\nb\tthe second\t\t\n",
    "tabs.csv": "video\tquery\tstart_time\tend_time\na.mp4\tthe first\t43\t45.5\nb\tthe second\t\t\n",
    "clock.csv": "video,query,start,end\na.mp4,the first,0:43,00:00:45.5\nb,the second,,\n",
    "old_mac.csv": "video,query,start_time,end_time\ra.mp4,the first,43,45.5\rb,the second,,\r",
    "windows.csv": "\ufeffvideo,query,start_time,end_time\r\n\r\na.mp4,  the first ,43,45.5\r\nb,the second,,\r\n",
    "index.csv": ',video,caption,timestamp\n0,a.mp4,the first,"[43.0, 45.5]"\n1,b,the second,\n',
    "numpy.csv": "video,caption,timestamp\na.mp4,the first,[43.  45.5]\nb,the second,[]\n",
    "tuple.csv": 'video,caption,spans\na.mp4,the first,"[(43, 45.5)]"\nb,the second,[]\n',
    "timestamps.json": '[{"video": "a.mp4", "query": "the first", "timestamps": [[43, 45.5]]}, {"video": "b", "query": "the second"}]',
    "spans_s.jsonl": '{"video": "a.mp4", "query": "the first", "spans_s": [[43, 45.5]]}\n{"video": "b", "query": "the second"}\n',
    "windows.jsonl": '{"vid": "a.mp4", "query": "the first", "relevant_windows": [[43, 45.5]]}\n{"vid": "b", "query": "the second "}\n',
    "timestamp.jsonl": '{"video": "a.mp4", "caption": "the first", "timestamp": [43, 45.5]}\n{"video": "b", "caption": "the second"}\n',
    "old_mac.jsonl": '{"video": "a.mp4", "query": "the first", "spans": [[43, 45.5]]}\r{"video": "b", "query": "the second"}\r',
    "TEXT.JSONL": '{"video": "a.mp4", "query": "the first", "start": "43", "end": "45.5"}\n{"video": "./b", "query": "the second"}\n',
}


@pytest.mark.parametrize("name", READ)
def test_read_right(tmp_path, name):
    queries = custom(written(tmp_path, name, READ[name]))
    assert [(q.id, q.video, q.query, q.spans_s) for q in queries] == SAME


def test_parquet_with_float16_spans_as_the_hub_has_them(tmp_path):
    import numpy as np

    spans = pa.array([np.array([24.3, 30.4], np.float16)], pa.list_(pa.float16()))
    pq.write_table(pa.table({"video": ["3MSZA.mp4"], "caption": ["person turn a light on."], "timestamp": spans}), tmp_path / "x.parquet")
    query = BENCHMARKS["charades"].read_annotations(tmp_path / "x.parquet")[0]
    assert query.spans_s == ((24.296875, 30.40625),)


def test_a_cell_keeps_its_line_break_and_quotes(tmp_path):
    path = written(tmp_path, "x.csv", 'video,query\r\na,"two\nlines, ""quoted"""\r\n')
    assert custom(path)[0].query == 'two\nlines, "quoted"'


def test_queries_by_video_of_ones_own(tmp_path):
    path = written(tmp_path, "x.json", '{"a.mp4": {"timestamps": [[1, 2], [3, 4]], "sentences": ["q", "r "]}}')
    assert [(q.id, q.query, q.duration_s) for q in custom(path)] == [("a.mp4:0", "q", None), ("a.mp4:1", "r", None)]


def qvhighlights(**changes):
    row = {"qid": 1, "query": "q", "duration": 20, "vid": "x_0.0_20.0", "relevant_windows": [[4, 8]]}
    return json.dumps({**row, **changes}) + "\n"


def test_windows_without_saliency(tmp_path):
    path = written(tmp_path, "highlight_val.jsonl", qvhighlights())
    table, _ = prepare(BENCHMARKS["qvhighlights"], path, progress=False)
    row = read_rows(table)[0]
    assert row["spans_s"] == [[4, 8]]
    assert "saliency_scores" not in row


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"relevant_windows": [4, 8]}, "4 is not a pair"),
        ({"relevant_windows": None}, "None is not a list of pairs"),
        ({"relevant_windows": []}, "has no relevant window"),
        ({"relevant_windows": [[4, 8, 1]]}, "[4, 8, 1] is not a pair"),
        ({"duration": 4e9}, "is more than 1,000,000 seconds"),
        ({"duration": "20"}, "'20' is not a number of seconds"),
        ({"relevant_clip_ids": [2]}, "has no saliency_scores"),
        ({"relevant_clip_ids": [2], "saliency_scores": "444"}, "must be lists"),
        ({"relevant_clip_ids": [2], "saliency_scores": [[4, 4, 9]]}, "whole numbers from 0 to 4"),
        ({"relevant_clip_ids": [2, 2], "saliency_scores": [[4, 4, 4]] * 2}, "names a relevant clip twice"),
        ({"relevant_clip_ids": [2.5], "saliency_scores": [[4, 4, 4]]}, "outside 0 to 9"),
        ({"vid": 5}, "video must be text"),
        ({"qid": None}, "id must be text"),
    ],
)
def test_impossible_windows_are_named_by_line(tmp_path, changes, reason):
    path = written(tmp_path, "highlight_val.jsonl", qvhighlights(qid=0) + qvhighlights(**changes))
    with pytest.raises(NumProError) as error:
        BENCHMARKS["qvhighlights"].read_annotations(path)
    assert f"{path}:2: " in str(error.value)
    assert reason in str(error.value)


def test_saliency_in_some_rows_only_is_refused(tmp_path):
    path = written(tmp_path, "x.jsonl", qvhighlights(qid=0) + qvhighlights(relevant_clip_ids=[2], saliency_scores=[[4, 4, 4]]))
    with pytest.raises(NumProError, match="only 1 of 2 rows have saliency scores"):
        BENCHMARKS["qvhighlights"].read_annotations(path)


def test_trailing_blanks_and_carriage_returns_of_charades(tmp_path):
    path = written(tmp_path, "charades_sta_test.txt", "AAAAA 4.0 8.0##a lamp is lit.  \rBBBBB 1.0 2.0##a bird flies.\t\r")
    assert [q.query for q in BENCHMARKS["charades"].read_annotations(path)] == ["a lamp is lit.", "a bird flies."]


CHARADES_FORMS = {
    "test.csv": 'video,caption,timestamp\nAAAAA.mp4,a lamp.,"[4.0, 8.0]"\n',
    "test.json": '{"AAAAA": {"duration": 30.5, "timestamps": [[4, 8]], "sentences": ["a lamp. "]}}',
    "test_rows.json": '[{"video": "AAAAA", "caption": "a lamp.", "timestamp": [4.0, 8.0]}]',
    "test.jsonl": '{"qid": 12404, "query": "a lamp.", "duration": 30.96, "vid": "AAAAA", "relevant_windows": [[4.0, 8.0]]}',
}


@pytest.mark.parametrize("name", CHARADES_FORMS)
def test_charades_as_the_field_passes_it_on(tmp_path, name):
    durations = written(tmp_path, "Charades_v1_test.csv", "id,length\nAAAAA,30.5\n")
    path = written(tmp_path, name, CHARADES_FORMS[name])
    table, report = prepare(BENCHMARKS["charades"], path, durations=durations, progress=False)
    row = read_rows(table)[0]
    assert (row["query"], row["spans_s"], row["duration_s"], report.split) == ("a lamp.", [[4.0, 8.0]], 30.5, "test")


BY_VIDEO = '{"%s": {"duration": 30.0, "timestamps": [[4.0, 8.0]], "sentences": ["a lamp is lit."]}}'


def test_another_benchmarks_videos_are_refused_by_name(tmp_path):
    charades = written(tmp_path, "test.json", BY_VIDEO % "AAAAA")
    with pytest.raises(NumProError, match=r"'AAAAA'\) are those of Charades-STA, not .*; run: numpro prepare charades"):
        prepare(BENCHMARKS["activitynet"], charades, progress=False)
    activitynet = written(tmp_path, "test2.json", BY_VIDEO % "v_abcdefghijk")
    with pytest.raises(NumProError, match="run: numpro prepare activitynet"):
        prepare(BENCHMARKS["charades"], activitynet, progress=False)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("latest_charades_train.txt", "train"),
        ("charades-test.v2.txt", "test"),
        ("TRAIN.txt", "train"),
        ("test.train_copy.txt", None),
        ("latest.txt", None),
        ("contest_training.txt", None),
    ],
)
def test_a_split_is_a_word_of_the_name(tmp_path, name, split):
    durations = written(tmp_path, "durations.csv", "id,length\nAAAAA,30.5\n")
    path = written(tmp_path, name, "AAAAA 4.0 8.0##a lamp is lit.\n")
    if split is None:
        with pytest.raises(NumProError, match=r"choose with --split \{test,train\}"):
            prepare(BENCHMARKS["charades"], path, durations=durations, progress=False)
    else:
        assert prepare(BENCHMARKS["charades"], path, durations=durations, progress=False)[1].split == split


@pytest.mark.shared
def test_an_official_split_is_known_by_its_content(shared, tmp_path):
    copy = written(tmp_path, "val.json", (shared / "annotations/activitynet_captions/val_1.json").read_bytes())
    assert prepare(BENCHMARKS["activitynet"], copy, progress=False)[1].split == "val_1"
    copy = written(tmp_path, "test.json", (shared / "annotations/activitynet_captions/val_2.json").read_bytes())
    assert prepare(BENCHMARKS["activitynet"], copy, progress=False)[1].split == "val_2"
    wrong = copy.rename(tmp_path / "train.json")
    with pytest.raises(NumProError, match="is named 'train', but its 4885 videos and 17031 queries are those of 'val_2'"):
        prepare(BENCHMARKS["activitynet"], wrong, progress=False)


@pytest.mark.shared
@pytest.mark.slow
def test_variants_of_the_field(shared):
    variants = shared / "annotations/variants"
    official = BENCHMARKS["charades"].read_annotations(shared / "annotations/charades_sta/charades_sta_test.txt")
    for name in ("charades_test.json", "lighthouse_charades_test_release.jsonl"):
        queries = BENCHMARKS["charades"].read_annotations(variants / name)
        assert len(queries) == 3720
        assert {(q.video, q.query) for q in queries} == {(q.video, q.query) for q in official}
        _, report = prepare(BENCHMARKS["charades"], variants / name, progress=False)
        assert report.split == "test"
    assert len(custom(variants / "lighthouse_tacos_test_release.jsonl")) == 4001
    with pytest.raises(NumProError, match=r"tvgbench.json:0: has an unknown column 'path'"):
        custom(variants / "tvgbench.json")


@pytest.mark.shared
def test_handed_cases(shared, tmp_path):
    files = shared / "cases/files"
    for name, reason in {
        "hugedur.jsonl": "is more than",
        "esc.jsonl": "control characters",
        "flip.jsonl.gz": "the gzip file is damaged",
    }.items():
        with pytest.raises(NumProError) as error:
            custom(files / name)
        assert reason in str(error.value)
    for name in ("q.csv", "q.tsv", "q2.csv", "q5.json"):
        assert custom(files / name)[0].spans_s == ((43.0, 45.0),), name


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(ROW)) | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.lists(json_values | st.fixed_dictionaries(dict.fromkeys(ROW, json_values)), max_size=4) | json_values,
    st.sampled_from(sorted(BENCHMARKS)),
)
@settings(max_examples=150, deadline=None, derandomize=True)
@pytest.mark.slow
def test_no_json_raises_anything_but_our_error(tmp_path_factory, content, name):
    folder = tmp_path_factory.mktemp("any", numbered=True)
    for kind in ("json", "jsonl"):
        text = json.dumps(content) if kind == "json" else "\n".join(map(json.dumps, content if isinstance(content, list) else [content]))
        path = written(folder, f"test.{kind}", text)
        with contextlib.suppress(NumProError):
            queries = BENCHMARKS[name].read_annotations(path)
            assert all(query.query.strip() and query.video for query in queries)


@given(json_values, st.integers(1, 40), st.integers(0, 100), st.text(max_size=2), st.booleans())
@settings(max_examples=250, deadline=None, derandomize=True)
def test_a_json_file_read_by_entries_is_the_one_read_whole(tmp_path_factory, content, chunk, cut, inserted, spoilt):
    text = json.dumps(content, indent=1)
    text = text[:cut] + inserted + text[cut + 1 :] if spoilt else text
    path = written(tmp_path_factory.mktemp("any", numbered=True), "x.json", text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("numpro_plugin.benchmarks.text_files._CHUNK", chunk)
        try:
            whole = read_json(path)
        except NumProError:
            whole = None
        if not isinstance(whole, (list, dict)):
            with pytest.raises(NumProError, match=str(path)):
                list(read_json_entries(path))
        else:
            entries = enumerate(whole) if isinstance(whole, list) else whole.items()
            assert json.dumps(list(read_json_entries(path))) == json.dumps(list(entries))


@pytest.mark.slow
def test_a_broken_entry_is_named_with_its_line(tmp_path):
    path = written(tmp_path, "x.json", "[\n" + '{"id": 1},\n' * 200_000 + "{'id': 1}]")
    entries = read_json_entries(path)
    assert next(entries) == (0, {"id": 1})
    with pytest.raises(NumProError, match=r"x\.json:200002: is not JSON \(Expecting property name"):
        list(entries)


@given(st.binary(max_size=200), st.sampled_from(["txt", "csv", "tsv", "json", "jsonl", "json.gz", "csv.gz", "parquet"]))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_no_bytes_raise_anything_but_our_error(tmp_path_factory, content, kind):
    path = written(tmp_path_factory.mktemp("any", numbered=True), f"test.{kind}", content)
    for benchmark in BENCHMARKS.values():
        with pytest.raises(NumProError):
            benchmark.read_annotations(path)


@pytest.mark.parametrize("value", [10**400, -(10**400), "1", None, [], float("-inf"), 1e7])
def test_seconds_never_overflow(value):
    with pytest.raises(ValueError, match="second"):
        seconds(value)


@pytest.mark.parametrize("name", ["/etc/passwd", "a/../b", "..", "a//b", "a\\b", "a\0b", "\u202eb", " "])
def test_video_names_stay_inside_the_folder(name):
    with pytest.raises(ValueError, match="video"):
        video_name(name)


def test_file_kind():
    from pathlib import Path

    assert [file_kind(Path(name)) for name in ("a.JSONL.gz", "a.b.csv", "a", ".csv", "a.gz")] == ["jsonl", "csv", "", "", ""]
