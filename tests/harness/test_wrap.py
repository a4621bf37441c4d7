"""The model ``numpro``: another model of lmms-eval with numbered clips in the place of videos, on any task."""

from __future__ import annotations

import copy
import json
import logging
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.bases import ChatBase, SimpleBase, register_bases, write_task
from support.digits import read_number
from support.tiny_qwen import save_tiny_qwen2_5_vl, watch_qwen
from support.videos import counter_frame, read_counter, write_counter_video

from numpro_plugin import NumProError, NumProSettings, draw_numbers, numbered_clip, sample_frames
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.benchmarks.readers.charades import CHARADES
from numpro_plugin.clips.fitted import clip_pictures
from numpro_plugin.clips.metadata import read_clip_info
from numpro_plugin.harness.register import tasks_path
from numpro_plugin.harness.sources import recognise, sources_of
from numpro_plugin.harness.wrap.background import BackgroundWork
from numpro_plugin.harness.wrap.clip_maker import ClipMaker
from numpro_plugin.harness.wrap.messages import Replacer
from numpro_plugin.harness.wrap.readers import READERS, FrameArguments, Reader, frame_arguments
from numpro_plugin.prompts import NUMBERS_SENTENCE

BOTH = pytest.mark.parametrize("simple", [False, True], ids=["chat", "simple"])


