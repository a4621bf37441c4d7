"""Tasks of others that ask for time: what their questions are told, and what a model that reads every mark reaches by that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import lmms_eval
import numpy as np
import pytest
import yaml
from lmms_eval.api.instance import Instance
from lmms_eval.tasks.timelens.utils import timelens_aggregate_miou, timelens_doc_to_text, timelens_process_results
from support.bases import SimpleBase
from support.reader_base import ReadingBase, register_reading_bases, write_timed_video

from numpro_plugin import NumProError, NumProSettings, numbered_clip
from numpro_plugin.encoding import PRESETS, parse_encoding
from numpro_plugin.harness.explain import Marks, asked_unit, explained
from numpro_plugin.harness.hf.questions import key_of, read_request
from numpro_plugin.harness.wrap.keys import request_key
from numpro_plugin.harness.wrap.model import NumPro, NumProSimple
from numpro_plugin.inference.generation import GenerationOptions
from numpro_plugin.metrics.moments import query_iou
from numpro_plugin.prompts import NUMBERS_SENTENCE
from numpro_plugin.settings import SettingsByVideo
from numpro_plugin.showing import show_video
from numpro_plugin.timeline import Timeline, kept_numbers

ENCODINGS = [preset.encoding for preset in PRESETS.values()]
TASKS = Path(lmms_eval.__file__).parent / "tasks"
QUERIES = {"opens a door": (3.1, 12.3), "sits down": (0.4, 5.9), "laughs": (17.2, 24.6), "runs away": (21.0, 29.9)}


def timelens_question(query: str) -> str:
    template = yaml.safe_load("\n".join(line for line in read("timelens/_default_yaml_template").splitlines() if "!function" not in line))
    question: str = timelens_doc_to_text({"query": query}, template["lmms_eval_specific_kwargs"]["default"])
    return question


def read(name: str) -> str:
    return (TASKS / name).read_text()


# ---------------------------------------------------------------- which questions ask for time


@pytest.mark.parametrize(
    "text",
    [
        timelens_question("a dog"),
        "determining its starting and ending times. The format should be: 'The event happens in the start time - end time'.",
        "Watch the video and answer the question 'how often?' by giving the start and end timestamps for every event.",
        'Give JSON: {"start_time": 1.0, "end_time": 2.0}',
        "List the timestamps of all jumps.",
        "At what second does the light go on?",
        "Return all spans (in seconds) where it happens.",
        "It happens in <start> - <end> seconds.",
    ],
)
def test_questions_that_ask_for_seconds(text):
    assert asked_unit(text) == "seconds"


@pytest.mark.parametrize("text", ["Answer with mm:ss.", "Use HH:MM:SS for both ends.", "Give the times as minutes:seconds"])
def test_questions_that_ask_for_clock_times(text):
    assert asked_unit(text) == "clock"


@pytest.mark.parametrize(
    "text",
    [
        "During which frames can we see a dog?",
        "What happens after 12 seconds?",
        "What does the man do at 00:35, and at what time of the day?",
        "What is the start of the race like, and how does it end?",
        "How often does she jump?\nA. once\nB. twice",
        "What is the start time on the ticket?",
    ],
)
def test_questions_that_do_not(text):
    assert asked_unit(text) is None
    marks = Marks(PRESETS["number"].encoding, "red", 0.5, 11.0)
    assert explained(text, [marks]) == f"{NUMBERS_SENTENCE} {text}"


def test_the_tasks_of_lmms_eval_that_ask_for_seconds():
    """By their own words, as they are installed: a release that words them anew shows here."""
    charades = yaml.safe_load("\n".join(line for line in read("charades_sta/charades.yaml").splitlines() if "!function" not in line))
    wording = charades["lmms_eval_specific_kwargs"]["default"]
    assert asked_unit(f"{wording['pre_prompt']}a dog. {wording['post_prompt']}") == "seconds"
    for name, start in (("extremewhenbench", "DEFAULT_PROMPT"), ("cgav_counting", "by giving the start and end timestamps")):
        text = read(f"{name}/utils.py")
        assert asked_unit(text[text.index(start) : text.index(start) + 600].replace('"\n    "', "")) == "seconds"


def marks(name: str, fps: float | None = 0.5, start_s: float = 0.0) -> Marks:
    return Marks(parse_encoding(name), "red", fps, start_s)


def test_what_is_said():
    asked = "List the timestamps."
    assert explained(asked, [marks("number")]) == f"{NUMBERS_SENTENCE} Number k is shown at 2k seconds. {asked}"
    assert explained(asked, [marks("number", 2.0)]) == f"{NUMBERS_SENTENCE} Number k is shown at k/2 seconds. {asked}"
    later = "These times count from the first frame, which is 11.5 seconds into the whole video."
    assert explained(asked, [marks("number", 1.0, 11.5)]) == f"{NUMBERS_SENTENCE} Number k is shown at k seconds. {later} {asked}"
    assert explained(asked, [marks("text", 1.0, 11.5)]).endswith(f"timestamp (in seconds). {later} {asked}")
    assert explained(asked, [marks("grid")]) == f"Number k is shown at 2k seconds. {asked}"
    assert explained(asked, [marks("number", None)]) == f"{NUMBERS_SENTENCE} {asked}"  # pictures have no clock
    for control in ("plain", "native"):
        assert explained(asked, [marks(control, 0.5, 11.0)]) == asked
    told = explained(asked, [marks("number")])
    assert explained(told, [marks("number")]) == told
    said_already = f"{NUMBERS_SENTENCE} {asked}"
    assert explained(said_already, [marks("number")]) == f"Number k is shown at 2k seconds. {said_already}"


def test_of_several_videos_with_different_clocks_no_time_is_said(caplog):
    asked = "List the timestamps."
    assert explained(asked, [marks("number"), marks("number", 0.5, 3.0)]) == f"{NUMBERS_SENTENCE} {asked}"
    assert "shown at different times" in caplog.text
    assert "2k seconds" in explained(asked, [marks("number"), marks("number")])


# ---------------------------------------------------------------- a model that reads every mark


@pytest.fixture(scope="module", autouse=True)
def _bases():
    register_reading_bases()


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_timed_video(tmp_path_factory.mktemp("timed") / "video.mp4", 37)


@pytest.fixture(autouse=True)
def _reading(monkeypatch):
    monkeypatch.setattr(ReadingBase, "truth", QUERIES)
    monkeypatch.setattr(ReadingBase, "duration_s", 37.0)


def miou(video, *, question=timelens_question, simple=False, start_s=None, end_s=None, truth=None, **arguments):
    """mIoU of TimeLens's own scoring for its own question, through the wrapper."""
    kind = NumProSimple if simple else NumPro
    model = kind.create_from_arg_string({"base": "numpro_test_reading", "frame_size": 168, "resume": False, **arguments})
    docs = [{"query": query, "video_path": str(video), "span": [list(span)]} for query, span in (truth or QUERIES).items()]
    model.task_dict["timed"] = {"test": docs}
    part = {"start_time": start_s, "end_time": end_s}

    def messages(doc):
        content = [{"type": "video", "url": str(video), **part}, {"type": "text", "text": question(doc["query"])}]
        return [{"role": "user", "content": content}]

    requests = []
    for k, doc in enumerate(docs):
        text, options = question(doc["query"]), {"max_new_tokens": 9}
        shown = (text, options, lambda _: [str(video)]) if simple else (text, messages, options)
        metadata = {"task": "timed", "doc_id": k, "repeats": 1}
        requests.append(Instance("generate_until", (*shown, k, "timed", "test"), k, metadata))
    answers = [getattr(answer, "text", answer) for answer in model.generate_until(requests)]
    return timelens_aggregate_miou(
        [timelens_process_results(doc, [answer])["timelens_mIOU"] for doc, answer in zip(docs, answers, strict=True)], None
    )


