"""Multi-task jet flavour tagging with a MaskFormer, in JAX."""