@pytest.fixture(scope="module", autouse=True)
def _bases():
    register_bases()


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Ten frames a second (each bears its count): 32, 29.5 and 9 s; the last one again as VP9 in WebM."""
    folder = tmp_path_factory.mktemp("videos")
    for name, seconds in (("long", 32), ("odd", 29.5), ("short", 9)):
        write_counter_video(folder / f"{name}.mp4", [k * 100 for k in range(round(seconds * 10))], rate=10)
    options = {"crf": "10", "b": "0", "deadline": "realtime", "cpu-used": "8"}
    write_counter_video(folder / "web.webm", [k * 100 for k in range(90)], rate=10, codec="libvpx-vp9", options=options)
    return folder


@pytest.fixture
def folder_of_frames(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for k in range(11):
        Image.fromarray(counter_frame(k)).save(folder / f"frame{k}.png")
    return folder


def run(tmp_path, tasks="foreign", base="numpro_test_both", *, simple=False, batch_size=1, **arguments):
    """Through lmms-eval, as its command line does it."""
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    gen_kwargs = arguments.pop("gen_kwargs", None)
    given = ",".join(f"{name}={value}" for name, value in {"base": base, **arguments}.items())
    include = [str(tmp_path / "task"), str(tasks_path())]
    return simple_evaluate(
        model="numpro",
        model_args=given,
        tasks=tasks.split(","),
        task_manager=TaskManager(include_path=include, include_defaults=False, model_name="numpro"),
        bootstrap_iters=0,
        force_simple=simple,
        batch_size=batch_size,
        device="cpu",
        gen_kwargs=gen_kwargs,
    )


def shown_clips():
    """The clips of each request, as the base got them."""
    return [[v["url"] if isinstance(v, dict) and "type" in v else v for v in visuals if _is_clip(v)] for _, visuals in SimpleBase.seen]


def _is_clip(visual):
    path = visual.get("url") if isinstance(visual, dict) else visual
    return isinstance(path, str) and path.endswith(".mp4")


def numbers_and_counters(clip):
    pictures = [np.asarray(picture) for picture in clip_pictures(clip)]
    return [read_number(picture) for picture in pictures], [read_counter(picture) for picture in pictures]


# ---------------------------------------------------------------- any task: every kind of visual


@BOTH
@pytest.mark.slow
def test_every_video_of_a_foreign_task_is_numbered(tmp_path, videos, folder_of_frames, simple):
    pictures = " ".join(str(folder_of_frames / f"frame{k}.png") for k in (4, 2, 9))
    rows = [
        {"kind": "video", "what": videos / "long.mp4"},
        {"kind": "segment", "what": videos / "long.mp4", "start": 11.0, "end": 20.0},
        {"kind": "segment", "what": videos / "long.mp4", "start": 14.0, "end": 20.0},
        {"kind": "video", "what": folder_of_frames},
        {"kind": "video", "what": videos / "web.webm"},
        {"kind": "videos", "what": f"{videos / 'short.mp4'} {videos / 'odd.mp4'}"},
        *([{"kind": "frames", "what": pictures}] if simple else []),  # lmms-eval's own chat tasks do not take a list of frames
    ]
    write_task(tmp_path / "task", rows)
    results = run(tmp_path, simple=simple)
    clips = shown_clips()
    assert [len(each) for each in clips] == [1, 1, 1, 1, 1, 2, 1][: len(rows)]
    expected = [
        (list(range(16)), [20 * k for k in range(16)]),
        (list(range(5)), [110 + 20 * k for k in range(5)]),
        (list(range(3)), [140, 160, 180]),
        (list(range(11)), list(range(11))),
        (list(range(5)), [20 * k for k in range(5)]),
        (list(range(5)), [20 * k for k in range(5)]),
        (list(range(15)), [20 * k for k in range(15)]),
        ([0, 1, 2], [4, 2, 9]),
    ]
    assert [numbers_and_counters(clip) for each in clips for clip in each] == expected[: sum(map(len, clips))]
    assert read_clip_info(clips[1][0]).times_s == (11, 13, 15, 17, 19)
    assert [text for text, _ in SimpleBase.seen] == [f"{NUMBERS_SENTENCE} Both: Question {k}?" for k in range(len(rows))]
    # What was shown stands in the log of samples; the request itself is as the task made it (the response cache knows it by that).
    arguments = results["samples"]["foreign"][0]["arguments"]
    assert arguments[0] == "Both: Question 0?"
    recorded = next(a for a in arguments if isinstance(a, dict))["numpro"]
    assert (recorded["base"], recorded["font_size"], recorded["numbers"]) == ("numpro_test_both", 40, True)


@BOTH
@pytest.mark.slow
def test_images_and_sound_are_left_alone(tmp_path, videos, simple):
    Image.fromarray(counter_frame(5)).save(tmp_path / "image.png")
    (tmp_path / "sound.wav").write_bytes(b"RIFF")
    rows = [
        {"kind": "image", "what": tmp_path / "image.png"},
        {"kind": "video", "what": tmp_path / "image.png"},
        {"kind": "video", "what": tmp_path / "sound.wav"},
        {"kind": "sound", "what": ""},
    ]
    write_task(tmp_path / "task", rows)
    run(tmp_path, simple=simple)
    assert [text for text, _ in SimpleBase.seen] == [f"Both: Question {k}?" for k in range(4)]
    shown = [visuals[0] if simple else visuals[0]["url"] for _, visuals in SimpleBase.seen]
    assert isinstance(shown[0], Image.Image)
    assert shown[1:] == [str(tmp_path / "image.png"), str(tmp_path / "sound.wav"), {"array": [0.0, 0.1], "sampling_rate": 8000}]


@BOTH
@pytest.mark.slow
def test_control_shows_the_same_frames_without_numbers_and_sentence(tmp_path, videos, simple):
    write_task(tmp_path / "task", [{"kind": "segment", "what": videos / "odd.mp4", "start": 3, "end": 12}])
    run(tmp_path, simple=simple, fps=1, font_size=60)
    (numbered,) = shown_clips()[0]
    run(tmp_path, simple=simple, fps=1, font_size=60, numbers="false")
    (plain,) = shown_clips()[0]
    assert SimpleBase.seen[0][0] == "Both: Question 0?"
    frames = np.stack([np.asarray(picture) for picture in clip_pictures(plain)])
    assert [read_number(frame) for frame in frames] == [None] * 9
    again = draw_numbers(frames.copy(), range(9), NumProSettings().style.__class__(font_size=60))
    assert np.array_equal(again, np.stack([np.asarray(picture) for picture in clip_pictures(numbered)]))


@pytest.mark.slow
def test_the_sentence_names_the_colour_that_is_drawn(tmp_path, videos):
    write_task(tmp_path / "task", [{"kind": "video", "what": videos / "short.mp4"}])
    questions = []
    for color in ("blue", "#00ff00"):
        run(tmp_path, color=color)
        questions.append(SimpleBase.seen[0][0])
    assert questions == [
        "The blue numbers on each frame represent the frame number. Both: Question 0?",
        "The numbers on each frame represent the frame number. Both: Question 0?",
    ]


@BOTH
@pytest.mark.slow
def test_a_question_that_says_it_is_left_as_it_is(tmp_path, videos, simple):
    question = f"{NUMBERS_SENTENCE} When?"
    write_task(tmp_path / "task", [{"kind": "video", "what": videos / "short.mp4", "question": question}])
    run(tmp_path, simple=simple)
    assert SimpleBase.seen[0][0] == f"Both: {question}"


@pytest.mark.slow
def test_a_numbered_clip_is_never_numbered_again(tmp_path, videos):
    clip, plain = (numbered_clip(videos / "short.mp4", NumProSettings(fps=1, numbers=numbers)) for numbers in (True, False))
    write_task(tmp_path / "task", [{"kind": "video", "what": clip}, {"kind": "video", "what": plain}])
    run(tmp_path)
    assert shown_clips() == [[str(clip)], [str(plain)]]
    assert [text for text, _ in SimpleBase.seen] == [f"{NUMBERS_SENTENCE} Both: Question 0?", "Both: Question 1?"]


@BOTH
@pytest.mark.slow
def test_later_rounds_show_clips_too(tmp_path, videos, simple):
    write_task(tmp_path / "task", [{"kind": "video", "what": videos / "short.mp4"}], kind="generate_until_multi_round")
    run(tmp_path, simple=simple)
    assert [text for text, _ in SimpleBase.seen] == [f"{NUMBERS_SENTENCE} {question}" for question in ("Both: Question 0?", "and then?")]
    assert [len(clips) for clips in shown_clips()] == [1, 1]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_messages_once_replaced_stay_as_they_are(tmp_path, videos, data):
    """What is no video keeps its place and content; a second time changes nothing: no clip is numbered, nothing is said twice."""
    clip = str(numbered_clip(videos / "short.mp4", NumProSettings(fps=1)))
    parts = [
        {"type": "video", "url": str(videos / "short.mp4")},
        {"type": "audio", "url": str(videos / "web.webm")},
        {"type": "video", "url": str(videos / "short.mp4"), "start_time": 2.0, "end_time": 5.0},
        {"type": "video", "url": clip},
        {"type": "video", "url": str(numbered_clip(videos / "short.mp4", NumProSettings(fps=1, numbers=False)))},
        {"type": "audio", "url": "speech.wav"},
        {"type": "image", "url": "picture.png"},
        {"type": "text", "text": "What is it?"},
        {"type": "text", "text": f"{NUMBERS_SENTENCE} When?"},
    ]
    contents = st.lists(st.sampled_from(parts).map(dict), max_size=4)
    messages = data.draw(
        st.lists(st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": contents}), max_size=3)
    )
    before = copy.deepcopy(messages)
    replacer = Replacer(ClipMaker(NumProSettings(), {}), FrameArguments(Reader()))
    once = replacer.messages(messages)
    assert messages == before
    assert replacer.messages(once) == once
    sentences = [part["text"] for message in once for part in message["content"] if part["type"] == "text"]
    drawn = any(part in parts[:4] for message in messages for part in message["content"])
    already = sum(NUMBERS_SENTENCE in part.get("text", "") for message in messages for part in message["content"])
    assert sum(NUMBERS_SENTENCE in text for text in sentences) == max(already, int(drawn))
    for old, new in zip(messages, once, strict=True):
        assert old["role"] == new["role"]
        assert [p["type"] for p in new["content"]][: len(old["content"])] == [
            "video" if p in parts[:5] else p["type"] for p in old["content"]
        ]
        assert all(p in new["content"] for p in old["content"] if p["type"] == "image")


@pytest.mark.shared
@pytest.mark.slow
def test_real_videos_of_every_kind(shared, tmp_path):
    """Containers and codecs that tasks of others bring: each is numbered as far as its frames go."""
    files = [shared / "videos" / name for name in ("mdn_flower.webm", "decord_flipping_a_pancake.mkv", "mmaction2_test.avi")]
    write_task(tmp_path / "task", [{"kind": "video", "what": path} for path in files])
    run(tmp_path, fps=1)
    for file, (clip,) in zip(files, shown_clips(), strict=True):
        frames = sample_frames(file, fps=1)
        expected = draw_numbers(frames.pixels, frames.numbers)
        assert np.array_equal(np.stack([np.asarray(picture) for picture in clip_pictures(clip)]), expected), file


# ---------------------------------------------------------------- the base stays the base


@BOTH
@pytest.mark.slow
def test_arguments_are_sorted_and_handed_on(tmp_path, videos, simple):
    write_task(tmp_path / "task", [{"kind": "video", "what": videos / "short.mp4"}])
    results = run(
        tmp_path, simple=simple, batch_size=3, pretrained="some/where", fps=1, base_fps=7, frame_size="448x336", max_frames=4, extra="x"
    )
    expected = {"pretrained": "some/where", "fps": 7, "extra": "x", "batch_size": 3, "device": "cpu", "min_pixels": 200704}
    assert {**expected, "max_num_frames": 8} == SimpleBase.options
    info = read_clip_info(shown_clips()[0][0])
    assert (info.numbers, info.settings["frame_size"]) == ((0, 2, 5, 8), [448, 336])
    assert results["config"]["model_backend"].endswith("(simple)" if simple else "(chat)")


@pytest.mark.slow
def test_without_force_simple_a_base_is_of_its_own_kind_and_has_its_own_prompts(tmp_path, videos):
    write_task(tmp_path / "task", [{"kind": "video", "what": videos / "short.mp4"}])
    results = run(tmp_path, base="numpro_test_simple")
    assert results["config"]["model_backend"].endswith("(simple)")
    assert SimpleBase.seen[0][0] == f"{NUMBERS_SENTENCE} All: Question 0?"  # prompts of tasks for a base are that base's


@pytest.mark.slow
def test_limits_are_raised_unless_the_user_gave_them(tmp_path, videos, caplog, monkeypatch):
    write_task(tmp_path / "task", [{"kind": "video", "what": videos / "long.mp4"}])
    monkeypatch.setitem(READERS, "numpro_test_both", Reader("max_num_frames"))
    run(tmp_path)
    assert SimpleBase.options["max_num_frames"] == 240
    assert "does not see every number" not in caplog.text
    with caplog.at_level(logging.WARNING):
        run(tmp_path, max_num_frames=10)
    assert SimpleBase.options["max_num_frames"] == 10
    assert "has 16 frames, but the base takes 10 (max_num_frames): it does not see every number" in caplog.text


@pytest.mark.slow
def test_a_base_that_takes_a_fixed_number_is_told_the_number_of_each_clip(tmp_path, videos, monkeypatch):
    monkeypatch.setitem(READERS, "numpro_test_both", Reader("max_num_frames", exact=True))
    names = ["short", "long", "short", "odd", "long"]
    rows = [{"kind": "video", "what": videos / f"{name}.mp4", "question": name} for name in names]
    write_task(tmp_path / "task", [*rows, {"kind": "sound", "what": "", "question": "none"}])
    results = run(tmp_path, simple=True)
    counts = {"short": 6, "long": 16, "odd": 16}
    seen = {(text.rpartition(" ")[2], limit) for (text, _), limit in zip(SimpleBase.seen, SimpleBase.limits, strict=True)}
    assert {pair for pair in seen if pair[0] != "none"} == set(counts.items())
    shown = [sample["filtered_resps"][0].rpartition(" ")[2] for sample in results["samples"]["foreign"]]
    assert shown == [*names, "none"]


@BOTH
@pytest.mark.slow
def test_clips_are_made_while_the_base_answers(tmp_path, videos, simple, monkeypatch):
    """A base that does not ask before every clip is there gets through: the first requests are probed, the rest made ahead."""
    seconds = range(1, 7)
    write_task(tmp_path / "task", [{"kind": "segment", "what": videos / "short.mp4", "start": 0, "end": k} for k in seconds])
    cls = SimpleBase if simple else ChatBase
    original = cls.generate_until

    def patient(self, requests):
        until = time.monotonic() + 30
        while len(list((tmp_path / "numpro-cache/clips").glob("*.mp4"))) < len(seconds):
            assert time.monotonic() < until
            time.sleep(0.01)
        return original(self, requests)

    monkeypatch.setattr(cls, "generate_until", patient)
    run(tmp_path, simple=simple)
    assert [len(read_clip_info(clips[0]).numbers) for clips in shown_clips()] == [1, 1, 2, 2, 3, 3]


def test_work_in_the_background_is_bounded_and_stops():
    done = []
    everything = [partial(done.append, k) for k in range(10)]
    everything[1] = lambda: done.append(1) or 1 / 0  # goes wrong for whoever asks, not here

    def soon(count):
        until = time.monotonic() + 10
        while len(done) < count and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(0.05)
        return len(done)

    with BackgroundWork(everything, lead=3) as background:
        assert soon(3) == 3
        background.advance()
        assert soon(4) == 4
    assert soon(4) == 4
    assert done == [0, 1, 2, 3]


def _reader(base):
    """The function by which a base of lmms-eval reads a video file: (clip, frames) -> pictures."""
    from importlib import import_module

    module = import_module(f"lmms_eval.models.simple.{base}")
    if hasattr(module, "get_index"):

        def read(clip, count):
            video = module.VideoReader(clip)
            indices = module.get_index(None, float(video.get_avg_fps()), len(video) - 1, first_idx=0, num_segments=count)
            return [video[int(k)].asnumpy() for k in indices]

        return read
    if base == "videollama3":
        return lambda clip, _: module.read_video_custom(clip)[0]
    cls = next(c for c in vars(module).values() if isinstance(c, type) and c.__module__ == module.__name__ and hasattr(c, "load_video"))
    return lambda clip, count: cls.load_video(None, clip, count)


@pytest.mark.parametrize("base", ["internvl3", "internvideo2_5", "llava_onevision", "longva", "videollama3"])
def test_readers_of_real_bases_get_every_number_once(videos, base):
    replacer, read = Replacer(ClipMaker(NumProSettings(), {}), FrameArguments(READERS[base])), _reader(base)
    for name in ("long", "odd", "short"):
        (clip,) = replacer.visuals([str(videos / f"{name}.mp4")])
        count = replacer.count(sources_of([str(videos / f"{name}.mp4")]))
        numbers = [read_number(np.asarray(frame)) for frame in read(clip, count)]
        drawn = list(read_clip_info(clip).numbers)
        assert numbers[: len(drawn)] == drawn
        assert numbers[len(drawn) :] in ([], drawn[-1:])  # a last frame that is repeated to make the count even


def arguments_for(base, given=(), *, most_frames=75, fps=0.5, frame_size=(336, 336)):
    from lmms_eval.models import get_model

    return frame_arguments(base, get_model(base), dict(given), most_frames=most_frames, fps=fps, frame_size=frame_size)


def test_arguments_for_bases_of_each_kind(caplog):
    qwen = arguments_for("qwen2_5_vl")
    assert (qwen.values, qwen.limit) == ({"max_num_frames": 76, "fps": 0.5, "min_pixels": 336 * 336}, 76)
    assert arguments_for("qwen2_5_vl", {"max_num_frames": 20, "fps": 1, "min_pixels": 3136}).values == {}
    assert arguments_for("qwen2_5_vl", {"max_num_frames": 20}).limit == 20
    internvl = arguments_for("internvl3")
    assert (internvl.values, internvl.limit, internvl.reader.exact) == ({"modality": "video"}, None, True)
    assert arguments_for("internvl3", {"modality": "image"}).values == {}
    assert arguments_for("internvl3", {"num_frame": 16}).limit == 16
    assert arguments_for("async_openai").values == {}
    assert caplog.text == ""
    assert arguments_for("qwen3_vl").values["min_pixels"] == 320 * 320
    assert "frames of 336x336 pixels are resized by this base, which takes multiples of 32 (frame_size=320x320 would not be)" in caplog.text
    arguments_for("qwen2_vl", fps=4)
    assert "base=qwen2_vl reads at most 2 frames a second: of 4 numbers a second it loses the rest" in caplog.text


@pytest.mark.slow
def test_nothing_is_claimed_of_a_base_that_is_not_in_the_table(tmp_path, videos, caplog):
    write_task(tmp_path / "task", [{"kind": "video", "what": videos / "long.mp4"}])
    run(tmp_path)
    assert SimpleBase.options["max_num_frames"] == 240
    assert (
        "numpro_test_both is not in NumPro's table of readers: check that it takes every frame of a clip (it is given max_num"
        in caplog.text
    )
    run(tmp_path, max_num_frames=10)
    assert "does not see every number" not in caplog.text


def test_a_base_with_which_lmms_eval_fails_is_named(caplog):
    assert arguments_for("huggingface") == FrameArguments(READERS["huggingface"])  # it has an argument max_num_frames, which it never reads
    assert "base=huggingface: lmms-eval itself failed on videos with it when it was tried: its processor" in caplog.text


def test_a_budget_that_is_an_attribute_of_the_class():
    from lmms_eval.models.chat._chat_base import ChatMixin

    given = frame_arguments("qwen2_5_omni", ChatMixin, {}, most_frames=75, fps=0.5, frame_size=(336, 336))
    assert given.attributes == {"video_kwargs": {**ChatMixin.video_kwargs, "fps": 0.5, "max_frames": 76}}
    assert (given.values, given.limit, given.reader.limit) == ({}, None, None)


def test_the_table_names_arguments_that_exist():
    """Against lmms-eval's sources, without importing what needs libraries that are not here."""
    import ast

    import lmms_eval
    from lmms_eval.models import list_available_models

    known = set(list_available_models())
    assert set(READERS) - known <= {"qwen2_5_vl_interleave"}
    root = Path(lmms_eval.__file__).parent / "models"
    for name, reader in READERS.items():
        text = [path.read_text() for kind in ("simple", "chat") if (path := root / kind / f"{name}.py").exists()]
        trees = [node for source in text for node in ast.walk(ast.parse(source))]
        arguments = {a.arg for node in trees if isinstance(node, ast.FunctionDef) and node.name == "__init__" for a in node.args.args}
        inherits = any("internvl3 import" in t or "InternVL3)" in t or "Qwen3_VL)" in t for t in text)
        for argument in (reader.limit, reader.fps):
            assert argument is None or argument in arguments or inherits, (name, argument)


