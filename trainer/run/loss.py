"""The loss, computed from the logits of the answers only.

Questions and videos have no labels, yet their logits would be the largest tensor of a step: 20 GiB in 32 bit for 34,600 tokens and a
vocabulary of 152,000. So the head sees only the positions that predict a learned token::

    token     ... <|im_start|> assistant \\n   From  Frame  3 ... <|im_end|> \\n
    label     ...      -100       -100  -100   From  Frame  3 ... <|im_end|> \\n
    position  ...                         p    p+1   p+2  ...   p+n            (each predicts the next token's label)
"""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.nn import functional

from numpro_plugin.families import IGNORED

if TYPE_CHECKING:
    import torch

    from numpro_plugin.families import Sample


def next_labels(labels: torch.Tensor) -> torch.Tensor:
    """(B, L) -> (B, L): at each position the label of the token that it predicts; ``IGNORED`` at the last one."""
    return functional.pad(labels[:, 1:], (0, 1), value=IGNORED)


def learned_positions(labels: torch.Tensor) -> torch.Tensor:
    """Positions (K,) int64, ascending, that predict a learned token in any row of ``labels`` (B, L).

    Never empty: for a batch of fillers, which has no learned tokens, it is the last position, whose loss and gradients are zero. So every
    process runs the same backward pass.
    """
    positions = (next_labels(labels) != IGNORED).any(0).nonzero().flatten()
    return positions if len(positions) else positions.new_tensor([labels.shape[1] - 1])


def answer_logits(model: Any, inputs: Sample, *, positions: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (B, K, vocabulary) at the learned positions and the labels (B, K) that they predict.

    ``inputs``: the model's inputs with ``labels`` (B, L). ``positions``: ``learned_positions(labels)`` if already known; computing
    them waits for the device, and is impossible for tensors without values.
    """
    inputs = dict(inputs)
    labels = inputs.pop("labels")
    if positions is None:
        positions = learned_positions(labels)
    out = model(**inputs, logits_to_keep=positions, use_cache=False)
    logits: torch.Tensor = out.logits
    return logits, next_labels(labels)[:, positions].to(logits.device)


def answer_loss(
    model: Any, inputs: Sample, *, num_items: torch.Tensor | float | None = None, positions: torch.Tensor | None = None
) -> torch.Tensor:
    """Cross entropy in 32 bit, summed over the learned tokens and divided by ``num_items``; a scalar.

    ``num_items``: the learned tokens of the whole step, over accumulated batches and, if gradients are averaged over processes, divided
    by the number of processes. So every token has the same weight, however batches are divided. Default: the learned tokens of this batch.
    """
    logits, labels = answer_logits(model, inputs, positions=positions)
    total = functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction="sum")
    return total / ((labels != IGNORED).sum().clamp(min=1) if num_items is None else num_items)
