"""Columns of the table of methods: what depends on the losses, and what is said of each of them."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.interpreters import partial_eval
from method_rows import ROWS, make, parametrize
from rows import K

from maskformer_jax.weighting import METHODS, options_in_order

NAMES = ("jet", "track", "mask")


@parametrize([row for row in ROWS if METHODS[row.name].family == "loss"])
def test_weights_follow_the_losses_where_the_table_says_so(row):
    """Against the computation: do the losses of a step go into its weights?"""
    method, losses = make(row), jnp.ones(K)

    def weights(losses):
        state = method.init(losses)
        return method.update(jnp.eye(K), state, losses=losses, losses_after=jnp.ones(K))[0]

    _, (used,) = partial_eval.dce_jaxpr(jax.make_jaxpr(weights)(losses).jaxpr, [True])
    assert used == METHODS[row.name].weights_follow_losses


def test_methods_on_gradients_need_no_losses_before_the_backward_pass():
    assert not any(m.weights_follow_losses for m in METHODS.values() if m.family != "loss")


@pytest.mark.parametrize("name", METHODS)
def test_options_with_a_value_per_loss_are_in_the_table(name):
    entry = METHODS[name]
    parameters = [*inspect.signature(entry).parameters.values()]
    lists = {p.name for p in parameters if "Sequence" in str(p.annotation)}
    assert lists - {"preference"} <= set(entry.per_loss)
    assert entry.family != "loss" or lists <= set(entry.per_loss)
    known = {p.name for p in parameters} | {"preference", "shared"}
    assert {*entry.per_loss, *entry.from_caller} <= known


@pytest.mark.parametrize("name", METHODS)
def test_docstrings_end_in_what_a_family_takes(name):
    said = inspect.getdoc(METHODS[name]).split("\n\n")[-1]
    assert f"family `{METHODS[name].family}`" in said
    assert all(f"`{need}`" in said for need in METHODS[name].needs)


VALUES = {"mask": 3.0, "jet": 1.0, "track": 2.0}
ORDERED = [
    ("static", {"weights": VALUES}, {"weights": [1.0, 2.0, 3.0]}),
    ("static", {"weights": [1.0, 2.0, 3.0]}, {"weights": [1.0, 2.0, 3.0]}),
    ("pbi", {"reference": VALUES, "theta": 2.0}, {"reference": [1.0, 2.0, 3.0], "theta": 2.0}),
    ("famo", {"min_losses": 0.5}, {"min_losses": 0.5}),
    ("gls", {"focus": ["mask", "jet"]}, {"focus": [2, 0]}),
    ("gls", {"focus": [1]}, {"focus": [1]}),
    ("pcd", {"primary": "track"}, {"primary": 1}),
    ("cagrad", {"preference": VALUES, "c": 0.4}, {"preference": [1.0, 2.0, 3.0], "c": 0.4}),
    (
        "cr_mogm",
        {"base": "pcd", "base_options": {"primary": "mask", "tau": 0.1}},
        {"base": "pcd", "base_options": {"primary": 2, "tau": 0.1}},
    ),
]


@pytest.mark.parametrize(("name", "options", "expected"), ORDERED)
def test_names_of_losses_become_what_the_factory_takes(name, options, expected):
    found = options_in_order(name, options, NAMES)
    assert found == expected
    METHODS[name](len(NAMES), **found)


def test_values_by_name_give_the_weights_of_their_losses():
    method = METHODS["static"](3, **options_in_order("static", {"weights": VALUES}, NAMES))
    found, _ = method.update(jnp.eye(3), method.init(jnp.zeros(3)))
    np.testing.assert_array_equal(found, [1.0, 2.0, 3.0])


WRONG = [
    ("static", {"weights": {**VALUES, "masc": 1.0}}, r"`weights` names 'masc'.*jet, track, mask; "),
    ("static", {"weights": {"jet": 1.0}}, r"`weights` must have a value for .*\['track', 'mask'\]"),
    ("gls", {"focus": ["tracks"]}, r"`focus` names 'tracks'.*did you mean 'track'\?"),
    ("pcd", {"primary": "x"}, r"`primary` names 'x', which is none of the losses .*mask$"),
    (
        "cr_mogm",
        {"base": "dualproj", "base_options": {"preference": {"jet": 1.0}}},
        r"`preference` must have a value for every loss",
    ),
]


@pytest.mark.parametrize(("name", "options", "message"), WRONG)
def test_wrong_names_are_one_clear_line(name, options, message):
    with pytest.raises(ValueError, match=message) as error:
        options_in_order(name, options, NAMES)
    assert "\n" not in str(error.value)
