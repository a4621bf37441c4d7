"""LongVA: its own processor; the text before and after the video is tokenized separately."""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpro_plugin.families.base import Family, PreparedVideo, check_pixels
from numpro_plugin.longva.checkpoint import ORIGINAL_MODEL_TYPE, config_from_original, find_tower
from numpro_plugin.weights.folder import read_config

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpro_plugin.video.sampling import Frames


class LongVA(Family):
    """LongVA as released (``llava_qwen``) or saved by this project."""

    model_types = ("longva", ORIGINAL_MODEL_TYPE)
    frames_dim = 1

    def prepare(self, frames: Frames, processor: Any, texts: Sequence[str] | None = None) -> PreparedVideo:
        """As in ``Family``."""
        self._check(frames, texts)
        crop = processor.image_processor.crop_size
        check_pixels((crop["height"], crop["width"]), frames.pixels.shape[1:3])
        pixels = processor.pixel_values(frames.pixels)[None]
        check_pixels(pixels.shape, (1, len(frames), 3, *frames.pixels.shape[1:3]))
        if texts is not None:
            return PreparedVideo({"pixel_values_videos": pixels}, processor.video_token, processor.tokens_per_frame, tuple(texts))
        return PreparedVideo({"pixel_values_videos": pixels}, processor.video_token, len(frames))

    def _opening_ids(self, text: str, video: PreparedVideo, processor: Any) -> list[int]:
        if video.texts is not None:
            return super()._opening_ids(text, video, processor)
        return list(processor.token_ids(text, [video.repeat]))

    @classmethod
    def config_at(cls, folder: Path) -> Any:
        """As in ``Family``."""
        values = read_config(folder)
        if values["model_type"] != ORIGINAL_MODEL_TYPE:
            return super().config_at(folder)
        return config_from_original(values, folder, find_tower(values.get("mm_vision_tower"), folder), video_token_id=values["vocab_size"])

    @classmethod
    def load(cls, folder: Path, adapter: Path | None, *, merge: bool, trainable: bool, **options: Any) -> tuple[Any, Any]:
        """As in ``Family``."""
        from numpro_plugin.longva import load_longva

        return load_longva(folder, adapter, merge=merge, trainable=trainable, **options)
