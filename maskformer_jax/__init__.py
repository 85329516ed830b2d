"""Multi-task jet flavour tagging in JAX; `maskformer_jax.weighting` stands on its own."""

import sys

from maskformer_jax.extras import PartFinder

__version__ = "0.2.0"

sys.meta_path.insert(0, PartFinder())
