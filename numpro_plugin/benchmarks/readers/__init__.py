"""One module a benchmark: its official annotation files -> queries."""
