"""Vertices that the object masks form, against those of the true hadrons."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from maskformer_jax.config import Config
from maskformer_jax.evaluation.classification import Fraction, fraction
from maskformer_jax.evaluation.section import Chunk

# Fractions of the tracks of the true and of the predicted vertex that a match must share.
MATCH_EFFICIENCY = 0.65
MATCH_PURITY = 0.5


class VertexCounts(NamedTuple):
    """Numbers of vertices of each jet.

    Attributes:
        matched: pairs of a true and a predicted vertex.
        true: true vertices.
        predicted: predicted vertices.
    """

    matched: Int[np.ndarray, " N"]
    true: Int[np.ndarray, " N"]
    predicted: Int[np.ndarray, " N"]


def mask_to_index(masks: Bool[np.ndarray, "B M L"]) -> Int[np.ndarray, "B L"]:
    """Object of each track, -1 for none; a track belongs to one object at most."""
    return np.where(masks.any(axis=1), masks.argmax(axis=1), -1)


def count_vertices(
    predicted_index: Int[np.ndarray, "B L"], true_index: Int[np.ndarray, "B L"]
) -> VertexCounts:
    """Counts exclusive vertices and their matches, as puma defines them.

    A vertex is the set of tracks with the same index >= 0, if there are at least two: a hadron
    with a single reconstructed track is no vertex. A predicted and a true vertex are paired when
    each is the other's best partner by shared tracks (ties go to the smaller true, then the
    smaller predicted vertex), and match when they share at least 65 % of the tracks of the true
    and half of those of the predicted one.

    Args:
        predicted_index: object of each track by the model, -1 for none and for padding.
        true_index: true hadron of each track, likewise.

    Source: `puma.utils.vertexing` of puma-hep.
    """
    from puma.utils.vertexing import calculate_vertex_metrics

    some = (predicted_index >= 0).any(axis=1) | (true_index >= 0).any(axis=1)
    counts = [np.zeros(len(some), np.int64) for _ in VertexCounts._fields]
    metrics = calculate_vertex_metrics(
        predicted_index[some],
        true_index[some],
        eff_req=MATCH_EFFICIENCY,
        purity_req=MATCH_PURITY,
    )
    for count, key in zip(counts, ("n_match", "n_ref", "n_test"), strict=True):
        count[some] = metrics[key]
    return VertexCounts(*counts)


class VertexMetrics(NamedTuple):
    """Vertex finding in jets of one flavour.

    Attributes:
        efficiency: true vertices that are matched.
        purity: predicted vertices that are matched.
        with_vertex: jets in which a vertex is predicted; the fake rate where there are no hadrons.
    """

    efficiency: Fraction
    purity: Fraction
    with_vertex: Fraction


def vertex_metrics(
    counts: VertexCounts, jet_class_index: Int[np.ndarray, " N"], classes: Mapping[str, int]
) -> dict[str, VertexMetrics]:
    """Metrics of the jets of each class, and of `all`.

    Args:
        counts: of each jet.
        jet_class_index: class of each jet, -1 for unlabelled ones, which count in `all`.
        classes: class names in the order of the indices.
    """
    selections = {name: jet_class_index == index for index, name in enumerate(classes)}
    selections["all"] = np.ones(len(jet_class_index), bool)
    metrics = {}
    for name, selected in selections.items():
        matched, true, predicted = (int(count[selected].sum()) for count in counts)
        metrics[name] = VertexMetrics(
            efficiency=fraction(matched, true),
            purity=fraction(matched, predicted),
            with_vertex=fraction(
                int(np.count_nonzero(counts.predicted[selected])), int(selected.sum())
            ),
        )
    return metrics


class VertexingSection:
    """Vertices of each jet."""

    def __init__(self, config: Config):
        """Starts empty."""
        self._classes = config.data.jets.classes
        self._per_jet: list[tuple[np.ndarray, ...]] = []

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets."""
        counts = count_vertices(chunk.predictions.mask_index, mask_to_index(chunk.targets.masks))
        labels = chunk.targets.jet_class_index
        self._per_jet.append(tuple(column.astype(np.int8) for column in (labels, *counts)))

    def metrics(self) -> dict[str, Any]:
        """Efficiency, purity and jets with a vertex, by jet class."""
        labels, *counts = map(np.concatenate, zip(*self._per_jet, strict=True))
        return {"exclusive": vertex_metrics(VertexCounts(*counts), labels, self._classes)}

    def curves(self) -> dict[str, Any]:
        """None."""
        return {}
