"""Efficiencies in bins of another quantity, summed over a file of any length."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from maskformer_jax.config import Config
from maskformer_jax.evaluation.quantities import limit
from maskformer_jax.evaluation.results import Points
from maskformer_jax.evaluation.section import MEV_PER_GEV, Chunk
from maskformer_jax.tasks.confusion import Fraction, fraction

# What jets are binned in, by the options `fields.jet_*`, and its name on an axis.
JET_AXES = {"pt": "Jet $p_T$ [GeV]", "eta": r"Jet $|\eta|$"}
# Of |eta|, as far as any tracker sees.
ETA_EDGES = np.linspace(0.0, 4.5, 19)


def jet_edges(config: Config) -> dict[str, Float[np.ndarray, " X"]]:
    """Edges of the bins in each of `JET_AXES`."""
    return {"pt": np.asarray(config.evaluation.pt_edges, np.float64), "eta": ETA_EDGES}


def of_jets(chunk: Chunk, config: Config, axis: str = "pt") -> Float[np.ndarray, " N"]:
    """Transverse momentum of the jets in GeV, or |eta|; NaN where the file has no such field."""
    jets, field = chunk.records.jets, getattr(config.evaluation.fields, f"jet_{axis}")
    if field not in jets.dtype.names:
        return np.full(len(jets), np.nan)
    return jets[field] / MEV_PER_GEV if axis == "pt" else np.abs(jets[field])


def binomial(
    x: Float[np.ndarray, " X"], passed: Int[np.ndarray, " n"], total: Int[np.ndarray, " n"]
) -> Points:
    """Fractions of trials that pass with their Wilson intervals of 68 %, NaN without trials.

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209, for one standard deviation.
    """
    number = np.where(total > 0, total, np.nan)
    value = passed / number
    middle = (passed + 0.5) / (number + 1)
    half = np.sqrt(number * value * (1 - value) + 0.25) / (number + 1)
    return Points(x, value, middle - half, middle + half)


def inverse(
    x: Float[np.ndarray, " X"], passed: Int[np.ndarray, " n"], total: Int[np.ndarray, " n"]
) -> Points:
    """Rejections: inverse fractions; where nothing passes the lower limit, NaN without trials."""
    found = binomial(x, passed, total)
    with np.errstate(divide="ignore"):
        value, low, high = (1 / x for x in (found.value, found.high, found.low))
    limits = np.array([limit(int(n)) if n else np.nan for n in total])
    value, high = (np.where(passed > 0, x, np.nan) for x in (value, high))
    return Points(x, value, np.where(passed > 0, low, limits), high)


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

    def curve(self, group: int, form: Callable[..., Points] = binomial) -> Points:
        """The fraction of each bin with its interval, or its `inverse`."""
        failed, passed = self._counts[:, group]
        return form(self._edges, passed, failed + passed)
