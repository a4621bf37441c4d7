"""Files of other projects, and what is refused: small files written here in their layouts, and lmms-eval's own functions as oracle."""

from __future__ import annotations

import contextlib
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lmms_eval.tasks.charades_sta import utils as charades_task
from lmms_eval.tasks.timelens import utils as timelens_task
from support.annotations import write_official

from numpro_plugin import NumProError
from numpro_plugin.reports.compare import compare_runs
from numpro_plugin.reports.predictions import read_predictions
from numpro_plugin.reports.score import score_highlights, score_moments
from numpro_plugin.reports.seconds_text import charades_span, timelens_span

WORDS = [
    "4",
    "9.5",
    "12",
    "0:05",
    "00:01:04",
    "1:02:03.5",
    " to ",
    " - ",
    "\u2013",
    "-",
    " and ",
    "s",
    " seconds",
    "start ",
    "ends at ",
    "\n",
    ". ",
    "? ",
]
ANSWERS = st.lists(st.sampled_from(WORDS), max_size=12).map("".join)


def write(path, content):
    if path.suffix == ".json":
        path.write_text(json.dumps(content))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return path


@given(ANSWERS)
@settings(deadline=None, max_examples=500)
def test_answers_in_seconds_are_read_as_lmms_eval_reads_them(text):
    expected = timelens_task.extract_time(text)
    assert timelens_span(text) == (tuple(expected[0]) if expected else None)
    expected = charades_task.extract_time(text)
    assert charades_span(text) == (tuple(expected[0]) if expected else None)


@pytest.mark.shared
def test_golden_timelens_answers(shared):
    for case in json.loads((shared / "golden/metrics/timelens_answers.json").read_text()):
        assert timelens_span(case["text"]) == (tuple(case["spans"][0]) if case["spans"] else None), case


TIMELENS = {
    "a.mp4>>>a lamp is lit>>>[[4.0, 8.0]]": "The event happens in 4.0 - 8.0 seconds.",
    "b.mp4>>>a bird flies>>>[[12.0, 18.0]]": "12 to 15",
    "c.mp4>>>a door opens>>>[[1.0, 3.0]]": "no such event",
    "d.mp4>>>a dog barks>>>[[1.0, 3.0]]": "3.0 - 1.0",
}


def test_lmms_evals_timelens_tasks(tmp_path):
    rows = [{"doc_id": k, "filtered_resps": [v], "timelens_mIOU": {key: v}} for k, (key, v) in enumerate(TIMELENS.items())]
    path = write(tmp_path / "samples_timelens_charades.jsonl", rows)
    expected = timelens_task._timelens_compute_metrics([row["timelens_mIOU"] for row in rows])
    score = score_moments(path, compatible="timelens")
    assert {"IOU@3": score.metrics["R@0.3"], "IOU@5": score.metrics["R@0.5"], "IOU@7": score.metrics["R@0.7"]} == pytest.approx(
        {name: expected[name] for name in ("IOU@3", "IOU@5", "IOU@7")}
    )
    assert score.metrics["mIoU"] == pytest.approx(expected["mIOU"])
    assert score.counts["not understood"] == 1
    assert score_moments(path).metrics["mIoU"] == pytest.approx(expected["mIOU"] + 25)  # reversed ends are read in order


def test_lmms_evals_charades_task(tmp_path):
    answers = {
        "a.mp4>>>person opens a door.>>>[4.0, 8.0]": "The event starts at 8.0 and ends. 4.0 to 8.0",
        "b.mp4>>>person sits.>>>[12.0, 18.0]": "00:12 - 00:15",
    }
    rows = [{"doc_id": k, "charades_sta_mIOU": {key: v}, "filtered_resps": [v]} for k, (key, v) in enumerate(answers.items())]
    expected = charades_task._temporal_grounding_compute_metrics([answers])
    for path in (write(tmp_path / "samples_x.jsonl", rows), write(tmp_path / "inference_results.json", answers)):
        assert score_moments(path).metrics["mIoU"] == pytest.approx(expected["mIOU"])


def test_timelens_own_files(tmp_path):
    rows = [
        {"a>>>a lamp is lit>>>[4.0, 8.0]": {"timestamps": [[4.0, 6.0], [0, 1]], "answers": "x"}},
        {"b>>>a >>> b>>>[(12.0, 18.0)]": {"answers": "12 - 18"}, "c>>>q>>>[0, 2]": {"timestamps": []}},
    ]
    score = score_moments(write(tmp_path / "p.jsonl", rows))
    assert score.metrics["mIoU"] == pytest.approx(50)
    assert score.counts["not understood"] == 1


