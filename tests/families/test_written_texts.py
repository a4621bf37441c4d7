"""Texts between frames, in every family and every way of showing time: pixels, texts and their order read back from what the model gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from support.digits import read_mark, read_number
from support.tiny_families import FAMILIES, pixels_of, save_tiny
from transformers import LlavaNextVideoConfig, LlavaOnevisionConfig, Qwen2_5_VLConfig, Qwen2VLConfig, Qwen3VLConfig

import numpro_plugin
from numpro_plugin.encoding import PRESETS, parse_encoding
from numpro_plugin.errors import NumProError
from numpro_plugin.families import IGNORED, Family, Loaded, PreparedVideo, family_of, load_model
from numpro_plugin.families.written import estimated_tokens
from numpro_plugin.longva import LongVAConfig
from numpro_plugin.settings import NumProSettings
from numpro_plugin.showing import ShownVideo, sampled_frames, show
from numpro_plugin.timeline import Timeline
from numpro_plugin.video.sampling import Frames

QUESTION = "When does it happen?"
M_ROPE = ("qwen2_vl", "qwen2_5_vl")
# Video tokens of a frame of the family's size in the tiny checkpoints, and what stands around them.
TOKENS = {"longva": 16, "llava_onevision": 16, "llava_next_video": 16, "qwen2_vl": 144, "qwen2_5_vl": 144, "qwen3_vl": 100}
MARKS = ("<|vision_start|>", "<|vision_end|>")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Loaded]:
    root = tmp_path_factory.mktemp("families")
    return {name: load_model(save_tiny(name, root / name), dtype="float32") for name in FAMILIES}


@pytest.fixture(params=FAMILIES)
def loaded(request: pytest.FixtureRequest, opened: dict[str, Loaded]) -> Loaded:
    return opened[request.param]


def name_of(loaded: Loaded) -> str:
    return loaded.family.model_types[0]


def settings_of(loaded: Loaded, encoding: str, **more: object) -> NumProSettings:
    size = loaded.family.frame_size
    if "qwen" in name_of(loaded) and "grid" in encoding:
        size = (640, 384) if name_of(loaded) == "qwen3_vl" else (672, 336)
    return NumProSettings(frame_size=size, encoding=parse_encoding(encoding), **more)


def made_frames(settings: NumProSettings, count: int, *, seed: int = 0) -> Frames:
    """Flat frames of random colours without red, in the size that is drawn on."""
    width, height = settings.tile_size
    colours = np.random.default_rng(seed).integers((0, 60, 60), (60, 256, 256), (count, 1, 1, 3), dtype=np.uint8)
    pixels = np.broadcast_to(colours, (count, height, width, 3)).copy()
    return Frames(pixels, np.arange(count), Timeline(count / settings.fps, settings.fps))


def encoded(loaded: Loaded, shown: ShownVideo, turns: object = QUESTION) -> dict[str, torch.Tensor]:
    video = loaded.family.prepare(shown.pictures, loaded.processor, shown.texts)
    return loaded.family.encode(video, turns, loaded.processor)  # type: ignore[arg-type]


def layout(loaded: Loaded, ids: torch.Tensor) -> str:
    """A prompt as text, with every run of n video tokens as {n}."""
    text, rest = "", ids.tolist()
    while rest:
        is_video = rest[0] == loaded.processor.video_token_id
        count = next((k for k, one in enumerate(rest) if (one == loaded.processor.video_token_id) != is_video), len(rest))
        text += f"{{{count}}}" if is_video else loaded.processor.tokenizer.decode(rest[:count])
        rest = rest[count:]
    return text


def prompt_with(loaded: Loaded, video: str) -> str:
    """The chat template's prompt with this in the video's place."""
    messages = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": QUESTION}]}]
    prompt = loaded.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    token = loaded.processor.video_token
    return prompt.replace(token.join(MARKS) if "qwen" in name_of(loaded) else token, video)


def expected_video(loaded: Loaded, texts: list[str], tokens: int) -> str:
    """What stands in the prompt by the rules of docs/encodings.md."""
    if "qwen" in name_of(loaded):
        return "".join(f"{text}{MARKS[0]}{{{tokens}}}{MARKS[1]}" for text in texts)
    closing = 1 if name_of(loaded) == "llava_onevision" else 0
    if not any(texts):
        return f"{{{tokens * len(texts) + closing}}}"
    return "".join(f"{text}{{{tokens + (closing if k == len(texts) - 1 else 0)}}}" for k, text in enumerate(texts))


def redrawn(frame: np.ndarray, mark: str) -> np.ndarray:
    """The frame with a mark by the paper's rule: DejaVu Sans Bold, 40 of 336 pixels, red, a third of its height above the lower edge."""
    picture = Image.fromarray(frame.copy())
    font = ImageFont.truetype(str(Path(numpro_plugin.__file__).parent / "data" / "DejaVuSans-Bold.ttf"), 40 * picture.height / 336)
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = draw.textbbox((0, 0), mark, font=font)
    draw.text((picture.width - (right - left), picture.height - (bottom - top) * 4 / 3), mark, fill="red", font=font)
    return np.asarray(picture)


