"""Questions about videos -> answers of a loaded model."""
