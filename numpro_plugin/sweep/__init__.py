"""`numpro sweep`: one model on the same queries under every way of showing time, rate and style, in one table."""
