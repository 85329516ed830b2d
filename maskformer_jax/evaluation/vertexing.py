"""Vertices that the object masks form, against those of the true hadrons."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from maskformer_jax.config import Config
from maskformer_jax.evaluation.binned_efficiency import BinnedEfficiency, jet_pt
from maskformer_jax.evaluation.classification import Fraction, fraction
from maskformer_jax.evaluation.discriminants import jets_name
from maskformer_jax.evaluation.section import Chunk

# Fractions of the tracks of the true and of the predicted vertex that a match must share.
MATCH_EFFICIENCY = 0.65
MATCH_PURITY = 0.5

# Edges of the bins of flight length in mm: narrow for t-tbar, with room for hadrons of TeV.
LENGTH_EDGES = (0, 0.5, 1, 2, 3, 4, 6, 8, 12, 20, 40, 80, 160, 320)

KINDS = ("exclusive", "inclusive")


class Vertices(NamedTuple):
    """Predicted and true vertices of B jets and which of them match.

    A jet has room for P predicted and T true vertices.

    Attributes:
        predicted: tracks of each predicted vertex; none where there is no vertex.
        true: tracks of each true vertex, likewise.
        matched: pairs of a predicted and a true vertex.
    """

    predicted: Bool[np.ndarray, "B P L"]
    true: Bool[np.ndarray, "B T L"]
    matched: Bool[np.ndarray, "B P T"]


def mask_to_index(masks: Bool[np.ndarray, "B M L"]) -> Int[np.ndarray, "B L"]:
    """Object of each track, -1 for none; a track belongs to one object at most."""
    return np.where(masks.any(axis=1), masks.argmax(axis=1), -1)


def merged(index: Int[np.ndarray, "B L"]) -> Int[np.ndarray, "B L"]:
    """The inclusive vertex: all tracks of a jet that belong to any object, as object 0."""
    return np.where(index >= 0, 0, -1)


def build_vertices(index: Int[np.ndarray, "B L"], number: int) -> Bool[np.ndarray, "B M L"]:
    """Tracks of each vertex: those of the same object, if there are at least two.

    Args:
        index: object of each track, -1 for none and for padding.
        number: of the objects, M.
    """
    tracks = index[:, None] == np.arange(number)[:, None]
    return tracks & (tracks.sum(axis=-1, keepdims=True) > 1)


def match_vertices(
    predicted_index: Int[np.ndarray, "B L"], true_index: Int[np.ndarray, "B L"], number: int
) -> Vertices:
    """Vertices of B jets and their matches, as puma defines them.

    A vertex is the set of tracks of an object, if there are at least two: a hadron with a single
    reconstructed track is no vertex. A predicted and a true vertex are paired when each is the
    other's best partner by shared tracks (ties go to the smaller true, then the smaller predicted
    vertex, then the first), and match when they share at least 65 % of the tracks of the true and
    half of those of the predicted one.

    Args:
        predicted_index: object of each track by the model, -1 for none and for padding.
        true_index: true hadron of each track, likewise.
        number: largest number of objects of a jet.

    Source: `calculate_vertex_metrics` of puma-hep, which gives the same numbers of vertices and
    matches per jet, jet after jet.
    """
    predicted, true = (build_vertices(index, number) for index in (predicted_index, true_index))
    shared = predicted.astype(np.float32) @ true.astype(np.float32).swapaxes(1, 2)
    # A vertex of no tracks shares none; 1 stands for its size, so that nothing is divided by zero.
    size = np.maximum(predicted.sum(axis=-1), 1)[:, :, None]
    true_size = np.maximum(true.sum(axis=-1), 1)[:, None]
    pair = np.arange(number**2).reshape(number, number)
    matched = shared > 0
    for preference in (shared, -true_size, -size, -pair):
        score = np.where(matched, preference, -np.inf)
        best = (score == score.max(1, keepdims=True)) & (score == score.max(2, keepdims=True))
        matched &= best
    matched &= (shared / true_size >= MATCH_EFFICIENCY) & (shared / size >= MATCH_PURITY)
    return Vertices(predicted, true, matched)


def flight_length(
    vertices: Bool[np.ndarray, "B M L"],
    index: Int[np.ndarray, "B L"],
    lengths: Float[np.ndarray, "B M"],
) -> Float[np.ndarray, "B M"]:
    """Mean over the tracks of each vertex of the flight length of the track's object.

    That of an exclusive vertex is the length of its object; an inclusive one lies between those
    of its objects, where the most tracks come from. No meaning where there is no vertex.

    Args:
        vertices: tracks of each vertex.
        index: object of each track before any merging, -1 for none.
        lengths: of the objects.
    """
    of_track = np.take_along_axis(lengths, np.maximum(index, 0), axis=1)
    sums = np.where(vertices, of_track[:, None], 0.0).sum(axis=-1)
    return sums / np.maximum(vertices.sum(axis=-1), 1)


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


class _Counts:
    """Sums of one kind of vertices, overall and in bins, by class of the jet."""

    def __init__(self, edges: Mapping[str, tuple[float, ...]], classes: int):
        names = VertexMetrics._fields
        # The last row is that of the jets without a class.
        self.totals = {name: np.zeros((classes + 1, 2), np.int64) for name in names}
        self.profiles = {
            name: {axis: BinnedEfficiency(values, classes) for axis, values in edges.items()}
            for name in names
        }
        # A jet without a vertex has no flight length.
        self.profiles["with_vertex"].pop("Lxy", None)

    def add(
        self,
        name: str,
        exists: Bool[np.ndarray, "B M"],
        passed: Bool[np.ndarray, "B M"],
        label: Int[np.ndarray, " B"],
        x: Mapping[str, Float[np.ndarray, "B M"]],
    ) -> None:
        """Takes in the trials that exist, of which some have passed, and where they lie."""
        group = np.broadcast_to(label[:, None], exists.shape)[exists]
        np.add.at(self.totals[name], (group, passed[exists].astype(int)), 1)
        for axis, profile in self.profiles[name].items():
            profile.add(np.broadcast_to(x[axis], exists.shape)[exists], group, passed[exists])


class VertexingSection:
    """Exclusive vertices, one for each hadron, and inclusive ones, one for each jet.

    The inclusive vertex merges the tracks of all hadrons of the jet, those of a b hadron with those
    of the c hadron that it decays to; the predicted one merges those of all objects that are not
    `none`. The efficiency is shown against jet pT and the true flight length of the vertex, the
    purity against jet pT and the predicted flight length: a vertex that is wrong has no true one.
    """

    def __init__(self, config: Config):
        """Starts empty."""
        self._config = config
        self._classes = list(map(jets_name, config.data.jets.classes))
        targets, length = config.data.hadrons.targets, config.evaluation.fields.hadron_length
        self._column = targets.index(length) if length in targets else None
        edges = {"pt": tuple(config.evaluation.pt_edges)}
        if self._column is not None:
            edges["Lxy"] = LENGTH_EDGES
        self._counts = {kind: _Counts(edges, len(self._classes)) for kind in KINDS}

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets."""
        predicted, true = chunk.predictions.mask_index, mask_to_index(chunk.targets.masks)
        number = chunk.targets.masks.shape[1]
        vertices = {
            "exclusive": match_vertices(predicted, true, number),
            "inclusive": match_vertices(merged(predicted), merged(true), 1),
        }
        label, pt = chunk.targets.jet_class_index, jet_pt(chunk, self._config)[:, None]
        for kind, (found, real, matched) in vertices.items():
            counts = self._counts[kind]
            exists, x = real.any(-1), self._against(pt, real, true, chunk.true)
            counts.add("efficiency", exists, matched.any(axis=1), label, x)
            exists, x = found.any(-1), self._against(pt, found, predicted, chunk.predicted)
            counts.add("purity", exists, matched.any(axis=2), label, x)
            jets = np.ones((len(label), 1), bool)
            counts.add("with_vertex", jets, exists.any(1, keepdims=True), label, {"pt": pt})

    def _against(
        self, pt: np.ndarray, vertices: np.ndarray, index: np.ndarray, properties: np.ndarray
    ) -> dict[str, np.ndarray]:
        if self._column is None:
            return {"pt": pt}
        lengths = flight_length(vertices, index, properties[..., self._column])
        # A regression may fall a little below zero, where the first bin begins.
        return {"pt": pt, "Lxy": np.maximum(lengths, 0.0)}

    def metrics(self) -> dict[str, Any]:
        """`VertexMetrics` of each kind and class of jets, and of `all` with those of no class."""
        selections = {name: [row] for row, name in enumerate(self._classes)}
        selections["all"] = list(range(len(self._classes) + 1))
        return {
            kind: {
                name: VertexMetrics(
                    **{key: _sum(total[rows]) for key, total in counts.totals.items()}
                )
                for name, rows in selections.items()
            }
            for kind, counts in self._counts.items()
        }

    def curves(self) -> dict[str, Any]:
        """Profiles of each kind and class of jets, against `pt` [GeV] and `Lxy` [mm]."""
        return {
            kind: {
                name: {
                    key: {axis: profile.curve(row) for axis, profile in profiles.items()}
                    for key, profiles in counts.profiles.items()
                }
                for row, name in enumerate(self._classes)
            }
            for kind, counts in self._counts.items()
        }


def _sum(counts: Int[np.ndarray, "rows 2"]) -> Fraction:
    failed, passed = counts.sum(axis=0)
    return fraction(passed, failed + passed)
