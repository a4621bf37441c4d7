"""The Qwen-VL families: frames in pairs, positions in time, height and width."""

# mypy: allow-untyped-calls

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from numpro_plugin.families.base import Family, Sample, Video, check_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from numpro_plugin.video.sampling import Frames


class _Qwen(Family):
    """What the Qwen-VL families share: frames of any size that patches fit in, taken in pairs and cut into patches."""

    @property
    def frame_size(self) -> tuple[int, int]:
        """(width, height): the largest up to 336 that patches and their merging fit in (336 for patches of 14, 320 for 16)."""
        side = 336 // self._unit * self._unit
        return side, side

    @property
    def _unit(self) -> int:
        vision = self.config.vision_config
        return int(vision.patch_size * vision.spatial_merge_size)

    def prepare(self, frames: Frames, processor: Any) -> Video:
        """As in ``Family``; a last frame without a partner is shown twice."""
        self.check_size(frames)
        pixels, numbers = frames.pixels, frames.numbers
        vision, (height, width) = self.config.vision_config, frames.pixels.shape[1:3]
        if lacking := -len(pixels) % vision.temporal_patch_size:
            pixels = np.concatenate([pixels, *[pixels[-1:]] * lacking])
            numbers = np.concatenate([numbers, *[numbers[-1:]] * lacking])
        # Without resizing no budget applies; it is set nevertheless, so that it fits whatever the checkpoint's processor makes of it.
        budget = {"shortest_edge": height * width, "longest_edge": len(pixels) * height * width}
        made = self._pixels(pixels, processor, size=budget, cap_pixels_per_frame=False)
        grid = (len(pixels) // vision.temporal_patch_size, height // vision.patch_size, width // vision.patch_size)
        check_pixels(tuple(made["video_grid_thw"][0].tolist()), grid)
        return self._video(made, frames, numbers.reshape(-1, vision.temporal_patch_size) / frames.timeline.fps, processor)

    def takes(self, size: tuple[int, int]) -> bool:
        """As in ``Family``."""
        return all(side % self._unit == 0 for side in size)

    @property
    def _allowed(self) -> str:
        return f"multiples of {self._unit}"

    def projector_modules(self, model: torch.nn.Module) -> list[str]:
        """The merger, and Qwen3-VL's further ones that feed the first layers."""
        names = [name for name, _ in model.named_modules()]
        return [name for name in names if re.fullmatch(r"model\.visual\.(merger|deepstack_merger_list\.\d+)", name)]

    def _video(self, made: Sample, frames: Frames, times_s: NDArray[np.float64], processor: Any) -> Video:
        """``times_s``: when the frames of each pair are shown, (pairs, 2)."""
        return Video(made, processor.video_token, self._tokens(made) * len(times_s))

    def _tokens(self, made: Sample) -> int:
        """Tokens of a pair of frames."""
        return int(made["video_grid_thw"][0, 1:].prod()) // int(self.config.vision_config.spatial_merge_size) ** 2


class Qwen2VL(_Qwen):
    """Qwen2-VL. Its ``position_ids`` are made here: transformers 5 lets the text go on inside the video's positions."""

    model_types = ("qwen2_vl",)

    def _positions(self, sample: Sample) -> Sample:
        """(4, 1, L): the token's place in the text, then time, height and width by the release's rule.

        A video's token is at (start + its time, start + its row, start + its column); text goes on after the LARGEST of them.
        """
        ids, grid = sample["input_ids"][0], sample["video_grid_thw"][0].tolist()
        merge = self.config.vision_config.spatial_merge_size
        places = (ids == self.config.video_token_id).nonzero()
        start, count = int(places[0]), len(places)
        times = (torch.arange(grid[0]) * self._time_step(sample)).long()
        axes = [times, torch.arange(grid[1] // merge), torch.arange(grid[2] // merge)]
        video = torch.stack(torch.meshgrid(axes, indexing="ij")).flatten(1) + start  # (3, count)
        after = torch.arange(len(ids) - start - count) + int(video.max()) + 1
        rows = torch.cat([torch.arange(start).expand(3, -1), video, after.expand(3, -1)], 1)  # (3, L)
        return {"position_ids": torch.cat([torch.arange(len(ids))[None], rows])[:, None]}

    def _time_step(self, sample: Sample) -> torch.Tensor:
        """Distance in time positions between pairs of frames."""
        return torch.tensor(1.0)


class Qwen25VL(Qwen2VL):
    """Qwen2.5-VL: as Qwen2-VL, but positions in time are true times."""

    model_types = ("qwen2_5_vl",)

    def _video(self, made: Sample, frames: Frames, times_s: NDArray[np.float64], processor: Any) -> Video:
        # One number for the whole video: where the frame cap left frames out, the mean distance.
        gaps = max(1, len(frames) - 1)
        step = (frames.numbers[-1] - frames.numbers[0]) / gaps if len(frames) > 1 else 1
        made["second_per_grid_ts"] = torch.tensor([step / frames.timeline.fps * times_s.shape[1]], dtype=torch.float32)
        return super()._video(made, frames, times_s, processor)

    def _time_step(self, sample: Sample) -> torch.Tensor:
        return sample["second_per_grid_ts"][0] * self.config.vision_config.tokens_per_second


class Qwen3VL(_Qwen):
    """Qwen3-VL: every pair of frames stands between its own marks, after its time in seconds as text."""

    model_types = ("qwen3_vl",)

    def _video(self, made: Sample, frames: Frames, times_s: NDArray[np.float64], processor: Any) -> Video:
        marked = processor.vision_start_token + processor.video_token + processor.vision_end_token
        return Video(made, "".join(f"<{time:.1f} seconds>{marked}" for time in times_s.mean(1)), self._tokens(made))

    def _opening_ids(self, text: str, video: Video, processor: Any) -> list[int]:
        # The template puts marks around the whole video, which give way to those around each pair.
        marked = processor.vision_start_token + processor.video_token + processor.vision_end_token
        return super()._opening_ids(text.replace(marked, processor.video_token), video, processor)

    def _positions(self, sample: Sample) -> Sample:
        return {"mm_token_type_ids": (sample["input_ids"] == self.config.video_token_id).long() * 2}