# ---------------------------------------------------------------- settings that disagree, and other bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base": ""}, "must be told which: --model_args base=qwen2_5_vl"),
        ({"base": "qwen25_vl"}, r"base=qwen25_vl is not a model of lmms-eval; did you mean .*qwen2_5_vl"),
        ({"base": "numpro"}, "base=numpro numbers frames itself"),
        ({"fps": 0}, r"fps=0.0 must be above 0 .*\(from model_args of numpro\)"),
        ({"fps": "fast"}, r"'fast' is not a number .*\(from model_args of numpro\)"),
        ({"frame_size": "336by336"}, "frame_size='336by336' must be pixels as N or WIDTHxHEIGHT"),
        ({"numbers": "maybe"}, "numbers='maybe' must be true or false"),
        ({"color": "redd"}, "color='redd' is not a CSS colour"),
        ({"max_frames": 2.5}, "max_frames=2.5 must be an integer"),
        ({"position": "left"}, "position='left' is unknown; allowed: bottom_right"),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    (tmp_path / "task").mkdir()
    with pytest.raises(NumProError, match=message):
        run(tmp_path, **arguments)


def test_a_base_whose_library_is_missing(tmp_path):
    from lmms_eval.models import MODEL_REGISTRY_V2
    from lmms_eval.models.registry_v2 import ModelManifest

    MODEL_REGISTRY_V2.register_manifest(ModelManifest("numpro_test_absent", chat_class_path="no_such_library.Model"), overwrite=True)
    (tmp_path / "task").mkdir()
    with pytest.raises(NumProError, match="base=numpro_test_absent cannot be loaded: No module named 'no_such_library'"):
        run(tmp_path, base="numpro_test_absent")


