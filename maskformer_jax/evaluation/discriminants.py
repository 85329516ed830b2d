"""One number per jet from the flavour probabilities, and what a cut on it keeps and rejects."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

# With fewer passing background jets the binomial error is no longer close to a normal one.
FEW_JETS = 10

# Chance of seeing no jet at all pass where the true rejection is the quoted lower limit.
_LIMIT_PROB = 0.05


def discriminant(
    log_prob: Float[np.ndarray, "N C"], signal: int, fractions: Mapping[int, float]
) -> Float[np.ndarray, " N"]:
    """D = log(p_signal / sum_i f_i p_i), Eq. 4.3 and 4.4 of the thesis for any classes.

    Logarithms of probabilities, because a probability that underflows to zero would lose the order
    of the jets in the tails.

    Args:
        log_prob: logarithm of the class probabilities.
        signal: its column.
        fractions: column of each background -> f; classes that are neither do not enter.

    Returns:
        Larger is more signal-like.
    """
    terms = [log_prob[:, i] + math.log(f) for i, f in fractions.items() if f > 0]
    return log_prob[:, signal] - np.logaddexp.reduce(terms)


def with_first(fractions: Mapping[str, float], value: float) -> dict[str, float]:
    """The fractions with another value of the first, the others rescaled to fill up 1.

    >>> with_first({"cjets": 0.2, "ujets": 0.6, "taujets": 0.2}, 0.6)
    {'cjets': 0.6, 'ujets': 0.3, 'taujets': 0.1}
    """
    first, *others = fractions
    total = sum(fractions[name] for name in others)
    share = {n: fractions[n] / total if total else 1 / len(others) for n in others}
    return {first: value} | {name: share[name] * (1 - value) for name in others}


class Rejection(NamedTuple):
    """Background rejection of a cut.

    Attributes:
        value: 1/e with e the fraction of the background that passes; a lower limit at 95 %
            confidence where nothing passes; NaN where there is no background.
        error: binomial standard error r sqrt((1 - e) / (e N)); NaN where nothing passes.
        passed: background jets that pass.
        total: background jets N.
    """

    value: float
    error: float
    passed: int
    total: int

    @property
    def is_limit(self) -> bool:
        """True where no jet passes, so that `value` is a lower limit."""
        return self.total > 0 and self.passed == 0


def rejection_of(passed: int, total: int) -> Rejection:
    """Rejection where `passed` of `total` background jets pass.

    The limit r for zero of N jets is exact: (1 - 1/r)^N = 0.05.

    >>> rejection_of(1, 4)
    Rejection(value=4.0, error=3.4641016151377544, passed=1, total=4)
    """
    if total == 0:
        return Rejection(math.nan, math.nan, 0, 0)
    if passed == 0:
        return Rejection(1.0 / -math.expm1(math.log(_LIMIT_PROB) / total), math.nan, 0, total)
    efficiency = passed / total
    value = 1.0 / efficiency
    return Rejection(value, value * math.sqrt((1 - efficiency) / passed), passed, total)


def rejection(passes: Bool[np.ndarray, " N"]) -> Rejection:
    """Rejection of the background jets, of which those marked pass the cut."""
    return rejection_of(int(np.count_nonzero(passes)), len(passes))


def threshold(signal: Float[np.ndarray, " N"], efficiency: float) -> float:
    """Largest cut that at least a fraction `efficiency` of the signal reaches.

    It is the score of a jet, the one of rank ceil(efficiency N); a jet passes when its score is
    equal or larger. Where jets share a score, all of them pass, and the efficiency that is
    obtained can be larger than the one that was asked for.

    >>> threshold(np.array([1.0, 2.0, 3.0, 4.0]), 0.5)
    3.0
    """
    rank = max(1, math.ceil(efficiency * len(signal) - 1e-9))
    return float(np.partition(signal, len(signal) - rank)[len(signal) - rank])
