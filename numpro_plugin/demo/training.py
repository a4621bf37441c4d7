"""The demo's fine-tuning, with the commands that a user would type."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from numpro_plugin.demo.world import ENVIRONMENT, render, tiny_model_folder, tiny_videos, write_instructions
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TRAINING_SEED = 1_000_000
"""Added to the seed of the training videos, so that they differ from those that are evaluated."""


def write_training_videos(folder: Path, count: int, *, seed: int) -> None:
    """Render videos to ``folder/videos`` and write their questions and answers to ``folder/instructions.json``."""
    made = tiny_videos(count, seed=seed, prefix="train")
    render(made, folder / "videos")
    write_instructions(made, folder / "instructions.json")


def make_shards(folder: Path) -> None:
    """Make ``folder/shards`` of the videos and instructions in ``folder``."""
    call_trainer(
        *("shards", folder / "instructions.json", "--videos", f"tiny={folder / 'videos'}", "--out", folder / "shards"),
        *("--frame-size", ENVIRONMENT["NUMPRO_FRAME_SIZE"], "--max-frames", ENVIRONMENT["NUMPRO_MAX_FRAMES"]),
    )


def train_adapter(folder: Path, *, seed: int, overrides: Sequence[str] = ()) -> Path:
    """Fine-tune the tiny model on ``folder/shards`` with the recipe ``tiny_ft``; returns the adapter's folder."""
    given = (f"model={tiny_model_folder()}", f"data.shards={folder / 'shards'}", f"output={folder / 'out'}", f"seed={seed}")
    call_trainer("run", "tiny_ft", *given, *overrides)
    return folder / "out" / "adapter"


_NUMPRO_TRAIN = """
import sys
from numpro_plugin.processes import end_with_standard_input
end_with_standard_input()
from numpro_plugin.trainer.cli import main
sys.exit(main())
"""


def call_trainer(*arguments: object) -> None:
    """Print and run ``numpro-train ...`` in a separate process.

    Raises:
        NumProError: it failed; the message ends with its last lines.
    """
    words = [str(argument) for argument in arguments]
    print(f"   numpro-train {' '.join(words)}", flush=True)
    command = [sys.executable, "-c", _NUMPRO_TRAIN, *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.read()  # while its standard input stays open: it ends with this process
    if process.returncode:
        last = "\n".join(said.strip().splitlines()[-5:])
        raise NumProError(f"numpro-train {words[0]} failed:\n{last}")
