from __future__ import annotations

import json

import pytest
from support.annotations import write_official

from numpro_plugin import NumProError
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.benchmarks.table import table_path
from numpro_plugin.reports.ceiling import ceilings

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
