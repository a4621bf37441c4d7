"""Annotations and videos from the Hugging Face hub."""
