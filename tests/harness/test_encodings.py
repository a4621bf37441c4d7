"""Every way of showing time under lmms-eval: what models get was read back, twins keep their own, and what cannot be is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from lmms_eval.api.instance import Instance
from support.bases import SimpleBase, register_bases
from support.server import ChatServer
from support.videos import write_counter_video

from numpro_plugin import NumProError, NumProSettings
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.clips.fitted import clip_pictures
from numpro_plugin.encoding import NUMBER, PLAIN, PRESETS
from numpro_plugin.environment import settings_from_environment
from numpro_plugin.harness import session, task
from numpro_plugin.harness.hf.arguments import check_trained
from numpro_plugin.harness.register import tasks_path
from numpro_plugin.harness.session import Announcement, Session
from numpro_plugin.harness.wrap.model import NumPro
from numpro_plugin.prompts.questions import moment_question
from numpro_plugin.settings import SettingsByVideo
from numpro_plugin.showing import show_video

TASKS = Path(__file__).parents[2] / "tasks"
SIZE = (84, 84)
QUERY = "a person walks in a doorway drinking some coffee."
TWINS = {"": None, "_plain": PLAIN, "_native": PRESETS["native"].encoding}


@pytest.fixture(scope="module", autouse=True)
def _bases():
    register_bases()


@pytest.fixture
def y1hgc(shared, tmp_path):
    (tmp_path / "videos").mkdir()
    video = tmp_path / "videos" / "Y1HGC.mp4"
    video.symlink_to(shared / "videos" / "Y1HGC.mp4")
    return video


@pytest.fixture
def server():
    server = ChatServer(lambda asked: "The event happens in 2 - 10 seconds." if "seconds'" in asked.text else "From Frame 1 to Frame 5.")
    yield server
    server.stop()


def evaluate(model, arguments, tasks):
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(tasks_path()), include_defaults=False, model_name=model)
    given = ",".join(f"{name}={value}" for name, value in arguments.items())
    return simple_evaluate(model=model, model_args=given, tasks=tasks, task_manager=manager, bootstrap_iters=0, device="cpu")


def in_turn(shown):
    """What stands for a video in a message: texts that are not empty, each before its picture."""
    texts = shown.texts or [""] * len(shown)
    return [part for pair in zip(texts, shown.pictures.pixels, strict=True) for part in pair if not isinstance(part, str) or part]


def same(parts, expected):
    """Whether texts and pictures are the same, in the same order, to the bit."""
    return len(parts) == len(expected) and all(
        a == b if isinstance(a, str) or isinstance(b, str) else np.array_equal(a, b) for a, b in zip(parts, expected, strict=True)
    )


def served(server):
    """model_args of a client of the server."""
    return {"base": "async_openai", "model_version": "m", "base_url": server.url, "api_key": "none", "max_retries": 1, "num_cpus": 1}


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_a_served_model_gets_texts_and_pictures_in_turn(name, y1hgc, server, monkeypatch):
    """The question of NumPro's own task, over a wire."""
    monkeypatch.setenv("NUMPRO_ENCODING", name)
    monkeypatch.setenv("NUMPRO_FRAME_SIZE", "84")
    model = NumPro.create_from_arg_string(served(server))
    settings = NumProSettings(frame_size=SIZE, encoding=PRESETS[name].encoding)
    shown = show_video(y1hgc, settings)
    timeline = shown.pictures.timeline
    doc = {"id": "1", "video": str(y1hgc), "query": QUERY, "duration_s": timeline.duration_s, "spans_s": [[0.2, 9.8]]}
    model.task_dict["t"] = {"test": [doc]}

    def messages(doc):
        return [{"role": "user", "content": [{"type": "video", "url": task.visual(doc)[0]}, {"type": "text", "text": question}]}]

    question = task.moment_text(doc)
    protocol = {"settings": session.current().settings_by_video().to_dict(), "prompt": "the question"}
    metadata = {"task": "t", "doc_id": 0, "repeats": 1, "numpro": protocol}
    model.generate_until([Instance("generate_until", (question, messages, {}, 0, "t", "test"), 0, metadata)])
    (asked,) = server.requests
    assert question == moment_question(QUERY, settings, timeline)
    assert same(asked.parts, [*in_turn(shown), question])
    assert sum(isinstance(part, str) for part in asked.parts) == (1 if settings.encoding.text == "native" else 1 + len(shown))


