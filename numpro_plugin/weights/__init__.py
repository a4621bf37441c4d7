"""A model's or an adapter's folder, of whatever family."""
