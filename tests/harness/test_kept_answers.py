"""``--model numpro`` keeps the answers of its base: what is asked again after a kill, and what decides that an answer is another one."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.bases import ChatBase, SimpleBase, register_bases, write_task
from support.server import ChatServer
from support.videos import write_counter_video

from numpro_plugin import NumProSettings
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.benchmarks.readers.charades import CHARADES
from numpro_plugin.environment import answers_folder
from numpro_plugin.files import file_identity
from numpro_plugin.harness.hf.questions import key_of
from numpro_plugin.harness.lmms import in_agentic_loop
from numpro_plugin.harness.register import tasks_path
from numpro_plugin.harness.wrap.identity import base_identity
from numpro_plugin.harness.wrap.keys import request_key
from numpro_plugin.harness.wrap.pieces import Piece, cut, piece_size
from numpro_plugin.harness.wrap.readers import READERS, Reader
from numpro_plugin.inference.asking import Question, VideoQuestions
from numpro_plugin.inference.generation import GenerationOptions

NAMES = ("FIRST", "OTHER", "THIRD")
SECRET = "sk-very-secret-1234567890"


@pytest.fixture
def server():
    server = ChatServer(lambda asked: f"From Frame 1 to Frame {2 + len(asked.text) % 2}.", usage=(700, 9))
    yield server
    server.stop()


@pytest.fixture(scope="module", autouse=True)
def _bases():
    register_bases()


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for k, name in enumerate(NAMES):
        write_counter_video(folder / f"{name}.mp4", [n * 1000 for n in range(6 + 4 * k)], rate=1)
    return folder


@pytest.fixture
def charades(tmp_path, videos, monkeypatch):
    """Four questions about each of three videos, in small frames."""
    monkeypatch.setenv("NUMPRO_FRAME_SIZE", "84")
    annotations = tmp_path / "charades_sta_test.txt"
    annotations.write_text("".join(f"{name} 1.0 5.0##see {name} {'again ' * k}\n" for k in range(4) for name in NAMES))
    return prepare(CHARADES, annotations, videos=videos, progress=False)


def model_args(server, **given):
    values = {"base": "async_openai", "model_version": "m", "base_url": server.url, "api_key": SECRET, "max_retries": 1, "num_cpus": 2}
    values["requests_per_call"] = 5
    return ",".join(f"{name}={value}" for name, value in {**values, **given}.items() if value is not None)


def run(arguments, tasks="numpro_charades", include=None, *, simple=False, **options):
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    folders = [str(tasks_path()), *([str(include)] if include else [])]
    return simple_evaluate(
        model="numpro",
        model_args=arguments,
        tasks=tasks.split(","),
        task_manager=TaskManager(include_path=folders, include_defaults=False, model_name="numpro"),
        bootstrap_iters=0,
        force_simple=simple,
        **options,
    )


def scores(results, task="numpro_charades"):
    return {name: value for name, value in results["results"][task].items() if name.endswith(",none")}


# ---------------------------------------------------------------- runs that are killed


@pytest.mark.slow
def test_a_killed_run_asks_what_is_left_and_at_most_one_piece_again(server, charades, tmp_path):
    started: list[subprocess.Popen] = []

    def answer(asked, as_always=server.answer):
        if len(server.requests) == 8:
            started[0].kill()  # does nothing once it has ended
        return as_always(asked)

    server.answer = answer
    arguments = model_args(server, requests_per_call=3)
    command = [sys.executable, "-m", "lmms_eval", "--model", "numpro", "--model_args", arguments, "--tasks", "numpro_charades"]
    with server.lock:  # no question is answered before there is something to kill
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    assert started[0].wait() == -signal.SIGKILL
    assert 8 <= len(server.take()) <= 9  # two are under way at once
    results = run(arguments)
    assert len(server.take()) == 12 - 6  # two pieces were whole
    assert results["samples"]["numpro_charades"][0]["token_counts"] == [{"input_tokens": 700, "output_tokens": 9, "reasoning_tokens": 0}]
    whole = run(model_args(server, resume=False))
    assert len(server.take()) == 12
    assert scores(results) == scores(whole)
    assert scores(results)["R@0.5,none"] > 0


TWO_PROCESSES = """
import json, os, sys
import torch, torch.distributed as dist
from accelerate import Accelerator
sys.path.insert(0, sys.argv[1])
from support import bases

class Meeting(bases.ChatBase):
    calls = []
    accelerator, device = Accelerator(cpu=True), torch.device("cpu")
    def generate_until(self, requests):
        everyone = [None] * 2
        dist.all_gather_object(everyone, len(requests))
        Meeting.calls.append(everyone)
        return super().generate_until(requests)

