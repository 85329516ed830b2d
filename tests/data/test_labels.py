"""Truth of hand-made jets."""

import numpy as np
import pytest

from maskformer_jax.config import DataConfig, HadronsConfig, JetsConfig, TracksConfig
from maskformer_jax.data.labels import class_index, object_class_index, track_masks
from maskformer_jax.errors import InputError


def test_class_index_follows_the_order_of_the_classes():
    values = np.array([[5, 4], [0, 15]], np.int8)
    found = class_index(values, {"c": 4, "b": 5, "light": 0})
    np.testing.assert_array_equal(found, [[1, 0], [2, -1]])


def hadrons(valid, flavour):
    table = np.zeros(np.shape(valid), [("valid", "?"), ("flavour", "i1")])
    table["valid"], table["flavour"] = valid, flavour
    return table


def test_objects_are_valid_hadrons_of_a_listed_class():
    table = hadrons([[True, True, True, False]], [[4, 15, 5, 5]])
    found = object_class_index(table, HadronsConfig(cap=4))
    np.testing.assert_array_equal(found, [[1, 2, 0, 2]])


def test_objects_are_cut_and_padded_to_the_cap():
    table = hadrons([[True, True]], [[5, 4]])
    np.testing.assert_array_equal(object_class_index(table, HadronsConfig(cap=1)), [[0]])
    np.testing.assert_array_equal(object_class_index(table, HadronsConfig(cap=4)), [[0, 1, 2, 2]])


@pytest.mark.parametrize(
    ("dtype", "nothing", "a"), [("i1", -1, 7), ("i4", -1, 7), ("u4", 0, 7), ("u8", 0, 2**60)]
)
def test_masks_join_equal_links_of_the_same_jet(dtype, nothing, a):
    b, c = a + 1, a + 2
    masks = track_masks(
        np.array([a, b, nothing, b, a], dtype),
        np.array([3, 0, 2]),
        np.array([[a, b], [a, b], [b, c]], dtype),
        np.array([[True, True], [True, True], [True, True]]),
    )
    expected = [[1, 0], [0, 1], [0, 0], [1, 0], [0, 0]]
    np.testing.assert_array_equal(masks, np.array(expected, bool).T)


def test_padding_never_matches():
    link = np.array([-1, 0, 7])
    counts = np.array([3])
    hadron = np.array([[-1, 0, 7]])
    masks = track_masks(link, counts, hadron, np.array([[True, True, False]]))
    expected = [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    np.testing.assert_array_equal(masks, np.array(expected, bool).T)


@pytest.mark.parametrize(
    "section",
    [
        {"jets": JetsConfig(classes={"b": 5, "c": 5})},
        {"tracks": TracksConfig(origin_classes={"fake": 1, "pileup": 1})},
        {"hadrons": HadronsConfig(classes={})},
    ],
)
def test_classes_that_cannot_be_told_apart_are_refused(section):
    with pytest.raises(InputError, match=r"classes` must give each class a value of its own"):
        DataConfig(**section)