@pytest.mark.slow
def test_twins_keep_their_own_encoding_and_records_say_which(charades, server, monkeypatch):
    monkeypatch.setenv("NUMPRO_ENCODING", "text")
    results = evaluate("numpro", served(server), [f"numpro_charades{twin}" for twin in TWINS])
    assert len(server.requests) == 3
    for twin, own in TWINS.items():
        encoding = own or PRESETS["text"].encoding
        settings = NumProSettings(frame_size=SIZE, encoding=encoding)
        shown = show_video(charades, settings)
        question = moment_question("a person waits.", settings)
        assert any(same(asked.parts, [*in_turn(shown), question]) for asked in server.requests), twin
        protocol = results["configs"][f"numpro_charades{twin}"]["metadata"]["numpro"]
        assert protocol["encoding"] == encoding.name
        assert SettingsByVideo.from_dict(protocol["settings"]).base == settings
        logged = results["samples"][f"numpro_charades{twin}"][0]["numpro"]
        assert NumProSettings.from_dict(logged["settings"]) == settings  # with the video and its numbers all that a picture needs
        assert logged["numbers"] == list(range(6))


@pytest.mark.shared
@pytest.mark.parametrize("name", PRESETS)
def test_a_chat_base_gets_clips_or_pictures(name, y1hgc):
    settings = NumProSettings(frame_size=SIZE, encoding=PRESETS[name].encoding)
    model = NumPro.create_from_arg_string({"base": "numpro_test_both", "encoding": name, "frame_size": 84, "resume": False})
    model.task_dict["t"] = {"test": [{}]}
    message = {"role": "user", "content": [{"type": "video", "url": str(y1hgc)}, {"type": "text", "text": "What is it?"}]}
    metadata = {"task": "t", "doc_id": 0, "repeats": 1}
    request = Instance("generate_until", ("What is it?", lambda _: [message], {}, 0, "t", "test"), 0, metadata)
    model.generate_until([request])
    *parts, question = SimpleBase.seen[0][1]
    shown = show_video(y1hgc, settings)
    if settings.encoding.text == "native":
        (clip,) = parts
        assert same([np.asarray(picture) for picture in clip_pictures(clip["url"])], shown.pictures.pixels)
    else:
        assert same([part["text"] if part["type"] == "text" else np.asarray(part["url"]) for part in parts], in_turn(shown))
    assert question["text"].endswith("What is it?")
    assert "Number k" not in question["text"]  # it does not ask for time
    assert request.args[2]["numpro"]["encoding"] == name
    assert (question["text"] == "What is it?") == (name in ("plain", "native", "grid"))


# ---------------------------------------------------------------- a task alone