bases.ChatBase = Meeting
bases.register_bases()
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.tasks import TaskManager
manager = TaskManager(include_path=sys.argv[2], include_defaults=False, model_name="numpro")
out = []
for cache, responses in ((os.environ["NUMPRO_CACHE"], None), (sys.argv[2] + " empty", sys.argv[4])):
    os.environ["NUMPRO_CACHE"] = cache
    options = {"use_cache": responses, "task_manager": manager, "bootstrap_iters": 0, "batch_size": 1, "device": "cpu"}
    results = simple_evaluate(model="numpro", model_args="base=numpro_test_both,requests_per_call=2", tasks=["foreign"], **options)
    if int(os.environ["RANK"]) == 0:
        out.append({"calls": list(Meeting.calls), "answers": [s["resps"][0][0] for s in results["samples"]["foreign"]]})
    Meeting.calls.clear()
if int(os.environ["RANK"]) == 0:
    with open(sys.argv[3], "w") as file:
        json.dump(out, file)
"""


@pytest.mark.slow
def test_two_processes_call_a_base_equally_often_whatever_each_has_left(tmp_path, videos, monkeypatch):
    """The base of the test waits for the other process in every call, as models with collectives do."""
    rows = [{"kind": "video", "what": videos / f"{NAMES[k % 3]}.mp4", "question": f"{k}?"} for k in range(9)]
    write_task(tmp_path / "task", rows[::2])  # what lmms-eval will deal out to the first process, and to it alone
    run("base=numpro_test_both,requests_per_call=2", "foreign", tmp_path / "task")
    assert len(SimpleBase.seen) == 5
    write_task(tmp_path / "task", rows)
    with monkeypatch.context() as patched:
        patched.setenv("NUMPRO_CACHE", str(tmp_path / "for the response cache"))
        options = {"use_cache": str(tmp_path / "responses"), "batch_size": 1, "device": "cpu"}
        run("base=numpro_test_both,requests_per_call=2", "foreign", tmp_path / "task", **options)
    with closing(sqlite3.connect(tmp_path / "responses" / "cache.db")) as database, database:
        database.execute("DELETE FROM responses WHERE doc_id % 2 = 1")
    (tmp_path / "program.py").write_text(TWO_PROCESSES)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", str(tmp_path / "program.py")]
    given = [str(Path(__file__).parents[1]), *(str(tmp_path / name) for name in ("task", "out.json", "responses"))]
    done = subprocess.run([*launch, *given], capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert (tmp_path / "out.json").exists(), done.stderr[-3000:]
    kept, cached = json.loads((tmp_path / "out.json").read_text())
    # The second has four and the copy that lmms-eval adds; the first, with nothing left, repeats one request to keep step.
    assert kept["calls"] == [[1, 2], [1, 2], [1, 1]]
    # Where lmms-eval's response cache has all of the first's answers, its base is called with nothing.
    assert cached["calls"] == [[0, 2], [0, 2], [0, 1]]
    assert len(kept["answers"]) == len(cached["answers"]) == 9
    run("base=numpro_test_both,requests_per_call=2", "foreign", tmp_path / "task")
    assert SimpleBase.seen == []


# ---------------------------------------------------------------- what makes an answer another one


@pytest.mark.slow
def test_what_asks_again_and_what_does_not(server, charades, videos, monkeypatch, tmp_path):
    def asked(gen_kwargs=None, **given):
        run(model_args(server, **given), gen_kwargs=gen_kwargs)
        return len(server.take())

    assert [asked(), asked()] == [12, 0]
    # Another key, other numbers of requests at once and of retries, and the address in a variable change no answer.
    monkeypatch.setenv("OPENAI_API_BASE", server.url)
    assert asked(base_url=None, api_key="sk-another", num_cpus=3, max_retries=2, timeout=9, requests_per_call=6) == 0
    assert asked(base_url=server.url.replace("v1", "v2"), system_prompt="Be brief.") == 12
    assert asked("max_new_tokens=7") == 12
    assert asked(resume=False) == 12
    with monkeypatch.context() as patched:
        patched.setenv("NUMPRO_FONT_SIZE", "60")
        assert asked() == 12
    write_counter_video(videos / "OTHER.mp4", [k * 1000 for k in range(11)], rate=1)
    assert asked() == 4
    held = "".join(path.read_text() for path in answers_folder().rglob("*") if path.is_file())
    assert "From Frame 1" in held
    assert not re.search(r"sk-|127\.0\.0\.1|see FIRST|Be brief", held + "".join(map(str, answers_folder().rglob("*"))))


@pytest.mark.slow
def test_what_is_no_answer_is_asked_again(server, charades, tmp_path):
    """Null, an empty text and an error's text; a text that was cut off is an answer, under its limit."""
    as_always, bad = (
        server.answer,
        {"FIRST again again again": None, "OTHER again again again": " ", "THIRD again again again": "Error: busy"},
    )

    def answer(asked):
        return next((reply for words, reply in bad.items() if words in asked.text), as_always(asked))

    server.answer = answer
    for failing in (12, 3):
        results = run(model_args(server))
        assert len(server.take()) == failing
    assert scores(results)["R@0.5,none"] < 100
    server.answer = lambda asked: "<think>From"
    run(model_args(server))
    assert len(server.take()) == 3
    run(model_args(server))
    assert len(server.take()) == 0


