"""``--model numpro``: any model of lmms-eval, shown numbered clips."""
