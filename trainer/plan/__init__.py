"""`numpro-train plan`: the memory and FLOPs that a recipe needs, before a GPU is rented."""