@pytest.mark.slow
def test_a_misspelt_argument_is_pointed_out(tmp_path, videos, caplog):
    write_task(tmp_path / "task", [{"kind": "video", "what": videos / "short.mp4"}])
    with caplog.at_level(logging.WARNING):
        run(tmp_path, fontsize=60)
    assert "fontsize is not an argument of base=numpro_test_both; did you mean NumPro's font_size?" in caplog.text


@pytest.mark.slow
def test_model_args_against_the_environment(tmp_path, videos, monkeypatch):
    write_task(tmp_path / "task", [{"kind": "video", "what": videos / "short.mp4"}])
    monkeypatch.setenv("NUMPRO_FPS", "2")
    with pytest.raises(NumProError, match=r"NUMPRO_FPS=2 is set for the tasks, but model_args of numpro have fps=1.0 \(as given\)"):
        run(tmp_path, fps=1)
    with pytest.raises(NumProError, match=r"NUMPRO_FPS=2 is set for the tasks, but model_args of numpro have fps=0.5 \(its default\)"):
        run(tmp_path)
    run(tmp_path, fps=2)
    assert len(read_clip_info(shown_clips()[0][0]).numbers) == 18


@BOTH
def test_an_unknown_visual_stops_the_run(tmp_path, videos, simple):
    with pytest.raises(NumProError, match="a visual of type float is unknown to NumPro; it may be a video file"):
        recognise(3.5)
    for visual, message in (
        ("https://example.org/a.mp4", "download it and give the path"),
        ({"sound": 1}, "a visual with the keys 'sound' is unknown"),
        ([3, "x"], "a visual of type list of int, str is unknown"),
        ({"path": [Image.new("RGB", (8, 8))], "video_start": 1}, "pictures have no clock"),
    ):
        with pytest.raises(NumProError, match=message):
            recognise(visual)
    video = {"kind": "video", "what": videos / "short.mp4"}
    write_task(tmp_path / "task", [video, video, video, {"kind": "video", "what": "https://example.org/a.mp4"}])
    with pytest.raises(NumProError, match=r"https://example.org/a.mp4: NumPro numbers videos on this machine"):
        run(tmp_path, simple=simple)


