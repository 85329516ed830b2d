"""Classification of the tracks by their origin."""

from typing import Any

import numpy as np

from maskformer_jax.config import Config
from maskformer_jax.evaluation.classification import accuracy
from maskformer_jax.evaluation.section import Chunk


class TrackOriginSection:
    """Origins of the tracks of all jets."""

    def __init__(self, config: Config):
        """Starts empty."""
        classes = len(config.data.tracks.origin_classes)
        self._confusion = np.zeros((classes, classes), np.int64)

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets."""
        self._confusion += np.asarray(chunk.predictions.confusions.track_origin, np.int64)

    def metrics(self) -> dict[str, Any]:
        """Accuracy and confusion matrix."""
        return {"accuracy": accuracy(self._confusion), "confusion": self._confusion}

    def curves(self) -> dict[str, Any]:
        """None."""
        return {}
