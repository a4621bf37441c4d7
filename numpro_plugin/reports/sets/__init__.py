"""Reports on benchmarks that ask for all moments of a query."""