@BOTH
@pytest.mark.slow
def test_one_unreadable_video_among_many(tmp_path, videos, simple, caplog):
    """Its requests fail, in words; the others are answered."""
    (tmp_path / "broken.webm").write_bytes(b"rubbish" * 100)
    (tmp_path / "empty").mkdir()
    what = [videos / "short.mp4", tmp_path / "broken.webm", tmp_path / "absent.mp4", videos / "odd.mp4", tmp_path / "empty"]
    write_task(tmp_path / "task", [{"kind": "video", "what": path} for path in what])
    samples = run(tmp_path, simple=simple)["samples"]["foreign"]
    replies = [sample["filtered_resps"][0] for sample in samples]
    assert [text.startswith("[LMMS_EVAL_REQUEST_FAILED] NumPro: ") for text in replies] == [False, True, True, False, True]
    assert "broken.webm: cannot be opened as a video" in replies[1]
    assert "absent.mp4: no such file" in replies[2]
    assert "empty: the folder has no pictures" in replies[4]
    assert "3 of 5 requests failed because 3 videos cannot be read" in caplog.text


def test_a_wrong_folder_of_videos_shows_at_once(tmp_path):
    write_task(tmp_path / "task", [{"kind": "video", "what": tmp_path / "nowhere" / f"{k}.mp4"} for k in range(9)])
    with pytest.raises(NumProError, match=r"task foreign: .*nowhere/0.mp4: no such file or directory, and its folder has no other files"):
        run(tmp_path)
    assert SimpleBase.seen == []


