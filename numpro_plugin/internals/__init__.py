"""What is used of torch, transformers and peft without being documented by them: one module a library.

A new release may rename or remove any of it. ``tests/internals`` names each one, so that such a release breaks one readable test.
"""
