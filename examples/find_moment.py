"""Find a moment in a video with the Python functions, step by step; `numpro ask` does the same in one command.

python examples/find_moment.py holiday.mp4 "a child jumps into the water" --model Qwen/Qwen2.5-VL-7B-Instruct
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from numpro_plugin import NumProError, NumProSettings, draw_numbers, parse_moment, sample_frames
from numpro_plugin.families import load_model
from numpro_plugin.prompts import moment_prompt


def main() -> None:
    """Read the command line, ask the model and print its answer in seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("query", help='what to look for, such as "a person opens a door"')
    parser.add_argument("--model", required=True, help="folder or hub id of a model of a supported family")
    parser.add_argument("--adapter", help="folder or hub id of a NumPro-FT adapter for it")
    parser.add_argument("--dtype", default="auto", help="auto (default), bfloat16, float16 or float32")
    args = parser.parse_args()
    try:
        print(find_moment(args.video, args.query, model=args.model, adapter=args.adapter, dtype=args.dtype))
    except NumProError as error:
        raise SystemExit(f"find_moment: {error}") from None


def find_moment(video: Path, query: str, *, model: str, adapter: str | None = None, dtype: str = "auto") -> str:
    """The model's words, and the span in seconds that they mean."""
    settings = NumProSettings()  # the paper's: 0.5 frames per second, red numbers at the bottom right
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = load_model(model, adapter, dtype=dtype, device_map={"": device}, merge=adapter is not None)

    # Sample in the size that the model takes, then draw: a number that is resized later is blurred.
    frames = sample_frames(video, fps=settings.fps, max_frames=settings.max_frames, frame_size=loaded.family.frame_size)
    draw_numbers(frames.pixels, frames.numbers, settings.style)

    sample = loaded.family.encode(frames, moment_prompt(query), loaded.processor)
    inputs = {name: value.to(device) for name, value in loaded.family.batch([sample], loaded.processor).items()}
    with torch.inference_mode():
        tokens = loaded.model.generate(**inputs, max_new_tokens=128, do_sample=False)
    text = loaded.processor.tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()

    answer = parse_moment(text)
    if answer.numbers is None:
        return f"{text!r} names no frames: {answer.reason}"
    start_s, end_s = frames.timeline.span_seconds(*answer.numbers)
    return f"{text!r}: {start_s:.1f} to {end_s:.1f} s"


if __name__ == "__main__":
    main()