def test_log_likelihoods_of_an_unreadable_video(tmp_path, videos):
    from numpro_plugin.harness.wrap.model import NumProSimple

    model = NumProSimple.create_from_arg_string({"base": "numpro_test_both", "frame_size": (224, 224)}, {"batch_size": 1, "device": None})
    model.task_dict["t"] = {"test": [{"v": str(videos / "short.mp4")}, {"v": str(tmp_path / "absent.mp4")}]}
    from lmms_eval.api.instance import Instance

    requests = [
        Instance("loglikelihood", ("Is it?", " yes", lambda doc: [doc["v"]], k, "t", "test"), 0, {"task": "t", "doc_id": k, "repeats": 1})
        for k in range(2)
    ]
    assert model.loglikelihood(requests) == [(-1.0, True), (float("-inf"), False)]
    assert SimpleBase.seen[0][0] == f"{NUMBERS_SENTENCE} Is it?"
    assert read_clip_info(shown_clips()[0][0]).settings["frame_size"] == [224, 224]


@pytest.mark.slow
def test_the_response_cache_tells_settings_apart(tmp_path, videos):
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    include = str(write_task(tmp_path / "task", [{"kind": "video", "what": videos / "short.mp4"}]))

    def asked(**settings):
        given = ",".join(f"{name}={value}" for name, value in {"base": "numpro_test_both", **settings}.items())
        manager = TaskManager(include_path=include, include_defaults=False, model_name="numpro")
        options = {"task_manager": manager, "bootstrap_iters": 0, "use_cache": str(tmp_path / "answers"), "device": "cpu"}
        simple_evaluate(model="numpro", model_args=given, tasks=["foreign"], **options)
        return len(SimpleBase.seen)

    assert [asked(), asked(), asked(color="blue"), asked(numbers="false")] == [1, 0, 1, 1]


