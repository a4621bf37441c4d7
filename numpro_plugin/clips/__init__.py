"""Frames -> a numbered mp4, kept in a cache."""
