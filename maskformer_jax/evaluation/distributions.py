"""Location and width of distributions, with their errors, and histograms."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from maskformer_jax.evaluation.results import Points

LEVELS = (0.16, 0.5, 0.84)
# Fewer entries in a bin do not fix the outer quantiles.
MIN_ENTRIES = 20


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