# ---------------------------------------------------------------- NumPro's own tasks, through a real model


@pytest.fixture
def charades(tmp_path, videos):
    (tmp_path / "videos").mkdir()
    for name in ("long", "odd"):
        (tmp_path / "videos" / f"{name}.mp4").write_bytes((videos / f"{name}.mp4").read_bytes())
    annotations = tmp_path / "charades_sta_test.txt"
    annotations.write_text("long 4.0 12.0##a person opens a door.\nodd 0.5 3.9##a person walks in.\nlong 1 2##a person sits.\n")
    (tmp_path / "task").mkdir()
    return prepare(CHARADES, annotations, videos=tmp_path / "videos", progress=False)


@pytest.mark.parametrize("simple", [False, True], ids=["chat", "simple"])
@pytest.mark.slow
def test_tasks_of_numpro_are_shown_as_they_are(tmp_path, charades, simple):
    results = run(tmp_path, "numpro_charades,numpro_charades_plain", simple=simple)
    infos = [read_clip_info(clips[0]) for clips in shown_clips()]
    assert sorted(info.settings["numbers"] for info in infos) == [False] * 3 + [True] * 3
    for (text, _), info, (clip,) in zip(SimpleBase.seen, infos, shown_clips(), strict=True):
        question = f"{NUMBERS_SENTENCE}During which frames" if info.settings["numbers"] else "During which frames"
        assert text.startswith(question)
        count = len(info.numbers)
        numbers = list(range(count)) if info.settings["numbers"] else [None] * count
        assert numbers_and_counters(clip) == (numbers, [20 * k for k in range(count)])
    # The protocol is in the task's metadata; the model's settings, which made nothing here, do not stand in the log.
    arguments = results["samples"]["numpro_charades"][0]["arguments"]
    assert all("numpro" not in argument for argument in arguments if isinstance(argument, dict))


