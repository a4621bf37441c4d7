"""Two heads that are trained along with the model and thrown away.

Answers alone say little about single frames: a wrong digit may mean that it was misread or that the wrong frame was found. So one head
names mark and shape of each frame from the frame's token. The other names the first and the last frame's mark from the token of the
question that says what is asked for, after the second layer: it makes the model match question and frames early.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from .rows import NOTHING
from .untrained import HIDDEN_SIZE

if TYPE_CHECKING:
    from .batches import Batch

_TENS, _ONES = 11, 10  # there may be no tens digit
_LAYER = 1  # index of the second layer


class Heads(nn.Module):
    """Both heads of one model.

    Args:
        model: the model, as `numpro_plugin.longva` makes it.
        kind_ids: the token (15,) of each kind.
        drawn: whether marks are drawn on frames; otherwise the first head names shapes only.
    """

    def __init__(self, model: Any, kind_ids: torch.Tensor, *, drawn: bool) -> None:
        super().__init__()
        self._kind_ids, self._drawn = kind_ids, drawn
        self._words = [model.get_input_embeddings()]  # in a list: these weights are the model's
        self.frame = nn.Sequential(nn.LayerNorm(HIDDEN_SIZE), nn.Linear(HIDDEN_SIZE, _TENS + _ONES + 1))
        self.question = nn.Sequential(nn.LayerNorm(HIDDEN_SIZE), nn.Linear(HIDDEN_SIZE, 2 * (_TENS + _ONES)))
        self._second: torch.Tensor | None = None
        self._hook = model.model.language_model.layers[_LAYER].register_forward_hook(self._keep)

    def _keep(self, _: nn.Module, __: Any, output: Any) -> None:
        self._second = output[0] if isinstance(output, tuple) else output

    def remove(self) -> None:
        """Detach from the model."""
        self._hook.remove()
        self._second = None

    def loss(self, batch: Batch, features: torch.Tensor) -> torch.Tensor:
        """The loss of both heads for the forward pass that was just made; ``features`` are the frames' tokens (F, 128)."""
        tens, ones, nothing = self.frame(features).split([_TENS, _ONES, 1], -1)
        # A frame's token is compared with the words for what it may show: these are the tokens of the questions.
        kinds = torch.cat([2 * features @ self._words[0].weight[self._kind_ids].T, nothing], -1)
        assert kinds.shape[1] == NOTHING + 1
        parts = [cross_entropy(kinds, batch.frames[:, 2])]
        if self._drawn:
            parts += [cross_entropy(tens, batch.frames[:, 0]), cross_entropy(ones, batch.frames[:, 1])]
        loss = torch.stack(parts).mean()
        if len(batch.questions):
            assert self._second is not None
            said = self.question(self._second[batch.questions[:, 0], batch.questions[:, 1]]).split([_TENS, _ONES] * 2, -1)
            loss = loss + torch.stack([cross_entropy(part, batch.questions[:, 2 + k]) for k, part in enumerate(said)]).mean()
        return loss
