"""From shards to batches of model inputs."""
