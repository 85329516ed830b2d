"""One number per jet from the flavour probabilities, and what a cut on it keeps and rejects."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from maskformer_jax.errors import InputError

BOTTOM, CHARM, LIGHT = "b", "c", "u"

# With fewer passing background jets the binomial error is no longer close to a normal one.
FEW_JETS = 10

# Chance of seeing no jet at all pass where the true rejection is the quoted lower limit.
_LIMIT_PROB = 0.05


def flavour_name(class_name: str) -> str:
    """The flavour in the name of a jet class, as in the fields of a prediction file.

    >>> flavour_name("bjets")
    'b'
    """
    return class_name.removesuffix("jets")


def jets_name(class_name: str) -> str:
    """The name of a jet class in the results, whatever the file calls it.

    >>> jets_name("b"), jets_name("cjets")
    ('bjets', 'cjets')
    """
    return f"{flavour_name(class_name)}jets"


class FlavourIndices(NamedTuple):
    """Positions of the three flavours of tagging among the jet classes."""

    bottom: int
    charm: int
    light: int


def flavour_indices(classes: Mapping[str, int]) -> FlavourIndices:
    """Where b, c and light jets are among `data.jets.classes`.

    Raises:
        InputError: one of the three is missing.
    """
    names = [flavour_name(name) for name in classes]
    missing = [flavour for flavour in (BOTTOM, CHARM, LIGHT) if flavour not in names]
    if missing:
        raise InputError(
            "`data.jets.classes` must name bjets, cjets and ujets for the b-tagging metrics; "
            f"got {list(classes)}"
        )
    return FlavourIndices(names.index(BOTTOM), names.index(CHARM), names.index(LIGHT))


def b_discriminant(
    log_prob: Float[np.ndarray, "N C"], flavours: FlavourIndices, charm_fraction: float
) -> Float[np.ndarray, " N"]:
    """D_b = log(p_b / (f_c p_c + (1 - f_c) p_light)), Eq. 4.3 of the thesis.

    Classes beyond the three do not enter. Logarithms of probabilities, because a probability that
    underflows to zero would lose the order of the jets in the tails.

    Args:
        log_prob: logarithm of the class probabilities.
        flavours: columns of b, c and light.
        charm_fraction: f_c in [0, 1]; 0 ignores c jets, 1 ignores light jets.

    Returns:
        Larger is more b-like.
    """
    bottom, charm, light = (log_prob[:, index] for index in flavours)
    return bottom - _log_mixture(charm, light, charm_fraction)


def c_discriminant(
    log_prob: Float[np.ndarray, "N C"], flavours: FlavourIndices, bottom_fraction: float
) -> Float[np.ndarray, " N"]:
    """D_c = log(p_c / (f_b p_b + (1 - f_b) p_light)), Eq. 4.4 of the thesis.

    Args:
        log_prob: logarithm of the class probabilities.
        flavours: columns of b, c and light.
        bottom_fraction: f_b in [0, 1]; 0 ignores b jets, 1 ignores light jets.

    Returns:
        Larger is more c-like.
    """
    bottom, charm, light = (log_prob[:, index] for index in flavours)
    return charm - _log_mixture(bottom, light, bottom_fraction)


def _log_mixture(first: np.ndarray, second: np.ndarray, fraction: float) -> np.ndarray:
    """log(f p_first + (1 - f) p_second) from the logarithms of the probabilities."""
    log_first = math.log(fraction) if fraction > 0 else -math.inf
    log_second = math.log1p(-fraction) if fraction < 1 else -math.inf
    return np.logaddexp(first + log_first, second + log_second)


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


class WorkingPoint(NamedTuple):
    """A cut at a fixed signal efficiency.

    Attributes:
        target: efficiency that was asked for.
        efficiency: fraction of the signal jets that pass.
        cut: the smallest score that passes.
        rejections: of each background.
    """

    target: float
    efficiency: float
    cut: float
    rejections: dict[str, Rejection]


def working_point(
    signal: Float[np.ndarray, " S"],
    backgrounds: Mapping[str, Float[np.ndarray, " N"]],
    target: float,
) -> WorkingPoint:
    """Rejections of the cut at which a fraction `target` of the signal passes.

    Args:
        signal: scores of the signal jets, of which there must be one; larger is more signal-like.
        backgrounds: scores of the jets of each background.
        target: efficiency in (0, 1).
    """
    cut = threshold(signal, target)
    return WorkingPoint(
        target=target,
        efficiency=float(np.mean(signal >= cut)),
        cut=cut,
        rejections={name: rejection(score >= cut) for name, score in backgrounds.items()},
    )
