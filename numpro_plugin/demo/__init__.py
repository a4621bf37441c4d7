"""`numpro demo`: the whole loop, offline, on videos made for it."""
