"""The seven sets on which TimeLens2 is evaluated."""
