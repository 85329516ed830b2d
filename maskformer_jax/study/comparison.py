"""Differences between models, with their uncertainty from seeds or from the test jets."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from maskformer_jax.evaluation.cells import decimals
from maskformer_jax.evaluation.models import Entry
from maskformer_jax.evaluation.results import Result

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


class Measurement(NamedTuple):
    """A number from one evaluation, with its statistical error from the number of test jets."""

    value: float
    error: float


# What is read of one evaluation; none where it was not measured.
Measure = Callable[[Result], Measurement | None]


def cell(section: str, task: str, table: str, row: str, column: str) -> Measure:
    """Reads a cell of a table; a limit is no measurement."""

    def read(result: Result) -> Measurement | None:
        found = result.table(section, task, table)
        quantity = found.get(row, column) if found else None
        if quantity is None or quantity.is_limit:
            return None
        return Measurement(quantity.value, quantity.error)

    return read


def measure(entry: Entry, read: Measure) -> dict[int, Measurement]:
    """The measurement of each seed that has it."""
    found = {seed: read(result) for seed, result in entry.seeds.items()}
    return {seed: x for seed, x in found.items() if x is not None}


def logarithm(read: Measure) -> Measure:
    """Of a positive measurement, so that differences are relative."""

    def measured(result: Result) -> Measurement | None:
        x = read(result)
        positive = x is not None and x.value > 0
        return Measurement(math.log(x.value), x.error / x.value) if positive else None

    return measured


def average(reads: Sequence[Measure]) -> Measure:
    """Of several measurements on the same jets: their errors are taken as fully correlated."""

    def measured(result: Result) -> Measurement | None:
        found = [read(result) for read in reads]
        if None in found:
            return None
        values, errors = zip(*found, strict=True)
        return Measurement(float(np.mean(values)), float(np.mean(errors)))

    return measured


class Spread(NamedTuple):
    """Standard deviation over seeds, NaN where it is unknown, and its degrees of freedom."""

    value: float
    freedom: int


def pooled_spread(entries: Iterable[Entry], read: Measure) -> Spread:
    """The spread over seeds from all models with several.

    Few seeds per model say little about its own spread; that of all models together is known well.
    """
    squares, freedom = 0.0, 0
    for entry in entries:
        values = [x.value for x in measure(entry, read).values()]
        if len(values) > 1:
            squares += float(np.sum(np.square(np.subtract(values, np.mean(values)))))
            freedom += len(values) - 1
    return Spread(math.sqrt(squares / freedom) if freedom else math.nan, freedom)


def student(freedom: int) -> float:
    """How much larger an error is whose spread is known with few degrees of freedom.

    `SIGNIFICANT` times the enlarged error is exceeded by chance as seldom as if the spread were
    known exactly (Student's t distribution).

    >>> round(student(5), 2), round(student(10**9), 2)
    (1.32, 1.0)
    """
    return float(-stdtrit(freedom, BY_CHANCE) / SIGNIFICANT)


def estimates(models: Mapping[str, Entry], read: Measure) -> dict[str, Estimate]:
    """Of every model that has the measurement.

    The error is the pooled spread over seeds / sqrt(number of seeds), times `student`; where no
    model has several seeds it is the statistical error of the test jets, and where only few have,
    the larger one.
    """
    spread = pooled_spread(models.values(), read)
    found = {}
    for name, entry in models.items():
        seeds = measure(entry, read).values()
        if not seeds:
            continue
        statistical = math.sqrt(np.mean([x.error**2 for x in seeds]))
        error = math.nan
        if spread.freedom:
            error = student(spread.freedom) * spread.value / math.sqrt(len(seeds))
        if spread.freedom < ENOUGH_FREEDOM:
            error = float(np.fmax(error, statistical))
        found[name] = Estimate(float(np.mean([x.value for x in seeds])), error)
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
