"""`numpro design`: contrast, who reads the numbers back, and which style is recommended."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.tiny_clip import save_tiny_clip
from support.videos import write_counter_video

from numpro_plugin import NumberStyle, NumProError, NumProSettings, draw_numbers
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.cli.main import main
from numpro_plugin.design.contrast import LOW_CONTRAST, as_oklab, color_of, ink_contrast
from numpro_plugin.design.frames import Chosen, Part, Place, places_of_parts
from numpro_plugin.design.readers import NUMBER_CAPTION, CaptionReader, TextReader
from numpro_plugin.design.search import ranked, recommended, search
from numpro_plugin.design.styles import StyleGrid, outlined, variables
from numpro_plugin.environment import settings_from_environment
from numpro_plugin.settings import SettingsByVideo
from numpro_plugin.views.marks import marked_pixels

GREY, ORANGE = (128, 128, 128), (253, 90, 30)


def plain(color: tuple[int, int, int], size: tuple[int, int] = (192, 96)) -> np.ndarray:
    return np.full((size[1], size[0], 3), color, np.uint8)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds: grey, and from the twelfth on an orange end card."""
    path = tmp_path_factory.mktemp("design") / "card.mp4"
    picture = lambda k, size: plain(GREY if k < 12 else ORANGE, size)  # noqa: E731
    return write_counter_video(path, [1000 * k for k in range(20)], rate=1, picture=picture)


def test_oklab_is_that_of_its_author():
    """The values of his page for the corners of sRGB."""
    assert as_oklab(np.array([[255, 255, 255], [0, 0, 0]], np.uint8)) == pytest.approx(np.array([[100, 0, 0], [0, 0, 0]]), abs=0.01)
    assert color_of("red") == pytest.approx(np.array([62.80, 22.49, 12.58]), abs=0.02)
    assert color_of("blue") == pytest.approx(np.array([45.20, -3.25, -31.15]), abs=0.02)


def test_contrast_is_that_of_the_letters_with_what_is_around_them():
    style = NumberStyle(font_size=80)
    frames = np.stack([plain(color) for color in ((255, 0, 0), ORANGE, GREY, (255, 255, 255))])
    frames[2, :, :60] = (255, 0, 0)  # far from the number
    drawn = draw_numbers(frames.copy(), [7, 7, 7, 7], style)
    red, orange, grey, white = ink_contrast(drawn, [7, 7, 7, 7], style)
    assert red == pytest.approx(0, abs=1e-6)
    assert orange < LOW_CONTRAST < grey
    assert white == pytest.approx(np.linalg.norm(color_of("white") - color_of("red")), abs=0.01)


def test_an_outline_is_what_the_letters_stand_out_from():
    style = outlined(NumberStyle(font_size=80), 3)
    assert style.stroke_color == "black"
    assert outlined(NumberStyle(color="navy"), 3).stroke_color == "white"
    drawn = draw_numbers(plain((255, 0, 0), (336, 336))[None].copy(), [12], style)
    assert ink_contrast(drawn, [12], style)[0] > 4 * LOW_CONTRAST


def test_marked_pixels_are_those_that_drawing_changes():
    style = NumberStyle("center", 60, "lime", 2, "navy")
    for background in ((255, 0, 0), (255, 255, 255)):
        frame = plain(background)[None]
        changed = (draw_numbers(frame.copy(), [42], style) != frame).any(axis=-1)
        marked = marked_pixels([42], (192, 96), style)
        assert not (changed & ~marked).any()
        assert changed.sum() > 0.97 * marked.sum()  # the faintest edge rounds to the background's own value
    assert marked_pixels([42], (192, 96), style, outline=False).sum() < 0.8 * marked.sum()


class Squinting:
    """Reads what is at least 40 high, except the second frame, and knows where numbers stand."""

    name = "a squinting reader"

    def read(self, pixels, numbers, boxes):
        high = boxes[:, 3] - boxes[:, 1] >= 6
        high[1] &= boxes[1, 3] - boxes[1, 1] >= 14
        return high


def frames_of(count: int) -> Chosen:
    part = Part("made.mp4", 2.0 * count)
    return Chosen(np.stack([plain(GREY)] * count), [Place(part, k) for k in range(count)])


def test_of_the_styles_that_are_read_the_one_that_covers_least_comes_first():
    styles = StyleGrid(sizes=(10, 40, 80), colors=("red", "gray"), positions=("center",)).styles()
    assert len(styles) == 6
    order = ranked(search(frames_of(4), styles, Squinting()))
    assert [one.style.font_size for one in order] == [40, 40, 80, 80, 10, 10]  # 40 misses one frame, which may be chance
    assert [one.style.color for one in order[:2]] == ["red", "gray"]
    assert [one.read_percent for one in order] == [75, 75, 100, 100, 0, 0]
    assert order[0].covered < order[2].covered
    assert order[1].low_contrast_percent == 100


