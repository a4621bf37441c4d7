"""The Qwen-VL families: frames in pairs, positions in time, height and width."""

# mypy: allow-untyped-calls

from __future__ import annotations

import copy
import itertools
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from numpro_plugin.families.base import Family, PreparedVideo, Sample, base_model_of, check_pixels
from numpro_plugin.families.written import Around, estimated_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from numpro_plugin.video.sampling import Frames


class _Qwen(Family):
    """What the Qwen-VL families share: frames of any size that patches divide, taken in pairs and cut into patches."""

    keeps_features = True
    shares_tokens = True

    @property
    def frame_size(self) -> tuple[int, int]:
        """(width, height): by default the largest up to 336 that merged patches divide (336 for patches of 14, 320 for 16)."""
        if self._chosen_size is not None:
            return self._chosen_size
        side = 336 // self._merged_patch * self._merged_patch
        return side, side

    @property
    def frames_per_step(self) -> int:
        """As in ``Family``: 2 in every release."""
        return int(self.config.vision_config.temporal_patch_size)

    @property
    def _merged_patch(self) -> int:
        """Side in pixels of the square that becomes one token."""
        vision = self.config.vision_config
        return int(vision.patch_size * vision.spatial_merge_size)

    def prepare(self, frames: Frames, processor: Any, texts: Sequence[str] | None = None) -> PreparedVideo:
        """As in ``Family``; a last frame without a partner is shown twice.

        With texts every frame stands alone in its temporal patch, which holds it twice (or, with ``blocks=pair``, two frames behind the
        first one's text). Each of these is a video of its own to the model. Its positions are those of a picture.
        """
        self._check(frames, texts)
        pixels, numbers, step = frames.pixels, frames.numbers, self.frames_per_step
        vision, (height, width) = self.config.vision_config, frames.pixels.shape[1:3]
        if texts is not None and self.frames_per_text == 1:
            pixels, numbers = np.repeat(pixels, step, axis=0), np.repeat(numbers, step)
        elif lacking := -len(pixels) % step:
            pixels = np.concatenate([pixels, *[pixels[-1:]] * lacking])
            numbers = np.concatenate([numbers, *[numbers[-1:]] * lacking])
        # Nothing is resized, so no pixel budget applies. It is set all the same, in case the checkpoint's processor checks it.
        budget = {"shortest_edge": height * width, "longest_edge": len(pixels) * height * width}
        made = self._pixels(pixels, processor, size=budget, cap_pixels_per_frame=False)
        grid = (len(pixels) // step, height // vision.patch_size, width // vision.patch_size)
        check_pixels(tuple(made["video_grid_thw"][0].tolist()), grid)
        video = self._video(made, frames, numbers.reshape(-1, step) / frames.timeline.fps, processor)
        return video if texts is None else self._apart(video, tuple(texts[:: self.frames_per_text]))

    def _apart(self, video: PreparedVideo, texts: tuple[str, ...]) -> PreparedVideo:
        """The video cut into one of a single temporal patch for each text."""
        inputs = {**video.inputs, "video_grid_thw": video.inputs["video_grid_thw"].repeat(len(texts), 1)}
        inputs["video_grid_thw"][:, 0] = 1
        return PreparedVideo(inputs, video.text, self._tokens(inputs), texts)

    def _around(self, processor: Any) -> Around:
        return Around(*processor.tokenizer.convert_ids_to_tokens([self.config.vision_start_token_id, self.config.vision_end_token_id]))

    def takes(self, size: tuple[int, int]) -> bool:
        """As in ``Family``."""
        return all(side % self._merged_patch == 0 for side in size)

    @property
    def allowed_sizes(self) -> str:
        """As in ``Family``."""
        return f"multiples of {self._merged_patch}"

    def projector_modules(self, model: torch.nn.Module) -> list[str]:
        """The merger, and in Qwen3-VL also those that feed the first layers."""
        names = [name for name, _ in model.named_modules()]
        return [name for name in names if re.fullmatch(r"model\.visual\.(merger|deepstack_merger_list\.\d+)", name)]

    def video_tokens(self, frames: int, texts: Sequence[str] | None = None) -> int:
        """As in ``Family``; a mark stands before and after the video, or with texts each frame's tokens."""
        if texts is None:
            return self.steps(frames) * self._tokens_of_step + 2
        return self.steps(frames, written=True) * (self._merged_patches + 2) + estimated_tokens(texts[:: self.frames_per_text])

    def empty_pixels(self, frames: int, dtype: torch.dtype, *, written: bool = False) -> torch.Tensor:
        """As in ``Family``: (patches, values of a patch)."""
        (width, height), vision = self.frame_size, self.config.vision_config
        patches = self.steps(frames, written=written) * (height // vision.patch_size) * (width // vision.patch_size)
        return torch.zeros(patches, 3 * self.frames_per_step * vision.patch_size**2, dtype=dtype)

    def video_features(self, model: Any, pixels: torch.Tensor) -> torch.Tensor:
        """As in ``Family``. The tower computes with values of its arguments, which fake tensors lack, so arrays stand in for them."""
        vision = self.config.vision_config
        height, width = (side // vision.patch_size for side in self.frame_size[::-1])
        pairs = len(pixels) // (height * width)
        merged = [side // vision.spatial_merge_size for side in (height, width)]
        known: dict[str, Any] = {
            "position_ids": torch.zeros(len(pixels), 2, dtype=torch.long),
            "cu_seqlens": np.arange(pairs + 1) * (height * width),
            **self._tower_arguments(pixels, pairs, merged),
        }
        features: torch.Tensor = base_model_of(model).model.visual(pixels, grid_thw=None, **known).pooler_output
        return features

    def given_positions(self, rows: int, length: int) -> Sample:
        """As in ``Family``: the token's place in the text, then time, height and width."""
        return {"position_ids": torch.zeros(4, rows, length, dtype=torch.long)}

    def with_shallow_tower(self) -> Any:
        """As in ``Family``."""
        config = copy.deepcopy(self.config)
        config.vision_config.depth = 1
        return config

    @property
    def _merged_patches(self) -> int:
        """Video tokens of a temporal patch."""
        width, height = self.frame_size
        return (width // self._merged_patch) * (height // self._merged_patch)

    @property
    def _tokens_of_step(self) -> int:
        return self._merged_patches

    def _tower_arguments(self, pixels: torch.Tensor, pairs: int, merged: list[int]) -> dict[str, Any]:
        """What the tower is given beside positions and lengths; ``merged``: (height, width) in tokens."""
        return {}

    def _video(self, made: Sample, frames: Frames, times_s: NDArray[np.float64], processor: Any) -> PreparedVideo:
        """``times_s``: when the frames of each pair are shown, (pairs, 2)."""
        return PreparedVideo(made, processor.video_token, self._tokens(made) * len(times_s))

    def _tokens(self, made: Sample) -> int:
        """Tokens of a pair of frames."""
        return int(made["video_grid_thw"][0, 1:].prod()) // int(self.config.vision_config.spatial_merge_size) ** 2


class Qwen2VL(_Qwen):
    """Qwen2-VL. Its ``position_ids`` are made here: transformers 5 starts the text inside the video's range of positions."""

    model_types = ("qwen2_vl",)

    def _positions(self, sample: Sample) -> Sample:
        """(4, 1, L): the token's place in the text, then time, height and width by the release's rule.

        A video's token is at (start + its time, start + its row, start + its column); text continues after the LARGEST of them. A video
        is a run of video tokens; where texts are written before frames there are many, each of one temporal patch.
        """
        is_video = (sample["input_ids"][0] == self.config.video_token_id).tolist()
        grids, step = iter(sample["video_grid_thw"].tolist()), self._time_step(sample)
        runs, start = [], 0
        for video, tokens in itertools.groupby(is_video):
            count = len(list(tokens))
            runs.append(self._video_positions(next(grids), step) + start if video else torch.arange(start, start + count).expand(3, -1))
            start = int(runs[-1].max()) + 1
        return {"position_ids": torch.cat([torch.arange(len(is_video))[None], torch.cat(runs, 1)])[:, None]}

    def _video_positions(self, grid: list[int], step: torch.Tensor) -> torch.Tensor:
        """(3, tokens) of a video that starts at 0."""
        merge = self.config.vision_config.spatial_merge_size
        times = (torch.arange(grid[0]) * step).long()
        axes = [times, torch.arange(grid[1] // merge), torch.arange(grid[2] // merge)]
        return torch.stack(torch.meshgrid(axes, indexing="ij")).flatten(1)

    def _time_step(self, sample: Sample) -> torch.Tensor:
        """Distance in time positions between pairs of frames."""
        return torch.tensor(1.0)


class Qwen25VL(Qwen2VL):
    """Qwen2.5-VL: as Qwen2-VL, but positions in time are true times, and the tower attends within windows."""

    model_types = ("qwen2_5_vl",)

    def with_shallow_tower(self) -> Any:
        """As in ``Family``."""
        config = super().with_shallow_tower()
        config.vision_config.fullatt_block_indexes = [0]
        return config

    def _tower_arguments(self, pixels: torch.Tensor, pairs: int, merged: list[int]) -> dict[str, Any]:
        vision = self.config.vision_config
        side = vision.window_size // self._merged_patch
        rows, columns = ([min(side, n - k) for k in range(0, n, side)] for n in merged)
        windows = np.outer(rows, columns).flatten() * vision.spatial_merge_size**2
        return {
            "window_index": torch.zeros(pairs * merged[0] * merged[1], dtype=torch.long),
            "cu_window_seqlens": np.concatenate([[0], np.tile(windows, pairs).cumsum()]),
        }

    def _video(self, made: Sample, frames: Frames, times_s: NDArray[np.float64], processor: Any) -> PreparedVideo:
        # The model takes one distance for the whole video: the mean one where max_frames left frames out.
        gaps = max(1, len(frames) - 1)
        step = (frames.numbers[-1] - frames.numbers[0]) / gaps if len(frames) > 1 else 1
        made["second_per_grid_ts"] = torch.tensor([step / frames.timeline.fps * times_s.shape[1]], dtype=torch.float32)
        return super()._video(made, frames, times_s, processor)

    def _apart(self, video: PreparedVideo, texts: tuple[str, ...]) -> PreparedVideo:
        made = super()._apart(video, texts)
        return replace(made, inputs={**made.inputs, "second_per_grid_ts": made.inputs["second_per_grid_ts"].repeat(len(texts))})

    def _time_step(self, sample: Sample) -> torch.Tensor:
        return sample["second_per_grid_ts"][0] * self.config.vision_config.tokens_per_second


class Qwen3VL(_Qwen):
    """Qwen3-VL: every pair of frames stands between its own marks, after its time in seconds as text."""

    model_types = ("qwen3_vl",)

    def with_shallow_tower(self) -> Any:
        """As in ``Family``; each of the layers that feed the language model's first ones stays."""
        config = super().with_shallow_tower()
        vision = config.vision_config
        vision.depth = len(vision.deepstack_visual_indexes)
        vision.deepstack_visual_indexes = list(range(vision.depth))
        return config

    @property
    def _tokens_of_step(self) -> int:
        return self._merged_patches + 12  # <12.5 seconds> and the marks around the pair

    def _tower_arguments(self, pixels: torch.Tensor, pairs: int, merged: list[int]) -> dict[str, Any]:
        return {"interp_indices": torch.zeros(len(pixels), 4, dtype=torch.long), "interp_weights": torch.zeros(len(pixels), 4)}

    def _video(self, made: Sample, frames: Frames, times_s: NDArray[np.float64], processor: Any) -> PreparedVideo:
        marked = processor.vision_start_token + processor.video_token + processor.vision_end_token
        return PreparedVideo(made, "".join(f"<{time:.1f} seconds>{marked}" for time in times_s.mean(1)), self._tokens(made))

    def _opening_ids(self, text: str, video: PreparedVideo, processor: Any) -> list[int]:
        # The template puts marks around the whole video; those around each pair replace them.
        if video.texts is not None:
            return super()._opening_ids(text, video, processor)
        marked = processor.vision_start_token + processor.video_token + processor.vision_end_token
        return super()._opening_ids(text.replace(marked, processor.video_token), video, processor)

    def _positions(self, sample: Sample) -> Sample:
        return {"mm_token_type_ids": (sample["input_ids"] == self.config.video_token_id).long() * 2}
