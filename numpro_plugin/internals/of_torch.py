"""Undocumented names of torch: fake tensors, dispatch modes, the insides of its FLOP counter, and identities of storages."""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "FLASH",
    "FLASH_BACKWARD",
    "FakeTensor",
    "FakeTensorMode",
    "PhaseFlopCounter",
    "TorchDispatchMode",
    "own_tensors",
    "packet_of",
    "storage_key",
    "tree_leaves",
]

FLASH: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
"""``scaled_dot_product_attention`` on a CPU: query, key, value (B, H, L, D), dropout, whether causal."""

FLASH_BACKWARD: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
"""Its backward pass: gradient, query, key, value, output, log-sum-exp, dropout, whether causal."""


def packet_of(operator: Any) -> Any:
    """The operator without its overload: ``aten.mm`` of ``aten.mm.default``."""
    return operator._overloadpacket


def storage_key(storage: torch.UntypedStorage) -> int:
    """The same for every Python object that stands for the same memory."""
    return int(storage._cdata)


def own_tensors(module: torch.nn.Module) -> tuple[dict[str, Any], dict[str, Any]]:
    """A module's own parameters and buffers by name, as dictionaries that can be written to."""
    return module._parameters, module._buffers


class PhaseFlopCounter(FlopCounterMode):
    """torch's FLOP counter that attributes what it counts to a phase instead of modules.

    Its own attribution registers hooks on every module's gradients, which keep those alive through the backward pass: memory could not
    be measured at the same time.
    """

    def __init__(self, phase: str, formulas: Mapping[Any, Callable[..., Any]]) -> None:
        super().__init__(display=False, custom_mapping=dict(formulas))
        self.mod_tracker: Any = _Phase(phase)

    @property
    def phase(self) -> str:
        """What counts from now on."""
        return str(self.mod_tracker.name)

    @phase.setter
    def phase(self, name: str) -> None:
        self.mod_tracker.name = name

    def flops(self, phase: str) -> float:
        """What was counted in a phase."""
        return sum(self.get_flop_counts().get(phase, {}).values())


class _Phase:
    """Takes the place of the counter's ``ModuleTracker``: the only "module" that is running is the phase."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def parents(self) -> set[str]:
        return {self.name}

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass
