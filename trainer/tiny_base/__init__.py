"""How the embedded tiny model is made: an untrained LongVA of 0.8 million parameters learns to read and locate, in one run from a seed.

    python -m numpro_plugin.trainer.tiny_base OUT --seed 0 --steps 5400

A model this small that is trained on questions about videos alone learns to guess. So it first names single pictures ("a green circle with
number 37"), then finds one picture among a few, then answers about sequences. All rows are new, and many have random numbers: with ordered
ones alone it would count instead of read. Two heads help it and are thrown away at the end (`heads`).

======================  ============================================================================
`marks`                 what is drawn on frames, and what is asked and answered: exchangeable
`untrained`             tokenizer, configuration, random weights
`rows`, `curriculum`    pictures, lists and sequences with questions; which of them at which step
`batches`, `heads`      rows as tensors; the heads
`make`, `curve`         the training run; the scores on held-out videos along the way
======================  ============================================================================
"""
