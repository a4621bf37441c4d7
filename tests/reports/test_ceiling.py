from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
from support.annotations import write_official
from support.todays import vue_tr_row, write_one, write_todays

from numpro_plugin import NumProError
from numpro_plugin.answers.reading import read_moment
from numpro_plugin.answers.writing import moment_words
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.benchmarks.table import read_rows, table_path
from numpro_plugin.cli.main import main
from numpro_plugin.encoding import PRESETS, parse_encoding
from numpro_plugin.metrics.moments import best_times, moment_scores, query_iou, span_iou
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


def moments_table(tmp_path, count):
    """Queries about videos of 20 to 30 s that are not there; some spans are shorter than the grid's step, some end late."""
    lines = [f"V{k % 5} {k * 1.37 % 19:.2f} {k * 1.37 % 19 + 0.3 + k % 11 * 1.17:.2f}##thing {k}." for k in range(count)]
    (tmp_path / "test.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "durations.csv").write_text("id,length\n" + "".join(f"V{k},{20.3 + 2 * k}\n" for k in range(5)))
    return prepare(BENCHMARKS["charades"], tmp_path / "test.txt", durations=tmp_path / "durations.csv", progress=False)[0]


def shown_marks(encoding, duration_s, fps):
    """The marks on the frames, read as a person would read them: digits or clocks, and only to the second where a clock is asked for."""
    numbers = list(range(Timeline(duration_s, fps).count))
    kinds = {kind for kind in (encoding.drawn, encoding.text) if kind in ("number", "seconds", "clock", "bar")}
    kind = min(kinds, key=["number", "seconds", "bar", "clock"].index)
    marks = encoding.marks("seconds" if kind == "bar" else kind, numbers, fps)
    if kind == "number":
        times_s = [int(mark) / fps for mark in marks]
    elif kind == "clock":
        times_s = [int(mark[:-3]) * 60 + int(mark[-2:]) for mark in marks]
    else:
        times_s = [float(mark) for mark in marks]
    return [np.floor(time_s + 1e-6) for time_s in times_s] if encoding.answer == "clock" else times_s


WRITTEN_OUT = ["drawn=number,answer=clock", "drawn=clock,answer=seconds", "drawn=number,text=clock,answer=seconds,layout=2x2"]


@pytest.mark.parametrize("name", [*(name for name, preset in PRESETS.items() if preset.encoding.shows_time), *WRITTEN_OUT])
@pytest.mark.parametrize("fps", [0.4, 1])
def test_brute_force_over_all_pairs_of_shown_marks(tmp_path, name, fps):
    encoding, table = parse_encoding(name), moments_table(tmp_path, 30)
    best = []
    for row in read_rows(table):
        times_s = np.array(shown_marks(encoding, row["duration_s"], fps))
        first, last = np.triu_indices(len(times_s))
        best.append(max(float(span_iou(np.stack([times_s[first], times_s[last]], axis=1), one).max()) for one in row["spans_s"]))
    assert ceilings(table, [fps], encoding=encoding)[fps] == pytest.approx(moment_scores(best))


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.encoding.shows_time])
def test_words_with_the_best_marks_are_read_back(tmp_path, name):
    """What the oracle says reaches the ceiling when it is read: marks, words and reading are of one mind."""
    encoding, fps, found = PRESETS[name].encoding, 0.4, []
    table = moments_table(tmp_path, 30)
    for row in read_rows(table):
        timeline = Timeline(row["duration_s"], fps)
        start_s, end_s, _ = best_times(row["spans_s"], encoding.answer_times(range(timeline.count), fps))
        reading = read_moment(moment_words((start_s, end_s), encoding.answer, fps), encoding.answer, timeline)
        assert reading.unit == encoding.answer
        found.append(query_iou(reading.span_s, row["spans_s"]))
    assert ceilings(table, [fps], encoding=encoding)[fps] == pytest.approx(moment_scores(found))


def test_an_encoding_that_shows_nothing_has_no_ceiling(tmp_path, capsys):
    table = moments_table(tmp_path, 5)
    for name in ("native", "plain"):
        with pytest.raises(NumProError, match=f"encoding {name} shows no times"):
            ceilings(table, encoding=PRESETS[name].encoding)
    with pytest.raises(NumProError, match="two of them would carry one clock time"):
        ceilings(table, [2.0], encoding=PRESETS["clock"].encoding)


def test_a_row_for_each_encoding(tmp_path, capsys):
    moments_table(tmp_path, 5)
    encodings = "number,native,clock,drawn=number,answer=seconds"
    assert main(["ceiling", "charades", "--encoding", encodings, "--fps", "1", "2", "--json", str(tmp_path / "c.json")]) == 0
    printed = capsys.readouterr().out
    content = json.loads((tmp_path / "c.json").read_text())
    assert {name: list(by_rate) for name, by_rate in content.items()} == {
        "number": ["1", "2"],
        "clock": ["1"],
        "drawn=number,text=native,answer=seconds": ["1", "2"],
    }
    assert content["number"] == content["drawn=number,text=native,answer=seconds"]
    assert "no ceiling: encoding native shows no times" in printed
    assert "no ceiling: encoding clock shows whole seconds" in printed
    assert main(["ceiling", "charades", "--encoding", "native,plain"]) != 0
    assert "shows no times" in capsys.readouterr().err
    assert main(["ceiling", "--encoding", "clock,text", "--fps", "1"]) == 0
    assert "charades test, clock, 1 a second" in capsys.readouterr().out


def test_ceilings_of_sets_in_clock_times(tmp_path):
    path = write_one(tmp_path, "vue_tr", "VUE-TR_ground_truth.json", [{**vue_tr_row(0, [[1, 4.5], [9, 13]]), "duration": 16}])
    table, _ = prepare(BENCHMARKS["vue_tr"], path, progress=False)
    encoding = parse_encoding("drawn=number,answer=clock")
    times_s = [0, 2, 5, 7, 10, 12, 15]
    pairs = list(combinations(times_s, 2))
    best = max(set_iou(np.array(answer), [[1, 4.5], [9, 13]]) for answer in [*([one] for one in pairs), *combinations(pairs, 2)])
    assert ceilings(table, [0.4], encoding=encoding)[0.4]["mIoU_set"] == pytest.approx(100 * best)
