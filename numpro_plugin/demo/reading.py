"""Whether a model reads the numbers: questions about videos whose frames carry random ascending numbers.

The usual numbers of twelve frames are evenly spaced, so a model might guess them from the frames' order. Random ones can only be read.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from numpro_plugin.answers.moments import parse_moment
from numpro_plugin.demo.world import SETTINGS, shown_numbers
from numpro_plugin.inference.generation import GenerationOptions, Generator
from numpro_plugin.metrics.moments import moment_scores, span_iou
from numpro_plugin.numbering import draw_numbers
from numpro_plugin.prompts import moment_prompt
from numpro_plugin.timeline import Timeline
from numpro_plugin.video.sampling import Frames

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from numpro_plugin.demo.world import TinyVideo
    from numpro_plugin.families import Loaded

_LONGEST_ANSWER = 16  # tokens


def random_ascending(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """``count`` different numbers from 0 to 99 in ascending order, (count,)."""
    numbers: NDArray[np.int64] = np.sort(rng.choice(100, count, replace=False))
    return numbers


def reading_scores(
    loaded: Loaded,
    videos: Sequence[TinyVideo],
    pixels_of: Callable[[TinyVideo], NDArray[np.uint8]],
    *,
    seed: int = 0,
    batch_size: int = 64,
) -> dict[str, float]:
    """The scores, in percent, of answers in random ascending numbers.

    An answer counts for the frames that carry its numbers, at their true times. One that names a number that no frame carries scores 0.

    Args:
        loaded: the model.
        videos: what is asked about.
        pixels_of: the frames of a video at its ``shown_numbers``, uint8 RGB (N, H, W, 3), without numbers.
        seed: of the numbers.
        batch_size: questions that are answered at once.
    """
    rng = np.random.default_rng(seed)
    samples, spans, back = [], [], []
    for video in videos:
        shown = shown_numbers(video.duration_s)
        drawn = random_ascending(rng, len(shown))
        frames = Frames(pixels_of(video).copy(), drawn, Timeline(video.duration_s, SETTINGS.fps))
        draw_numbers(frames.pixels, drawn, SETTINGS.style)
        prepared = loaded.family.prepare(frames, loaded.processor)
        for event in video.events:
            samples.append(loaded.family.encode(prepared, moment_prompt(event.query), loaded.processor))
            spans.append((event.start_s, event.end_s))
            back.append(dict(zip(drawn.tolist(), shown, strict=True)))
    generator = Generator(loaded, batch_size=batch_size)
    options = GenerationOptions(max_new_tokens=_LONGEST_ANSWER)
    texts = [one.text for k in range(0, len(samples), batch_size) for one in generator.batch(samples[k : k + batch_size], options)]
    return scores_in_numbers(texts, spans, back)


def scores_in_numbers(
    texts: Sequence[str], spans_s: Sequence[tuple[float, float]], true_numbers: Sequence[Mapping[int, int]]
) -> dict[str, float]:
    """The scores, in percent, of answers in drawn numbers.

    Args:
        texts: the answers.
        spans_s: the true spans.
        true_numbers: for each answer, drawn number -> number on the grid. A drawn number that is missing scores 0.
    """
    ious, failed = [], 0
    for text, span, numbers in zip(texts, spans_s, true_numbers, strict=True):
        pair = parse_moment(text).numbers
        failed += pair is None
        times = [numbers.get(int(number)) for number in pair or ()]
        known = [time / SETTINGS.fps for time in times if time is not None]
        ious.append(float(span_iou(np.array(known), np.array(span))) if len(known) == 2 else 0.0)
    return {**moment_scores(ious), "parse_fail": 100 * failed / len(texts)}
