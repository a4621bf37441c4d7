"""What answering costs: one pass over a video for all its questions, reading in the background, and the reference's way beside ours.

    OMP_NUM_THREADS=1 python tests/benchmarks/answering.py [--only sharing background reference] [--json figures.json]

| name | what is measured | goal |
|---|---|---|
| sharing | four questions a video, each with its own pass / with one pass for all; end to end, from file to answers | 2.5 times faster |
| background | how much of reading the videos is hidden behind a model that sleeps as long as reading takes | 80 % |
| reference | questions a second, beside a loop as NumPro's scripts have it: an mp4 written and read again each, batch 1 | 4 times as many |

Times are CPU time of the process (all its threads), but wall time for `background`; the ways take turns and medians are printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import decord
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.tiny_families import _longva, save_tiny
from support.videos import write_counter_video

from numpro_plugin import NumProSettings
from numpro_plugin.families import Loaded, load_model
from numpro_plugin.inference.asking import Asker, Question, VideoQuestions, shown_video
from numpro_plugin.inference.generation import Generated, GenerationOptions
from numpro_plugin.longva import LongVAForConditionalGeneration
from numpro_plugin.prompts import moment_prompt

QUERIES = ["a person opens a door", "a person laughs at a dog", "a cup is put on the table", "somebody leaves the room"]


def make_videos(folder: Path, count: int, seconds: int) -> list[Path]:
    """H.264 at 640x360, 25 frames a second, with B-frames."""
    frames = [k * 40 for k in range(seconds * 25)]
    return [write_counter_video(folder / f"v{k}.mp4", frames, rate=25, size=(640, 360)) for k in range(count)]


def asked(video: Path, questions: int, seconds: int, tokens: int) -> VideoQuestions:
    """The first few queries about a video."""
    options = GenerationOptions(tokens)
    texts = [moment_prompt(query) for query in QUERIES[:questions]]
    return VideoQuestions(str(video), NumProSettings(), tuple(Question(text, options, text) for text in texts), seconds // 2)


def in_turn(ways: dict[str, Callable[[], object]], runs: int, clock: Callable[[], float]) -> dict[str, float]:
    """Median seconds of each way; they take turns, the first round is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for k in range(runs + 1):
        for name, way in ways.items():
            start = clock()
            way()
            if k:
                taken[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in taken.items()}


def prefill_heavy() -> Loaded:
    """A random LongVA whose work is the prefill, as the real one's: 16 frames are 2,304 tokens."""
    model, processor = _longva()
    config = model.config
    config.vision_config.patch_size, config.vision_config.hidden_size, config.vision_config.num_attention_heads = 14, 64, 2
    text = config.text_config
    text.hidden_size, text.intermediate_size, text.num_hidden_layers, text.num_attention_heads = 256, 768, 4, 4
    text.layer_types = ["full_attention"] * 4
    torch.manual_seed(0)
    model = LongVAForConditionalGeneration(config).eval()
    processor.tokens_per_frame = config.tokens_per_frame
    from numpro_plugin.families import family_of

    return Loaded(model, processor, family_of(model))


def sharing(folder: Path, runs: int) -> dict[str, float]:
    """Four questions a video with and without one pass for all."""
    work = [asked(video, 4, 32, 12) for video in make_videos(folder, 2, 32)]
    loaded = prefill_heavy()
    askers = {
        "each its own pass": Asker(loaded, share_prefix=False),
        "one pass": Asker(loaded),
        "one pass, batch 4": Asker(loaded, batch_size=4),
    }
    replies = {name: sorted((r.question.key, r.text) for r in asker.ask(work)) for name, asker in askers.items()}
    assert len({str(reply) for reply in replies.values()}) == 1, "the answers differ"
    found = in_turn({name: lambda asker=asker: list(asker.ask(work)) for name, asker in askers.items()}, runs, time.process_time)
    return {**found, "times faster": found["each its own pass"] / found["one pass"]}


