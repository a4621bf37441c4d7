"""Undocumented names of peft."""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peft.tuners.tuners_utils import check_target_module_exists

if TYPE_CHECKING:
    import torch

__all__ = ["check_target_module_exists", "keep_input_dtype"]


def keep_input_dtype(adapted: torch.nn.Module) -> None:
    """Do not cast the inputs of adapted layers: autocast multiplies in 16 bit anyway, and each cast would keep a copy in 32 bit."""
    module: Any
    for module in adapted.modules():
        if hasattr(module, "cast_input_dtype_enabled"):
            module.cast_input_dtype_enabled = False
