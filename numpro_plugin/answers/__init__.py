"""A model's words -> frame numbers."""
