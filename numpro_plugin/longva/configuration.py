"""LongVA's configuration: that of LLaVA-NeXT-Video in transformers (a CLIP ViT, a projector, a language model) with other defaults."""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from transformers import AutoConfig, LlavaNextVideoConfig

from numpro_plugin.internals.of_transformers import SubConfigSpec

if TYPE_CHECKING:
    from transformers import CLIPVisionConfig, Qwen2Config


class LongVAConfig(LlavaNextVideoConfig):
    """The ``config.json`` of a converted checkpoint; for the original one see ``checkpoint.config_from_original``.

    ``video_token_index`` is the id that stands for one video token in ``input_ids``. It is the first id that the tokenizer does not
    use, so no text can contain it. It may lie just outside the embedding table: its embedding is never looked up.
    """

    model_type = "longva"
    sub_configs_defaults: ClassVar[dict[str, SubConfigSpec]] = {
        **LlavaNextVideoConfig.sub_configs_defaults,
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="qwen2"),
    }

    if TYPE_CHECKING:  # transformers would validate real fields, but dicts are allowed when the object is created
        text_config: Qwen2Config
        vision_config: CLIPVisionConfig

    image_token_index: int = 151646
    video_token_index: int = 151646
    image_seq_length: int = 144
    video_seq_length: int = 144

    @property
    def tokens_per_frame(self) -> int:
        """Video tokens per frame: 144 at 336 x 336 pixels, patches of 14 and pooling by 2."""
        vision: Any = self.vision_config
        side: int = vision.image_size // vision.patch_size // self.spatial_pool_stride
        return side * side
