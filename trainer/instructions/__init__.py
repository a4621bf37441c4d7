"""Instruction files and prepared tables -> videos with what is said about them."""
