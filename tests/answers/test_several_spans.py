"""An answer with several spans: the first is the prediction (R@, mIoU), all of the believed tier count for MR-mAP."""

from __future__ import annotations

import json

import pytest
from support.annotations import write_official

from numpro_plugin import parse_moment
from numpro_plugin.metrics.windows import brief_scores, window_tables
from numpro_plugin.reports.score import score_moments

TRUE_S = [[4, 8], [14, 18]]  # of query 11; at 0.5 fps the frames 2 to 4 and 7 to 9


@pytest.fixture
def scores(tmp_path):
    """Metrics of one answer to query 11."""
    truth = write_official(tmp_path)["qvhighlights"]
    truth.write_text(truth.read_text().splitlines()[0] + "\n")

    def score(response):
        path = tmp_path / "p.jsonl"
        path.write_text(json.dumps({"qid": 11, "response": response}) + "\n")
        return score_moments(path, truth).metrics

    return score


def test_every_span_counts_for_map(scores):
    both = scores("From Frame 2 to Frame 4 and from Frame 7 to Frame 9.")
    assert both["MR-full-mAP"] == 100
    assert both["MR-full-mAP"] == pytest.approx(brief_scores(window_tables([[[4, 8, 1.0], [14, 18, 0.5]]], [TRUE_S]))["MR-full-mAP"])
    assert scores("From Frame 2 to Frame 4.")["MR-full-mAP"] == 50


def test_the_first_span_is_the_prediction(scores):
    """A second span, right or wrong, changes neither R@ nor mIoU."""
    one, first_wrong = scores("From Frame 2 to Frame 4."), scores("From Frame 0 to Frame 1 and from Frame 2 to Frame 4.")
    two = scores("From Frame 2 to Frame 4 and from Frame 0 to Frame 1.")
    assert two["mIoU"] == one["mIoU"] == 100
    assert two["R@0.5"] == two["MR-full-R1@0.5"] == 100
    assert first_wrong["mIoU"] == first_wrong["MR-full-R1@0.5"] == 0
    assert first_wrong["MR-full-mAP"] > 0


NARRATED = {
    "Frames 0-1: he waits.\nFrames 5-6: he sits.\n\nAnswer: From Frame 2 to Frame 4": [(2, 4)],
    "<think>From Frame 7 to Frame 9?</think>From Frame 2 to Frame 4": [(2, 4)],
    "In frames 0-1 he waits. From Frame 2 to Frame 4 the boat is seen.": [(2, 4)],
    "Before that, from Frame 0 to Frame 1, he waits. From Frame 2 to Frame 4.": [(2, 4)],
    "The video has 10 frames (0-9). From Frame 2 to Frame 4.": [(2, 4)],
    "It is not visible from Frame 0 to Frame 1. From Frame 2 to Frame 4.": [(2, 4)],
    "From Frame 0 to Frame 1. Wait, no: From Frame 2 to Frame 4.": [(2, 4)],
    "From Frame 2 to Frame 4 (4-8 seconds).": [(2, 4)],
    "Someone else does it from Frame 7 to Frame 9; he does it from Frame 2 to Frame 4.": [(2, 4)],
    "From Frame 2 to Frame 4.\nuser\nAnd from Frame 7 to Frame 9?": [(2, 4)],
    "From Frame 2 to Frame 4. Afterwards, from Frame 5 to Frame 9, the lake is empty.": [(2, 4)],
    "1. From Frame 2 to Frame 4\n2. From Frame 7 to Frame 9": [(2, 4), (7, 9)],
    "<answer>[[2, 4], [7, 9]]</answer>": [(2, 4), (7, 9)],
    "Frames 2-4, 7-9.": [(2, 4), (7, 9)],
    '[{"start": 2, "end": 4}, {"start": 7, "end": 9}]': [(2, 4), (7, 9)],
    "frames 2, 3, 4 and frames 7, 8, 9": [(2, 4), (7, 9)],
}


@pytest.mark.parametrize("text", NARRATED)
def test_narration_never_enters(text):
    assert list(parse_moment(text, last_number=9).spans) == NARRATED[text]


def test_more_than_ten_spans_count_as_ten(scores):
    """moment_detr looks at ten windows; the eleventh is not one of them."""
    wrong = ", ".join(f"from Frame {k} to Frame {k}" for k in range(10))
    assert scores(f"{wrong}, from Frame 2 to Frame 4")["MR-full-mAP"] == 0
