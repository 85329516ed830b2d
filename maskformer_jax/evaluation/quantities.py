"""Quantities from counts and estimates; none where nothing was counted."""

import math
from dataclasses import replace

from maskformer_jax.evaluation.results import (
    CONSTANT,
    FEW,
    FEW_JETS,
    LOWER,
    UPPER,
    Better,
    Quantity,
)
from maskformer_jax.tasks.confusion import Fraction

# Standard error of half the distance between the 16 % and 84 % quantiles of normal values, in units
# of the width over the root of their number.
WIDTH_ERROR = 0.96

# Chance of seeing no jet at all pass where the true rate is the quoted limit.
LIMIT_PROB = 0.05


def count(number: int) -> Quantity:
    """A number of entries."""
    return Quantity(int(number))


def number(
    value: float, error: float = math.nan, unit: str = "", better: Better = ""
) -> Quantity | None:
    """An estimate; none where it is not finite, as of a network that has diverged."""
    if not math.isfinite(value):
        return None
    error = float(error) if math.isfinite(error) else math.nan
    return Quantity(float(value), error, unit, better)


def share(
    part: Fraction, better: Better = "high", unit: str = "", scale: float = 1.0
) -> Quantity | None:
    """A fraction; where none or all of the entries pass, a limit at 95 % confidence.

    The limits are those of Clopper and Pearson: 1 - 0.05^(1/N) and 0.05^(1/N).

    >>> share(Fraction(1.0, 0.0, 100, 100)).value
    0.9704869503929601
    """
    if part.total and part.passed in (0, part.total):
        low, remark = scale / limit(part.total), UPPER if part.passed == 0 else LOWER
        value = low if remark == UPPER else scale - low
        return Quantity(value, unit=unit, better=better, remark=remark)
    return number(scale * part.value, scale * part.error, unit, better)


def percent(part: Fraction, better: Better = "high") -> Quantity | None:
    """A `share` in percent.

    >>> percent(Fraction(0.25, 0.2, 1, 4), "").value
    25.0
    """
    return share(part, better, "%", 100.0)


def against_constant(found: Quantity | None, constant: float) -> Quantity | None:
    """A quantity with a remark where it is no better than what a constant prediction reaches.

    Args:
        found: a larger or a smaller value is better.
        constant: value of the constant; better means by more than twice the error.
    """
    if found is None or found.is_limit or not math.isfinite(constant):
        return found
    ahead = (found.value - constant) * (1 if found.better == "high" else -1)
    error = 0.0 if math.isnan(found.error) else found.error
    return found if ahead > 2 * error else replace(found, remark=CONSTANT)


def rejection(passed: int, total: int, better: Better = "high") -> Quantity | None:
    """Rejection r = 1/e of a cut that a fraction e of N background jets passes.

    The error is binomial, r sqrt((1 - e) / (e N)). There is a remark where few jets pass; where
    none does the number is a lower limit at 95 % confidence.

    >>> rejection(1, 4).value, round(rejection(1, 4).error, 2)
    (4.0, 3.46)
    """
    if total == 0:
        return None
    if passed == 0:
        return Quantity(limit(total), better=better, remark=LOWER)
    efficiency = passed / total
    value = 1.0 / efficiency
    error = value * math.sqrt((1 - efficiency) / passed)
    return Quantity(value, error, better=better, remark=FEW if passed < FEW_JETS else "")


def limit(total: int) -> float:
    """The rejection r at which none of N jets passes with a chance of 5 %: (1 - 1/r)^N = 0.05."""
    return 1.0 / -math.expm1(math.log(LIMIT_PROB) / total)
