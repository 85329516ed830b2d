"""One number per jet from the flavour probabilities, and cuts on it."""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float


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
