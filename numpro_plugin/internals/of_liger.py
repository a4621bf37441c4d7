"""Names of liger-kernel, a package of Triton kernels, that are not in its documentation."""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import Any

__all__ = ["apply_to", "known_types"]


def known_types() -> set[str]:
    """The ``model_type`` of the models that it has kernels for. ImportError: it is not installed, or does not load."""
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN

    return set(MODEL_TYPE_TO_APPLY_LIGER_FN)


def apply_to(model: Any) -> None:
    """Replace norms, MLPs and rotary embeddings of a model of a known type.

    Its losses stay off: they replace the whole ``forward`` and expect logits at every position.
    """
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN

    MODEL_TYPE_TO_APPLY_LIGER_FN[model.config.model_type](model=model, cross_entropy=False, fused_linear_cross_entropy=False)