def background(folder: Path, runs: int) -> dict[str, float]:
    """A model that sleeps as long as one video takes to read."""
    videos = make_videos(folder, 24, 60)
    loaded = load_model(save_tiny("longva", folder / "tiny"), dtype="float32")
    work = [asked(video, 1, 60, 1) for video in videos]

    def reading() -> None:
        asker = Asker(loaded)
        for one in work:
            asker._encoded(one)

    each = in_turn({"reading": reading}, runs, time.perf_counter)["reading"] / len(work)

    def run(workers: int) -> None:
        asker = Asker(loaded, workers=workers)

        def sleeping(samples: list[object], options: GenerationOptions) -> list[Generated]:
            time.sleep(each * len(samples))
            return [Generated("", 1)] * len(samples)

        asker.generator.batch = sleeping  # type: ignore[method-assign, assignment]
        assert len(list(asker.ask(work))) == len(work)

    found = in_turn({"in turn": lambda: run(0), "in the background": lambda: run(2)}, runs, time.perf_counter)
    slept = each * len(work)
    read, still_seen = found["in turn"] - slept, found["in the background"] - slept
    # The first video cannot be hidden: there is nothing to do yet.
    return {"model": slept, **found, "hidden %": 100 * (1 - still_seen / read), "hidden % at best": 100 * (1 - 1 / len(work))}


def as_the_reference(loaded: Loaded, video: Path, query: str, out: Path, tokens: int) -> str:
    """For one question: decode everything, number it with Pillow, write an mp4, open and read that again, generate alone."""
    reader = cv2.VideoCapture(str(video))
    rate = reader.get(cv2.CAP_PROP_FPS)
    writer = cv2.VideoWriter(str(out), cv2.VideoWriter_fourcc(*"mp4v"), 0.5, (336, 336))
    font = ImageFont.truetype(str(Path(sys.modules["numpro_plugin"].__file__).parent / "data" / "DejaVuSans-Bold.ttf"), 40)
    position = number = 0
    while True:
        good, frame = reader.read()
        if not good:
            break
        if position % int(rate * 2) == 0:
            picture = Image.fromarray(cv2.cvtColor(cv2.resize(frame, (336, 336)), cv2.COLOR_BGR2RGB))
            draw = ImageDraw.Draw(picture)
            _, top, right, bottom = draw.textbbox((0, 0), str(number), font=font)
            draw.text((336 - right, 336 - (bottom - top) * 4 / 3), str(number), fill="red", font=font)
            writer.write(cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2BGR))
            number += 1
        position += 1
    writer.release()
    again = decord.VideoReader(str(out), num_threads=1)
    frames = again.get_batch(np.linspace(0, len(again) - 1, min(len(again), 240)).astype(int).tolist()).asnumpy()
    turns = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": moment_prompt(query)}]}]
    prompt = loaded.processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    inputs = loaded.processor(prompt, videos=[frames])
    out_ids = loaded.model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
    return str(loaded.processor.tokenizer.decode(out_ids[0, inputs["input_ids"].shape[1] :]))


def reference(folder: Path, runs: int) -> dict[str, float]:
    """Three questions about each 30 s video, as Charades-STA has 2.8."""
    videos = make_videos(folder, 3, 30)
    loaded = load_model(save_tiny("longva", folder / "tiny"), dtype="float32")
    work = [asked(video, 3, 30, 12) for video in videos]

    def theirs() -> None:
        for video in videos:
            for query in QUERIES[:3]:
                as_the_reference(loaded, video, query, folder / "numbered.mp4", 12)

    assert len(shown_video(work[0])) == 15
    found = in_turn({"the reference's loop": theirs, "ours": lambda: list(Asker(loaded, batch_size=3).ask(work))}, runs, time.process_time)
    rates = {f"questions a second, {name}": 9 / seconds for name, seconds in found.items()}
    return {**rates, "times as many": found["the reference's loop"] / found["ours"]}


BENCHMARKS = {"sharing": sharing, "background": background, "reference": reference}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), default=list(BENCHMARKS))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    figures = {}
    for name in args.only:
        with tempfile.TemporaryDirectory() as folder:
            figures[name] = BENCHMARKS[name](Path(folder), args.runs)
        print(f"\n{name}\n" + "\n".join(f"  {what:42} {value:9.3f}" for what, value in figures[name].items()), flush=True)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
