"""`numpro-train plan`: what a recipe needs, before a GPU is rented."""