def test_rows_without_ids_are_matched_by_video_and_query(tmp_path):
    write_official(tmp_path)
    truth = tmp_path / "charades_sta_test.txt"
    truth.write_text("AAAAA 4.0 12.0##a person opens a door.\nBBBBB 1.0 2.0##a person sits.\n")
    path = write(tmp_path / "p.json", {"Charades/AAAAA.mp4>>>A person opens a door>>>[[4.0, 12.0]]": "4 - 12"})
    score = score_moments(path, truth)
    assert (score.metrics["mIoU"], score.counts["not predicted"], score.counts["without truth"]) == (50, 1, 0)


def test_trace(tmp_path):
    files = write_official(tmp_path)
    files["charades"].write_text("AAAAA 4.0 12.0##a person opens a door.\nAAAAA 1.0 2.0##a person sits.\n")
    raw = [
        {"video": "v/AAAAA.mp4", "id": 0, "timestamps": [[4.0, 12.0], [0.0, 1.0]], "scores": [[], []], "captions": ["a door", "x"]},
        {"video": "v/AAAAA.mp4", "id": 1, "timestamps": [[3.0]], "scores": [[]], "captions": ["x"]},
    ]
    formatted = {"0": {"query": "the model's own words", "timestamp": [4.0, 12.0], "vid": "AAAAA.mp4"}, "1": {}}
    for content in (raw, formatted):
        score = score_moments(write(tmp_path / "trace.json", content), files["charades"])
        assert (score.metrics["mIoU"], score.counts["not understood"]) == (50, 1)


def test_trace_highlights(tmp_path):
    files = write_official(tmp_path)
    raw = [{"video": "x.mp4", "id": 11, "timestamps": [[4.0], [6.0], [14.0]], "scores": [[3.0], [2.0], [4.5]], "captions": ["a", "b", "c"]}]
    asked = [{"qid": 11, "pred": "The highlight frames are in the 2, 3, 7 frames. Their saliency scores are 3.0, 2.0, 4.5."}]
    path, same = write(tmp_path / "trace.json", raw), write(tmp_path / "numpro.json", asked)
    assert score_highlights(path, files["qvhighlights"]).metrics == score_highlights(same, files["qvhighlights"]).metrics


def test_vtimellm(tmp_path):
    rows = [
        {"video_id": "v_a", "task": "captioning", "query_id": 0, "answer": "..."},
        {"video_id": "v_a", "task": "grounding", "query_id": 0, "answer": "from 10 to 30.", "info": {"sentence_id": 0, "iou": 0.5}},
        {"video_id": "v_a", "task": "grounding", "query_id": 0, "answer": "unclear", "info": {"sentence_id": 1, "iou": 0}},
    ]
    path = write(tmp_path / "log.txt", rows)
    score = score_moments(path)
    assert (score.metrics["mIoU"], score.metrics["R@0.5"], score.counts["not understood"]) == (25, 50, 1)
    assert score.counts["captioning rows left out"] == 1
    truth = write(tmp_path / "val_2.json", {"v_a": {"duration": 50.0, "timestamps": [[5, 10], [0, 1]], "sentences": ["one", "two"]}})
    against_truth = score_moments(path, truth)
    assert (against_truth.metrics["mIoU"], against_truth.counts["captioning rows left out"]) == (25, 1)  # 5 to 15 s
    with pytest.raises(NumProError, match=r"log.txt: holds no moment prediction \(1 captioning rows left out\)"):
        score_moments(write(path, rows[:1]))
    with pytest.raises(NumProError, match="id '7' states no IoU, unlike the rows before it"):
        score_moments(write(path, [*rows, {"id": 7, "response": "From Frame 1 to Frame 2.", "gt_start": 0, "gt_end": 1}]))


