"""`numpro app`: a page in the browser that asks a model when something happens in a video."""
