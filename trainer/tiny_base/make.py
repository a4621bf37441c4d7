"""The training run: one cosine from random weights to the embedded model."""

# mypy: allow-untyped-calls

from __future__ import annotations

import json
import math
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from numpro_plugin.errors import NumProError
from numpro_plugin.families import IGNORED, load_model
from numpro_plugin.files import folder_written_whole, write_text_whole

from .batches import BatchMaker
from .curriculum import Curriculum
from .curve import HeldOutVideos
from .heads import Heads
from .marks import NUMBERS
from .untrained import save_untrained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .batches import Batch
    from .marks import Marks

STEPS = 5400
"""Of the embedded model."""

_PEAK_LR = 1e-3
_LAST_LR = 0.05  # share of the peak
_WARMUP_STEPS = 50
_WEIGHT_DECAY = 0.01
_ROWS_SEED = 1000  # added to the seed


def make_base(
    out: Path | str,
    *,
    seed: int = 0,
    steps: int = STEPS,
    marks: Marks = NUMBERS,
    curriculum: Curriculum | None = None,
    curve_steps: int = 300,
    curve_videos: int = 100,
    report: Callable[[str], object] = print,
) -> Path:
    """Make a model and write it in 16 bit to ``out/model``, and its scores along the way to ``out/curve.jsonl``.

    The same seed gives the same model on the same machine and versions. One thread computes, so that a second seed can be made beside it.

    Args:
        out: a new or empty folder.
        seed: of weights and rows.
        steps: of the optimizer, 1 or more; the curriculum and the learning rate are spread over them.
        marks: what is drawn on the frames, and what is asked and answered.
        curriculum: which rows are learned from when.
        curve_steps: steps between two scores.
        curve_videos: how many videos are asked about for a score.
        report: is given a line of JSON with each score.

    Returns:
        The model's folder.

    Raises:
        NumProError: a folder that is not empty, or a number that is too small.
    """
    folder = Path(out)
    for name, value in (("steps", steps), ("curve_steps", curve_steps), ("curve_videos", curve_videos)):
        if value < 1:
            raise NumProError(f"{name}={value} must be 1 or more")
    if folder.exists() and any(folder.iterdir()):
        raise NumProError(f"{folder} is not empty: choose a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        loaded = _untrained(marks, seed)
        held = HeldOutVideos(curve_videos, marks)
        lines: list[str] = []
        for scores in _training(loaded, held, marks, curriculum or Curriculum(), seed=seed, steps=steps, every=curve_steps):
            lines.append(json.dumps(scores))
            report(lines[-1])
            write_text_whole(folder / "curve.jsonl", "".join(f"{line}\n" for line in lines))
    finally:
        torch.set_num_threads(threads)
    with folder_written_whole(folder / "model") as part:
        loaded.model.to(torch.float16).save_pretrained(part)
        loaded.processor.save_pretrained(part)
    return folder / "model"


def _untrained(marks: Marks, seed: int) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        save_untrained(Path(folder), marks, seed=seed)
        loaded = load_model(folder, dtype="float32")
    loaded.model.requires_grad_(True)
    loaded.model.train()
    return loaded


def _training(
    loaded: Any, held: HeldOutVideos, marks: Marks, curriculum: Curriculum, *, seed: int, steps: int, every: int
) -> Iterator[dict[str, float]]:
    """Train, and give the scores every so many steps and at the end."""
    model = loaded.model
    batches = BatchMaker(loaded.processor, marks)
    torch.manual_seed(seed)
    heads = Heads(model, batches.kind_ids, drawn=marks.draw is not None)
    parameters = [*model.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(
        [
            {"params": [one for one in parameters if one.dim() >= 2], "weight_decay": _WEIGHT_DECAY},
            {"params": [one for one in parameters if one.dim() < 2], "weight_decay": 0.0},
        ],
        lr=_PEAK_LR,
        betas=(0.9, 0.98),
        fused=True,
    )
    rng = np.random.default_rng(_ROWS_SEED + seed)
    start, losses = time.monotonic(), []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        batch = batches(curriculum.rows(step / steps, rng, marks))
        answers, extra = losses_of(model, heads, batch)
        optimizer.zero_grad(set_to_none=True)
        (answers + (1 - step / steps) * extra).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(float(answers.detach()))
        if (step + 1) % every == 0 or step + 1 == steps:
            mean, losses = float(np.mean(losses)), []
            scores = held.scores(model, batches)
            yield {"step": step + 1, "loss": round(mean, 4), **scores, "seconds": round(time.monotonic() - start, 1)}
    heads.remove()


def learning_rate(step: int, steps: int) -> float:
    """A short warm-up, then one cosine to a twentieth of the peak."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return _PEAK_LR * min(1.0, (step + 1) / _WARMUP_STEPS) * (_LAST_LR + (1 - _LAST_LR) * cosine)


def losses_of(model: Any, heads: Heads, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean cross entropy of the answers' tokens, and the heads' loss."""
    encoded = model.model.get_video_features(batch.pixels, return_dict=True)
    hidden = model.model(input_ids=batch.input_ids, mm_encoder_outputs={"video": encoded}, use_cache=False).last_hidden_state[:, :-1]
    labels = batch.labels[:, 1:]
    learned = labels != IGNORED
    answers = cross_entropy(model.lm_head(hidden[learned]), labels[learned])
    return answers, heads.loss(batch, encoded.pooler_output.flatten(0, -2))
