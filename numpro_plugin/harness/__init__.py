"""Everything that touches lmms-eval."""
