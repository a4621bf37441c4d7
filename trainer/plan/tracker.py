"""Memory and FLOPs of whatever runs, counted from tensors' storages: fake tensors that have shapes but no values, or real ones."""

# mypy: allow-untyped-calls

from __future__ import annotations

import weakref
from collections import defaultdict
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

_FLASH = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_FLASH_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


class Tracker(TorchDispatchMode):
    """Notes the bytes of all storages made while it is active, their peak and the FLOPs by phase; for fake and for real tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = "setup"
        self.now = 0
        self.peaks: dict[str, int] = defaultdict(int)
        self.flops: dict[str, float] = defaultdict(float)
        self._live: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func._overloadpacket
        if packet in flop_registry:
            self.flops[self.phase] += flop_registry[packet](*args, **kwargs, out_val=out)
        elif packet in (_FLASH, _FLASH_BACKWARD):
            self._attention(packet, args)
        for tensor in [out] if isinstance(out, torch.Tensor) else tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._note(tensor)
        return out

    def _note(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._live:
            return
        size = self._live[key] = storage.nbytes()
        weakref.finalize(storage, self._forget, key)
        self.now += size
        self.peaks[self.phase] = max(self.peaks[self.phase], self.now)

    def _forget(self, key: int) -> None:
        self.now -= self._live.pop(key, 0)

    def _attention(self, packet: Any, args: Any) -> None:
        """The products of queries, keys and values; of a causal mask's half only, as the kernels leave the other one out."""
        backward = packet is _FLASH_BACKWARD
        query, key, value = args[1:4] if backward else args[:3]
        causal = args[7] if backward else len(args) > 4 and args[4]
        b, heads, length, _ = query.shape
        pairs = b * heads * length * key.shape[2] * (0.5 if causal else 1.0)
        products = 3 * query.shape[3] + 2 * value.shape[3] if backward else query.shape[3] + value.shape[3]
        self.flops[self.phase] += 2 * pairs * products
        if backward:
            # On a GPU the kernel sums the queries' gradient in 32 bit, and those of keys and values for every query head.
            work = query.numel() * 4 + (2 * query.numel() * query.element_size() if heads != key.shape[1] else 0)
            self.peaks[self.phase] = max(self.peaks[self.phase], self.now + work)
