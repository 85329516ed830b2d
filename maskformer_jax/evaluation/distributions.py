"""Fractions, locations and widths with their intervals, in bins of another quantity; histograms."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from maskformer_jax.config import Config
from maskformer_jax.evaluation.quantities import limit
from maskformer_jax.evaluation.results import Points
from maskformer_jax.evaluation.section import MEV_PER_GEV, Chunk, optional

LEVELS = (0.16, 0.5, 0.84)
# Fewer entries in a bin do not fix the outer quantiles.
MIN_ENTRIES = 20
# What jets are binned in, by the options `fields.jet_*`, and its name on an axis.
JET_AXES = {"pt": "Jet $p_T$ [GeV]", "eta": r"Jet $|\eta|$"}
# Of |eta|, as far as any tracker sees.
ETA_EDGES = np.linspace(0.0, 4.5, 19)


class Spread(NamedTuple):
    """Summary of a distribution; NaN where there are no entries, and the widths of one entry.

    Attributes:
        median: bias that tails do not pull.
        half_width_68: half the distance between the 16 % and 84 % quantiles; the standard
            deviation of a normal distribution.
        mean: with all tails.
        std: with all tails.
        number: entries.
        std_error: of that, from the fourth moment.
    """

    median: float
    half_width_68: float
    mean: float
    std: float
    number: int
    std_error: float = math.nan


def spread(values: Float[np.ndarray, " N"]) -> Spread:
    """Location and width of `values`."""
    if len(values) == 0:
        return Spread(math.nan, math.nan, math.nan, math.nan, 0)
    values = np.asarray(values, np.float64)
    # A network that has diverged predicts infinities, whose spread is not defined.
    with np.errstate(invalid="ignore", over="ignore"):
        low, median, high = np.quantile(values, LEVELS)
        mean, std, half = values.mean(), values.std(), (high - low) / 2
        fourth = np.mean((values - mean) ** 4) if std > 0 else math.nan
        # That of the variance is sqrt((fourth - std^4)/N), and d std = d variance / (2 std).
        error = np.sqrt((fourth - std**4) / len(values)) / (2 * std) if std > 0 else math.nan
    if len(values) == 1:
        std = half = math.nan
    found = map(float, (median, half, mean, std))
    return Spread(*found, len(values), float(error))


def quantile_error(values: Float[np.ndarray, " N"], level: float) -> float:
    """Standard error of a sample quantile, without an assumption on the distribution.

    The number of values below the true quantile is binomial: half the distance between the
    quantiles one standard deviation sqrt(p (1 - p)/n) above and below p.
    """
    step = math.sqrt(level * (1 - level) / len(values))
    low, high = np.quantile(values, np.clip([level - step, level + step], 0, 1))
    return float(high - low) / 2


def binned_spread(
    values: Float[np.ndarray, " H"], x: Float[np.ndarray, " H"], edges: Float[np.ndarray, " E"]
) -> dict[str, Points]:
    """Median and half 68 % width of `values` in bins of `x`.

    Args:
        values: finite.
        x: what to bin in; outside the edges it is left out.
        edges: rising; a bin includes its lower edge.

    Returns:
        Curves `median` and `half_width_68` with their standard errors, NaN in bins of fewer than
        20 entries.
    """
    low, _, high = LEVELS
    # Quantiles p < r of one sample have the correlation sqrt(p (1 - r)/(r (1 - p))).
    correlation = math.sqrt(low * (1 - high) / (high * (1 - low)))
    points = np.full((4, len(edges) - 1), math.nan)
    bin_index = np.searchsorted(edges, x, side="right") - 1
    for column in range(len(edges) - 1):
        inside = values[bin_index == column]
        if len(inside) < MIN_ENTRIES:
            continue
        summary = spread(inside)
        below, middle, above = (quantile_error(inside, level) for level in LEVELS)
        half = math.sqrt(below**2 + above**2 - 2 * correlation * below * above) / 2
        points[:, column] = summary.median, middle, summary.half_width_68, half
    return {
        "median": Points.with_error(edges, points[0], points[1]),
        "half_width_68": Points.with_error(edges, points[2], points[3]),
    }


def histogram(values: Float[np.ndarray, " N"], edges: Float[np.ndarray, " E"]) -> Points:
    """Entries of each bin with their square roots; the outer bins hold what is beyond them."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return Points.with_error(edges, counts.astype(np.float64), np.sqrt(counts))


def round_up(value: float) -> float:
    """The next of ..., 0.1, 0.2, 0.5, 1, 2, 5, ... that is not below a positive `value`."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(float(f"{step * power:.3g}") for step in (1, 2, 5, 10) if step * power >= value)


def jet_edges(config: Config) -> dict[str, Float[np.ndarray, " X"]]:
    """Edges of the bins in each of `JET_AXES`."""
    return {"pt": np.asarray(config.evaluation.pt_edges, np.float64), "eta": ETA_EDGES}


def of_jets(chunk: Chunk, config: Config, axis: str = "pt") -> Float[np.ndarray, " N"]:
    """Transverse momentum of the jets in GeV, or |eta|; NaN where the file has no such field."""
    values = optional(chunk.records.jets, getattr(config.evaluation.fields, f"jet_{axis}"))
    return values / MEV_PER_GEV if axis == "pt" else np.abs(values)


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


def in_bins(
    edges: Float[np.ndarray, " X"],
    x: Float[np.ndarray, " n"],
    passed: Bool[np.ndarray, " n"],
    group: Int[np.ndarray, " n"] | int = 0,
    groups: int = 1,
) -> Int[np.ndarray, "2 G X-1"]:
    """Trials that pass, and all, in bins of a quantity and in each of several groups.

    A bin holds its lower edge, the last one both. Trials outside the edges, with a quantity that
    is NaN or in no group are left out.

    Args:
        edges: of the bins, rising.
        x: quantity of n trials.
        passed: whether the trial is a success.
        group: number of the group, negative for none.
        groups: how many there are, such as jet classes.
    """
    sample = np.broadcast_arrays(passed, group, x)
    bins = np.arange(3) - 0.5, np.arange(groups + 1) - 0.5, edges
    failed, passed = np.histogramdd([np.ravel(part) for part in sample], bins)[0].astype(int)
    return np.stack([passed, passed + failed])
