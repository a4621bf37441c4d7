"""`numpro export`: runs in the formats of other programs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from support.logs import highlight_sample, moment_sample, write_run

from numpro_plugin.cli.main import main
from numpro_plugin.views.export import LABEL_STUDIO_FPS


def exported(folder: Path, to: str, *runs: str) -> str:
    """What the command writes about two runs of `runs_folder`."""
    out = folder / f"out.{'csv' if to == 'csv' else 'json'}"
    names = runs or (f"base={folder / 'first'}", f"tuned={folder / 'second'}")
    assert main(["export", *names, "--to", to, "-o", str(out)]) == 0
    return out.read_bytes().decode()


def test_csv_has_a_row_a_query_and_run(runs_folder: Path, video: Path):
    rows = list(csv.DictReader(exported(runs_folder, "csv").splitlines()))
    assert [(row["run"], row["id"], row["start_s"], row["end_s"], row["read"]) for row in rows] == [
        ("base", "q1", "2.0", "4.0", "yes"),
        ("base", "q2", "", "", "no"),
        ("base", "q3", "5.0", "9.0", "yes"),
        ("tuned", "q1", "2.0", "6.0", "yes"),
        ("tuned", "q2", "1.0", "3.0", "yes"),
        ("tuned", "q3", "", "", "no answer"),
    ]
    assert rows[0]["truth_s"] == "2-6"
    assert rows[0]["mIoU"] == rows[0]["score"] == "50.0"
    assert (rows[0]["video"], rows[0]["task"]) == (str(video), "numpro_custom")
    assert rows[1]["query"].startswith("</script>")
    assert "日本語" in rows[1]["query"]
    assert "timeout" in rows[5]["reason"]


def test_csv_has_all_moments_of_an_answer(tmp_path: Path):
    several, none = (moment_sample(key, "/data/v.mp4", "a dog", truth=(1, 2), span=(1, 2)) for key in ("several", "none"))
    several["numpro"] |= {"truth_s": [[1, 2], [5, 6]], "spans_s": [[1, 2.5], [4000.125, 4007]], "start_s": 100.0}
    none["numpro"] |= {"span_s": None, "spans_s": []}
    write_run(tmp_path / "first", "numpro_custom_sets", [several, none])
    rows = list(csv.DictReader(exported(tmp_path, "csv", str(tmp_path / "first")).splitlines()))
    assert [(row["start_s"], row["end_s"], row["spans_s"], row["truth_s"]) for row in rows] == [
        ("101.0", "102.5", "101-102.5; 4100.125-4107", "101-102; 105-106"),
        ("", "", "", "1-2"),
    ]


def test_coco_has_each_video_query_and_true_moment_once(runs_folder: Path, video: Path):
    content = json.loads(exported(runs_folder, "coco"))
    assert content["videos"] == [{"id": 1, "file_name": str(video), "duration": 10.0}]
    assert [(one["id"], one["query_id"], one["supercategory"]) for one in content["categories"]] == [
        (1, "q1", "custom"),
        (2, "q2", "custom"),
        (3, "q3", "custom"),
    ]
    assert [one["segment"] for one in content["annotations"]] == [[2, 6], [0, 3], [5, 9]]
    assert [(one["run"], one["category_id"], one["segment"]) for one in content["predictions"]] == [
        ("base", 1, [2, 4]),
        ("base", 3, [5, 9]),
        ("tuned", 1, [2, 6]),
        ("tuned", 2, [1, 3]),
    ]


def test_fiftyone_finds_videos_by_their_path_without_suffix(runs_folder: Path, video: Path, capsys):
    labels = json.loads(exported(runs_folder, "fiftyone"))["labels"]
    assert list(labels) == [video.stem]
    assert f"(7 moments of 2 runs; its data_path is {video.parent})" in capsys.readouterr().out
    first = [one for one in labels[video.stem] if one["attributes"]["query_id"] == "q1"]
    assert [(one["timestamps"], one["attributes"]["kind"], one["attributes"].get("run")) for one in first] == [
        ([2, 6], "truth", None),
        ([2, 4], "answer", "base"),
        ([2, 6], "answer", "tuned"),
    ]
    assert first[1]["attributes"]["iou"] == 0.5
    assert {one["label"] for one in first} == {"a door"}


def test_fiftyone_tells_folders_apart_but_not_suffixes(tmp_path: Path, capsys):
    for name, others in (("a", ("x/v.mp4", "y/v.mp4")), ("b", ("x/v.mp4", "x/v.mkv"))):
        samples = [moment_sample(k, f"/data/{k}", "q", truth=(1, 2), span=(1, 2)) for k in others]
        write_run(tmp_path / name, "numpro_custom", samples)
    assert list(json.loads(exported(tmp_path, "fiftyone", str(tmp_path / "a")))["labels"]) == ["x/v", "y/v"]
    assert main(["export", str(tmp_path / "b"), "--to", "fiftyone", "-o", str(tmp_path / "b.json")]) == 1
    assert "v: two videos have this name and differ in their suffix alone" in capsys.readouterr().err


def test_label_studio_has_truth_as_annotation_and_answers_as_predictions(runs_folder: Path):
    tasks = json.loads(exported(runs_folder, "labelstudio"))
    assert [task["data"]["query_id"] for task in tasks] == ["q1", "q2", "q3"]
    (truth,) = tasks[0]["annotations"][0]["result"]
    assert truth["value"] == {"ranges": [{"start": 2 * LABEL_STUDIO_FPS + 1, "end": 6 * LABEL_STUDIO_FPS}], "timelinelabels": ["truth"]}
    assert [(one["model_version"], one["score"], len(one["result"])) for one in tasks[0]["predictions"]] == [
        ("base", 0.5, 1),
        ("tuned", 1.0, 1),
    ]
    assert tasks[1]["predictions"][0]["result"] == []
    assert {truth["from_name"], truth["to_name"]} == {"moments", "video"}  # as in the configuration on the page


def test_times_are_those_of_the_file_also_of_a_part(tmp_path: Path):
    sample = moment_sample("q", "/data/v.mp4", "a dog", truth=(1, 2), span=(1, float(10**400 // 10**92)))
    sample["numpro"] |= {"start_s": 100.0, "end_s": 110.0}
    write_run(tmp_path / "first", "numpro_custom", [sample])
    content = json.loads(exported(tmp_path, "coco", str(tmp_path / "first")))
    assert content["annotations"][0]["segment"] == [101, 102]
    assert content["predictions"][0]["segment"] == [101, 1e9]


def test_highlights(tmp_path: Path, capsys):
    write_run(tmp_path / "first", "numpro_qvhighlights_hd", [highlight_sample("q", "/data/v.mp4", "a dog")])
    (row,) = csv.DictReader(exported(tmp_path, "csv", str(tmp_path / "first")).splitlines())
    assert (row["highlights"], row["truth_s"], row["score"]) == ("2: 4.5; 4: 3", "2-6", "75.0")
    content = json.loads(exported(tmp_path, "coco", str(tmp_path / "first")))
    assert [(one["segment"], one["score"]) for one in content["predictions"]] == [([2, 2], 4.5), ([4, 4], 3)]
    assert main(["export", str(tmp_path / "first"), "--to", "fiftyone", "-o", str(tmp_path / "f.json")]) == 1
    assert "highlights do not; use --to csv" in capsys.readouterr().err


def test_strange_text_is_kept_and_the_file_stays_utf_8(tmp_path: Path):
    sample = moment_sample("q", "/data/v.mp4", 'a "cat",\nor \ud800 a dog', truth=(1, 2), span=None)
    write_run(tmp_path / "first", "numpro_custom", [sample])
    text = exported(tmp_path, "csv", str(tmp_path / "first"))
    (row,) = csv.DictReader(text.splitlines(keepends=True))
    assert row["query"] == 'a "cat",\nor \\ud800 a dog'


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--to", "csv", "-o", "new.csv"], "nowhere: does not exist; give an output folder of lmms-eval"),
        ([".", "--to", "csv", "-o", "new.csv"], "holds no samples of a NumPro task (found: none)"),
        (["first", "--to", "coco", "-o", "new.csv"], "-o new.csv: --to coco writes a .json file; name it new.json"),
        (["first", "--to", "csv", "-o", "old.csv"], "-o old.csv exists; choose another name or give --force"),
        (["first", "--to", "csv", "-o", "no/new.csv"], "does not exist; create it first"),
        (["empty", "--to", "csv", "-o", "new.csv"], "holds no sample to export"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, monkeypatch, capsys, arguments, message):
    write_run(tmp_path / "runs" / "empty", "numpro_custom", [])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.csv").write_text("mine")
    if arguments[0] == "empty":
        arguments = ["runs/empty", *arguments[1:]]
    elif arguments[0] == ".":
        (tmp_path / "bare").mkdir()
        arguments = ["bare", *arguments[1:]]
    assert main(["export", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert (tmp_path / "old.csv").read_text() == "mine"
