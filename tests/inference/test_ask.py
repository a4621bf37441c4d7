"""`numpro ask` and the function behind it: one's own video, answers in seconds."""

from __future__ import annotations

import json
from itertools import cycle
from pathlib import Path

import av
import pytest
from support.tiny_families import save_tiny
from support.videos import write_counter_video

from numpro_plugin import NumProError, NumProSettings
from numpro_plugin.cli.main import main
from numpro_plugin.clips.clip import write_clip
from numpro_plugin.encoding import PRESETS
from numpro_plugin.families import Loaded, load_model
from numpro_plugin.harness import task
from numpro_plugin.inference import localize as localization
from numpro_plugin.inference.generation import Generated, Generator
from numpro_plugin.inference.localize import localize, settings_for
from numpro_plugin.prompts.questions import moment_question
from numpro_plugin.video import packets
from numpro_plugin.weights.record import RECORD


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_tiny("longva", tmp_path_factory.mktemp("tiny") / "longva")


@pytest.fixture(scope="module")
def loaded(folder) -> Loaded:
    return load_model(folder, dtype="float32")


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    return write_counter_video(tmp_path_factory.mktemp("video") / "mine.mp4", [k * 250 for k in range(130)], rate=4)  # 32.5 s


def says(monkeypatch, *texts: str) -> None:
    """The model runs, but other words come out."""
    words = cycle(texts)
    monkeypatch.setattr(Generator, "_answer", lambda self, ids, closing, options: Generated(next(words), len(ids)))


def test_answers_are_in_seconds_of_the_video(loaded, video, monkeypatch):
    says(monkeypatch, "From Frame 2 to Frame 6.", "From Frame 16 to Frame 9.", "I cannot tell.")
    passes = []
    tower = loaded.model.model.vision_tower.register_forward_hook(lambda *_: passes.append(1))
    found = localize(video, ["a hat", "a cat", "a dog"], loaded, NumProSettings(), max_new_tokens=3)
    tower.remove()
    assert [one.span_s for one in found] == [(4, 12), (18, 32), None]
    assert [one.query for one in found] == ["a hat", "a cat", "a dog"]
    assert found[2].reason == "the answer has no number"
    assert len(passes) == 1


def test_the_end_of_the_video_is_the_last_answer(loaded, video, monkeypatch):
    says(monkeypatch, "From Frame 2 to Frame 500.")
    (found,) = localize(video, ["a hat"], loaded, NumProSettings(), max_new_tokens=1)
    assert found.span_s == (4, 32.5)


def test_of_a_part_the_seconds_are_the_whole_videos(loaded, video, monkeypatch):
    says(monkeypatch, "From Frame 1 to Frame 2.")
    (found,) = localize(video, ["a hat"], loaded, NumProSettings(fps=1), start_s=10.5, end_s=20, max_new_tokens=1)
    assert found.span_s == (11.5, 12.5)


def test_highlights_have_times_and_scores(loaded, video, monkeypatch):
    says(monkeypatch, "The highlight frames are in the 3, 4 frames. Their saliency scores are 1.5, 4.0.")
    (found,) = localize(video, ["a hat"], loaded, NumProSettings(), highlights=True, max_new_tokens=1)
    assert found.highlights == ((6, 1.5), (8, 4))


def test_highlights_beyond_the_video_are_left_out_and_counted(loaded, video, monkeypatch):
    says(monkeypatch, "The highlight frames are in the 3, 900 frames. Their saliency scores are 1.5, 4.0.")
    (found,) = localize(video, ["a hat"], loaded, NumProSettings(), highlights=True, max_new_tokens=1)
    assert found.highlights == ((6, 1.5),)
    assert found.reason.endswith("; 1 beyond the video left out")


def test_a_numbered_clip_is_not_numbered_again(loaded, video, tmp_path):
    write_clip(video, tmp_path / "numbered.mp4")
    with pytest.raises(NumProError, match=r"numbered\.mp4: is already a NumPro clip; start from the original video"):
        localize(tmp_path / "numbered.mp4", ["a hat"], loaded, NumProSettings())


def test_equal_queries_are_answered_each(loaded, video):
    found = localize(video, ["a hat", "a hat", "b"], loaded, NumProSettings(), max_new_tokens=3)
    assert found[0] == found[1]
    assert len(found) == 3


def test_nothing_to_look_for_is_an_error(loaded, video):
    for queries in ([], ["a", " "]):
        with pytest.raises(NumProError, match="what to look for"):
            localize(video, queries, loaded, NumProSettings())


