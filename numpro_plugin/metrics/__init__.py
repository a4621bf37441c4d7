"""Scores as pure functions over arrays."""

from numpro_plugin.metrics.sets import set_iou

__all__ = ["set_iou"]