def ceiling(duration_s, fps=0.5, max_frames=240, truth=None):
    """mIoU of the spans whose ends are the shown times nearest to the truth's."""
    times = kept_numbers(Timeline(duration_s, fps).count, max_frames) / fps
    spans = (truth or QUERIES).values()
    snapped = [tuple(float(min(times, key=lambda t: (abs(t - moment), -t))) for moment in span) for span in spans]
    return 100 * float(np.mean([query_iou(found, [list(span)]) for found, span in zip(snapped, spans, strict=True)]))


SHOWING = [name for name in PRESETS if name not in ("plain", "native")]


@pytest.mark.parametrize("encoding", SHOWING)
def test_a_perfect_reader_reaches_what_the_grid_allows_in_every_encoding(video, encoding):
    assert miou(video, encoding=encoding) == pytest.approx(ceiling(37))
    assert ceiling(37) > 80


@pytest.mark.parametrize("encoding", ["number", "seconds", "clock", "bar"])
def test_marks_in_clips_serve_simple_bases_as_well(video, encoding):
    assert miou(video, encoding=encoding, simple=True) == pytest.approx(ceiling(37))


@pytest.mark.parametrize("encoding", ["number", "number+text", "grid"])
def test_a_reader_that_ignores_the_sentence_takes_numbers_for_seconds(video, encoding, monkeypatch):
    monkeypatch.setattr(ReadingBase, "listens", False)
    assert miou(video, encoding=encoding) < 30


