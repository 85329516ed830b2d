"""Multi-task jet flavour tagging in JAX; `maskformer_jax.weighting` stands on its own."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from maskformer_jax.extras import PartFinder

if TYPE_CHECKING:
    from maskformer_jax.inference import LoadedModel

__version__ = "0.2.0"

sys.meta_path.insert(0, PartFinder())


def load(run: str | os.PathLike, overrides: Sequence[str] = ()) -> "LoadedModel":
    """The best checkpoint of a run folder, to predict with: `inference.load`.

    Args:
        run: the folder.
        overrides: words of a command line that win over its configuration.
    """
    # What it needs is not installed with the core.
    from maskformer_jax import inference

    return inference.load(run, overrides)
