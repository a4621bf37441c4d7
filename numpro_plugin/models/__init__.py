"""Model classes for lmms-eval."""
