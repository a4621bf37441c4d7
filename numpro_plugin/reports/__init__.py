"""Scores without a model: prediction files, comparisons of runs, ceilings."""
