"""Quantities from counts and estimates; none where nothing was counted."""

import math

from maskformer_jax.evaluation.results import FEW, FEW_JETS, LOWER, UPPER, Better, Quantity
from maskformer_jax.tasks.confusion import Fraction

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
    return Quantity(float(value), float(error), unit, better)


def percent(part: Fraction, better: Better = "high") -> Quantity | None:
    """A fraction in percent; an upper limit at 95 % confidence where nothing passes.

    >>> percent(Fraction(0.25, 0.2, 1, 4), "").value
    25.0
    """
    if part.total and not part.passed:
        return Quantity(100 / _limit(part.total), unit="%", better=better, remark=UPPER)
    return number(100 * part.value, 100 * part.error, "%", better)


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
        return Quantity(_limit(total), better=better, remark=LOWER)
    efficiency = passed / total
    value = 1.0 / efficiency
    error = value * math.sqrt((1 - efficiency) / passed)
    return Quantity(value, error, better=better, remark=FEW if passed < FEW_JETS else "")


def _limit(total: int) -> float:
    """The rejection r at which none of N jets passes with a chance of 5 %: (1 - 1/r)^N = 0.05."""
    return 1.0 / -math.expm1(math.log(LIMIT_PROB) / total)
