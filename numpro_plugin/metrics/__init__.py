"""Scores as pure functions over arrays."""