def test_settings_follow_the_model_and_the_adapter(loaded, folder, tmp_path):
    assert settings_for(loaded.family, folder) == NumProSettings()
    assert settings_for(loaded.family, folder, tmp_path).prompt == "ft"  # the reference's adapters say nothing
    (tmp_path / RECORD).write_text(json.dumps({"settings": NumProSettings(fps=1.0, prompt="ft").to_dict()}))
    assert settings_for(loaded.family, tmp_path).fps == 1.0  # a merged model
    assert settings_for(loaded.family, folder, tmp_path, max_frames=9) == NumProSettings(fps=1.0, prompt="ft", max_frames=9)
    with pytest.raises(NumProError, match="trained with 1 numbers per second, not fps=0.5: leave fps out"):
        settings_for(loaded.family, folder, tmp_path, fps=0.5)
    with pytest.raises(NumProError, match="trained with frames of 336 x 336, not frame_size=.48, 48.: leave frame_size out"):
        settings_for(loaded.family, folder, tmp_path, frame_size=(48, 48))
    with pytest.raises(NumProError, match="longva takes 336 x 336 pixels"):
        settings_for(loaded.family, folder, frame_size=(672, 336))


def test_a_grid_that_does_not_fit_the_model_is_refused_before_its_weights_are_opened(video, tmp_path, capsys, monkeypatch):
    model = save_tiny("qwen3_vl", tmp_path / "qwen3_vl")
    monkeypatch.setattr("numpro_plugin.families.load_model", lambda *_, **__: pytest.fail("the weights were opened"))
    words = ["ask", str(video), "a hat", "--model", str(model), "--encoding", "grid"]
    assert main(words) == 1
    assert "does not fit frame_size=320x320: the width must be a multiple of 4, the height of 3; a grid of such frames is " in (
        message := capsys.readouterr().err
    )
    assert message.rstrip().endswith("frame_size=1280x960")
    assert main([*words, "--frame-size", "300"]) == 1
    assert "qwen3_vl takes multiples of 32 pixels" in capsys.readouterr().err
    monkeypatch.undo()
    assert main([*words, "--frame-size", "384x288", "--max-new-tokens", "1", "--json"]) == 1  # the model has no answer
    assert json.loads(capsys.readouterr().out)["settings"]["frame_size"] == [384, 288]


def test_an_adapters_encoding_stays(loaded, folder, tmp_path):
    clock, text = PRESETS["clock"].encoding, PRESETS["text"].encoding
    (tmp_path / RECORD).write_text(json.dumps({"settings": NumProSettings(encoding=clock).to_dict()}))
    assert (
        settings_for(loaded.family, folder, tmp_path).encoding
        == settings_for(loaded.family, folder, tmp_path, encoding=clock).encoding
        == clock
    )
    assert settings_for(loaded.family, folder, encoding=text).encoding == text
    with pytest.raises(NumProError, match="was trained with encoding clock, not text: leave encoding out"):
        settings_for(loaded.family, folder, tmp_path, encoding=text)


def test_answers_are_read_in_the_unit_that_was_asked_for(folder, video, capsys, monkeypatch):
    asked = []
    says(monkeypatch, "The event happens in 00:04 - 00:12.", "From Frame 2 to Frame 6.", "The event does not occur in the video.")
    monkeypatch.setattr(localization, "moment_question", lambda *args: asked.append(moment_question(*args)) or asked[-1])
    words = ["ask", str(video), "a hat", "a cat", "a dog", "--model", str(folder), "--encoding", "clock", "--json"]
    assert main(words) == 1
    answers = json.loads(capsys.readouterr().out)["answers"]
    assert [one["span_s"] for one in answers] == [[4, 12], [4, 12], None]
    assert "the question asks for clock times, the answer names frames, which were converted" in answers[1]["reason"]
    assert "mm:ss" in asked[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--encoding", "watch"], "--encoding='watch' is unknown; allowed: number, plain"),
        (["--encoding", "clock", "--fps", "2"], "two of them would carry one clock time"),
        (["--encoding", "seconds", "--highlights"], "highlight detection asks for frame numbers, but encoding seconds asks for seconds"),
    ],
)
def test_encodings_that_cannot_be_asked_in_are_refused_before_the_model(video, capsys, words, message):
    assert main(["ask", str(video), "a hat", "--model", "nowhere", *words]) != 0
    assert message in capsys.readouterr().err


def test_a_thought_that_was_cut_off_names_the_flag(folder, video, capsys, monkeypatch):
    says(monkeypatch, "<think>A hat from frame 2 to")
    assert main(["ask", str(video), "a hat", "--model", str(folder), "--max-new-tokens", "2"]) == 1
    assert "unclosed thought (<think>); raise max_new_tokens (--max-new-tokens)\n" in capsys.readouterr().out


