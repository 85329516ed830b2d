"""Curves of a tagger: rejection against efficiency, fraction and jet pT, and its discriminant."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from maskformer_jax.evaluation.binned_efficiency import BinnedEfficiency
from maskformer_jax.evaluation.discriminants import Rejection, rejection, rejection_of, threshold
from maskformer_jax.evaluation.distributions import histogram
from maskformer_jax.evaluation.section import Curve

# Bins of the discriminants, the same for every network, so that they can be compared.
DISCRIMINANT_EDGES = np.linspace(-10.0, 15.0, 101)

# Of other scores, the bins lie between these quantiles.
HISTOGRAM_BINS = 50
HISTOGRAM_RANGE = (0.002, 0.998)


def rejection_curve(x: Float[np.ndarray, " X"], rejections: Sequence[Rejection]) -> Curve:
    """Rejections at several `x`, NaN where no background jet passes."""
    values = [math.nan if r.is_limit else r.value for r in rejections]
    return Curve(x, np.array(values), np.array([r.error for r in rejections]))


def roc_efficiencies(working_points: Sequence[float]) -> Float[np.ndarray, " X"]:
    """Signal efficiencies of a ROC curve, in steps of about 0.005 from below the working points."""
    lowest = min(working_points)
    begin = max(lowest - 0.11, min(0.1, lowest / 2))
    return np.linspace(begin, 1.0, 1 + round((1 - begin) / 0.005))


def roc_curve(
    signal: Float[np.ndarray, " S"],
    background: Float[np.ndarray, " N"],
    efficiencies: Float[np.ndarray, " X"],
) -> Curve:
    """Background rejection against signal efficiency.

    Args:
        signal: scores of the signal jets, of which there must be one.
        background: scores of the background jets.
        efficiencies: of the signal, in (0, 1].
    """
    signal, background = np.sort(signal), np.sort(background)
    ranks = np.maximum(1, np.ceil(efficiencies * len(signal) - 1e-9).astype(int))
    passed = len(background) - np.searchsorted(background, signal[len(signal) - ranks])
    rejections = [rejection_of(number, len(background)) for number in passed.tolist()]
    return rejection_curve(efficiencies, rejections)


def fraction_scan(
    score: Callable[[float], Mapping[str, Float[np.ndarray, " N"]]],
    signal: str,
    fractions: Float[np.ndarray, " X"],
    efficiency: float,
) -> dict[str, Curve]:
    """Rejection of each background against the fraction of the first one in the discriminant.

    Args:
        score: for a fraction, the discriminant of the jets of every class.
        signal: the class of which a fraction `efficiency` passes.
        fractions: of the first background.
        efficiency: of the signal.
    """
    curves: dict[str, list[Rejection]] = {}
    for fraction in fractions:
        backgrounds = dict(score(fraction))
        cut = threshold(backgrounds.pop(signal), efficiency)
        for name, jets in backgrounds.items():
            curves.setdefault(name, []).append(rejection(jets >= cut))
    return {name: rejection_curve(fractions, values) for name, values in curves.items()}


def against_pt(
    pt: Float[np.ndarray, " N"],
    index: Int[np.ndarray, " N"],
    score: Float[np.ndarray, " N"],
    cut: float,
    edges: Sequence[float],
    groups: int,
) -> list[Curve]:
    """Fraction of the jets that pass one cut, in bins of jet pT, for each class.

    Args:
        pt: of the jets.
        index: group of each jet; negative for none.
        score: a jet passes when it is at least `cut`.
        cut: the same at every pT.
        edges: of the bins.
        groups: number of classes.
    """
    efficiency = BinnedEfficiency(edges, groups)
    efficiency.add(pt, index, score >= cut)
    return [efficiency.curve(group) for group in range(groups)]


def inverse(efficiency: Curve) -> Curve:
    """Rejections of background efficiencies; NaN where nothing passes."""
    passing = np.where(efficiency.value > 0, efficiency.value, np.nan)
    return Curve(efficiency.x, 1 / passing, efficiency.error / passing**2)


def histograms(
    scores: Mapping[str, Float[np.ndarray, " N"]], edges: Float[np.ndarray, " X"] | None
) -> dict[str, Curve]:
    """Number of jets of each class in bins of a score, with the errors of counts.

    Args:
        scores: of the jets of each class.
        edges: of the bins, the outermost of which take the rest; none: from quantiles.
    """
    if edges is None:
        low, high = np.quantile(np.concatenate(list(scores.values())), HISTOGRAM_RANGE)
        edges = np.linspace(low, high, HISTOGRAM_BINS + 1)
    return {name: histogram(score, edges) for name, score in scores.items()}
