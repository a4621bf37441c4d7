"""Memory and FLOPs of running code, by phase: memory from the tensors' storages, FLOPs from torch's own counter.

Works for fake tensors, which have shapes but no values, and for real ones.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import weakref
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import torch

from numpro_plugin.internals.of_torch import FLASH, FLASH_BACKWARD, PhaseFlopCounter, TorchDispatchMode, packet_of, storage_key, tree_leaves

if TYPE_CHECKING:
    from collections.abc import Sequence


class Tracker(TorchDispatchMode):
    """While active, records the bytes of all new storages, their peak and the FLOPs, each by phase."""

    def __init__(self) -> None:
        super().__init__()
        self.allocated = 0
        """Bytes of all storages that exist now."""

        self.peaks: dict[str, int] = defaultdict(int)
        """The largest ``allocated`` of each phase."""

        self._sizes: dict[int, int] = {}
        self._counter = PhaseFlopCounter("setup", {FLASH: attention_flops, FLASH_BACKWARD: attention_backward_flops})

    @property
    def phase(self) -> str:
        """The current phase, to which bytes and FLOPs are attributed."""
        return self._counter.phase

    @phase.setter
    def phase(self, name: str) -> None:
        self._counter.phase = name

    def flops(self, phase: str) -> float:
        """FLOPs of a phase; a multiplication and an addition are two."""
        return self._counter.flops(phase)

    def __enter__(self) -> Any:
        self._counter.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._counter.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in [out] if isinstance(out, torch.Tensor) else tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor)
        if packet_of(func) is FLASH_BACKWARD:
            self._add_kernel_memory(*args[1:3])
        return out

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage_key(storage)
        if key in self._sizes:
            return
        size = self._sizes[key] = storage.nbytes()
        weakref.finalize(storage, self._remove, key)
        self.allocated += size
        self._raise_peak(self.allocated)

    def _remove(self, key: int) -> None:
        self.allocated -= self._sizes.pop(key, 0)

    def _add_kernel_memory(self, query: torch.Tensor, key: torch.Tensor) -> None:
        """Count the memory inside flash attention's backward kernel on a GPU.

        The kernel sums the queries' gradient in 32 bit, and makes the gradients of keys and values for every query head.
        """
        repeated = 2 * query.numel() * query.element_size() if query.shape[1] != key.shape[1] else 0
        self._raise_peak(self.allocated + query.numel() * 4 + repeated)

    def _raise_peak(self, size: int) -> None:
        self.peaks[self.phase] = max(self.peaks[self.phase], size)


def attention_flops(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *options: Any, out_shape: Any = None, **_: Any
) -> float:
    """Two products of attention: scores, and values weighted by them. Arguments are shapes (B, H, L, D).

    torch's counter has no formula for the CPU's operator, and its formulas for GPUs include the masked half of causal attention, which
    the kernels skip.
    """
    causal = len(options) > 1 and options[1]
    return 2 * _pairs(query, key, causal=causal) * (query[3] + value[3])


def attention_backward_flops(
    gradient: Sequence[int], query: Sequence[int], key: Sequence[int], value: Sequence[int], *options: Any, out_shape: Any = None, **_: Any
) -> float:
    """Five products: the scores again, and the gradients of scores, queries, keys and values. See ``attention_flops``."""
    causal = options[3]  # after the output, its log-sum-exp and the dropout
    return 2 * _pairs(query, key, causal=causal) * (3 * query[3] + 2 * value[3])


def _pairs(query: Sequence[int], key: Sequence[int], *, causal: bool) -> float:
    """The number of pairs of a query and a key, over all heads."""
    return query[0] * query[1] * query[2] * key[2] * (0.5 if causal else 1.0)