@pytest.mark.slow
def test_a_clip_of_a_task_against_model_args(tmp_path, charades, monkeypatch):
    with pytest.raises(
        NumProError, match=r"model_args say font_size=60.0, but the task's clip was made with font_size=40.0 .*NUMPRO_FONT_S"
    ):
        run(tmp_path, "numpro_charades", font_size=60)
    with pytest.raises(NumProError, match=r"model_args say numbers=false, but the task draws the numbers; run its _plain twin"):
        run(tmp_path, "numpro_charades", numbers="false")
    monkeypatch.setenv("NUMPRO_FONT_SIZE", "60")
    run(tmp_path, "numpro_charades,numpro_charades_plain", font_size=60)
    assert len(SimpleBase.seen) == 6


@pytest.mark.slow
def test_an_unreadable_video_of_numpros_tasks_is_a_request_fail(tmp_path, charades, monkeypatch):
    (tmp_path / "videos" / "odd.mp4").write_bytes(b"rubbish" * 100)
    results = run(tmp_path, "numpro_charades")
    assert results["results"]["numpro_charades"]["request_fail,none"] == pytest.approx(100 / 3)
    monkeypatch.setenv("NUMPRO_FONT_SIZE", "60")  # the blank clip is the one that the first run left
    results = run(tmp_path, "numpro_charades", font_size=60)
    assert results["results"]["numpro_charades"]["request_fail,none"] == pytest.approx(100 / 3)


@pytest.fixture(scope="module")
def tiny_qwen(tmp_path_factory):
    return save_tiny_qwen2_5_vl(tmp_path_factory.mktemp("qwen") / "tiny")


@pytest.fixture
def what_qwen_sees(monkeypatch):
    return watch_qwen(monkeypatch)


def run_qwen(tmp_path, folder, tasks, **options):
    return run(tmp_path, tasks, "qwen2_5_vl", pretrained=folder, device_map="cpu", gen_kwargs="max_new_tokens=3", **options)


@pytest.mark.slow
@pytest.mark.parametrize(("simple", "batch_size"), [(False, 2), (True, 1)], ids=["chat, two at once", "simple"])
def test_the_right_frames_reach_a_real_model(tmp_path, videos, folder_of_frames, charades, tiny_qwen, what_qwen_sees, simple, batch_size):
    """Read back from its input pixels: every number once, in order, at the size for which it was drawn."""
    rows = [
        {"kind": "video", "what": videos / "odd.mp4"},
        {"kind": "segment", "what": videos / "long.mp4", "start": 11.0, "end": 20.0},
        {"kind": "video", "what": folder_of_frames},
        {"kind": "video", "what": videos / "web.webm"},
    ]
    write_task(tmp_path / "task", rows)
    results = run_qwen(tmp_path, tiny_qwen, "foreign,numpro_charades", simple=simple, batch_size=batch_size)
    read = sorted([read_number(frame) for frame in frames] for frames in what_qwen_sees)
    segment = web = [0, 1, 2, 3, 4, 4]
    task = [[*range(16)], [*range(15), 14], [*range(16)]]
    assert read == sorted([[*range(15), 14], segment, [*range(11), 10], web, *task])
    assert {frames.shape[1:] for frames in what_qwen_sees} == {(336, 336, 3)}
    frames = sample_frames(videos / "long.mp4", start_s=11, end_s=20)
    draw_numbers(frames.pixels, frames.numbers)
    assert any(np.array_equal(seen[:5], frames.pixels) for seen in what_qwen_sees if len(seen) == 6)
    assert results["n-samples"]["foreign"]["effective"] == 4
    sample = results["samples"]["foreign"][0]
    assert sample["arguments"][0] == "Qwen: Question 0?"
    json.dumps(results["configs"]["foreign"]["lmms_eval_specific_kwargs"])