@pytest.mark.slow
def test_a_video_that_is_replaced_during_the_run_is_noticed(server, charades, videos, caplog):
    as_always = server.answer

    def answer(asked):
        if len(server.requests) == 12:
            write_counter_video(videos / "OTHER.mp4", [k * 1000 for k in range(13)], rate=1)
        return as_always(asked)

    server.answer = answer
    run(model_args(server))
    assert caplog.text.count("OTHER.mp4 was replaced during the run; answers about it are not kept for a later run") == 1
    assert len(server.take()) == 12
    run(model_args(server))
    assert len(server.take()) == 4


@pytest.mark.slow
def test_an_unreadable_video_of_a_task_is_asked_about_again_when_it_is_mended(server, charades, videos):
    whole = (videos / "OTHER.mp4").read_bytes()
    times = (videos / "OTHER.mp4").stat().st_mtime_ns
    (videos / "OTHER.mp4").write_bytes(b"\0" * len(whole))
    os.utime(videos / "OTHER.mp4", ns=(times, times))
    results = run(model_args(server))
    assert scores(results)["request_fail,none"] == pytest.approx(100 / 3)
    server.take()
    (videos / "OTHER.mp4").write_bytes(whole)
    os.utime(videos / "OTHER.mp4", ns=(times, times))  # so that only what was shown can tell
    run(model_args(server))
    assert len(server.take()) == 4


@pytest.mark.parametrize("simple", [False, True], ids=["chat", "simple"])
@pytest.mark.slow
def test_tasks_that_are_not_numpros_are_kept_too(tmp_path, videos, simple):
    Image.new("RGB", (40, 30), (9, 9, 9)).save(tmp_path / "image.png")
    rows = [
        {"kind": "video", "what": videos / "FIRST.mp4"},
        {"kind": "segment", "what": videos / "OTHER.mp4", "start": 1, "end": 5},
        {"kind": "image", "what": tmp_path / "image.png"},
        {"kind": "sound", "what": ""},
        {"kind": "video", "what": tmp_path / "absent.mp4"},
    ]
    include = write_task(tmp_path / "task", rows)

    def asked(**given):
        run(",".join(f"{name}={value}" for name, value in {"base": "numpro_test_both", **given}.items()), "foreign", include, simple=simple)
        return sorted(text.rpartition("Question ")[2] for text, _ in SimpleBase.seen)

    assert [asked(), asked()] == [["0?", "1?", "2?", "3?", "4?"], ["4?"]]  # what could not be read is asked again
    assert asked(font_size=60) == ["0?", "1?", "2?", "3?", "4?"]
    Image.new("RGB", (40, 30), (9, 9, 8)).save(tmp_path / "image.png")
    include = write_task(tmp_path / "task", [{**row, "end": 4} for row in rows])
    assert asked() == ["1?", "2?", "4?"]


# ---------------------------------------------------------------- keys


