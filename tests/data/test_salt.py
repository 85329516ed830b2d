"""Salt's dictionaries: values, and what is refused."""

import numpy as np
import pytest

from maskformer_jax.config import DataConfig
from maskformer_jax.data import load_class_weights
from maskformer_jax.data.salt import load_norm
from maskformer_jax.errors import InputError

CLASSES = """
jets: {flavour_label: [1, 2, 3]}
tracks: {ftagTruthOriginLabel: [1, 2, 3, 4, 5, 6, 7, 8.5]}
truth_hadrons: {flavour: [11.5, 5, 1]}
"""


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "given.yaml"
        path.write_text(text)
        return path

    return write


def test_class_weights_are_in_the_order_of_the_classes(written):
    weights = load_class_weights(written(CLASSES), DataConfig())
    assert list(weights) == ["jet_class", "track_origin", "object_class"]
    np.testing.assert_array_equal(weights["track_origin"], [1, 2, 3, 4, 5, 6, 7, 8.5])
    np.testing.assert_array_equal(weights["object_class"], [11.5, 5, 1])
    assert weights["jet_class"].dtype == np.float32


def test_only_the_weights_that_are_needed_must_be_there(written):
    path = written("jets: {flavour_label: [1, 2, 3]}")
    assert list(load_class_weights(path, DataConfig(), ["jet_class"])) == ["jet_class"]
    with pytest.raises(InputError, match=r"`tracks` must be a mapping; got None"):
        load_class_weights(path, DataConfig())


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("[1, 2, 3]", "[1, 2]", r"`jets.flavour_label` must list weights for \['bjets', 'cjets'"),
        ("[1, 2, 3]", "[1, 2, x]", r"`jets.flavour_label` must be a finite number; got 'x'"),
        ("[1, 2, 3]", "[1, 2, 0]", r"must list positive weights; got \[1, 2, 0\]"),
        ("[11.5, 5, 1]", "[11.5, 5]", r"`truth_hadrons.flavour` .*'none'\]; got \[11.5, 5\]"),
        ("flavour_label", "other", r"`jets.flavour_label` .* got None"),
        ("jets:", "jets: [", r"not readable YAML"),
    ],
)
def test_wrong_class_weights_are_refused(old, new, message, written):
    with pytest.raises(InputError, match=message) as caught:
        load_class_weights(written(CLASSES.replace(old, new)), DataConfig())
    assert "\n" not in str(caught.value) and "given.yaml" in str(caught.value)


def test_norm_is_mean_and_spread_by_field(written):
    path = written("tracks: {d0: {mean: 1, std: 2.5}}")
    assert load_norm(path) == {"tracks": {"d0": (1.0, 2.5)}}


@pytest.mark.parametrize(
    "text, message",
    [
        ("tracks: {d0: {mean: 1, std: 0}}", r"`tracks.d0.std` must be positive; got 0"),
        ("tracks: {d0: {mean: .nan, std: 1}}", r"`tracks.d0.mean` must be a finite number"),
        ("tracks: {d0: {mean: 1}}", r"`tracks.d0.std` must be a finite number; got None"),
        ("tracks: {d0: 3}", r"`tracks.d0` must be a mapping; got 3"),
        ("- 3", r"`the file` must be a mapping"),
    ],
)
def test_wrong_norm_is_refused(text, message, written):
    with pytest.raises(InputError, match=message):
        load_norm(written(text))


def test_missing_files_are_refused(tmp_path):
    for load in (load_norm, lambda path: load_class_weights(path, DataConfig())):
        with pytest.raises(InputError, match=r"none\.yaml: no such file"):
            load(tmp_path / "none.yaml")
