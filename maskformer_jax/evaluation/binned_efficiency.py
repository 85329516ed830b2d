"""Efficiencies in bins of another quantity, summed over a file of any length."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from maskformer_jax.config import Config
from maskformer_jax.evaluation.results import Points
from maskformer_jax.evaluation.section import MEV_PER_GEV, Chunk
from maskformer_jax.tasks.confusion import Fraction, fraction


def jet_pt(chunk: Chunk, config: Config) -> Float[np.ndarray, " N"]:
    """Transverse momentum of the jets in GeV; NaN where the file has no such field."""
    jets = chunk.records.jets
    field = config.evaluation.fields.jet_pt
    if field not in jets.dtype.names:
        return np.full(len(jets), np.nan)
    return jets[field] / MEV_PER_GEV


def binomial(
    x: Float[np.ndarray, " X"], passed: Int[np.ndarray, " n"], total: Int[np.ndarray, " n"]
) -> Points:
    """Fractions of trials that pass with their binomial errors, NaN without trials."""
    number = np.where(total > 0, total, np.nan)
    value = passed / number
    return Points(x, value, np.sqrt(value * (1 - value) / number))


class BinnedEfficiency:
    """Fraction of trials that pass in bins of a quantity, for each of several groups.

    A bin holds its lower edge, the last one both. Trials outside the edges, with a quantity that
    is NaN or in no group are left out.
    """

    def __init__(self, edges: Float[np.ndarray, " X"], groups: int):
        """Starts empty.

        Args:
            edges: of the bins, rising.
            groups: number of groups, such as jet classes.
        """
        self._edges = np.asarray(edges, np.float64)
        self._counts = np.zeros((2, groups, len(self._edges) - 1), np.int64)

    def add(
        self,
        x: Float[np.ndarray, " n"],
        group: Int[np.ndarray, " n"],
        passed: Bool[np.ndarray, " n"],
    ) -> None:
        """Takes in n trials.

        Args:
            x: quantity.
            group: number of the group, negative for none.
            passed: whether the trial is a success.
        """
        bins = np.searchsorted(self._edges, x, side="right") - 1
        bins[x == self._edges[-1]] -= 1
        kept = (group >= 0) & (bins >= 0) & (bins < len(self._edges) - 1)
        np.add.at(self._counts, (passed[kept].astype(int), group[kept], bins[kept]), 1)

    def total(self, groups: Sequence[int]) -> Fraction:
        """The fraction of some groups in all bins together."""
        failed, passed = self._counts[:, list(groups)].sum(axis=(1, 2)).tolist()
        return fraction(passed, failed + passed)

    def curve(self, group: int) -> Points:
        """The fraction of each bin with its binomial error, NaN in a bin without trials."""
        failed, passed = self._counts[:, group]
        return binomial(self._edges, passed, failed + passed)