class Reading:
    """Reads so many frames of each style, in their order."""

    name = "a reader"

    def __init__(self, *counts: int) -> None:
        self.counts = list(counts)

    def read(self, pixels, numbers, boxes):
        return np.arange(len(pixels)) < self.counts.pop(0)


@pytest.mark.parametrize(
    ("counts", "wanted", "alike"),
    [
        ((16, 16, 16, 16), (40, "red"), 4),  # not the smallest
        ((16, 13, 16, 16), (40, "red"), 4),  # 13 of 16 may be 16 of 16
        ((16, 12, 16, 16), (40, "white"), 3),  # 12 may not
        ((16, 12, 12, 13), (80, "red"), 2),
        ((16, 4, 4, 4), (20, "red"), 1),
    ],
)
def test_the_recommended_style_is_the_papers_nearest_of_those_read_equally_often(counts, wanted, alike):
    styles = [NumberStyle(font_size=size, color=color) for size, color in ((20, "red"), (40, "red"), (40, "white"), (80, "red"))]
    found = recommended(search(frames_of(16), styles, Reading(*counts)))
    assert found is not None
    assert ((found.result.style.font_size, found.result.style.color), found.alike) == (wanted, alike)
    assert (found.most_percent, round(found.low_percent, 1)) == (100, 80.6)


def test_the_command_says_why(video: Path, capsys, monkeypatch):
    grid = ["--sizes", "20", "40", "--colors", "red", "--positions", "bottom_right", "--frames", "5"]
    for counts, told in (
        ((5, 4), "recommended: red 40, bottom right\nwhy: 2 styles are read back equally often (57 to 100 %, "),
        ((5, 1), "recommended: red 20, bottom right\nwhy: no other style is read back as often (57 to 100 %, "),
    ):
        monkeypatch.setattr("numpro_plugin.cli.design._reader", lambda _, counts=counts: Reading(*counts))
        assert main(["design", str(video), "--reader", "someone", *grid]) == 0
        assert told in capsys.readouterr().out


def test_nothing_is_recommended_if_nothing_was_read():
    styles = [NumberStyle(font_size=20), NumberStyle()]
    assert recommended(search(frames_of(4), styles, Reading(0, 0))) is None
    assert recommended(search(frames_of(4), styles, None)) is None


def test_variables_give_the_tasks_the_style():
    for style in StyleGrid(sizes=(20, 40), colors=("rgb(1,2,3)", "red"), outlines=(0, 2.5)).styles():
        line = variables(style)
        assert settings_from_environment(dict(word.split("=", 1) for word in shlex.split(line))).style == style
    assert variables(NumberStyle()) == ""


def test_frames_are_chosen_evenly_over_all_videos():
    settings = SettingsByVideo(NumProSettings())
    places = places_of_parts([Part("a", 20.0), Part("b", 60.0)], settings, 4)
    assert [(place.part.video, place.number) for place in places] == [("a", 0), ("b", 3), ("b", 16), ("b", 29)]
    assert len(places_of_parts([Part("a", 20.0)], settings, 99)) == 10


@pytest.mark.parametrize("name", ["plain", "sheet"])
def test_numbers_on_the_end_card_are_found(video: Path, tmp_path: Path, capsys, name: str):
    files = ["--sheet", str(tmp_path / "s.png"), "--plot", str(tmp_path / "h.png")] if name == "sheet" else []
    if files:
        pytest.importorskip("matplotlib")
    grid = ["--sizes", "40", "80", "--colors", "red", "white", "--positions", "center", "top_left", "--frames", "5"]
    assert main(["design", str(video), "--reader", "none", *grid, *files, "--json", str(tmp_path / "d.json")]) == 0
    shown = capsys.readouterr().out
    found = json.loads((tmp_path / "d.json").read_text())
    assert (found["numbers"]["numbers"], found["numbers"]["low_contrast"], found["numbers"]["low_contrast_with_outline"]) == (10, 4, 0)
    assert {one["number"] for one in found["numbers"]["lowest"]} == {6, 7, 8, 9}
    assert "4 of 10 shown numbers (40.0 %) in 1 of 1 videos" in shown
    assert "with an outline (NUMPRO_STROKE_WIDTH=2): 0 of 10" in shown
    assert "no style is recommended" in shown
    assert [one["style"]["color"] for one in found["styles"]] == ["white"] * 4 + ["red"] * 4
    assert [one["number"] for one in found["frames"]] == [0, 2, 4, 6, 9]
    if files:
        assert Image.open(tmp_path / "s.png").height > 6 * 100
        assert Image.open(tmp_path / "h.png").width > 300
        assert main(["design", str(video), "--reader", "none", *files]) == 1  # they exist


def test_the_style_of_the_variables_is_looked_at(video: Path, capsys, monkeypatch):
    monkeypatch.setenv("NUMPRO_COLOR", "white")
    monkeypatch.setenv("NUMPRO_FPS", "1")
    assert main(["design", str(video), "--reader", "none", "--sizes", "40", "--frames", "1"]) == 0
    assert "in the style of the tasks (white 40, bottom right), 0 of 20 shown numbers" in capsys.readouterr().out


