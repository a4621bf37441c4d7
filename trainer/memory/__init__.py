"""Training in less memory: a layer in tiles along the sequence, and the model sharded over the processes."""
