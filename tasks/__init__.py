"""NumPro's tasks for lmms-eval: YAML files only."""
