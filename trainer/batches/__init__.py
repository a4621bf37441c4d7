"""Shards -> batches of a model's inputs."""
