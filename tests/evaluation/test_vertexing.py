import numpy as np
import pytest

from maskformer_jax.evaluation.vertexing import (
    VertexCounts,
    count_vertices,
    mask_to_index,
    vertex_metrics,
)

# predicted, true -> matched, true, predicted
CASES = {
    "same tracks, other numbers": ([1, 1, 0, 0, -1], [0, 0, 2, 2, -1], (2, 2, 2)),
    "single tracks are no vertices": ([0, -1, -1, -1, -1], [3, 1, -1, -1, -1], (0, 0, 0)),
    "too few of the true tracks": ([0, 0, -1, -1, -1], [1, 1, 1, 1, -1], (0, 1, 1)),
    "two thirds of the true tracks": ([0, 0, -1, -1, -1], [1, 1, 1, -1, -1], (1, 1, 1)),
    "less than half true": ([0, 0, 0, 0, 0], [1, 1, -1, -1, -1], (0, 1, 1)),
    "half true": ([0, 0, 0, 0, -1], [1, 1, -1, -1, -1], (1, 1, 1)),
    "merged vertices match once": ([0, 0, 0, 0, 0], [1, 1, 1, 2, 2], (1, 2, 1)),
    "fake": ([0, 0, -1, -1, -1], [-1, -1, -1, -1, -1], (0, 0, 1)),
    "lost": ([-1, -1, -1, -1, -1], [0, 0, 0, -1, -1], (0, 1, 0)),
    "no tracks": ([-1] * 5, [-1] * 5, (0, 0, 0)),
}


def test_matching_of_vertices():
    predicted, true, expected = (np.array(x) for x in zip(*CASES.values(), strict=True))
    counts = np.stack(count_vertices(predicted, true), axis=1)
    found = dict(zip(CASES, map(tuple, counts), strict=True))
    assert found == dict(zip(CASES, map(tuple, expected), strict=True))


def test_masks_become_indices():
    masks = np.zeros((1, 3, 4), bool)
    masks[0, 0, 1] = masks[0, 2, 3] = masks[0, 2, 0] = True
    np.testing.assert_array_equal(mask_to_index(masks), [[2, 0, -1, 2]])


def test_metrics_by_flavour():
    counts = VertexCounts(
        matched=np.array([1, 0, 0, 1]),
        true=np.array([2, 1, 0, 1]),
        predicted=np.array([1, 0, 2, 1]),
    )
    metrics = vertex_metrics(counts, np.array([0, 0, 1, -1]), {"bjets": 0, "ujets": 2})
    assert metrics["bjets"].efficiency.value == pytest.approx(1 / 3)
    assert metrics["bjets"].purity.value == pytest.approx(1.0)
    assert metrics["bjets"].with_vertex.value == pytest.approx(0.5)
    assert metrics["ujets"].purity.total == 2 and metrics["ujets"].efficiency.total == 0
    assert metrics["all"].efficiency.passed == 2 and metrics["all"].efficiency.total == 4
