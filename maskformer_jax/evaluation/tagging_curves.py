"""A tagger of jets: its discriminant, cuts on it, and what is drawn against it or against pT."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from maskformer_jax.evaluation.config import DiscriminantConfig
from maskformer_jax.evaluation.distributions import JET_AXES, binomial, histogram, in_bins, inverse
from maskformer_jax.evaluation.names import fraction_symbols, jets_in_formula, plural, short
from maskformer_jax.evaluation.results import Curve, Points

# Bins of the discriminants, the same for every network, so that they can be compared.
DISCRIMINANT_EDGES = np.linspace(-10.0, 15.0, 101)

# Of other scores, the bins lie between these quantiles.
HISTOGRAM_BINS = 50
HISTOGRAM_RANGE = (0.002, 0.998)

SCAN_POINTS = 40


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


def roc_efficiencies(working_points: Sequence[float]) -> Float[np.ndarray, " X"]:
    """Signal efficiencies of a ROC curve, in steps of about 0.005 from below the working points."""
    lowest = min(working_points)
    begin = max(lowest - 0.11, min(0.1, lowest / 2))
    return np.linspace(begin, 1.0, 1 + round((1 - begin) / 0.005))


def roc_curve(
    signal: Float[np.ndarray, " S"],
    background: Float[np.ndarray, " N"],
    efficiencies: Float[np.ndarray, " X"],
) -> Points:
    """Background rejection against signal efficiency.

    Args:
        signal: scores of the signal jets, of which there must be one.
        background: scores of the background jets.
        efficiencies: of the signal, in (0, 1].
    """
    signal, background = np.sort(signal), np.sort(background)
    ranks = np.maximum(1, np.ceil(efficiencies * len(signal) - 1e-9).astype(int))
    passed = len(background) - np.searchsorted(background, signal[len(signal) - ranks])
    return inverse(efficiencies, passed, np.full_like(passed, len(background)))


def fraction_scan(
    score: Callable[[float], Mapping[str, Float[np.ndarray, " N"]]],
    signal: str,
    fractions: Float[np.ndarray, " X"],
    efficiency: float,
) -> dict[str, Points]:
    """Rejection of each background against the fraction of the first one in the discriminant.

    Args:
        score: for a fraction, the discriminant of the jets of every class.
        signal: the class of which a fraction `efficiency` passes.
        fractions: of the first background.
        efficiency: of the signal.
    """
    passed: dict[str, list[tuple[int, int]]] = {}
    for fraction in fractions:
        backgrounds = dict(score(fraction))
        cut = threshold(backgrounds.pop(signal), efficiency)
        for name, jets in backgrounds.items():
            passed.setdefault(name, []).append((np.count_nonzero(jets >= cut), len(jets)))
    return {name: inverse(fractions, *np.transpose(n)) for name, n in passed.items()}


def quantile_edges(scores: Mapping[str, Float[np.ndarray, " N"]]) -> Float[np.ndarray, " X"]:
    """Edges of the histograms of any score, from its quantiles."""
    low, high = np.quantile(np.concatenate(list(scores.values())), HISTOGRAM_RANGE)
    return np.linspace(low, high, HISTOGRAM_BINS + 1)


def tagger_curves(
    name: str,
    options: DiscriminantConfig,
    scores: Mapping[str, Float[np.ndarray, " N"]],
    edges: Float[np.ndarray, " X"],
    axes: Mapping[str, Mapping[str, Float[np.ndarray, " N"]]],
    bins: Mapping[str, Sequence[float]],
) -> list[Curve]:
    """ROC curves, distribution of the discriminant, efficiency and rejections along the axes.

    Args:
        name: of the discriminant.
        options: its classes and efficiencies.
        scores: by class, the signal first; there is a jet of each.
        edges: of the histograms of the scores, the outermost bins of which take the rest.
        axes: what the same jets are binned in, by the names in `JET_AXES`.
        bins: edges for each of these.
    """
    sizes = {of: len(score) for of, score in scores.items()}
    number = sum(sizes.values())
    signal, title = options.signal, _title(options, number)
    curves = [
        Curve(
            *(f"roc_{name}", of, "roc"),
            roc_curve(scores[signal], scores[of], roc_efficiencies(options.working_points)),
            title,
            x_label=f"{jets_in_formula(signal)} efficiency",
            y_label=f"{jets_in_formula(of)} rejection",
            entries=sizes[of],
        )
        for of in scores
        if of != signal
    ]
    for of, score in scores.items():
        words = f"{jets_in_formula(signal)} discriminant", f"fraction of {jets_in_formula(of)}s"
        figure = f"discriminant_{name}", of, "scores"
        curves.append(Curve(*figure, histogram(score, edges), title, *words))
    cut = threshold(scores[signal], options.fixed_efficiency)
    for (of, score), axis in itertools.product(scores.items(), axes):
        kind = "efficiency" if of == signal else "rejection"
        passed, total = in_bins(bins[axis], axes[axis][of], score >= cut)[:, 0]
        form = binomial if of == signal else inverse
        curves.append(
            Curve(
                *(f"{kind}_{axis}_{name}_{of}", "", kind),
                form(bins[axis], passed, total),
                _title(options, number, fixed=True),
                x_label=JET_AXES[axis],
                y_label=f"{jets_in_formula(of)} {kind}",
                entries=sizes[of],
            )
        )
    return curves


def scan_curves(
    name: str,
    options: DiscriminantConfig,
    score: Callable[[Mapping[str, float]], Mapping[str, Float[np.ndarray, " N"]]],
) -> list[Curve]:
    """The `fraction_scan` of a discriminant, marked at its own fraction.

    Args:
        name: of the discriminant.
        options: of it.
        score: for the fractions of the backgrounds, the discriminant of the jets of every class.
    """
    from puma.fraction_scan import get_fx_values

    def scanned(value: float) -> Mapping[str, Float[np.ndarray, " N"]]:
        return score(with_first(options.backgrounds, value))

    own = next(iter(options.backgrounds.values()))
    values = np.union1d(get_fx_values(SCAN_POINTS), own)
    found = fraction_scan(scanned, options.signal, values, options.fixed_efficiency)
    title = _title(options, sum(map(len, scanned(own).values())), fixed=True)
    symbol = f"$f_{{{short(next(iter(options.backgrounds)))}}}$"
    title = f"Numbers along the curve: {symbol}, cross:\n{title}"
    return [
        Curve(
            *(f"fraction_scan_{name}", of, "scan", points, title),
            y_label=f"{jets_in_formula(of)} rejection",
            mark=own,
        )
        for of, points in found.items()
    ]


def _title(options: DiscriminantConfig, number: int, fixed: bool = False) -> str:
    """Fractions, signal efficiency if it is fixed, number of jets."""
    notes = fraction_symbols(options.backgrounds, "$f_{{{}}}$")
    if fixed:
        words = f"{jets_in_formula(options.signal)} efficiency"
        notes.append(f"{100 * options.fixed_efficiency:g} % {words}")
    return ", ".join([*notes, plural(number, "jet")])
