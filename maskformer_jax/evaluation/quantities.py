"""Quantities from counts and estimates; none where nothing was counted."""

import math

from maskformer_jax.evaluation.discriminants import FEW_JETS, Rejection, rejection_of
from maskformer_jax.evaluation.results import FEW, LOWER, UPPER, Better, Quantity, Remark
from maskformer_jax.tasks.confusion import Fraction


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
    if part.total == 0:
        return None
    if part.passed == 0:
        limit = 100 / rejection_of(0, part.total).value
        return Quantity(limit, unit="%", better=better, remark=UPPER)
    return number(100 * part.value, 100 * part.error, "%", better)


def of_rejection(found: Rejection, better: Better = "high") -> Quantity | None:
    """A rejection; a lower limit where no jet passes, with a remark where few do."""
    if found.total == 0:
        return None
    remark: Remark = FEW if found.passed < FEW_JETS else ""
    remark = LOWER if found.is_limit else remark
    return Quantity(found.value, found.error, better=better, remark=remark)