@pytest.fixture
def charades(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMPRO_FRAME_SIZE", "84")
    (tmp_path / "videos").mkdir()
    write_counter_video(tmp_path / "videos" / "AAAAA.mp4", [k * 1000 for k in range(12)], rate=1)
    (tmp_path / "charades_sta_test.txt").write_text("AAAAA 1.0 6.0##a person waits.\n")
    prepare(BENCHMARKS["charades"], tmp_path / "charades_sta_test.txt", videos=tmp_path / "videos", progress=False)
    return tmp_path / "videos" / "AAAAA.mp4"


@pytest.mark.slow
def test_lmms_evals_own_models_get_drawn_marks_alone(charades, monkeypatch):
    monkeypatch.setenv("NUMPRO_ENCODING", "seconds")
    results = evaluate("numpro_test_both", {}, ["numpro_charades"])
    assert results["configs"]["numpro_charades"]["metadata"]["numpro"]["encoding"] == "seconds"
    assert "represent its time in seconds" in SimpleBase.seen[0][0]
    for name in ("text", "grid"):
        monkeypatch.setenv("NUMPRO_ENCODING", name)
        with pytest.raises(NumProError, match=f"encoding {name} writes text before frames or shows grids, which a task alone cannot do"):
            evaluate("numpro_test_both", {}, ["numpro_charades"])
    evaluate("numpro_test_both", {}, ["numpro_charades_native"])  # twins keep their own


@pytest.mark.slow
def test_a_task_that_shows_time_otherwise_than_model_args_is_refused(charades, monkeypatch):
    arguments = {"base": "numpro_test_both", "encoding": "seconds", "frame_size": 84}
    with pytest.raises(NumProError, match=r"task numpro_charades has encoding number, but model_args of numpro say encoding=seconds: set"):
        evaluate("numpro", arguments, ["numpro_charades"])
    evaluate("numpro", arguments, ["numpro_charades_plain", "numpro_charades_native"])
    monkeypatch.setenv("NUMPRO_ENCODING", "seconds")
    evaluate("numpro", arguments, ["numpro_charades", "numpro_charades_plain"])
    assert len(SimpleBase.seen) == 1  # the plain twin's answer was kept


# ---------------------------------------------------------------- what a model announces


def test_an_encoding_of_the_model_is_that_of_its_tasks_but_not_of_their_twins(monkeypatch):
    chosen = PRESETS["text"].encoding
    announced = Session(Announcement("the model m", {"encoding": chosen}, {"encoding": "text"}))
    assert announced.settings().encoding == chosen
    assert announced.settings(encoding=PLAIN).encoding == PLAIN
    monkeypatch.setenv("NUMPRO_ENCODING", "text")
    assert announced.settings().encoding == chosen
    monkeypatch.setenv("NUMPRO_ENCODING", "seconds")
    with pytest.raises(NumProError, match="NUMPRO_ENCODING=seconds differs from encoding=text of the model m"):
        announced.settings()


def test_a_task_of_a_model_with_another_encoding_is_not_answered():
    def protocol(encoding, of):
        return {"settings": NumProSettings(encoding=PRESETS[encoding].encoding).to_dict(), "model": {"encoding": of}}

    model = Announcement("the model m", {"encoding": PRESETS["text"].encoding}, {"encoding": "text"})
    for encoding in ("text", "plain", "native"):
        model.check_task("t", protocol(encoding, "text"), {})
    with pytest.raises(NumProError, match="task t was loaded for another model"):
        model.check_task("t", protocol("seconds", "seconds"), {})


def test_a_model_that_was_trained_in_another_encoding_is_refused():
    def check(trained, shown):
        record = None if trained is None else NumProSettings(encoding=PRESETS[trained].encoding)
        check_trained("the adapter", record, SettingsByVideo(NumProSettings(encoding=PRESETS[shown].encoding)))

    for name in PRESETS:
        check(name, name)
        check(None, name)
    check("plain", "number")  # tasks that nobody has told otherwise; their plain twin is what such a model is for
    with pytest.raises(NumProError, match="the adapter was trained with encoding=text, the tasks are set to encoding=number"):
        check("text", "number")
    with pytest.raises(NumProError, match="trained with encoding=number, the tasks are set to encoding=seconds"):
        check("number", "seconds")


# ---------------------------------------------------------------- the twins


def test_every_moment_and_set_task_has_a_native_twin():
    names = [path.stem for path in TASKS.glob("numpro_*.yaml") if "function" in path.read_text()]
    bases = [name for name in names if not name.endswith(("_plain", "_native", "_hd"))]
    assert len(bases) >= 17
    for name in bases:
        usual, twin = ((TASKS / f"{name}{suffix}.yaml").read_text() for suffix in ("", "_native"))
        kind = re.search(r"^include: (_moment|_set)\.yaml$", usual, re.MULTILINE)[1]
        assert f"include: {kind}_native.yaml" in twin
        short = name.removeprefix("numpro_")
        assert f"metadata: !function numpro_plugin.harness.task.{short}_protocol_native" in twin
        assert f"dataset_kwargs: !function numpro_plugin.harness.task.{short}_table\n" in twin
        assert (kind == "_set") == (f"{short}_text_native" in twin)
    group = yaml.safe_load((TASKS / "numpro_native.yaml").read_text())
    plain = yaml.safe_load((TASKS / "numpro_plain.yaml").read_text())
    assert group["task"] == [name.replace("_plain", "_native") for name in plain["task"] if not name.endswith("_hd_plain")]


@pytest.mark.parametrize("environment", ["number", "text", "grid"])
def test_questions_of_native_twins_byte_for_byte(environment, monkeypatch):
    monkeypatch.setenv("NUMPRO_ENCODING", environment)
    session.begin()
    doc = {"query": " a  dog runs. ", "duration_s": 30.0, "id": "1", "video": "x"}
    assert task.moment_text_native(doc) == (
        "Please find the visual event described by the sentence 'a dog runs', determining its starting and ending times. The format "
        "should be: 'The event happens in <start time> - <end time> seconds'."
    )
    pairs = "Output format MUST be a JSON array of [start, end] pairs, e.g. [[0, 3.5], [10, 12]].\n"
    assert task.vue_tr_text_native({**doc, "query": "a dog"}) == (
        'You are given a video.\nTask: temporal retrieval.\nGiven the query: "a dog", return ALL time spans (in seconds) where the query '
        f"is relevant.\n{pairs}"
    )
    assert task.moment_text_plain({**doc, "query": "a dog"}) == (
        "During which frames can we see a dog? Answer in the format: 'From Frame x to Frame y'."
    )
    assert settings_from_environment(encoding=NUMBER).encoding == NUMBER
