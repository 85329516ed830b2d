"""Whether a regressed quantity is learnt: what is predicted, beside what needs no network."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from maskformer_jax.data.h5 import StreamRecords
from maskformer_jax.evaluation.distributions import spread
from maskformer_jax.evaluation.names import in_words
from maskformer_jax.evaluation.quantities import WIDTH_ERROR, against_constant, count, number
from maskformer_jax.evaluation.results import CONSTANT, Quantity, Table, table_of

# Of true objects with at least as many constituents the correlation is given apart: fewer have
# no direction of their own.
MANY = 2
# Fewer entries fix neither a line nor a correlation.
FEWEST = 10
NETWORK = "network"
PREDICTIONS = {
    NETWORK: "network",
    "constant": "constant",
    "class_constant": "class constant",
    "mask_mean": "mask mean",
}
MEASURES = {"errors": "mean |true - predicted|", "widths": "half 68 % width of true - predicted"}
SPACE = (
    "In the space of the loss: after the transform, in standard deviations of the training jets."
)
FITTED = (
    "Without the network, fitted to these very jets: the median; that of each predicted class; a "
    "line through the mean of the input of the same name over the predicted mask."
)


class Scaled(NamedTuple):
    """N entries in the space of the loss.

    Attributes:
        true: of R targets; NaN where there is none.
        predicted: likewise.
        called: predicted class, 0 without classes.
        means: of the input that a target could be read from, over the predicted mask; 0 for an
            empty mask, NaN where there is no such input.
        constituents: true number; 0 without masks.
    """

    true: Float[np.ndarray, "N R"]
    predicted: Float[np.ndarray, "N R"]
    called: Int[np.ndarray, " N"]
    means: Float[np.ndarray, "N R"]
    constituents: Int[np.ndarray, " N"]


def mask_means(
    stream: StreamRecords,
    mask_index: Int[np.ndarray, "B L"],
    number: int,
    fields: Sequence[str | None],
) -> Float[np.ndarray, "B M R"]:
    """Means of fields of the constituents over the masks of the first objects.

    Args:
        stream: the constituents.
        mask_index: object of each constituent, -1 for none.
        number: objects M.
        fields: of each target; none, or one that the file lacks: NaN.
    """
    table, index = stream
    inside = (mask_index[:, None] == np.arange(number)[:, None]) & (index >= 0)[:, None]
    size = np.maximum(inside.sum(axis=-1), 1)
    means = np.full((*size.shape, len(fields)), math.nan)
    for column, field in enumerate(fields):
        if field in table.dtype.names:
            values = np.take_along_axis(table[field], np.maximum(index, 0), axis=1)
            sums = np.where(inside, values[:, None], 0.0).sum(axis=-1, dtype=np.float64)
            means[..., column] = sums / size
    return means


def naive(
    true: Float[np.ndarray, " N"], called: Int[np.ndarray, " N"], means: Float[np.ndarray, " N"]
) -> dict[str, Float[np.ndarray, " N"]]:
    """What can be predicted of a target without the network's own value, by its name.

    The constants are medians, which have the smallest mean absolute difference; the line, a mean
    that is shrunk, has the smallest mean square.
    """
    found = {"constant": np.full_like(true, np.median(true))}
    classes = np.unique(called)
    if len(classes) > 1:
        medians = np.array([np.median(true[called == name]) for name in classes])
        found["class_constant"] = medians[np.searchsorted(classes, called)]
    if np.isfinite(means).all() and np.ptp(means) > 0:
        found["mask_mean"] = np.polynomial.Polynomial.fit(means, true, 1)(means)
    return found


def tables(entries: Scaled, targets: Sequence[str], of: str, title: str) -> list[Table]:
    """Correlations, and differences beside those of naive predictions.

    A target is learnt where the mean absolute difference is smaller than that of each naive
    prediction by more than twice the error, entry by entry.

    Args:
        entries: that are found.
        targets: names of the R quantities.
        of: what the entries are of, such as `hadrons`.
        title: of the targets together.
    """
    from scipy.stats import rankdata

    related, beside, dead = {}, {measure: {} for measure in MEASURES}, []
    for column, name in enumerate(targets):
        kept = np.isfinite(entries.true[:, column])
        true, predicted, means = (
            x[kept, column].astype(np.float64)
            for x in (entries.true, entries.predicted, entries.means)
        )
        if len(true) < FEWEST or not np.isfinite(predicted).all():
            continue
        many = entries.constituents[kept] >= MANY
        related[name] = {
            "correlation": _correlation(true, predicted),
            "rank_correlation": _correlation(rankdata(true), rankdata(predicted)),
            "correlation_many": _correlation(true[many], predicted[many]),
            "number": count(len(true)),
        }
        found = naive(true, entries.called[kept], means)
        *cells, is_learnt = _beside(true, predicted, found)
        for measure, own in zip(MEASURES, cells, strict=True):
            beside[measure][name] = own
        dead += [] if is_learnt else [name]
    columns = in_words("correlation", "rank_correlation")
    if entries.constituents.any():
        columns["correlation_many"] = f"correlation, {MANY} or more constituents"
    columns["number"], rows = of, {name: name for name in targets}
    words = f"{title}: what is predicted against the truth"
    found = [table_of("learnt", words, rows, columns, related, corner="quantity", notes=(SPACE,))]
    note = f"Not learnt: {', '.join(dead)}: the network is no better than the best of the others."
    notes = {"errors": (*([note] if dead else []), SPACE, FITTED), "widths": (SPACE,)}
    for measure, words in MEASURES.items():
        known = {way for cells in beside[measure].values() for way in cells}
        columns = {way: label for way, label in PREDICTIONS.items() if way in known}
        words, cells = f"{title}: {words}, with the network and without", beside[measure]
        options = {"corner": "quantity", "notes": notes[measure], "is_ratio": True}
        found.append(table_of(f"{measure}_beside_naive", words, rows, columns, cells, **options))
    return found


Cells = dict[str, Quantity | None]


def _beside(
    true: np.ndarray, predicted: np.ndarray, found: Mapping[str, np.ndarray]
) -> tuple[Cells, Cells, bool]:
    """Mean absolute differences and widths of one target, and whether it is learnt."""
    own, width = np.abs(true - predicted), spread(true - predicted).half_width_68
    root = math.sqrt(len(true))
    others = {name: np.abs(true - values) for name, values in found.items()}
    halves = {name: spread(true - values).half_width_68 for name, values in found.items()}
    gains = [other - own for other in others.values()]
    is_learnt = all(gain.mean() > 2 * gain.std() / root for gain in gains)
    error = number(own.mean(), own.std() / root, better="low")
    if error is not None and not is_learnt:
        error = replace(error, remark=CONSTANT)
    wide = number(width, WIDTH_ERROR * width / root, better="low")
    return (
        {NETWORK: error} | {name: number(other.mean()) for name, other in others.items()},
        {NETWORK: against_constant(wide, min(halves.values()))}
        | {name: number(half) for name, half in halves.items()},
        is_learnt,
    )


def _correlation(x: np.ndarray, y: np.ndarray) -> Quantity | None:
    """Pearson's coefficient r with its error (1 - r^2)/sqrt(N); 0 for a constant."""
    if len(x) < FEWEST:
        return None
    found = float(np.corrcoef(x, y)[0, 1]) if np.ptp(x) and np.ptp(y) else 0.0
    return number(found, (1 - found**2) / math.sqrt(len(x)), better="high")
