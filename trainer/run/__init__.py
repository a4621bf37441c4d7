"""`numpro-train run`: trains an adapter from a recipe and shards."""
