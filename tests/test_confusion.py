import math

import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.tasks.confusion import (
    confusion_matrix,
    fraction,
    object_metrics,
)


def test_confusion_matrix_counts_true_classes_in_rows():
    true, predicted = jnp.array([0, 0, 1, 2, 1]), jnp.array([0, 1, 1, 0, 1])
    counted = jnp.array([True, True, True, True, False])
    matrix = confusion_matrix(true, predicted, counted, 3)
    np.testing.assert_array_equal(matrix, [[1, 1, 0], [0, 1, 0], [1, 0, 0]])


def test_unlabelled_entries_do_not_count():
    matrix = confusion_matrix(jnp.array([-1, 3, 1]), jnp.array([2, 2, 2]), jnp.ones(3, bool), 3)
    np.testing.assert_array_equal(matrix, [[0, 0, 0], [0, 0, 1], [0, 0, 0]])


def test_fraction_of_nothing_is_undefined():
    assert math.isnan(fraction(0, 0).value) and fraction(0, 0).total == 0


def test_object_metrics_by_hand():
    # b, c, none: 10 real hadrons, of which 7 are found, 6 of them in their class; 4 fakes.
    metrics = object_metrics(np.array([[4, 1, 2], [0, 2, 1], [1, 3, 86]]))
    assert metrics.efficiency.value == pytest.approx(0.7)
    assert metrics.purity.value == pytest.approx(7 / 11)
    assert metrics.class_accuracy.value == pytest.approx(0.6)
    assert metrics.overall_accuracy.value == pytest.approx(0.92)
    assert metrics.class_accuracy.error == pytest.approx(math.sqrt(0.6 * 0.4 / 10))
