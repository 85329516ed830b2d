"""Checkpoints of Salt, read without PyTorch and turned into run folders."""
