"""What every part of the evaluation is given and gives back."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float

from maskformer_jax.data import Records
from maskformer_jax.evaluation.predict import Predictions
from maskformer_jax.types import Targets

# Momenta and masses are MeV in files and metrics, GeV in curves and pictures.
MEV_PER_GEV = 1000.0


class Chunk(NamedTuple):
    """Some jets of the test file, on the host, without padding jets.

    Attributes:
        records: N rows of the file.
        targets: of the same jets.
        predictions: likewise.
        predicted: hadron properties in the units of the file.
        true: likewise.
    """

    records: Records
    targets: Targets
    predictions: Predictions
    predicted: Float[np.ndarray, "N M R"]
    true: Float[np.ndarray, "N M R"]


class Curve(NamedTuple):
    """A quantity against another, or a histogram.

    Attributes:
        x: the points; for a histogram or a profile the bin edges, one more than values.
        value: NaN where it is not defined, such as in an empty bin.
        error: standard error, NaN where there is none.
    """

    x: Float[np.ndarray, " X"]
    value: Float[np.ndarray, " V"]
    error: Float[np.ndarray, " V"]


class Section(Protocol):
    """One part of the evaluation, such as vertex finding.

    It keeps sums and small arrays only, so that a file of any length can be added.
    """

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets."""

    def metrics(self) -> dict[str, Any]:
        """Nested dictionaries of numbers, NamedTuples of numbers and small arrays."""

    def curves(self) -> dict[str, Any]:
        """Nested dictionaries of `Curve`; empty where there is nothing to draw."""
