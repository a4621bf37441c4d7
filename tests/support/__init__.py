"""What several tests need: a reader of drawn digits, tiny checkpoints, odd video files."""