@pytest.mark.parametrize("arguments", [{"encoding": "plain"}, {"encoding": "native"}, {"numbers": False}])
def test_the_controls_get_the_tasks_own_bytes_and_no_time(video, arguments):
    assert miou(video, **arguments) == 0
    assert [text for text, _ in SimpleBase.seen] == [timelens_question(query) for query in QUERIES]


@pytest.mark.parametrize(
    ("encoding", "arguments"),
    [
        *((encoding, {"max_frames": 7}) for encoding in ("number", "seconds", "text")),
        *((encoding, {"fps": 2.0, "max_frames": 30}) for encoding in ("number", "text_number")),
        ("grid", {"fps": 1.0}),
    ],
    ids=str,
)
def test_the_sentence_is_true_of_every_rate_and_of_thinned_videos(video, encoding, arguments):
    expected = ceiling(37, arguments.get("fps", 0.5), arguments.get("max_frames", 240))
    assert miou(video, encoding=encoding, **arguments) == pytest.approx(expected)


@pytest.mark.parametrize("encoding", ["number", "seconds", "text_number"])
def test_times_of_a_part_count_from_its_beginning_and_the_question_says_so(video, encoding, monkeypatch):
    """The truth here is of the part, in real times of the whole video minus 11."""
    truth = {query: (start, end) for query, (start, end) in QUERIES.items() if start > 11}
    of_part = {query: (start - 11, end - 11) for query, (start, end) in truth.items()}
    monkeypatch.setattr(ReadingBase, "truth", truth)
    times = 11 + np.arange(10) * 2.0
    snapped = [[float(min(times, key=lambda t: (abs(t - moment), -t))) - 11 for moment in span] for span in truth.values()]
    expected = 100 * float(np.mean([query_iou(found, [list(span)]) for found, span in zip(snapped, of_part.values(), strict=True)]))
    assert miou(video, encoding=encoding, start_s=11.0, end_s=31.0, truth=of_part) == pytest.approx(expected)
    assert "These times count from the first frame, which is 11 seconds into the whole video." in SimpleBase.seen[0][0]


@pytest.mark.parametrize("encoding", ["number", "clock", "text"])
def test_a_task_that_asks_for_clock_times(video, encoding):
    assert miou(video, question=lambda query: f"When does she {query}: {query}? Answer as mm:ss - mm:ss.", encoding=encoding) == (
        pytest.approx(ceiling(37))
    )


# ---------------------------------------------------------------- what is refused, and kept apart


def made(**arguments):
    return NumPro.create_from_arg_string({"base": "numpro_test_reading", **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoding": "numbers"}, r"encoding='numbers' is unknown; allowed: number, plain.*from model_args of numpro"),
        ({"encoding": "drawn:seconds"}, "use answer=seconds"),
        ({"encoding": "text", "numbers": True}, "numbers=True contradicts encoding text; leave numbers out"),
        ({"encoding": "grid", "frame_size": 334}, "does not fit frame_size=334x334"),
        ({"encoding": "clock", "fps": 2}, "two of them would carry one clock time"),
    ],
)
def test_encodings_that_cannot_be(arguments, message):
    with pytest.raises(NumProError, match=message):
        made(**arguments)


@pytest.mark.parametrize("encoding", ["text", "number+text", "grid"])
def test_a_base_that_takes_video_files_says_which_encodings_it_can_be_shown(encoding, monkeypatch):
    wanted = (
        r"encoding .* \(from model_args of numpro\) writes text before frames or shows grids, but base=\S+ takes a video file; encodings "
        r"that it can be shown: number, plain, native, seconds, clock, bar\. For the others use --model numpro_hf"
    )
    with pytest.raises(NumProError, match=wanted):
        NumProSimple.create_from_arg_string({"base": "numpro_test_reading", "encoding": encoding})
    monkeypatch.setenv("NUMPRO_ENCODING", encoding)
    with pytest.raises(NumProError, match="NUMPRO_ENCODING"):
        NumProSimple.create_from_arg_string({"base": "numpro_test_reading"})


def test_two_words_about_the_encoding_that_differ(video, monkeypatch):
    monkeypatch.setenv("NUMPRO_ENCODING", "text")
    with pytest.raises(NumProError, match=r"NUMPRO_ENCODING=text is set for the tasks, but model_args of numpro have encoding='seconds'"):
        made(encoding="seconds")
    made(encoding="drawn:none;text:seconds;answer:seconds")
    monkeypatch.delenv("NUMPRO_ENCODING")
    clip = numbered_clip(video, NumProSettings(frame_size=(168, 168), encoding=PRESETS["seconds"].encoding))
    with pytest.raises(NumProError, match=r"model_args say encoding=clock, but the clip was made with drawn=seconds, layout=frames"):
        miou(clip, encoding="clock")
    assert miou(clip) == pytest.approx(ceiling(37))  # where model_args are silent a ready clip is explained as it is
    assert "represent its time in seconds" in SimpleBase.seen[0][0]


