"""The `numpro` command."""
