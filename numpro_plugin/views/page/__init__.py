"""What the report page is made of: rows, statistics, charts, videos to play."""
