"""Bases that send pictures over a wire, for real: lmms-eval's own clients against a server that looks at what it gets."""

from __future__ import annotations

import pytest
from support.bases import write_task
from support.digits import read_number
from support.server import ChatServer
from support.videos import read_counter, write_counter_video

from numpro_plugin import NumProError
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.benchmarks.readers.charades import CHARADES
from numpro_plugin.harness.register import tasks_path
from numpro_plugin.prompts import NUMBERS_SENTENCE

RATES = {"HOURS": (150, 8), "HALFS": (61, 10), "SHORT": (9, 20)}
"""Seconds and frames per second of each video: a frame's counter tells which video it is of."""


@pytest.fixture
def server():
    server = ChatServer(lambda asked: f"From Frame 0 to Frame {len(asked.frames) - 1}.")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for name, (seconds, rate) in RATES.items():
        write_counter_video(folder / f"{name}.mp4", [round(k * 1000 / rate) for k in range(seconds * rate)], rate=rate)
    return folder


@pytest.fixture
def charades(tmp_path, videos):
    annotations = tmp_path / "charades_sta_test.txt"
    annotations.write_text("".join(f"{name} 1.0 8.0##see {name} {k}\n" for name in RATES for k in range(2)))
    return prepare(CHARADES, annotations, videos=videos, progress=False)


def run(server, tasks, include=None, base="async_openai", *, simple=False, **arguments):
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    given = {"base": base, "model_version": "m", "base_url": server.url, "api_key": "none", "max_retries": 1, **arguments}
    folders = [str(tasks_path()), *([str(include)] if include else [])]
    return simple_evaluate(
        model="numpro",
        model_args=",".join(f"{name}={value}" for name, value in given.items()),
        tasks=tasks,
        task_manager=TaskManager(include_path=folders, include_defaults=False, model_name="numpro"),
        bootstrap_iters=0,
        force_simple=simple,
    )


def check(text, frames, *, numbers=True):
    """Every number of the video that is asked about, once, in order, on the frame that was on screen at its time."""
    (name,) = [name for name in RATES if name in text]
    seconds, rate = RATES[name]
    count = -(-seconds // 2)
    assert [read_number(frame) for frame in frames] == (list(range(count)) if numbers else [None] * count)
    assert [read_counter(frame) for frame in frames] == [2 * rate * k for k in range(count)]
    assert {frame.shape for frame in frames} == {(336, 336, 3)}


@pytest.mark.parametrize(
    ("base", "simple", "options"),
    [("async_openai", False, {"num_cpus": 4}), ("openai", False, {"num_concurrent": 4}), ("openai", True, {"num_concurrent": 4})],
    ids=["async_openai", "openai", "openai, simple"],
)
@pytest.mark.slow
def test_a_server_gets_every_frame_once_in_order(server, charades, base, simple, options):
    server.waits_for_company = True
    results = run(server, ["numpro_charades"], base=base, simple=simple, **options)
    assert sorted(len(asked.frames) for asked in server.requests) == [5, 5, 31, 31, 75, 75]
    for asked in server.requests:
        check(asked.text, asked.frames)
        assert asked.text.count("The red numbers") == 1
        assert [k for k, part in enumerate(asked.parts) if isinstance(part, str)] == [0 if simple else len(asked.frames)]
    assert server.company.is_set()
    # Each answer comes back to the request whose frames it is about.
    for sample in results["samples"]["numpro_charades"]:
        seconds, _ = RATES[sample["doc"]["query"].split()[1].upper()]
        assert sample["numpro"]["parsed"] == [0, -(-seconds // 2) - 1]


@pytest.mark.slow
def test_a_foreign_task_with_segments_and_without_numbers(server, tmp_path, videos):
    rows = [
        {"kind": "segment", "what": videos / "HALFS.mp4", "start": 20, "end": 31, "question": "HALFS from 20 s on?"},
        {"kind": "video", "what": videos / "SHORT.mp4", "question": "SHORT?"},
    ]
    include = write_task(tmp_path / "task", rows)
    run(server, ["foreign"], include, num_cpus=1)
    run(server, ["foreign"], include, num_cpus=1, numbers="false")
    by_text = {asked.text: asked.frames for asked in server.requests}
    assert set(by_text) == {
        f"{NUMBERS_SENTENCE} All: HALFS from 20 s on?",
        f"{NUMBERS_SENTENCE} All: SHORT?",
        "All: HALFS from 20 s on?",
        "All: SHORT?",
    }
    check("SHORT", by_text["All: SHORT?"], numbers=False)
    segment = by_text[f"{NUMBERS_SENTENCE} All: HALFS from 20 s on?"]
    assert [read_number(frame) for frame in segment] == [0, 1, 2, 3, 4, 5]
    assert [read_counter(frame) for frame in segment] == [200 + 20 * k for k in range(6)]


@pytest.mark.slow
def test_a_served_qwen3_vl_gets_the_times_too(server, tmp_path, videos):
    rows = [{"kind": "segment", "what": videos / "SHORT.mp4", "start": 1, "end": 6, "question": "SHORT?"}]
    run(server, ["foreign"], write_task(tmp_path / "task", rows), is_qwen3_vl="true")
    asked = server.requests[0]
    assert asked.text == f"<1.0 seconds> <3.0 seconds> <5.0 seconds> {NUMBERS_SENTENCE} All: SHORT?"
    assert [isinstance(part, str) for part in asked.parts] == [*[True, False] * 3, True]


def test_our_own_errors_are_not_failed_requests(server, tmp_path, videos):
    """The client takes every exception for a failure of the server, tries again and goes on; our own errors stop the run."""
    good = {"kind": "video", "what": videos / "SHORT.mp4", "question": "SHORT?"}
    include = write_task(tmp_path / "task", [good, good, good, {"kind": "video", "what": "http://host/a.mp4", "question": "which?"}])
    with pytest.raises(NumProError, match="http://host/a.mp4: NumPro numbers videos on this machine"):
        run(server, ["foreign"], include, num_cpus=1)


@pytest.mark.slow
def test_an_unreadable_video_is_a_failed_request_for_the_tasks_scores(server, tmp_path, videos):
    rows = [{"kind": "video", "what": path, "question": "SHORT?"} for path in (videos / "SHORT.mp4", tmp_path / "absent.mp4")]
    results = run(server, ["foreign"], write_task(tmp_path / "task", rows))
    assert results["results"]["foreign"]["good,none"] == 0.5
    assert "absent.mp4: no such file" in results["samples"]["foreign"][1]["filtered_resps"][0]