def test_keys_of_requests_are_complete_or_there_is_none(tmp_path):
    from lmms_eval.api.instance import Instance

    (tmp_path / "frames").mkdir()
    picture = Image.new("RGB", (8, 8))
    for k in range(3):
        picture.save(tmp_path / "frames" / f"{k}.png")

    def key(shown, *, request_type="generate_until", options=None, text="When?", chat=False, more=(), repeat=0):
        options = {"max_new_tokens": 9, **(options or {})}
        arguments = (text, lambda _: shown, options) if chat else (text, options, lambda _: shown)
        request = Instance(request_type, (*arguments, *more, 0, "t", "test"), 0, {"task": "t", "doc_id": 0, "repeats": 1})
        model = type("Model", (), {"task_dict": {"t": {"test": [{}]}}})
        return request_key(model, request, request_type, chat=chat, settings=NumProSettings(), repeat=repeat)

    frames = str(tmp_path / "frames")
    sound = {"array": np.arange(3), "sampling_rate": 8000}
    cases = [[frames], [picture], [[picture] * 2], [np.zeros((2, 4, 4, 3), np.uint8)], [sound], [{"bytes": b"png"}], None, []]
    keys = [key(shown) for shown in cases]
    assert len({each.digest for each in keys}) == len(cases)
    assert keys == [key(shown) for shown in cases]
    assert len(keys[0].files) == 4  # the folder and its pictures
    picture.save(tmp_path / "frames" / "3.png")
    assert key([frames]) != keys[0]
    changed = Image.new("RGB", (8, 8), (0, 0, 1))
    others = [key([picture], text="Who?"), key([picture], options={"until": ["."]}), key([changed]), key([picture], repeat=1)]
    assert len({each.digest for each in [keys[1], *others]}) == 5
    messages = [{"role": "user", "content": [{"type": "image", "url": picture}, {"type": "text", "text": "frames"}]}]
    assert key(messages, chat=True) == key([dict(message) for message in messages], chat=True)
    assert key([{**messages[0], "role": "assistant"}], chat=True) != key(messages, chat=True)
    incomplete = [
        key(["https://host/a.mp4"]),
        key([{"url": "https://host/a.png"}]),
        key([str(tmp_path / "absent.mp4")]),
        key([object()]),
        key([picture], options={"temperature": 0.7}),
        key([picture], options={"do_sample": True}),
        key([picture], request_type="generate_until_multi_round"),
        key([picture], more=(lambda _: "computed later",)),
    ]
    assert incomplete == [None] * len(incomplete)


def test_keys_of_numpros_tasks_know_the_part_and_the_rate(tmp_path):
    from lmms_eval.api.instance import Instance

    (tmp_path / "a.mp4").write_bytes(b"1")
    settings = NumProSettings().to_dict()

    def key(*, fps=0.5, **doc):
        model = type("Model", (), {"task_dict": {"t": {"test": [{"video": str(tmp_path / "a.mp4"), "duration_s": 30.0, **doc}]}}})
        protocol = {"settings": {**settings, "fps": fps}, "prompt": "When {query}?"}
        metadata = {"task": "t", "doc_id": 0, "repeats": 1, "numpro": protocol}
        request = Instance("generate_until", ("When?", {}, lambda _: [], 0, "t", "test"), 0, metadata)
        return request_key(model, request, "generate_until", chat=False, settings=NumProSettings())

    keys = [key(), key(start_s=5.0), key(end_s=20.0), key(start_s=5.0, end_s=20.0), key(fps=1.0)]
    assert len({each.digest for each in keys}) == len(keys)
    assert key(start_s=None) == key(start_s=0.0) == keys[0]
    assert key(fps="auto") is not None
    assert key(fps="auto") != key(fps="auto", duration_s=3000.0)


def test_what_identifies_a_base(tmp_path, monkeypatch):
    weights = tmp_path / "model"
    weights.mkdir()
    (weights / "config.json").write_text("{}")
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("Be brief.")

    def identity(url=None, *, served=False, **arguments):
        client = type("Client", (), {"base_url": url})
        model = type("Model", (), {"is_simple": False, "client": client})
        return base_identity("base", model, arguments, served=served)

    before = identity(pretrained=str(weights), system_prompt=str(prompt))
    assert identity(pretrained=str(weights), system_prompt=str(prompt), batch_size=4, device="cpu", hf_token=SECRET, api_key="x") == before
    (weights / "config.json").write_text("{} ")
    retrained = identity(pretrained=str(weights), system_prompt=str(prompt))
    prompt.write_text("Be clear.")
    assert before != retrained != identity(pretrained=str(weights), system_prompt=str(prompt))
    # Behind a server the libraries of this machine do not matter, but its address does, and a file with a prompt.
    served = identity("http://a/v1/", base_url="http://a/v1", system_prompt=str(prompt))
    assert "torch" in before["versions"]
    assert "torch" not in served["versions"]
    assert served == identity("http://a/v1", system_prompt=str(prompt))
    prompt.write_text("Be kind.")
    assert served != identity("http://a/v1", system_prompt=str(prompt)) != identity("http://b/v1", system_prompt=str(prompt))
    assert identity(served=True, base_url="http://a") != identity(served=True, base_url="http://b")  # of a client that shows no address
    for variable in ("ANTHROPIC_BASE_URL", "LMMS_IMAGE_ENCODE_FORMAT"):
        unknown = identity(served=True)
        monkeypatch.setenv(variable, "other")
        assert identity(served=True) != unknown
    assert identity("http://a/v1", object=object()) == identity("http://a/v1", object=object())
    assert SECRET not in json.dumps(identity(api_key=SECRET, headers={"api_key": SECRET}))


