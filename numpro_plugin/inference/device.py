"""Where a model is put and in which type of numbers, by the names that users type."""

from __future__ import annotations

from typing import Any

DTYPES = ("auto", "bfloat16", "float16", "float32")
"""What ``--dtype`` may be."""


def device_map(device: str | None) -> Any:
    """What ``load_model`` wants for ``--device``: ``cuda:1``, ``cpu``, ``auto`` (over all GPUs), or None: the first GPU, else the CPU."""
    import torch

    if device == "auto":
        return "auto"
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return None if device == "cpu" else {"": device}
