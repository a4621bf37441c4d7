"""`numpro-train shards`: videos and conversations -> parquet files."""
