import types

import numpy as np
import pytest

from maskformer_jax.evaluation.binned_efficiency import BinnedEfficiency, jet_pt
from maskformer_jax.evaluation.config import EvaluationConfig, FieldsConfig


def test_a_profile_counts_in_bins():
    efficiency = BinnedEfficiency([0, 1, 2, 4], groups=2)
    x = np.array([0.0, 0.5, 1.0, 4.0, 4.1, -0.1, np.nan, 0.5, 0.5])
    group = np.array([0, 0, 0, 0, 0, 0, 0, 1, -1])
    passed = np.array([1, 0, 1, 0, 1, 1, 1, 1, 0], bool)
    for part in (slice(0, 5), slice(5, None)):
        efficiency.add(x[part], group[part], passed[part])
    np.testing.assert_array_equal(efficiency.curve(0).value, [0.5, 1, 0])
    np.testing.assert_allclose(efficiency.curve(0).error, [np.sqrt(0.25 / 2), 0, 0])
    np.testing.assert_array_equal(efficiency.curve(1).value, [1, np.nan, np.nan])
    np.testing.assert_array_equal(efficiency.curve(1).error, [0, np.nan, np.nan])
    np.testing.assert_array_equal(efficiency.curve(1).x, [0, 1, 2, 4])


@pytest.mark.parametrize("field, expected", [("pt", [20, 30]), ("energy", [np.nan, np.nan])])
def test_jet_pt_is_in_gev(field, expected):
    jets = np.array([(2e4,), (3e4,)], [("pt", "f4")])
    chunk = types.SimpleNamespace(records=types.SimpleNamespace(jets=jets))
    config = types.SimpleNamespace(evaluation=EvaluationConfig(fields=FieldsConfig(jet_pt=field)))
    np.testing.assert_array_equal(jet_pt(chunk, config), expected)
