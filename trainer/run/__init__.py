"""`numpro-train run`: a recipe and shards -> an adapter."""
