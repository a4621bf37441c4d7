"""The recipe: everything a training run is made of."""