def saliency_sample(**changes):
    logged = {"id": "11", "clips": 10, "relevant_clip_ids": [2], "saliency_scores": [[4, 4, 4]], **changes}
    return {"numpro": logged, "filtered_resps": ["The highlight frames are in the 2 frames. Their saliency scores are 4.0."]}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"qid": 1, "pred_relevant_windows": [4.0, 8.0]}, "got 4.0 in it"),
        ({"qid": 1, "pred_relevant_windows": [[None, 8.0]]}, "got [None, 8.0] in it"),
        ({"qid": 1, "pred_relevant_windows": [[1]]}, "got [1] in it"),
        ({"qid": 1, "pred_relevant_windows": [[1, 2, 3, 4]]}, "got [1, 2, 3, 4] in it"),
        ({"qid": 1, "pred_relevant_windows": [["1", 2]]}, "got ['1', 2] in it"),
        ({"qid": 1, "pred_relevant_windows": [[1, True]]}, "got [1, True] in it"),
        ({"qid": 1, "pred_relevant_windows": [[1, 10**400]]}, "in it"),
        ({"qid": 1, "pred_relevant_windows": "1,2"}, "must be a list of [start, end]"),
        ({"qid": 1, "pred_saliency_scores": "1,2,3"}, "must be a list of numbers"),
        ({"qid": 1.5, "pred_saliency_scores": [1]}, "the id must be a text or an integer"),
        ({"id": 1, "response": 5}, "response must be a text, got 5"),
        ({"numpro": {"id": "a", "fps": "x"}, "filtered_resps": ["x"]}, "fps must be a number above 0, got 'x'"),
        ({"numpro": {"fps": 1}, "filtered_resps": ["x"]}, "the key 'id' is missing"),
        ({"a>>>b>>>__import__('os')": "1 - 2"}, "the key must end in a span"),
        ({"a>>>b>>>[1, 2]": 5}, "the answer must be a text"),
        ({"video_id": "a", "task": "grounding", "answer": "x"}, "the key 'info' is missing"),
        (saliency_sample(clips=2e9), "the number of clips must be a whole number up to 500,000, got 2000000000.0"),
        (saliency_sample(clips=2 * 10**9), "the number of clips must be a whole number up to 500,000"),
        (saliency_sample(saliency_scores="444"), "relevant_clip_ids and saliency_scores must be lists"),
        (saliency_sample(saliency_scores=[[4, 4]]), "triples of saliency scores"),
        (saliency_sample(relevant_clip_ids=[10]), "has relevant clips outside 0 to 9"),
    ],
)
def test_a_broken_row_is_named_with_its_line(tmp_path, row, words):
    path = write(tmp_path / "p.jsonl", [{"qid": 0, "pred_relevant_windows": []}, row])
    with pytest.raises(NumProError) as error:
        score_moments(path)
    assert str(error.value).startswith(f"{path}:2: ")
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("row", "score", "words"),
    [
        ({"qid": 11, "pred_relevant_windows": [[1, 2, 1.0]]}, score_highlights, "predicts no saliency, .*use: numpro score moment"),
        ({"qid": 11, "pred_saliency_scores": [1, 2]}, score_moments, "predicts no window, .*use: numpro score highlight"),
        ({"qid": 11, "pred": "The highlight frames are in the 2 frames."}, score_moments, "is a highlight prediction"),
        ({"qid": 11, "response": "From Frame 1 to Frame 2."}, score_highlights, "is a moment prediction"),
    ],
)
def test_the_other_kind_is_refused(tmp_path, row, score, words):
    files = write_official(tmp_path)
    with pytest.raises(NumProError, match=words):
        score(write(tmp_path / "p.jsonl", [row]), files["qvhighlights"])


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(NumProError, match="holds no prediction"):
        score_moments(write(tmp_path / "p.jsonl", []))


def test_a_list_is_read_row_by_row(tmp_path):
    rows = [{"id": k, "response": "x" * 20_000 + " From Frame 1 to Frame 2.", "gt_start": 2, "gt_end": 4} for k in range(1000)]
    path = write(tmp_path / "p.json", rows)
    tracemalloc.start()
    assert sum(1 for _ in read_predictions(path)) == 1000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 20e6
    assert peak < 8e6
    path.write_text(path.read_text()[:-30])
    with pytest.raises(NumProError, match="p.json:1: is not JSON"):
        list(read_predictions(path))
    (tmp_path / "p.json").write_text('{"1": {}, "2": {}}')
    with pytest.raises(NumProError, match="is not a prediction file of a known layout"):
        score_moments(path)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "from 1 to 2", "a>>>b>>>[1, 2]", "9" * 400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["timestamp", "answers", "timestamps", "x"]), inner),
    max_leaves=8,
)
KEYS = [
    *("id", "qid", "query", "response", "gt_start", "gt_end", "pred", "pred_relevant_windows", "pred_saliency_scores", "timestamps"),
    *("scores", "captions", "video_id", "task", "answer", "info", "numpro", "filtered_resps", "fps", "truth_s", "a>>>b>>>[1, 2]"),
    *("clips", "relevant_clip_ids", "saliency_scores", "annotators_s", "mIoU", "iou", "sentence_id"),
]
rows = st.dictionaries(st.sampled_from(KEYS), values | st.dictionaries(st.sampled_from(KEYS), values, max_size=4), max_size=6)


@given(st.lists(rows, max_size=3) | st.dictionaries(st.sampled_from(["0", "a>>>b>>>[1, 2]"]), values), st.booleans())
@settings(max_examples=120, deadline=None, derandomize=True)
@pytest.mark.slow
def test_no_row_raises_anything_but_our_error(tmp_path_factory, content, lines):
    folder = tmp_path_factory.mktemp("any", numbered=True)
    path = write(folder / ("p.jsonl" if lines and isinstance(content, list) else "p.json"), content)
    for score in (score_moments, score_highlights):
        with contextlib.suppress(NumProError):
            assert all(not value > 100 for value in score(path).metrics.values())
    with contextlib.suppress(NumProError):
        compare_runs(path, path)
