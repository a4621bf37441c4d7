"""Memory and FLOPs of whatever runs, by phase: memory from the tensors' storages, FLOPs from torch's own counter.

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
    """While active, notes the bytes of all storages that are made, their peak and the FLOPs, each by phase."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        """Bytes of the storages that are alive."""

        self.peaks: dict[str, int] = defaultdict(int)
        """Most bytes alive at once in each phase."""

        self._live: dict[int, int] = {}
        self._counter = PhaseFlopCounter("setup", {FLASH: attention_flops, FLASH_BACKWARD: attention_backward_flops})

    @property
    def phase(self) -> str:
        """What is running; bytes and FLOPs are noted under it."""
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
                self._note(tensor)
        if packet_of(func) is FLASH_BACKWARD:
            self._note_kernel_memory(*args[1:3])
        return out

    def _note(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage_key(storage)
        if key in self._live:
            return
        size = self._live[key] = storage.nbytes()
        weakref.finalize(storage, self._forget, key)
        self.now += size
        self._raise_peak(self.now)

    def _forget(self, key: int) -> None:
        self.now -= self._live.pop(key, 0)

    def _note_kernel_memory(self, query: torch.Tensor, key: torch.Tensor) -> None:
        """Memory inside flash attention's backward kernel on a GPU.

        It sums the queries' gradient in 32 bit, and makes the gradients of keys and values for every query head.
        """
        repeated = 2 * query.numel() * query.element_size() if query.shape[1] != key.shape[1] else 0
        self._raise_peak(self.now + query.numel() * 4 + repeated)

    def _raise_peak(self, size: int) -> None:
        self.peaks[self.phase] = max(self.peaks[self.phase], size)


def attention_flops(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *options: Any, out_shape: Any = None, **_: Any
) -> float:
    """Two products of attention: scores, and values weighted by them. Arguments are shapes (B, H, L, D).

    Torch's counter has no formula for the CPU's operator, and its own for GPUs count a causal mask's upper half too, which the kernels
    leave out.
    """
    causal = len(options) > 1 and options[1]
    return 2 * _pairs(query, key, causal=causal) * (query[3] + value[3])


def attention_backward_flops(
    gradient: Sequence[int], query: Sequence[int], key: Sequence[int], value: Sequence[int], *options: Any, out_shape: Any = None, **_: Any
) -> float:
    """Five products: the scores once more, and the gradients of scores, queries, keys and values. See ``attention_flops``."""
    causal = options[3]  # after the output, its log-sum-exp and the dropout
    return 2 * _pairs(query, key, causal=causal) * (3 * query[3] + 2 * value[3])


def _pairs(query: Sequence[int], key: Sequence[int], *, causal: bool) -> float:
    """Pairs of a query and a key, over all heads."""
    return query[0] * query[1] * query[2] * key[2] * (0.5 if causal else 1.0)
