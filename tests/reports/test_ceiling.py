from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
from support.annotations import write_official
from support.todays import vue_tr_row, write_one, write_todays

from numpro_plugin import NumProError
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.benchmarks.table import read_rows, table_path
from numpro_plugin.cli.main import main
from numpro_plugin.metrics.moments import moment_scores, span_iou
from numpro_plugin.metrics.sets import set_iou, set_scores
from numpro_plugin.reports.ceiling import ceilings
from numpro_plugin.timeline import Timeline, kept_numbers

GOLDEN = {
    "activitynet": ("activitynet_captions/val_2.json", "activitynet_val_2"),
    "didemo": ("didemo/test_data.json", "didemo_test_official_top3"),
    "qvhighlights": ("qvhighlights/highlight_val_release.jsonl", "qvhighlights_val"),
}
METRICS = ("mIoU", "R@0.3", "R@0.5", "R@0.7")


def test_small_table(tmp_path):
    files = write_official(tmp_path)
    table, _ = prepare(BENCHMARKS["qvhighlights"], files["qvhighlights"], progress=False)
    assert ceilings(table, [0.5])[0.5]["mIoU"] == 100
    with pytest.raises(NumProError, match="numpro prepare didemo"):
        ceilings(table_path("didemo", "test"))


def test_no_annotated_spans(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("video,query,duration\na.mp4,x,10\n")
    table, _ = prepare(BENCHMARKS["custom"], path, progress=False)
    with pytest.raises(NumProError, match="no annotated spans"):
        ceilings(table)


def check(table, golden):
    for fps, scores in ceilings(table).items():
        expected = golden[f"{fps:g}"]["best_visible"]
        assert {name: round(scores[name], 4) for name in METRICS} == {name: expected[name] for name in METRICS}


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("benchmark", GOLDEN)
def test_golden(shared, benchmark):
    file, key = GOLDEN[benchmark]
    table, _ = prepare(BENCHMARKS[benchmark], shared / "annotations" / file, progress=False)
    check(table, json.loads((shared / "golden/ceiling.json").read_text())["results"][key])


@pytest.mark.slow
@pytest.mark.shared
def test_golden_activitynet_val_1_and_didemo_majority_and_charades(shared):
    golden = json.loads((shared / "golden/ceiling.json").read_text())["results"]
    annotations = shared / "annotations"
    check(
        prepare(BENCHMARKS["activitynet"], annotations / "activitynet_captions/val_1.json", progress=False)[0], golden["activitynet_val_1"]
    )
    check(
        prepare(BENCHMARKS["didemo"], annotations / "didemo/test_data.json", majority=True, progress=False)[0],
        golden["didemo_test_majority"],
    )
    charades = annotations / "charades_sta"
    table, _ = prepare(
        BENCHMARKS["charades"], charades / "charades_sta_test.txt", durations=charades / "Charades_v1_test.csv", progress=False
    )
    check(table, golden["charades_sta_test"])


def every_pair(row, fps, max_frames):
    """The highest IoU of all pairs of numbers that are drawn."""
    numbers = kept_numbers(Timeline(row["duration_s"], fps).count, max_frames)
    first, last = np.triu_indices(len(numbers))
    pairs = np.stack([numbers[first], numbers[last]], axis=1) / fps
    return max(float(span_iou(pairs, one).max()) for one in row["spans_s"])


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "file", "rows"), [("tvgbench", "tvgbench.json", 800), ("tacos", "lighthouse_tacos_test_release.jsonl", 60)]
)
def test_brute_force_over_all_pairs(shared, tmp_path, name, file, rows):
    """Parts of files, and long videos that are thinned."""
    path = shared / "annotations/variants" / file
    if name == "tacos":
        path = tmp_path / "tacos_test_release.jsonl"
        path.write_text("\n".join((shared / "annotations/variants" / file).read_text().splitlines()[::67][:rows]))
    table, _ = prepare(BENCHMARKS[name], path, progress=False)
    found = ceilings(table, [0.5, 1], max_frames=120)
    assert len(read_rows(table)) == rows
    for fps in found:
        assert found[fps] == pytest.approx(moment_scores([every_pair(row, fps, 120) for row in read_rows(table)]))


