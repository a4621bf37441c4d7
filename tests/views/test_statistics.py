"""The figures of a report, against figures made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from numpro_plugin.views.page import statistics
from numpro_plugin.views.runs import read_runs


@pytest.fixture
def runs(runs_folder):
    return read_runs([str(runs_folder / "first"), str(runs_folder / "second")])


def test_means_and_intervals(runs):
    figure = statistics.metric_figures(runs[0])["mIoU"]
    assert figure.mean == pytest.approx((50 + 0 + 100) / 3)
    assert 0 <= figure.low <= figure.mean <= figure.high <= 100


def test_differences_are_paired_and_failures_count_as_zero(runs):
    shared, figures = statistics.metric_differences(*runs)
    assert shared == 3
    change = [100 - 50, 200 / 3 - 0, 0 - 100]
    assert figures["mIoU"].mean == pytest.approx(np.mean(change))
    assert figures["mIoU"].low <= figures["mIoU"].mean <= figures["mIoU"].high
    assert statistics.metric_differences(runs[0], runs[0])[1]["mIoU"] == statistics.Figure(0, 0, 0)


def test_groups(runs):
    lengths = {group.label: (group.n, group.mean) for group in statistics.scores_by_length(runs[0])}
    assert lengths["0–5 s"] == (3, pytest.approx(50))
    assert lengths["over 80 s"] == (0, None)
    positions = [(group.n, group.mean) for group in statistics.scores_by_position(runs[0])]
    assert positions == [(1, 0.0), (0, None), (1, 50.0), (1, 100.0), (0, None)]  # middles at 1.5, 4 and 7 of 10 s


def test_curve_and_histogram_hold_every_query(runs):
    curve = dict(statistics.recall_curve(runs[0]))
    assert (curve[0.0], curve[0.5], curve[1.0]) == (100, pytest.approx(200 / 3), pytest.approx(100 / 3))
    assert sum(statistics.score_histogram(runs[0])) == 3


def test_reasons_are_put_together(runs):
    assert statistics.unread_answers(runs[0]) == [("no range between the numbers of the answer", 1)]
    ((reason, count),) = statistics.unread_answers(runs[1])
    assert reason.startswith("no answer: ")
    assert count == 1