def test_pictures_have_no_times_to_show(tmp_path):
    from PIL import Image

    for k in range(3):
        Image.new("RGB", (64, 64)).save(tmp_path / f"{k}.png")
    with pytest.raises(NumProError, match=r"encoding text shows times, but a video given as pictures has none: use an encoding that shows"):
        miou(tmp_path, encoding="text")
    miou(tmp_path, encoding="text_number")
    text, parts = SimpleBase.seen[0]
    assert "Number k" not in text
    assert [part["text"] for part in parts if part["type"] == "text"] == ["<Frame 0>", "<Frame 1>", "<Frame 2>"]


def test_answers_of_other_texts_and_questions_have_other_keys(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"1")

    def key(encoding, question="When?", *, ours=False, chat=True):
        settings = NumProSettings(encoding=parse_encoding(encoding))
        shown = [{"role": "user", "content": [{"type": "video", "url": str(tmp_path / "a.mp4")}, {"type": "text", "text": question}]}]
        model = type("Model", (), {"task_dict": {"t": {"test": [{"video": str(tmp_path / "a.mp4"), "duration_s": 30.0}]}}})
        arguments = (question, lambda _: shown, {}) if chat else (question, {}, lambda _: [str(tmp_path / "a.mp4")])
        metadata = {"task": "t", "doc_id": 0, "repeats": 1}
        if ours:
            metadata["numpro"] = {"settings": settings.to_dict(), "prompt": "the same"}
        request = Instance("generate_until", (*arguments, 0, "t", "test"), 0, metadata)
        return request_key(model, request, "generate_until", chat=chat, settings=settings).digest

    names = ["plain", "native", "drawn=none,text=none,answer=seconds", "text", "drawn=none,text=clock,answer=clock", "text_number"]
    for ours in (False, True):
        keys = [key(name, ours=ours) for name in names]
        assert keys[0] == keys[1]  # the same pictures without text; what is asked is the task's own
        assert len(set(keys)) == len(names) - 1
        assert len({key(name, ours=ours) for name in ("number", "number+text", "seconds", "seconds+text", "clock", "bar", "grid")}) == 7


# ---------------------------------------------------------------- numpro_hf


@pytest.mark.parametrize("encoding", PRESETS)
def test_numpro_hf_is_told_the_same(video, encoding):
    """Its question, its settings, and keys that know the text before frames."""
    question, options = timelens_question("laughs"), GenerationOptions()
    content = [{"type": "video", "url": str(video), "start_time": 11.0, "end_time": 31.0}, {"type": "text", "text": question}]
    message = {"role": "user", "content": content}
    request = Instance("generate_until", (question, lambda _: [message], {}, 0, "t", "test"), 0, {"task": "t", "doc_id": 0, "repeats": 1})
    settings = NumProSettings(frame_size=(168, 168), encoding=PRESETS[encoding].encoding)
    asked = read_request(request, {}, options, SettingsByVideo(settings))
    assert asked.questions[0].text == explained(question, [Marks(settings.encoding, "red", 0.5, 11.0)])
    assert asked.settings == settings
    assert asked.frames == len(show_video(video, settings, start_s=11.0, end_s=31.0))
    others = [replace(settings, encoding=other) for other in ENCODINGS if other.to_dict() != settings.encoding.to_dict()]
    mine = asked.questions[0]
    keys = [key_of(replace(asked, settings=other, questions=(mine,))) for other in others]
    same = [other.encoding.name for other, key in zip(others, keys, strict=True) if key == key_of(asked)]
    assert same == {"plain": ["native"], "native": ["plain"]}.get(encoding, [])


def test_the_rate_of_numpro_hf_may_follow_the_video(video):
    message = {"role": "user", "content": [{"type": "video", "url": str(video)}, {"type": "text", "text": "List the timestamps."}]}
    request = Instance("generate_until", ("", lambda _: [message], {}, 0, "t", "test"), 0, {"task": "t", "doc_id": 0, "repeats": 1})
    told = {}
    for most in (240, 80, 20):
        settings = SettingsByVideo(NumProSettings(fps=4.0, max_frames=most), auto=True)
        told[most] = read_request(request, {}, GenerationOptions(), settings).questions[0].text
    sentences = {most: text.removeprefix(f"{NUMBERS_SENTENCE} ").removesuffix(" List the timestamps.") for most, text in told.items()}
    assert sentences == {
        240: "Number k is shown at k/4 seconds.",
        80: "Number k is shown at k/2 seconds.",
        20: "Number k is shown at 2k seconds.",
    }
