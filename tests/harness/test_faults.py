"""What a server withholds is a failed request, is never served from lmms-eval's response cache, and is asked again by the next run."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import openai
import pytest
import torch
from PIL import Image
from support.bases import SimpleBase, register_bases, write_task
from support.digits import read_number
from support.server import FAULTS, LOST, FaultyServer
from support.videos import read_counter, write_counter_video

from numpro_plugin import NumProError
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.benchmarks.readers.charades import CHARADES
from numpro_plugin.clips import clip as clip_module
from numpro_plugin.clips.cache import ClipCache
from numpro_plugin.clips.fitted import clip_pictures
from numpro_plugin.harness import register, task
from numpro_plugin.reports.compare import compare_runs
from numpro_plugin.reports.score import score_moments

ANSWER = "From Frame 0 to Frame 4."
TIMEOUT_S = 4
QUERIES = (*FAULTS, "fine")
STOCK, STOCK_SYNC, WRAPPED = {"model": "async_openai"}, {"model": "openai"}, {"model": "numpro", "base": "async_openai"}


@pytest.fixture
def server():
    server = FaultyServer(ANSWER)
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _quick_clients(monkeypatch):
    """No retries of the client's own, and a reader of videos for lmms-eval's clients: that of qwen_vl_utils needs an older torchvision."""
    from lmms_eval import protocol
    from lmms_eval.models.chat import async_openai
    from lmms_eval.models.simple import openai as simple_openai

    def fetch_video(shown):
        return torch.from_numpy(np.stack([np.asarray(picture) for picture in clip_pictures(Path(shown["video"]))])).permute(0, 3, 1, 2)

    monkeypatch.setattr(protocol, "fetch_video", fetch_video)
    monkeypatch.setenv("LMMS_IMAGE_ENCODE_FORMAT", "JPEG")
    monkeypatch.setattr("gc.collect", lambda *_: 0)  # a second for each model that is freed
    monkeypatch.setattr(async_openai, "AsyncOpenAI", partial(openai.AsyncOpenAI, max_retries=0))
    monkeypatch.setattr(simple_openai, "OpenAI", partial(openai.OpenAI, max_retries=0, timeout=TIMEOUT_S))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for name in ("ONE", "TWO"):
        write_counter_video(folder / f"{name}.mp4", [100 * k for k in range(90)], rate=10)
    return folder


@pytest.fixture
def charades(tmp_path, videos):
    """One question for each fault, and one that is always answered; all are answered rightly with `ANSWER`."""
    return write_table(tmp_path, videos, [f"{'ONE' if k % 2 else 'TWO'} 0.0 9.0##see {name}" for k, name in enumerate(QUERIES)])


def write_table(tmp_path, videos, lines):
    annotations = tmp_path / "charades_sta_test.txt"
    annotations.write_text("".join(f"{line}\n" for line in lines))
    return prepare(CHARADES, annotations, videos=videos, progress=False)


def run(server, cache, names=("numpro_charades",), include=None, *, model, max_tokens=None, **arguments):
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    given = {"model_version": "m", "base_url": server.url, "api_key": "none", "max_retries": 1, "timeout": TIMEOUT_S, **arguments}
    given |= {"num_concurrent": 16} if model == "openai" else {"num_cpus": 16} | arguments
    folders = [str(register.tasks_path()), *([str(include)] if include else [])]
    return simple_evaluate(
        model=model,
        model_args=",".join(f"{name}={value}" for name, value in given.items()),
        tasks=list(names),
        task_manager=TaskManager(include_path=folders, include_defaults=False, model_name=model),
        bootstrap_iters=0,
        use_cache=str(cache),
        max_tokens=max_tokens,
        gen_kwargs="top_p=1",  # async_openai adds it to a request that has none, under which its answer is not found again
    )


def scores(results, name="numpro_charades"):
    """Percent of failed requests, of unreadable answers and of answers with an IoU of 0.7 or more."""
    return pytest.approx(tuple(results["results"][name][f"{metric},none"] for metric in ("request_fail", "parse_fail", "R@0.7")))


def percent(*counts):
    return tuple(100 * count / len(QUERIES) for count in counts)


def names_in(questions):
    return sorted(name for question in questions for name in QUERIES if name in question)


def write_samples(results, folder, name="numpro_charades"):
    folder.mkdir()
    path = folder / f"samples_{name}.jsonl"
    path.write_text("".join(json.dumps(sample, default=str) + "\n" for sample in results["samples"][name]))
    return path


@pytest.mark.parametrize(
    ("model", "run_id"),
    [pytest.param(STOCK, None, marks=pytest.mark.slow), (STOCK_SYNC, "same"), (WRAPPED, None)],
    ids=["async_openai", "openai, one run id", "numpro"],
)
def test_a_bad_minute_of_the_server(tmp_path, server, charades, monkeypatch, model, run_id):
    if run_id:  # lmms-eval then puts what its log holds back into its database
        monkeypatch.setenv("LMMS_CACHE_RUN_ID", run_id)
    server.slow_s = 2 * TIMEOUT_S if model is STOCK else 0
    first = run(server, tmp_path / "cache", **model)
    assert names_in(server.take_asked()) == sorted(QUERIES)
    assert scores(first) == percent(len(LOST), 1, 1)
    assert [len(stored(database)) for database in databases(tmp_path / "cache")] == [2, 2]

    server.well = True
    second = run(server, tmp_path / "cache", **model)
    assert names_in(server.take_asked()) == sorted(LOST)
    assert scores(second) == percent(0, 1, len(QUERIES) - 1)

    third = run(server, tmp_path / "cache", **model)
    assert server.take_asked() == []
    assert scores(third) == percent(0, 1, len(QUERIES) - 1)

    logs = [write_samples(results, tmp_path / name) for name, results in (("first", first), ("second", second))]
    assert [score_moments(path).counts["failed requests"] for path in logs] == [len(LOST), 0]
    differences = {found.metric: (found.a, found.b) for found in compare_runs(*logs).differences}
    assert differences["request_fail"] == (pytest.approx(100 * len(LOST) / len(QUERIES)), 0)


FEW = [f"{name} 0.0 9.0##see {k}" for k, name in enumerate(("ONE", "TWO", "TWO"))]


def test_a_server_that_is_down(tmp_path, server, videos):
    write_table(tmp_path, videos, FEW)
    server.stop()
    assert scores(run(server, tmp_path / "cache", **STOCK)) == (100, 0, 0)
    server.start_again()
    assert scores(run(server, tmp_path / "cache", **STOCK)) == (0, 0, 100)
    assert len(server.take_asked()) == 3


def test_a_spent_budget(tmp_path, server, videos):
    write_table(tmp_path, videos, FEW)
    assert scores(run(server, tmp_path / "cache", num_cpus=1, max_tokens=1, **STOCK)) == (200 / 3, 0, 100 / 3)
    (asked,) = server.take_asked()
    assert scores(run(server, tmp_path / "cache", num_cpus=1, **STOCK)) == (0, 0, 100)
    assert len(server.asked) == 2
    assert asked not in server.asked


def test_an_interrupted_run(tmp_path, server, videos):
    """Nothing of it is taken for an answer."""
    write_table(tmp_path, videos, FEW)
    server.before_answer = lambda: len(server.asked) == 2 and signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(server, tmp_path / "cache", num_cpus=1, **STOCK)
    server.before_answer = lambda: None
    assert scores(run(server, tmp_path / "cache", num_cpus=1, **STOCK)) == (0, 0, 100)


# ---------------------------------------------------------------- clips


@pytest.mark.parametrize("model", [STOCK, WRAPPED], ids=["async_openai", "numpro"])
@pytest.mark.slow
def test_what_was_said_about_a_blank_clip(tmp_path, server, videos, monkeypatch, model):
    """A video that could not be read for a while, the file is the same: its questions are asked again."""
    write_table(tmp_path, videos, FEW)

    def numbered_clip(video, *args, **options):
        if "TWO" in str(video):
            raise NumProError(f"{video}: Input/output error")
        return clip_module.numbered_clip(video, *args, **options)

    with monkeypatch.context() as context:
        context.setattr(task, "numbered_clip", numbered_clip)
        first = run(server, tmp_path / "cache", **model)
    assert first["results"]["numpro_charades"]["request_fail,none"] == pytest.approx(200 / 3)
    assert score_moments(write_samples(first, tmp_path / "log")).counts["failed requests"] == 2
    server.take_asked()
    assert scores(run(server, tmp_path / "cache", **model)) == (0, 0, 100)
    assert [text.count("see 1") + text.count("see 2") for text in server.take_asked()] == [1, 1]


def test_clips_that_vanish_or_are_damaged_while_a_run_goes_on(tmp_path, server, videos, monkeypatch):
    """The server gets the right frames all the same."""
    monkeypatch.setenv("LMMS_IMAGE_ENCODE_FORMAT", "PNG")
    write_table(tmp_path, videos, FEW)

    def disturb():
        clips = sorted(ClipCache().folder.rglob("*.mp4"))
        if len(server.asked) == 1:
            for clip in clips:
                clip.write_bytes(bytes(clip.stat().st_size))
        else:
            shutil.rmtree(ClipCache().folder)

    server.before_answer = disturb
    assert scores(run(server, tmp_path / "cache", num_cpus=1, **WRAPPED)) == (0, 0, 100)
    assert len(server.frames) == 3
    for frames in server.frames:
        assert [read_number(frame) for frame in frames] == [0, 1, 2, 3, 4]
        assert [read_counter(frame) for frame in frames] == [0, 20, 40, 60, 80]


# ---------------------------------------------------------------- other tasks and types of request


def test_another_ones_task(tmp_path, server):
    """Texts that may be true answers there reach its scores as they are; none of them is served again."""
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.png")
    rows = [{"kind": "image", "what": tmp_path / "picture.png", "question": name} for name in QUERIES]
    include = write_task(tmp_path / "task", rows)
    first = run(server, tmp_path / "cache", ["foreign"], include, **STOCK_SYNC)
    texts = dict(zip(QUERIES, (sample["filtered_resps"][0] for sample in first["samples"]["foreign"]), strict=True))
    marked = [name for name, text in texts.items() if text.startswith("[LMMS_EVAL_REQUEST_FAILED")]
    assert marked == ["too many", "broken", "slow", "dropped", "null", "refused"]
    assert (texts["empty"], texts["filtered"], texts["error"]) == ("", "", FAULTS["error"]["content"])
    server.take_asked()
    server.well = True
    run(server, tmp_path / "cache", ["foreign"], include, **STOCK_SYNC)
    assert names_in(server.take_asked()) == sorted(LOST)


SCRIPTS = {
    "loglikelihood": ([(-1.5, True), (float("-inf"), False), (float("nan"), False), (0, True)], [1, 2]),
    "generate_until_multi_round": (
        [["one", "two"], ["one", "[LMMS_EVAL_REQUEST_FAILED after 5 retries] no"], ["", "two"], ["Error: no", "two"], ["one", None]],
        [1, 3, 4],
    ),
    "generate_until": (["one", "[GENERATION_FAILED] no", "Error: no", None, "An error: from frame 1 to 2"], [1, 2, 3]),
}
"""By type of request: what a model in this process answers, and which of the requests must be asked again."""


@pytest.mark.parametrize("kind", SCRIPTS)
def test_a_local_model_and_every_type_of_request(tmp_path, monkeypatch, kind):
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    register_bases()
    answers, again = SCRIPTS[kind]
    asked = []

    def answer(self, requests):
        asked.append([request.doc_id for request in requests])
        return [answers[request.doc_id] for request in requests]

    monkeypatch.setattr(SimpleBase, kind, answer)
    include = write_task(tmp_path / "task", [{"kind": "sound", "what": ""} for _ in answers], kind=kind)
    for _ in range(2):
        manager = TaskManager(include_path=str(include), include_defaults=False)
        simple_evaluate(
            model="numpro_test_simple",
            tasks=["foreign"],
            task_manager=manager,
            bootstrap_iters=0,
            use_cache=str(tmp_path / "cache"),
            log_samples=False,
        )
    assert asked == [list(range(len(answers))), again]


# ---------------------------------------------------------------- caches of earlier versions


@pytest.mark.slow
def test_a_cache_that_holds_failures_heals(tmp_path, server, charades, monkeypatch):
    monkeypatch.setenv("LMMS_CACHE_RUN_ID", "one")
    server.well = True
    cache = tmp_path / "cache"
    run(server, cache, **STOCK)
    shared, own = databases(cache)
    good = stored(shared)
    assert len(good) == len(QUERIES)

    for database in shared, own:
        spoil(database)
    server.take_asked()
    assert scores(run(server, cache, **STOCK)) == (0, 0, 100)
    assert len(server.take_asked()) == len(FAILURES)
    assert stored(shared) == stored(own) == good

    spoil(own)  # it hides the shared one
    assert scores(run(server, cache, **STOCK)) == (0, 0, 100)
    assert server.take_asked() == []


FAILURES = (None, "", "[LMMS_EVAL_REQUEST_FAILED after 5 retries] from 0 to 1", "[LMMS_EVAL_BUDGET_EXCEEDED]", "Error: no", ["a", None])


def spoil(database):
    """Put failures in the place of answers."""
    keys = sorted(stored(database))[: len(FAILURES)]
    with closing(sqlite3.connect(database)) as opened, opened:
        rows = zip(map(json.dumps, FAILURES), keys, strict=True)
        opened.executemany("UPDATE responses SET response = ? WHERE cache_key = ?", rows)


def stored(database):
    with closing(sqlite3.connect(database)) as opened:
        return dict(opened.execute("SELECT cache_key, response FROM responses"))


def databases(cache):
    """The one that all runs share, and that of the only run."""
    (own,) = cache.glob("runs/*/rank_0.db")
    return cache / "cache.db", own
