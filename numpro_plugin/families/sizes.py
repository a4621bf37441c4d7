"""What a family takes and how much that is: sizes of frames, frames that share tokens, tokens and pixels of a video."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import torch

from numpro_plugin.errors import NumProError
from numpro_plugin.families.written import Blocks, check_blocks, check_encoding, estimated_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpro_plugin.encoding import TimeEncoding
    from numpro_plugin.video.sampling import Frames


class Sizes:
    """The part of ``Family`` that needs nothing but the model's configuration."""

    model_types: ClassVar[tuple[str, ...]]
    """``model_type`` in ``config.json``."""

    shares_tokens: ClassVar[bool] = False
    """Whether neighbouring frames share their tokens."""

    writes_texts: ClassVar[bool] = True
    """Whether texts can stand between frames."""

    closing_tokens: ClassVar[int] = 0
    """How many video tokens the model puts after a video's frames."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.blocks: Blocks = "frame"
        self._chosen_size: tuple[int, int] | None = None

    @property
    def frame_size(self) -> tuple[int, int]:
        """(width, height) that frames are resized to before numbers are drawn: the size that the vision tower was made for."""
        side = self.config.vision_config.image_size
        return side, side

    @property
    def frames_per_step(self) -> int:
        """How many frames share their tokens."""
        return 1

    @property
    def frames_per_text(self) -> int:
        """How many frames share their tokens where texts are written before frames."""
        return 1 if self.blocks == "frame" else self.frames_per_step

    def steps(self, pictures: int, *, written: bool = False) -> int:
        """How many groups of tokens stand for so many frames or grids; ``written``: with texts before them."""
        return -(-pictures // (self.frames_per_text if written else self.frames_per_step))

    def with_blocks(self, blocks: str) -> Self:
        """The same family with another number of frames behind each written text: ``frame`` or ``pair``, see ``written.Blocks``.

        Raises:
            NumProError: another word, or ``pair`` for a family whose frames do not share tokens.
        """
        check_blocks(blocks, self.model_types[0], shares_tokens=self.shares_tokens)
        changed = copy.copy(self)
        changed.blocks = cast("Blocks", blocks)
        return changed

    def check_encoding(self, encoding: TimeEncoding) -> None:
        """Check that the model can be shown time in this way.

        Raises:
            NumProError: it has no place for texts between frames, or two grids would share their tokens.
        """
        check_encoding(encoding, self.model_types[0], writes_texts=self.writes_texts, blocks=self.blocks)

    def takes(self, size: tuple[int, int]) -> bool:
        """Whether the vision tower takes frames of this (width, height)."""
        return size == self.frame_size

    def with_frame_size(self, size: tuple[int, int]) -> Self:
        """The same family with another ``frame_size``, for the sizes in tokens and pixels that follow from it.

        Raises:
            NumProError: the vision tower does not take this size.
        """
        if not self.takes(size):
            raise NumProError(
                f"numpro.frame_size={size}, but {self.model_types[0]} takes {self.allowed_sizes}: make shards of such a size and set it in "
                "the recipe"
            )
        sized = copy.copy(self)
        sized._chosen_size = size
        return sized

    def check_size(self, frames: Frames) -> None:
        """Check that the vision tower takes frames of this size.

        Raises:
            NumProError: it does not; the message names the size that it takes.
        """
        height, width = frames.pixels.shape[1:3]
        if not self.takes((width, height)):
            raise NumProError(
                f"frames are {width} x {height}, but {self.model_types[0]} takes {self.allowed_sizes}: sample them with "
                f"frame_size={self.frame_size} and draw the numbers after that"
            )

    @property
    def allowed_sizes(self) -> str:
        """Frame sizes that the vision tower takes, in words."""
        return "{} x {}".format(*self.frame_size)

    def video_tokens(self, frames: int, texts: Sequence[str] | None = None) -> int:
        """How many tokens of the prompt stand for a video, with the marks around it. Those of texts are estimated without a tokenizer.

        Args:
            frames: or grids, of the family's ``frame_size``.
            texts: what is written before each of them, as for ``prepare``.
        """
        return frames * self._tokens_of_step + self.closing_tokens + estimated_tokens(texts or ())

    @property
    def _tokens_of_step(self) -> int:
        """Video tokens of frames that share their tokens."""
        side = self.config.vision_config.image_size // self.config.vision_config.patch_size
        return int(side // self.config.spatial_pool_stride) ** 2

    def empty_pixels(self, frames: int, dtype: torch.dtype, *, written: bool = False) -> torch.Tensor:
        """``pixel_values_videos`` of a video, all zero: their shape is what counts (planning memory).

        Args:
            frames: or grids, of the family's ``frame_size``.
            dtype: of the pixels.
            written: texts stand before the frames.
        """
        width, height = self.frame_size
        return torch.zeros(1, frames, 3, height, width, dtype=dtype)
