"""The output folder of a training run: its lock, status, checkpoints and result."""
