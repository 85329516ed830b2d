"""Truth of hand-made jets."""

import numpy as np
import pytest

from maskformer_jax.data.config import LabelConfig
from maskformer_jax.data.labels import class_index, label_values, object_masks, real_objects
from maskformer_jax.errors import InputError


def test_class_index_follows_the_order_of_the_classes():
    values = np.array([[5, 4], [0, 15]], np.int8)
    found = class_index(values, {"c": [4], "b": [5, 15], "light": [0]})
    np.testing.assert_array_equal(found, [[1, 0], [2, 1]])
    assert (class_index(values, {"c": [4]}) == [[-1, 0], [-1, -1]]).all()


def hadrons(valid, flavour):
    table = np.zeros(np.shape(valid), [("valid", "?"), ("flavour", "i1")])
    table["valid"], table["flavour"] = valid, flavour
    return table


def test_objects_are_valid_and_listed_by_every_label(schema):
    table = hadrons([[True, True, True, False]], [[4, 15, 5, 5]])
    np.testing.assert_array_equal(real_objects(table, schema, "hadrons"), [[1, 0, 1, 0]])
    only_b = LabelConfig("hadrons", "flavour", {"b": 5})
    both = schema._replace(labels=schema.labels | {"only_b": only_b})
    np.testing.assert_array_equal(real_objects(table, both, "hadrons"), [[0, 0, 1, 0]])
    none = schema._replace(labels={})
    np.testing.assert_array_equal(real_objects(table, none, "hadrons"), [[1, 1, 1, 0]])


# Type of a field, its values, how it is read -> what is found, or the message.
VALUES = {
    "integers": ("i2", [3, -2, 7], {}, np.array([3, -2, 7], np.int32)),
    "booleans": ("?", [True, False, True], {}, np.array([1, 0, 1], np.int32)),
    "floats": ("f8", [0.5, 2, 3], {}, np.array([0.5, 2, 3], np.float32)),
    "ignored": ("i1", [1, 9, 2], {"classes": {"a": [2, 1]}}, np.array([0, -1, 0], np.int32)),
    "nan": ("f4", [1, np.nan, 2], {}, r"a\.h5: `x` of dataset `jets` is nan in row 12; it must be"),
    "error": (
        "i1",
        [1, 2, 9],
        {"classes": {"a": [2, 1]}, "unlisted": "error"},
        r"a\.h5: `x` of dataset `jets` is 9 in row 13, in no class of \{'a': \[2, 1\]\}; list it",
    ),
}


@pytest.mark.parametrize("case", VALUES)
def test_values_of_a_label(case):
    kind, values, options, expected = VALUES[case]
    table = np.zeros(3, [("x", kind)])
    table["x"] = values
    arguments = (table, LabelConfig("jets", "x", **options), "jets", np.arange(11, 14), "a.h5")
    if isinstance(expected, str):
        with pytest.raises(InputError, match=expected):
            label_values(*arguments)
        return
    found = label_values(*arguments)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("dtype", "nothing", "a"), [("i1", -1, 7), ("i4", -1, 7), ("u4", 0, 7), ("u8", 0, 2**60)]
)
def test_masks_join_equal_links_of_the_same_jet(dtype, nothing, a):
    b, c = a + 1, a + 2
    masks = object_masks(
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
    masks = object_masks(link, counts, hadron, np.array([[True, True, False]]))
    expected = [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    np.testing.assert_array_equal(masks, np.array(expected, bool).T)


@pytest.mark.parametrize("classes", [{"b": 5, "c": 5}, {"a": [1, 2], "b": 2}, {}, {"a": []}])
def test_classes_that_cannot_be_told_apart_are_refused(classes):
    with pytest.raises(InputError, match=r"classes` must give each class a value of its own"):
        LabelConfig("jets", "x", classes)