def check_pixels(preset: str, seen: np.ndarray, raw: np.ndarray, times_s: list[float]) -> None:
    """``seen``: what the model gets, (N, H, W, 3); ``raw``: the frames before anything is drawn."""
    drawn = PRESETS[preset].encoding.drawn
    clock = [f"{int(time) // 60:02}:{int(time) % 60:02}" for time in times_s]
    marks = {"number": [str(k) for k in range(len(raw))], "seconds": [f"{time:g}" for time in times_s], "clock": clock}.get(drawn)
    if PRESETS[preset].encoding.grid is not None:
        for k, canvas in enumerate(seen):  # grids of 4 x 3 frames that begin 6 frames apart
            height, width = canvas.shape[0] // 3, canvas.shape[1] // 4
            for place in range(12):
                row, column = divmod(place, 4)
                tile = canvas[row * height : (row + 1) * height, column * width : (column + 1) * width].astype(int)
                wanted = raw[6 * k + place] if 6 * k + place < len(raw) else np.zeros_like(raw[0])
                assert np.abs(tile - wanted).max() <= 1
    elif drawn == "bar":
        assert np.abs(seen[:, : raw.shape[1]].astype(int) - raw).max() <= 1
        strips = seen[:, raw.shape[1] :].astype(int)
        right = strips.shape[2] * 7 // 10
        assert [read_mark(strip[:, right:].min(-1) > 150) for strip in strips] == [f"{time:g}" for time in times_s]
        red = (strips[..., 0] > 200) & (strips[..., 1:].max(-1) < 60)
        ends = [int(np.flatnonzero(mask.any(0)).max()) for mask in red]  # the dot's right end moves evenly with time
        assert np.abs(np.diff(ends) - (ends[-1] - ends[0]) / (len(ends) - 1)).max() <= 1.5
        assert ends[-1] > ends[0] + 20
    elif marks is None:
        assert np.abs(seen.astype(int) - raw).max() <= 1
    else:
        wanted = np.stack([redrawn(frame, mark) for frame, mark in zip(raw, marks, strict=True)])
        assert np.abs(seen.astype(int) - wanted).max() <= 1
        red = (seen[..., 0].astype(int) - seen[..., 1:].max(-1)) >= 185
        corner = red[:, int(seen.shape[1] * 0.85) :, seen.shape[2] // 2 :]
        if raw.std(axis=(1, 2)).max() == 0:  # digits on real frames are compared above
            assert [read_mark(mask) for mask in corner] == marks


STAMPS = {
    "text": lambda k: f"{2 * k}s",
    "seconds+text": lambda k: f"{2 * k}s",
    "text_number": lambda k: f"<Frame {k}>",
    "number+text": lambda k: f"<Frame {k}>",
}


def check(loaded: Loaded, preset: str, frames: Frames) -> None:
    """One preset on frames two seconds apart that start at 0."""
    settings = settings_of(loaded, preset)
    raw, count = frames.pixels.copy(), len(frames)
    shown = show(frames, settings)
    sample = encoded(loaded, shown)
    seen = pixels_of(loaded, sample)
    qwen, written = "qwen" in name_of(loaded), preset in STAMPS or preset == "grid"
    if qwen and written:  # every picture has a temporal patch of its own, which holds it twice
        assert np.array_equal(seen[::2], seen[1::2])
        seen = seen[::2]
    check_pixels(preset, seen[: len(shown)], raw, [2.0 * k for k in range(count)])
    got = layout(loaded, sample["input_ids"][0])
    tokens = TOKENS[name_of(loaded)]
    if preset == "grid":
        texts = ["<Frame 0 to Frame 11>", f"<Frame 6 to Frame {count - 1}>"]
        width, height = settings.frame_size
        tokens = width * height // (28 if name_of(loaded) in M_ROPE else 32) ** 2 if qwen else tokens
        assert got == prompt_with(loaded, expected_video(loaded, texts, tokens))
    elif written:
        assert got == prompt_with(loaded, expected_video(loaded, [STAMPS[preset](k) for k in range(count)], tokens))
    else:
        plain = loaded.family.encode(shown.pictures, QUESTION, loaded.processor)
        assert plain.keys() == sample.keys()
        assert all(torch.equal(plain[name], sample[name]) for name in plain)
        assert "Frame 1" not in got
        assert "{" in got
    if name_of(loaded) == "qwen3_vl":
        assert (" seconds>" in got) == (not written)  # its own stamps are replaced, never added to


@pytest.mark.parametrize("preset", PRESETS)
def test_every_way_of_showing_time_reaches_every_family(loaded: Loaded, preset: str) -> None:
    check(loaded, preset, made_frames(settings_of(loaded, preset), 15 if preset == "grid" else 4))


@pytest.mark.shared
@pytest.mark.slow
def test_every_way_of_showing_a_real_video_reaches_every_family(opened: dict[str, Loaded], shared: Path) -> None:
    whole: dict[tuple[int, int], Frames] = {}
    for loaded in opened.values():
        for preset in PRESETS:
            settings, count = settings_of(loaded, preset), 15 if preset == "grid" else 3
            if settings.tile_size not in whole:
                whole[settings.tile_size] = sampled_frames(shared / "videos" / "Y1HGC.mp4", settings, end_s=2.0 * count)
            frames = whole[settings.tile_size]
            assert len(frames) == count
            check(loaded, preset, replace(frames, pixels=frames.pixels.copy()))


def test_a_text_is_the_same_tokens_wherever_it_stands(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its letters and those of the prompt would make a token together."""
    asked: list[str] = []
    tokenizer = loaded.processor.tokenizer
    original = type(tokenizer).__call__
    monkeypatch.setattr(type(tokenizer), "__call__", lambda self, text, **more: asked.append(text) or original(self, text, **more))
    encoded(loaded, show(made_frames(settings_of(loaded, "text"), 3), settings_of(loaded, "text")))
    for text in ("0s", "2s", "4s"):
        assert text in asked


# --- features and positions --------------------------------------------------------------------------------------------------------


def watched(loaded: Loaded, sample: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What the language model gets."""
    got: dict[str, object] = {}
    language = loaded.model.model.language_model
    handle = language.register_forward_pre_hook(lambda module, args, kwargs: got.update(kwargs), with_kwargs=True)
    with torch.no_grad():
        loaded.model(**sample)
    handle.remove()
    return got


@torch.no_grad()
def features_of(loaded: Loaded, pixels: np.ndarray) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Features of one picture, and those that go into the first layers of Qwen3-VL."""
    one = loaded.family.prepare(Frames(pixels[None], np.arange(1), Timeline(2)), loaded.processor, [""])
    grid = {name: value for name, value in one.inputs.items() if name == "video_grid_thw"}
    out = loaded.model.model.get_video_features(one.inputs["pixel_values_videos"], return_dict=True, **grid)
    features = out.pooler_output
    features = torch.cat(list(features)) if isinstance(features, (list, tuple)) else features.flatten(0, -2)
    return features, [torch.cat(list(layer)) for layer in getattr(out, "deepstack_features", None) or []]


def test_each_texts_tokens_have_the_features_of_its_frame(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(loaded, "number+text")
    shown = show(made_frames(settings, 3), settings)
    sample = encoded(loaded, shown)
    got = watched(loaded, sample, monkeypatch)
    embeds, count = got["inputs_embeds"][0], TOKENS[name_of(loaded)]  # type: ignore[index]
    places = (sample["input_ids"][0] == loaded.processor.video_token_id).nonzero().flatten()
    for k, picture in enumerate(shown.pictures.pixels):
        features, deep = features_of(loaded, picture)
        assert torch.allclose(embeds[places[k * count : (k + 1) * count]], features[:count], atol=1e-5)
        for layer, wanted in zip(got.get("deepstack_visual_embeds") or [], deep, strict=True):  # type: ignore[call-overload]
            assert torch.allclose(layer[k * count : (k + 1) * count], wanted, atol=1e-5)
    if name_of(loaded) == "llava_onevision":
        assert len(places) == 3 * count + 1
        assert torch.allclose(embeds[places[-1]], features[-1], atol=1e-5)  # the newline
    if name_of(loaded) == "qwen3_vl":
        assert got["deepstack_visual_embeds"]
        assert torch.equal(got["visual_pos_masks"][0].nonzero().flatten(), places)  # type: ignore[index]


def brute_force_positions(ids: list[int], video: int, size: tuple[int, int]) -> torch.Tensor:
    """(3, L) by counting: a picture's token is at its row and column after the picture's start; text goes on after the largest."""
    at, rows, k = 0, [], 0
    while k < len(ids):
        if ids[k] != video:
            rows.append((at, at, at))
            at, k = at + 1, k + 1
            continue
        for row in range(size[0]):
            for column in range(size[1]):
                assert ids[k] == video
                rows.append((at, at + row, at + column))
                k += 1
        at += max(size)
    return torch.tensor(rows).T


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize(("encoding", "blocks"), [("text", "frame"), ("text", "pair"), ("grid", "frame")])
def test_positions_are_those_of_pictures(opened: dict[str, Loaded], name: str, encoding: str, blocks: str) -> None:
    loaded = opened[name]._replace(family=opened[name].family.with_blocks(blocks))
    settings = settings_of(loaded, encoding)
    sample = encoded(loaded, show(made_frames(settings, 15), settings))
    config = loaded.model.config
    patch = config.vision_config.patch_size * 2
    ids, video = sample["input_ids"], config.video_token_id
    wanted = brute_force_positions(ids[0].tolist(), video, (settings.frame_size[1] // patch, settings.frame_size[0] // patch))
    is_video = ids == video
    as_images = torch.where(is_video, config.image_token_id, ids)
    theirs, _ = loaded.model.model.get_rope_index(as_images, is_video.int(), image_grid_thw=sample["video_grid_thw"])
    assert torch.equal(theirs[:, 0], wanted)
    if name in M_ROPE:
        assert torch.equal(sample["position_ids"][1:, 0], wanted)
        assert torch.equal(sample["position_ids"][0, 0], torch.arange(ids.shape[1]))
    kinds = {"mm_token_type_ids": is_video.int() * 2, **sample}["mm_token_type_ids"]
    options = {"second_per_grid_ts": sample["second_per_grid_ts"]} if "second_per_grid_ts" in sample else {}
    ours, _ = loaded.model.model.get_rope_index(ids, kinds, video_grid_thw=sample["video_grid_thw"], **options)
    assert torch.equal(ours[:, 0], wanted)


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_video_tokens_are_to_the_model_what_image_tokens_are(opened: dict[str, Loaded], name: str) -> None:
    """TimeLens writes image tokens; here they are video tokens of as many videos."""
    loaded = opened[name]
    settings = settings_of(loaded, "text")
    sample = encoded(loaded, show(made_frames(settings, 3), settings))
    is_video = sample["input_ids"] == loaded.processor.video_token_id
    images = {name: value for name, value in sample.items() if name not in ("pixel_values_videos", "video_grid_thw", "second_per_grid_ts")}
    images |= {"pixel_values": sample["pixel_values_videos"], "image_grid_thw": sample["video_grid_thw"]}
    images["input_ids"] = torch.where(is_video, loaded.model.config.image_token_id, sample["input_ids"])
    if "mm_token_type_ids" in images:
        images["mm_token_type_ids"] = is_video.long()
    with torch.no_grad():
        assert torch.allclose(loaded.model(**sample).logits, loaded.model(**images).logits, atol=1e-5)


# --- pairs -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_pairs_stand_behind_the_first_frames_text(opened: dict[str, Loaded], name: str) -> None:
    loaded = opened[name]._replace(family=opened[name].family.with_blocks("pair"))
    settings = settings_of(loaded, "number+text")
    sample = encoded(loaded, show(made_frames(settings, 5), settings))
    assert [read_number(frame) for frame in pixels_of(loaded, sample)] == [0, 1, 2, 3, 4, 4]
    texts = ["<Frame 0>", "<Frame 2>", "<Frame 4>"]
    assert layout(loaded, sample["input_ids"][0]) == prompt_with(loaded, expected_video(loaded, texts, TOKENS[name]))
    with pytest.raises(NumProError, match="encoding grid shows grids, and with blocks=pair"):
        loaded.family.check_encoding(PRESETS["grid"].encoding)


def test_an_unknown_or_impossible_number_of_frames_behind_a_text_is_refused(loaded: Loaded, tmp_path: Path) -> None:
    with pytest.raises(NumProError, match="blocks='pairs' is unknown; allowed: frame, pair"):
        loaded.family.with_blocks("pairs")
    if "qwen" in name_of(loaded):
        return
    with pytest.raises(NumProError, match=f"blocks=pair is not possible: {name_of(loaded)} gives every frame tokens of its own"):
        loaded.family.with_blocks("pair")
    (tmp_path / "config.json").write_text(f'{{"model_type": "{name_of(loaded)}"}}')
    with pytest.raises(NumProError, match="blocks=pair is not possible"):  # before any weights are read
        load_model(tmp_path, blocks="pair")


# --- errors, labels, sizes ---------------------------------------------------------------------------------------------------------


def test_a_family_without_a_place_for_texts_says_so(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    for preset in PRESETS.values():
        loaded.family.check_encoding(preset.encoding)
    frames = made_frames(settings_of(loaded, "plain"), 2)
    with pytest.raises(NumProError, match="3 texts were given for 2 frames"):
        loaded.family.prepare(frames, loaded.processor, ["a", "b", "c"])
    monkeypatch.setattr(Family, "writes_texts", False)
    with pytest.raises(NumProError, match=r"encoding text writes text=seconds .* no place for text between frames"):
        loaded.family.check_encoding(PRESETS["text"].encoding)
    with pytest.raises(NumProError, match="no place for text between frames"):
        loaded.family.prepare(frames, loaded.processor, ["a", "b"])
    loaded.family.check_encoding(PRESETS["number"].encoding)


@pytest.mark.parametrize("encoding", ["number+text", "grid", "drawn=none,text=none,answer=frames"])
def test_labels_cover_exactly_the_answers(loaded: Loaded, encoding: str) -> None:
    turns = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "From Frame 3 to Frame 4."}]
    settings = settings_of(loaded, encoding)
    shown = show(made_frames(settings, 5), settings)
    sample = encoded(loaded, shown, turns)
    learned = sample["labels"][0] != IGNORED
    assert torch.equal(sample["labels"][0][learned], sample["input_ids"][0][learned])
    assert loaded.processor.tokenizer.decode(sample["input_ids"][0][learned]).startswith("From Frame 3 to Frame 4.<|im_end|>")
    asked = encoded(loaded, shown, turns[:1])["input_ids"][0].tolist()
    assert sample["input_ids"][0].tolist()[: len(asked)] == asked
    assert not learned[: len(asked)].any()
    assert learned[len(asked) :].all()


@pytest.mark.parametrize("encoding", ["number+text", "text", "grid"])
@pytest.mark.parametrize("count", [3, 20])
def test_sizes_for_planning_are_those_of_real_samples(loaded: Loaded, encoding: str, count: int) -> None:
    settings = settings_of(loaded, encoding)
    for blocks in ("frame", "pair") if "qwen" in name_of(loaded) and encoding != "grid" else ("frame",):
        family = loaded.family.with_blocks(blocks).with_frame_size(settings.frame_size)
        shown = show(made_frames(settings, count), settings)
        assert shown.texts is not None
        video = family.prepare(shown.pictures, loaded.processor, shown.texts)
        assert family.empty_pixels(len(shown), torch.float32, written=True).shape == video.inputs["pixel_values_videos"].shape
        ids = family.encode(video, QUESTION, loaded.processor)["input_ids"][0]
        steps = family.steps(len(shown), written=True)
        marks = 2 * steps if "qwen" in name_of(loaded) else 0
        texts = shown.texts[:: family.frames_per_text]
        wanted = int((ids == loaded.processor.video_token_id).sum()) + marks + estimated_tokens(texts)
        assert family.video_tokens(len(shown), shown.texts) == wanted


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("12.5s", 5), ("<Frame 12>", 6), ("<Frame 0 to Frame 11>", 10), ("<0:01:06>", 9), ("", 0), ("<6 to 12 seconds>", 8)],
)
def test_texts_are_counted_by_the_rules_of_qwens_tokenizer(text: str, tokens: int) -> None:
    assert estimated_tokens([text]) == tokens


def test_the_tokens_in_the_docs_are_those_of_the_libraries_configurations() -> None:
    clip = {"model_type": "clip_vision_model", "image_size": 336, "patch_size": 14}
    configs = {
        "LongVA": LongVAConfig(vision_config=clip),
        "LLaVA-NeXT-Video": LlavaNextVideoConfig(),
        "LLaVA-OneVision": LlavaOnevisionConfig(),
        "Qwen2-VL, Qwen2.5-VL": Qwen2VLConfig(),
        "Qwen3-VL": Qwen3VLConfig(),
    }
    page = (Path(__file__).parents[2] / "docs" / "encodings.md").read_text()
    for name, config in configs.items():
        family, row = family_of(config), [f"| {name} "]
        for encoding in ("number", "text", "number+text", "grid"):
            chosen = PRESETS[encoding].encoding
            sized = family
            if encoding == "grid" and family.shares_tokens:
                sized = family.with_frame_size((1280, 960) if name == "Qwen3-VL" else (1344, 1008))
            texts = chosen.texts(range(15), 0.5)
            row.append(f"| {sized.video_tokens(2 if encoding == 'grid' else 15, texts)} ")
            if "text" in encoding:
                row.append(f"| {family.with_blocks('pair').video_tokens(15, texts)} " if family.shares_tokens else "| ")
        assert "".join(row) + "|" in page
    assert family_of(Qwen2_5_VLConfig()).video_tokens(15) == family_of(Qwen2VLConfig()).video_tokens(15)


def test_a_prepared_video_serves_many_questions(loaded: Loaded) -> None:
    settings = settings_of(loaded, "text")
    shown = show(made_frames(settings, 3), settings)
    video = loaded.family.prepare(shown.pictures, loaded.processor, shown.texts)
    assert isinstance(video, PreparedVideo)
    for question in (QUESTION, "A cat?"):
        ours, again = loaded.family.encode(video, question, loaded.processor), encoded(loaded, shown, question)
        assert ours.keys() == again.keys()
        assert all(torch.equal(ours[name], again[name]) for name in ours)
