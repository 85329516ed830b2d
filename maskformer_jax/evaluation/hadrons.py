"""Classification of the hadrons by the objects that are matched to them."""

from typing import Any

import numpy as np

from maskformer_jax.config import Config
from maskformer_jax.evaluation.classification import object_metrics
from maskformer_jax.evaluation.section import Chunk


class HadronSection:
    """Hadron classes of the matched objects."""

    def __init__(self, config: Config):
        """Starts empty."""
        classes = len(config.data.hadrons.classes) + 1
        self._confusion = np.zeros((classes, classes), np.int64)

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets."""
        self._confusion += np.asarray(chunk.predictions.confusions.objects, np.int64)

    def metrics(self) -> dict[str, Any]:
        """Fractions of the hadrons and objects, and the confusion matrix."""
        return {**object_metrics(self._confusion)._asdict(), "confusion": self._confusion}

    def curves(self) -> dict[str, Any]:
        """None."""
        return {}