def test_the_command(folder, video, tmp_path, capsys, monkeypatch):
    says(monkeypatch, "From Frame 2 to Frame 6.", "Who knows.")
    arguments = ["ask", str(video), "a hat", "a cat", "--model", str(folder), "--max-new-tokens", "2", "--json", str(tmp_path / "out.json")]
    assert main(arguments) == 1  # one query has no answer
    out = capsys.readouterr().out
    assert "a hat\n  4.0 - 12.0 s\n  the model: From Frame 2 to Frame 6.\n\na cat\n  no answer: the answer has no number\n" in out
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["answers"][0]["span_s"] == [4, 12]
    assert written["settings"]["fps"] == 0.5
    assert main(["ask", str(video), "a hat", "--model", str(folder), "--max-new-tokens", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answers"] == written["answers"][:1]


def test_found_moments_become_files(folder, video, tmp_path, capsys, monkeypatch):
    says(monkeypatch, "From Frame 2 to Frame 6.", "Who knows.", "From Frame 16 to Frame 16.")
    files = ["--clip", "c.mp4", "--srt", "s.srt", "--edl", "e.edl", "--csv", "t.csv"]
    files = [str(tmp_path / word) if "." in word else word for word in files]
    arguments = ["ask", str(video), "a hat", "a cat", "a dog", "--model", str(folder), "--max-new-tokens", "2", *files]
    assert main(arguments) == 1
    out = capsys.readouterr().out
    assert f"written: {tmp_path / 'c-1.mp4'} (32 frames, encoded again, without sound)" in out
    assert f"not written: {tmp_path / 'c-2.mp4'} (no moment was found: the answer has no number)" in out
    assert [packets.read_packets(tmp_path / f"c-{k}.mp4").duration_s for k in (1, 3)] == pytest.approx([8, 0.5])
    assert (tmp_path / "s.srt").read_text().splitlines()[5:7] == ["00:00:32,000 --> 00:00:32,500", "a dog"]
    assert "00:00:04:00 00:00:12:00 01:00:00:00 01:00:08:00" in (tmp_path / "e.edl").read_text()
    assert [line.split(",")[:3] for line in (tmp_path / "t.csv").read_text().splitlines()[1:]] == [
        ["a hat", "4.000", "12.000"],
        ["a cat", "", ""],
        ["a dog", "32.000", "32.000"],
    ]
    assert main(arguments) == 1
    assert f"--srt {tmp_path / 's.srt'} exists; choose another name or give --force" in capsys.readouterr().err
    assert main([*arguments, "--force", "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["answers"]) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--clip", "out.avi"], "--clip out.avi: a clip is a video; name it out.mp4"),
        (["--srt", "out.txt"], "--srt out.txt: name it out.srt"),
        (["--edl", "no/out.edl"], "the folder"),
        (["--clip", "mine.mp4", "--force"], "--clip mine.mp4: is the video itself"),
        (["--clip", "out.mp4", "--highlights"], "--clip: highlights are points of time without an end"),
    ],
)
def test_files_that_cannot_be_written_are_refused_before_the_model(video, monkeypatch, capsys, words, message):
    monkeypatch.chdir(video.parent)
    assert main(["ask", "mine.mp4", "x", "--model", "/nowhere/at/all", *words]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["moments", "highlights"])
def test_the_video_is_opened_and_demuxed_once(folder, video, capsys, monkeypatch, mode):
    opened, demuxed = [], []
    real_open, real_demux = packets.av.open, packets.demux
    monkeypatch.setattr(av, "open", lambda *args, **kwargs: opened.append(args[0]) or real_open(*args, **kwargs))
    monkeypatch.setattr(packets, "demux", lambda *args: demuxed.append(1) or real_demux(*args))
    options = ["--highlights"] if mode == "highlights" else []
    main(["ask", str(video), "a hat", "a cat", "--model", str(folder), "--max-new-tokens", "2", *options])
    assert opened == [str(video)]
    assert len(demuxed) == 1


@pytest.mark.parametrize(("highlights", "prompt", "wanted"), [(False, "zeroshot", 128), (True, "zeroshot", 512), (True, "ft", 1024)])
def test_answers_are_as_long_as_in_the_tasks(loaded, video, monkeypatch, highlights, prompt, wanted):
    lengths = []
    monkeypatch.setattr(
        Generator, "batch", lambda self, samples, options: lengths.append(options.max_new_tokens) or [Generated("no", 1)] * len(samples)
    )
    localize(video, ["a hat"], loaded, NumProSettings(prompt=prompt), highlights=highlights)
    assert lengths == [wanted]
    monkeypatch.setenv("NUMPRO_PROMPT", prompt)
    assert (task.highlight_generation if highlights else task.moment_generation)["max_new_tokens"] == wanted


def test_what_is_wrong_is_said_at_once(folder, video, capsys, tmp_path):
    assert main(["ask", str(tmp_path / "no.mp4"), "x", "--model", "/nowhere/at/all"]) == 1
    assert "no.mp4: no such file" in capsys.readouterr().err
    assert main(["ask", str(video), "x", "--model", "/nowhere/at/all"]) == 1
    assert "is not a model" in capsys.readouterr().err
    assert main(["ask", str(video), "x", "--model", "/nowhere/at/all", "--json", "/no/where.json"]) == 1
    assert "the folder /no does not exist" in capsys.readouterr().err
    assert main(["ask", str(video), "x", "--model", str(folder), "--max-new-tokens", "-2"]) == 1
    assert "--max-new-tokens -2 must be 1 or more" in capsys.readouterr().err
