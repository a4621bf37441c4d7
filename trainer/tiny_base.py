"""What the included tiny model is made from: an untrained LongVA of 0.9 million parameters, and shards that teach it to read and locate.

    python -m numpro_plugin.trainer.tiny_base start BASE       # BASE/untrained and BASE/shards; continue as in recipes/tiny_base.yaml
    python -m numpro_plugin.trainer.tiny_base ship MODEL OUT   # a trained model in 16 bit, as included here

A model this small that is trained on questions about videos alone learns to guess. It must first name single pictures ("a green circle
with number 37."), then find one among a few, then answer about sequences. All of them have random numbers: with ordered ones it would
count instead of read.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import argparse
import io
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from numpro_plugin.demo.rendering import SHAPES, Event, Scene, random_events
from numpro_plugin.demo.world import GREYS, LEAST_SHARE, RENDERED_SIDE, SETTINGS, TINY_COLORS
from numpro_plugin.errors import NumProError
from numpro_plugin.prompts import NUMBERS_SENTENCE, moment_prompt

from .shard_format import ShardInfo, turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

PICTURE_QUESTION = "What can we see in this frame?"

_ROWS_AT_ONCE = 2000


def save_untrained(folder: Path, *, seed: int) -> None:
    """Write configuration, random weights (32 bit), tokenizer and processor.

    LongVA's architecture throughout, with a 48 x 48 frame that becomes 2 x 2 patches, pooled to ONE token.
    """
    import torch
    from transformers import CLIPImageProcessor

    from numpro_plugin.longva import LongVAConfig, LongVAForConditionalGeneration, LongVAProcessor

    tokenizer = tiny_tokenizer()
    side = SETTINGS.frame_size[0]
    outside = len(tokenizer)  # the first id that no text can produce stands for a frame
    text: Any = {
        "model_type": "qwen2",
        "vocab_size": len(tokenizer),
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        "initializer_range": 0.06,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision: Any = {
        "model_type": "clip_vision_model",
        "image_size": side,
        "patch_size": side // 2,
        "hidden_size": 96,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
    }
    config = LongVAConfig(
        text_config=text, vision_config=vision, tie_word_embeddings=True, video_token_index=outside, image_token_index=outside
    )
    torch.manual_seed(seed)
    model: Any = LongVAForConditionalGeneration(config)
    images = CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    model.save_pretrained(folder)
    LongVAProcessor(images, tokenizer, video_token_id=outside, tokens_per_frame=config.tokens_per_frame).save_pretrained(folder)


def tiny_tokenizer() -> Any:
    """Byte-level BPE that knows the words of its small world and has one token per digit; any other text is bytes.

    The fixed parts of the moment retrieval question are one token each: a model this small cannot relate shape and frame over a distance
    of fifty tokens.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level])
    tokenizer.decoder = decoders.ByteLevel()
    kinds = [f"a {color} {shape}" for color in TINY_COLORS for shape in SHAPES]
    texts = [moment_prompt(kind) for kind in kinds] * 3
    texts += ["From Frame 3 to Frame 9.", PICTURE_QUESTION] * 9
    texts += [f"{kind} with number 37." for kind in kinds] * 3
    texts += ["system\nYou are a helpful assistant.\nuser\nassistant\n"] * 9
    trainer = trainers.BpeTrainer(
        vocab_size=1000,  # never reached: merging ends when all words are whole
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    )
    tokenizer.train_from_iterator(texts, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    before, after = moment_prompt("{query}", numbers=False).split(" {query}")
    made.add_tokens([AddedToken(text, normalized=False) for text in (NUMBERS_SENTENCE, before, after)])
    return made


def picture_row(rng: np.random.Generator, name: str) -> dict[str, Any]:
    """One frame with one shape, to be named together with its number."""
    (event,) = random_events(rng, 10.0, 1, colors=TINY_COLORS)
    scene = Scene([Event(event.shape, event.color, 0.0, 1000.0)], rng, size=(RENDERED_SIDE, RENDERED_SIDE), greys=GREYS)
    frames = [scene.picture(rng.uniform(0, 100))]
    return _row(name, frames, [[turn("user", PICTURE_QUESTION), turn("assistant", f"{event.query} with number ", 0, ".")]])


def short_row(rng: np.random.Generator, name: str) -> dict[str, Any]:
    """2 to 4 frames, each with another shape: the answer needs the frame that matches the question."""
    count = int(rng.integers(2, 5))
    step_s = rng.uniform(2.0, 10.0)
    kinds = random_events(rng, 100.0, count, colors=TINY_COLORS)
    return _sequence(
        rng, name, [Event(kind.shape, kind.color, k * step_s, (k + 1) * step_s) for k, kind in enumerate(kinds)], count, step_s
    )


def patched_row(rng: np.random.Generator, name: str) -> dict[str, Any]:
    """2 to 12 frames in runs of any length; most runs show a shape, each a different one."""
    count = int(rng.integers(2, SETTINGS.max_frames + 1))
    step_s = rng.uniform(2.0, 10.0)
    runs = int(rng.integers(2, count + 1))
    cuts = [0, *np.sort(rng.choice(np.arange(1, count), runs - 1, replace=False)).tolist(), count]
    shows = rng.random(runs) < 0.75
    shows[rng.integers(runs)] = True
    kinds = random_events(rng, 100.0, runs, colors=TINY_COLORS)
    events = [
        Event(kind.shape, kind.color, first * step_s, after * step_s)
        for kind, first, after, there in zip(kinds, cuts, cuts[1:], shows, strict=False)
        if there
    ]
    return _sequence(rng, name, events, count, step_s)


def event_row(rng: np.random.Generator, name: str, *, fewest: int = 2) -> dict[str, Any]:
    """``fewest`` to 12 frames with 1 to 3 events of realistic length."""
    count = int(rng.integers(fewest, SETTINGS.max_frames + 1))
    step_s = rng.uniform(2.0, 10.0)
    while True:
        events = random_events(rng, count * step_s, int(rng.integers(1, 4)), least=LEAST_SHARE, colors=TINY_COLORS)
        row = _sequence(rng, name, events, count, step_s)
        if row["conversations"]:  # with few frames, all may fall between the events
            return row


def write_shards(folder: Path, *, rows: int, seed: int) -> list[Path]:
    """Write the shards of the four stages, ``rows`` rows each; random numbers are drawn on them during loading."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    _write(folder / "1-pictures.parquet", (picture_row(rng, f"picture-{k:06d}") for k in range(rows)))
    _write(folder / "2-short.parquet", (short_row(rng, f"short-{k:06d}") for k in range(rows)))
    _write(folder / "3-sequences.parquet", ((patched_row, event_row)[k % 2](rng, f"sequence-{k:06d}") for k in range(rows)))
    # In the stages before, the first and last frame of an answer are mostly the same; here they seldom are.
    rng = np.random.default_rng([seed, 4])
    _write(folder / "4-events.parquet", (event_row(rng, f"events-{k:06d}", fewest=6) for k in range(rows)))
    return sorted(folder.glob("*.parquet"))


def ship(model: Path, out: Path) -> None:
    """Copy a trained model in 16-bit floating point, without files that only training needs."""
    from numpro_plugin.families import load_model

    if out.exists() and any(out.iterdir()):
        raise NumProError(f"{out} is not empty: choose a new folder")
    loaded = load_model(model, dtype="float16")
    loaded.model.save_pretrained(out)
    loaded.processor.save_pretrained(out)


def _sequence(rng: np.random.Generator, name: str, events: Sequence[Event], count: int, step_s: float) -> dict[str, Any]:
    """``count`` frames, ``step_s`` seconds apart; there is a question for each visible event."""
    times = [k * step_s for k in range(count)]
    scene = Scene(events, rng, size=(RENDERED_SIDE, RENDERED_SIDE), greys=GREYS)
    conversations = []
    for event in events:
        seen = [k for k, time_s in enumerate(times) if event.start_s <= time_s < event.end_s]
        if seen:
            answer = turn("assistant", "From Frame ", seen[0], " to Frame ", seen[-1], ".")
            conversations.append([turn("user", moment_prompt(event.query)), answer])
    return _row(name, [scene.picture(time_s) for time_s in times], conversations)


def _row(name: str, pictures: Sequence[NDArray[np.uint8]], conversations: list[Any]) -> dict[str, Any]:
    return {
        "video": name,
        "source": "synthetic",
        "duration_s": len(pictures) / SETTINGS.fps,
        "fps": SETTINGS.fps,
        "frames": [_jpeg(cv2.resize(picture, SETTINGS.frame_size)) for picture in pictures],  # as sample_frames resizes
        "conversations": conversations,
    }


def _jpeg(picture: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=92)
    return file.getvalue()


def _write(path: Path, rows: Iterator[Any]) -> None:
    schema = ShardInfo(SETTINGS.fps, SETTINGS.frame_size, SETTINGS.max_frames).schema()
    with pq.ParquetWriter(path, schema) as writer:
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(some, schema=schema))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the two commands in this module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m numpro_plugin.trainer.tiny_base", description=__doc__.partition("\n")[0])
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    verb = verbs.add_parser("start", help="write the untrained model and the shards of the base stage")
    verb.add_argument("folder", type=Path)
    verb.add_argument("--seed", type=int, default=0, help="of the weights and the shards (default: 0)")
    verb.add_argument("--rows", type=int, default=8000, help="of each stage's shards (default: 8000)")
    verb.set_defaults(run=_start)
    verb = verbs.add_parser("ship", help="write a trained model in 16 bit")
    verb.add_argument("model", type=Path)
    verb.add_argument("out", type=Path)
    verb.set_defaults(run=lambda args: ship(args.model, args.out))
    args = parser.parse_args(argv)
    try:
        args.run(args)
    except NumProError as error:
        print(f"tiny_base: {error}", file=sys.stderr)
        return 1
    return 0


def _start(args: argparse.Namespace) -> None:
    save_untrained(args.folder / "untrained", seed=args.seed)
    write_shards(args.folder / "shards", rows=args.rows, seed=args.seed)
    print(f"written: {args.folder / 'untrained'}, {args.folder / 'shards'}")


if __name__ == "__main__":
    sys.exit(main())
