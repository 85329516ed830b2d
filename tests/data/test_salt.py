"""Salt's dictionaries: values, and what is refused."""

import pytest

from maskformer_jax.data import load_class_weights
from maskformer_jax.data.salt import FieldStatistics, load_norm
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


FLAVOURS = ["bjets", "cjets", "ujets"]


def test_class_weights_are_in_the_order_of_the_classes(written):
    path = written(CLASSES)
    assert load_class_weights(path, "jets", "flavour_label", FLAVOURS) == [1, 2, 3]
    weights = load_class_weights(path, "truth_hadrons", "flavour", ["b", "c", "none"])
    assert weights == [11.5, 5, 1]


@pytest.mark.parametrize(
    "entry",
    [
        "{ujets: 3, other: 7, bjets: 1, cjets: 2}",
        "{classes: [ujets, bjets, other, cjets], weights: [3, 1, 7, 2]}",
    ],
)
def test_class_weights_with_names_are_compared_by_name(entry, written):
    path = written(f"jets: {{flavour_label: {entry}}}")
    assert load_class_weights(path, "jets", "flavour_label", FLAVOURS) == [1, 2, 3]
    with pytest.warns(UserWarning, match=r"`jets.flavour_label` has no weight for taujets: count"):
        found = load_class_weights(path, "jets", "flavour_label", ["cjets", "taujets"])
    assert found == [2, 0]
    with pytest.raises(InputError, match=r"no weight for any of \['x', 'y'\]"):
        load_class_weights(path, "jets", "flavour_label", ["x", "y"])


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("[1, 2, 3]", "[1, 2]", r"`jets.flavour_label` must list weights for \['bjets', 'cjets'"),
        ("[1, 2, 3]", "[1, 2, x]", r"`jets.flavour_label` must be a finite number; got 'x'"),
        ("[1, 2, 3]", "[1, 2, 0]", r"must list positive weights; got \[1, 2, 0\]"),
        ("[1, 2, 3]", "{classes: [bjets], weights: 3}", r"must have a weight for each class"),
        ("flavour_label", "other", r"`jets.flavour_label` .* got None"),
        ("jets:", "jet:", r"`jets` must be a mapping; got None"),
        ("jets:", "jets: [", r"given.yaml, line 3: expected"),
    ],
)
def test_wrong_class_weights_are_refused(old, new, message, written):
    with pytest.raises(InputError, match=message) as caught:
        path = written(CLASSES.replace(old, new))
        load_class_weights(path, "jets", "flavour_label", FLAVOURS)
    assert "\n" not in str(caught.value) and "given.yaml" in str(caught.value)


def test_norm_is_mean_and_spread_by_field(written):
    path = written("tracks: {d0: {mean: 1, std: 2.5}}")
    assert load_norm(path) == {"tracks": {"d0": FieldStatistics(1.0, 2.5)}}


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "tracks: {d0: {mean: 1, std: 0}}",
            r"`tracks.d0.std` must be positive",
        ),
        ("tracks: {d0: {mean: .nan, std: 1}}", r"`tracks.d0.mean` must be a finite number"),
        ("tracks: {d0: {mean: 1}}", r"`tracks.d0.std` must be given"),
        ("tracks: {d0: 3}", r"`tracks.d0` must be a section; got 3"),
        ("tracks: {d0: {mean: 1, std: 1, rms: 2}}", r"no option `tracks.d0.rms`"),
        ("tracks: {d0: {mean: 1, std: 1}, d0: {mean: 1, std: 1}}", r"`d0` is there twice"),
        ("- 3", r"must hold a mapping; got a list"),
    ],
)
def test_wrong_norm_is_refused(text, message, written):
    with pytest.raises(InputError, match=message):
        load_norm(written(text))


def test_missing_files_are_refused(tmp_path):
    for load in (load_norm, lambda path: load_class_weights(path, "jets", "x", ["a"])):
        with pytest.raises(InputError, match=r"none\.yaml: no such file"):
            load(tmp_path / "none.yaml")