def test_numpro_hf_looks_at_the_video_again_too(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"1")
    question = Question("When?", GenerationOptions())
    key = key_of(VideoQuestions(str(tmp_path / "a.mp4"), NumProSettings(), (question,), frames=1))
    assert key.files == (file_identity(tmp_path / "a.mp4"),)


# ---------------------------------------------------------------- pieces


def test_pieces_do_not_cross_groups():
    assert cut({16: [0, 3, 4], 5: [1, 2]}, 2) == [Piece([0, 3], 16), Piece([4], 16), Piece([1, 2], 5)]
    assert cut({None: range(5)}, None) == [Piece([0, 1, 2, 3, 4])]
    assert cut({None: []}, 3) == []


def test_the_size_of_a_piece_follows_what_runs_at_once():
    def size(reader=READERS["async_openai"], wanted=None, **attributes):
        return piece_size(type("Model", (), attributes), reader, wanted)

    assert (size(), size(num_cpus=16), size(num_concurrent=64, batch_size=2)) == (32, 128, 512)
    limits = type("Limits", (), {"max_concurrency": 128})
    assert size(num_cpus=4, adaptive_concurrency=True, adaptive_config=limits) == 1024
    assert (size(wanted=5), size(num_cpus="many")) == (5, 32)
    assert size(READERS["batch_gpt4"], wanted=5) is None


@pytest.mark.slow
def test_a_base_that_takes_a_fixed_number_is_asked_in_pieces_of_one_length(tmp_path, videos, monkeypatch):
    monkeypatch.setitem(READERS, "numpro_test_both", Reader("max_num_frames", exact=True))
    rows = [{"kind": "video", "what": videos / f"{NAMES[k % 3]}.mp4", "question": str(k)} for k in range(9)]
    write_task(tmp_path / "task", rows)
    calls, from_log = [], []
    original = ChatBase.generate_until

    def counting(self, requests, *, until=None):
        calls.append((len(requests), self.max_num_frames))
        from_log.append(self.answers_from_log)
        if len(calls) == until:
            raise RuntimeError("killed")
        return original(self, requests)

    monkeypatch.setattr(ChatBase, "generate_until", lambda self, requests: counting(self, requests, until=4))
    arguments = "base=numpro_test_both,requests_per_call=2,fps=1"
    with pytest.raises(RuntimeError, match="killed"):
        run(arguments, "foreign", tmp_path / "task")
    assert calls == [(2, 14), (1, 14), (2, 10), (1, 10)]
    calls.clear()
    monkeypatch.setattr(ChatBase, "generate_until", counting)
    results = run(arguments, "foreign", tmp_path / "task")
    assert calls == [(1, 10), (2, 6), (1, 6)]
    assert from_log == [0] * 4 + [5] * 3
    assert len(results["samples"]["foreign"]) == 9


def test_an_agentic_loop_is_recognised():
    """There the processes do not call a model equally often, so they must not wait for each other."""

    def _run_generate_until_agentic():
        return in_agentic_loop()

    assert (_run_generate_until_agentic(), in_agentic_loop()) == (True, False)


@pytest.mark.slow
def test_repeats_of_a_task_are_kept_one_by_one(tmp_path, videos):
    include = write_task(tmp_path / "task", [{"kind": "video", "what": videos / "FIRST.mp4"}])
    for repeats, asked in ((2, 2), (3, 1)):
        run("base=numpro_test_both", "foreign", include, repeats=repeats)
        assert len(SimpleBase.seen) == asked


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("resume=maybe", r"resume='maybe' must be True or False \(from model_args of numpro\)"),
        ("requests_per_call=0", "requests_per_call=0 must be an integer, 1 or more"),
        ("requests_per_call=many", "requests_per_call='many' must be an integer, 1 or more"),
    ],
)
def test_bad_arguments(argument, message):
    from numpro_plugin import NumProError
    from numpro_plugin.harness.wrap.model import NumPro

    with pytest.raises(NumProError, match=message):
        NumPro.create_from_arg_string(f"base=numpro_test_both,{argument}")
