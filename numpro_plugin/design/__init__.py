"""The look of the numbers: how well it is read on given frames, and how much of them it covers."""