@pytest.mark.slow
def test_brute_force_over_all_sets(tmp_path):
    truths = [[[1, 4.5], [9, 13]], [[0.5, 1.5]], [], [[0, 3], [2, 6], [12, 16]], [[15.7, 16]]]
    path = write_one(
        tmp_path, "vue_tr", "VUE-TR_ground_truth.json", [{**vue_tr_row(k, one), "duration": 16} for k, one in enumerate(truths)]
    )
    table, _ = prepare(BENCHMARKS["vue_tr"], path, progress=False)
    numbers = range(8)
    pairs = list(combinations(numbers, 2))
    answers = [[], *([one] for one in pairs), *combinations(pairs, 2), *combinations(pairs, 3)]
    best = [max(set_iou(np.array(answer).reshape(-1, 2) * 2.0, truth) for answer in answers) for truth in truths]
    assert ceilings(table, [0.5])[0.5] == pytest.approx(set_scores(best))


def test_all_that_is_prepared_in_one_table(tmp_path, capsys):
    assert main(["ceiling"]) != 0
    assert "no benchmark is prepared" in capsys.readouterr().err
    files = write_todays(tmp_path)
    for name in ("tacos", "vue_tr", "timelens_charades"):
        prepare(BENCHMARKS[name], files[name], progress=False)
    assert main(["ceiling", "--fps", "0.5", "2", "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert set(rows) == {f"{name} test, {fps} a second" for name in ("tacos", "vue_tr", "timelens_charades") for fps in ("0.5", "2")}
    single = ceilings(table_path("tacos", "test"), [0.5])[0.5]
    assert rows["tacos test, 0.5 a second"] == pytest.approx(
        {"mIoU": single["mIoU"], **{f"not at {t}": 100 - single[f"R@{t}"] for t in (0.3, 0.5, 0.7)}}
    )
    assert rows["vue_tr test, 2 a second"]["mIoU"] == 100
    assert main(["ceiling", "--split", "val"]) != 0


def test_every_split_and_own_set_has_a_line(tmp_path, capsys):
    path = tmp_path / "mine.csv"
    path.write_text("video,query,duration,start,end\na.mp4,x,10,1,5\n")
    for name, split in ((None, "test"), ("kitchen", "val"), ("kitchen", "test")):
        prepare(BENCHMARKS["custom"], path, name=name, split=split, progress=False)
    charades = tmp_path / "charades.json"
    charades.write_text(json.dumps({"AAAAA": {"duration": 10, "timestamps": [[1, 5]], "sentences": ["x"]}}))
    prepare(BENCHMARKS["charades"], charades, split="train", progress=False)
    assert main(["ceiling", "--fps", "1", "--json", "-"]) == 0
    names = ("charades train", "custom test", "custom kitchen test", "custom kitchen val")
    assert list(json.loads(capsys.readouterr().out)) == [f"{name}, 1 a second" for name in names]


def test_a_set_without_spans_does_not_hide_the_others(tmp_path, capsys):
    path = tmp_path / "mine.csv"
    path.write_text("video,query,duration\na.mp4,x,10\n")
    prepare(BENCHMARKS["custom"], path, progress=False)
    assert main(["ceiling"]) != 0
    assert "no prepared benchmark has annotated spans (looked at: custom test)" in capsys.readouterr().err
    prepare(BENCHMARKS["tacos"], write_todays(tmp_path)["tacos"], progress=False)
    assert main(["ceiling", "--fps", "1"]) == 0
    printed = capsys.readouterr().out
    assert "tacos test, 1 a second" in printed
    assert "without annotated spans, so without a ceiling: custom test" in printed