def test_encodings_without_drawn_numbers_are_refused(video: Path, capsys, monkeypatch):
    monkeypatch.setenv("NUMPRO_ENCODING", "seconds")
    assert main(["design", str(video), "--reader", "none"]) == 1
    assert "NUMPRO_ENCODING=seconds draws no numbers on single frames" in capsys.readouterr().err


@pytest.mark.slow
def test_a_prepared_benchmark_gives_frames_captions_and_videos(video: Path, tmp_path: Path, capsys):
    rows = [{"video": "card.mp4", "query": query, "spans": [span]} for query, span in (("grey", [2, 6]), ("orange", [14, 18]))]
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    prepare(BENCHMARKS["custom"], tmp_path / "queries.jsonl", videos=video.parent, progress=False)
    model = save_tiny_clip(tmp_path / "clip")
    capsys.readouterr()  # a library of transformers greets
    command = ["design", "--benchmark", "custom", "--reader", str(model), "--sizes", "40", "--colors", "red", "--json", "-"]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["number"], one["caption"]) for one in found["frames"]] == [(2, "grey"), (8, "orange")]
    assert found["reader"] == "captions compared by CLIPModel"
    assert all(one["captions_percent"] in (0, 50, 100) and one["read_percent"] in (0, 50, 100) for one in found["styles"])
    assert found["numbers"]["numbers"] == 10  # of the one video


@pytest.mark.slow
def test_captions_are_compared_by_the_model(tmp_path: Path):
    import torch
    from transformers import AutoProcessor, CLIPModel

    folder = save_tiny_clip(tmp_path / "clip")
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (40, 48, 48, 3), dtype=np.uint8) // np.arange(1, 41, dtype=np.uint8)[:, None, None, None]
    numbers = rng.integers(0, 90, 40)
    captions = [NUMBER_CAPTION.format(number) for number in np.unique(numbers)]
    reader = CaptionReader(str(folder))
    inputs = AutoProcessor.from_pretrained(folder)(text=captions, images=list(frames), return_tensors="pt", padding=True)
    with torch.inference_mode():
        wanted = CLIPModel.from_pretrained(folder)(**inputs).logits_per_image.argmax(dim=1).numpy()
    assert len(set(wanted.tolist())) > 1  # it does not always say the same
    assert reader.most_similar(frames, captions).tolist() == wanted.tolist()
    own = np.unique(numbers)[wanted]
    assert reader.read(frames, numbers, np.zeros((40, 4), np.int64)).tolist() == (own == numbers).tolist()


@pytest.mark.slow
def test_text_recognition_reads_what_stands_where_the_number_is():
    pytest.importorskip("rapidocr")
    pytest.importorskip("onnxruntime")
    frames = np.stack([plain(GREY, (336, 336))] * 3)
    style = NumberStyle(font_size=60)
    drawn = draw_numbers(frames.copy(), [17, 17, 17], style)
    drawn[1] = draw_numbers(frames[:1].copy(), [17], NumberStyle("top_left", 60))[0]  # elsewhere
    drawn[2] = draw_numbers(frames[:1].copy(), [71], style)[0]
    box = np.array([[240, 250, 336, 336]] * 3)
    assert TextReader().read(drawn, np.array([17, 17, 17]), box).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either video files, or --benchmark NAME"),
        (["a.mp4", "--benchmark", "custom"], "give either video files, or --benchmark NAME"),
        (["a.mp4", "--frames", "0"], "--frames 0 must be 1 or more"),
        (["a.mp4", "--sheet", "x.jpg"], "a sheet is a PNG picture; name it x.png"),
        (["a.mp4", "--reader", "none", "--sizes", "2"], "font_size=2.0 must be 4 to 336"),
        (["a.mp4", "--reader", "none", "--colors", "red", "red"], "give at least one value, and each of them once; got red red"),
        (["a.mp4", "--reader", "none", "--colors", "reddish"], "color='reddish' is not a CSS colour"),
        (["a.mp4", "--reader", "none", "--positions", "left"], "position='left' is unknown"),
        (["gone.mp4", "--reader", "none"], "gone.mp4"),
        (["--benchmark", "charades", "--reader", "none"], "run: numpro prepare charades"),
    ],
)
def test_what_cannot_be_is_said_at_once(arguments: list[str], message: str, capsys):
    assert main(["design", *arguments]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_model_without_captions_is_refused(tmp_path: Path):
    from numpro_plugin.demo.world import tiny_model_folder

    with pytest.raises(NumProError, match=r"--reader .*nowhere.*: cannot be opened as a model of pictures and texts"):
        CaptionReader(str(tmp_path / "nowhere"))
    with pytest.raises(NumProError, match="--reader"):
        CaptionReader(str(tiny_model_folder()))
