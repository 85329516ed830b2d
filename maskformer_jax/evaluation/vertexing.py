"""Vertices of the constituents of a jet: cleaned, merged, and matched to the true ones."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

# Fractions of the tracks of the true and of the predicted vertex that a match must share.
MATCH_EFFICIENCY = 0.65
MATCH_PURITY = 0.5


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


def clean_true(
    index: Int[np.ndarray, "B L"], heavy: Bool[np.ndarray, "B L"]
) -> Int[np.ndarray, "B L"]:
    """True vertices without those that a track of another origin belongs to.

    Args:
        index: vertex of each track, negative for none and for padding.
        heavy: tracks whose true origin is a heavy hadron.

    Source: `clean_truth_vertices` of puma-hep.
    """
    other = (_same(index) & ~heavy[:, None]).any(axis=2)
    return np.where(other, -1, index)


def clean_predicted(
    index: Int[np.ndarray, "B L"],
    primary: Bool[np.ndarray, "B L"],
    heavy: Bool[np.ndarray, "B L"],
) -> Int[np.ndarray, "B L"]:
    """Predicted vertices without the primary one, and without those that have no heavy track.

    The primary vertex is that with the most tracks that are called primary; among several the one
    of the smallest index.

    Args:
        index: vertex of each track, -1 for padding.
        primary: tracks that are called primary.
        heavy: tracks that are called those of a heavy hadron.

    Source: `clean_reco_vertices` of puma-hep.
    """
    same = _same(index)
    number = np.where(primary & (index >= 0), (same & primary[:, None]).sum(axis=2), 0)
    most = number.max(axis=1, initial=1)[:, None]
    candidates = np.where(number == most, index, np.iinfo(index.dtype).max)
    first = candidates.min(axis=1, initial=np.iinfo(index.dtype).max)[:, None]
    index = np.where(index == first, -1, index)
    has_heavy = (same & heavy[:, None]).any(axis=2)
    return np.where(has_heavy, index, -1)


def ranks(index: Int[np.ndarray, "B L"]) -> Int[np.ndarray, "B L"]:
    """The same vertices, of two tracks or more, numbered in their order from 0; -1 for the others.

    >>> ranks(np.array([[7, 3, 7, 9, 3, -1]]))
    array([[ 1,  0,  1, -1,  0, -1]])
    """
    from scipy.stats import rankdata

    index = np.where(_same(index).sum(axis=2) > 1, index, -1)
    # What has no vertex comes first, and with it all others count from 1.
    numbers = rankdata(np.pad(index, ((0, 0), (1, 0)), constant_values=-1), "dense", axis=1)
    return numbers[:, 1:].astype(index.dtype) - 2


def _same(index: Int[np.ndarray, "B L"]) -> Bool[np.ndarray, "B L L"]:
    """Pairs of tracks of one vertex, each track with itself; none of those without a vertex."""
    return (index[:, :, None] == index[:, None]) & (index >= 0)[:, None]
