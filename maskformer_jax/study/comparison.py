"""Differences between models, with their uncertainty from seeds or from the test jets."""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from maskformer_jax.evaluation.cells import decimals
from maskformer_jax.evaluation.models import Entry

# A difference counts when it is this many times its uncertainty, which by chance it is on one side
# with this probability.
SIGNIFICANT = 2.0
BY_CHANCE = NormalDist().cdf(-SIGNIFICANT)
# With fewer degrees of freedom the spread over seeds is not known well enough to stand alone.
ENOUGH_FREEDOM = 5
# A difference below this comes from the order of a sum.
ROUNDING = 1e-12


class Estimate(NamedTuple):
    """Value of a model, the mean over its seeds, and the standard error of that."""

    value: float
    error: float


class Difference(NamedTuple):
    """How far two models, or two groups of them, are apart.

    Attributes:
        what: is compared with what.
        value: positive if it supports the claim that it belongs to.
        error: standard error.
        is_ratio: `value` is the logarithm of a ratio.
    """

    what: str
    value: float
    error: float
    is_ratio: bool

    @property
    def significance(self) -> float:
        """The difference in units of its uncertainty; 0 where that is unknown."""
        if abs(self.value) < ROUNDING or math.isnan(self.error):
            return 0.0
        return self.value / self.error if self.error > 0 else math.copysign(math.inf, self.value)

    @property
    def text(self) -> str:
        """The difference with its error; of a ratio the change in per cent and its 68 % range.

        >>> Difference("", math.log(1.5), 0.1, True).text
        '+50 % (+36 % to +66 %)'
        """
        if not self.is_ratio:
            digits = decimals(self.error) if self.error > 0 else 3
            return f"{self.value:+.{digits}f} ± {self.error:.{digits}f}"
        middle, low, high = (
            100 * math.expm1(self.value + shift * self.error) for shift in (0, -1, 1)
        )
        digits = 1 if abs(high - low) < 10 else 0
        return f"{middle:+.{digits}f} % ({low:+.{digits}f} % to {high:+.{digits}f} %)"


def cell(
    models: Mapping[str, Entry], section: str, task: str, table: str, row: str, column: str
) -> pd.DataFrame:
    """What every model has in a cell of a table; a limit is no measurement.

    Returns:
        A row for each (model, seed) with its `value` and its statistical `error` from the number of
        test jets, as all functions here take it.
    """
    found = {
        (name, seed): (quantity.value, quantity.error)
        for name, entry in models.items()
        for seed, quantity in entry.quantities(section, task, table).get((column, row), {}).items()
        if not quantity.is_limit
    }
    index = pd.MultiIndex.from_tuples([*found], names=("model", "seed"))
    return pd.DataFrame([*found.values()], index, ["value", "error"], float)


def logarithm(measured: pd.DataFrame) -> pd.DataFrame:
    """Of positive measurements, so that differences are relative."""
    x = measured[measured["value"] > 0]
    return x.assign(value=np.log(x["value"]), error=x["error"] / x["value"])


def average(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Of several measurements on the same jets: their errors are taken as fully correlated."""
    return (sum(parts[1:], parts[0]) / len(parts)).dropna(subset="value")


class Spread(NamedTuple):
    """Standard deviation over seeds, NaN where it is unknown, and its degrees of freedom."""

    value: float
    freedom: int


def pooled_spread(measured: pd.DataFrame) -> Spread:
    """The spread over seeds from all models with several.

    Few seeds per model say little about its own spread; that of all models together is known well.
    """
    of_model = measured["value"].groupby(level="model")
    freedom = len(measured) - of_model.ngroups
    squares = ((measured["value"] - of_model.transform("mean")) ** 2).sum()
    return Spread(math.sqrt(squares / freedom) if freedom else math.nan, freedom)


def student(freedom: int) -> float:
    """How much larger an error is whose spread is known with few degrees of freedom.

    `SIGNIFICANT` times the enlarged error is exceeded by chance as seldom as if the spread were
    known exactly (Student's t distribution).

    >>> round(student(5), 2), round(student(10**9), 2)
    (1.32, 1.0)
    """
    return float(-stdtrit(freedom, BY_CHANCE) / SIGNIFICANT)


def estimates(measured: pd.DataFrame) -> dict[str, Estimate]:
    """Of every model that has the measurement.

    The error is the pooled spread over seeds / sqrt(number of seeds), times `student`; where no
    model has several seeds it is the statistical error of the test jets, and where only few have,
    the larger one.
    """
    spread, found = pooled_spread(measured), {}
    for name, seeds in measured.groupby(level="model", sort=False):
        statistical = math.sqrt((seeds["error"] ** 2).mean(skipna=False))
        error = math.nan
        if spread.freedom:
            error = student(spread.freedom) * spread.value / math.sqrt(len(seeds))
        if spread.freedom < ENOUGH_FREEDOM:
            error = float(np.fmax(error, statistical))
        found[name] = Estimate(float(seeds["value"].mean()), error)
    return found


def contrast(known: Mapping[str, Estimate], weights: Mapping[str, float]) -> Estimate:
    """A weighted sum of the values of models; their errors count as independent."""
    value = sum(weight * known[name].value for name, weight in weights.items())
    squares = ((weight * known[name].error) ** 2 for name, weight in weights.items())
    return Estimate(value, math.sqrt(sum(squares)))


def group_contrast(
    known: Mapping[str, Estimate], plus: Sequence[str], minus: Sequence[str]
) -> Estimate:
    """Mean of some models minus the mean of others.

    The standard error of each mean is the larger of what the models' own errors give and what
    their scatter gives, times `student`, so that it holds for methods of the kind and not for these
    alone.
    """
    value, variance = 0.0, 0.0
    for sign, names in ((1, plus), (-1, minus)):
        mean = contrast(known, dict.fromkeys(names, 1 / len(names)))
        value += sign * mean.value
        values = [known[name].value for name in names]
        scatter = 0.0
        if len(values) > 1:
            scatter = student(len(values) - 1) * float(np.std(values, ddof=1)) / len(values) ** 0.5
        variance += max(mean.error, scatter) ** 2
    return Estimate(value, math.sqrt(variance))


def threshold(number: int) -> float:
    """Significance that one of `number` differences must have to count, after Bonferroni.

    >>> round(threshold(1), 6), round(threshold(7), 1)
    (2.0, 2.7)
    """
    return -NormalDist().inv_cdf(BY_CHANCE / number)
