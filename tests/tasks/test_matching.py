"""The assignment is SciPy's, whatever the algorithm behind it."""

import jax
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from maskformer_jax.tasks.matching import LARGEST_ENUMERATION
from maskformer_jax.tasks.matching import assign as eager_assign

assign = jax.jit(eager_assign)

# Square sizes on both sides of the change of algorithm; twenty jets everywhere share compilations.
SIZES = [LARGEST_ENUMERATION, LARGEST_ENUMERATION + 1]
JETS = 20
SQUARES = [(n, n) for n in range(1, 9)]
RECTANGLES = [(2, 1), (5, 3), (6, 2), (8, 5)]


def test_both_algorithms_are_tested():
    assert 1 < LARGEST_ENUMERATION < 8


@pytest.mark.parametrize("shape", SQUARES + RECTANGLES, ids=str)
def test_the_assignment_is_the_one_of_scipy(shape):
    cost = np.random.default_rng(shape[0]).normal(size=(JETS, *shape)).astype(np.float32)
    found = np.asarray(assign(cost))
    for one, query_index in zip(cost, found, strict=True):
        rows, columns = linear_sum_assignment(one)
        np.testing.assert_array_equal(query_index[columns], rows)


@pytest.mark.parametrize("size", SIZES)
def test_queries_and_objects_may_come_in_any_order(size):
    generator = np.random.default_rng(size)
    cost = generator.normal(size=(JETS, size, size)).astype(np.float32)
    queries, objects = generator.permutation(size), generator.permutation(size)
    found = np.asarray(assign(cost[:, queries][:, :, objects]))
    np.testing.assert_array_equal(queries[found], np.asarray(assign(cost))[:, objects])


@pytest.mark.parametrize("size", SIZES)
def test_objects_without_a_cost_take_the_queries_that_are_left(size):
    cost = np.random.default_rng(size).normal(size=(JETS, size, size)).astype(np.float32)
    cost[:, :, 2:] = 0.0
    found = np.asarray(assign(cost))
    np.testing.assert_array_equal(np.sort(found), np.tile(np.arange(size), (JETS, 1)))
    for one, query_index in zip(cost, found, strict=True):
        rows, columns = linear_sum_assignment(one[:, :2])
        np.testing.assert_array_equal(query_index[columns], rows)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("where", [np.s_[0], np.s_[0, 1], np.s_[0, :, 2], np.s_[0, 1, 2]], ids=str)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_costs_that_are_not_finite_neither_hang_nor_reach_other_jets(size, where, value):
    cost = np.random.default_rng(0).normal(size=(JETS, size, size)).astype(np.float32)
    expected = np.asarray(assign(cost))
    cost[where] = value
    found = np.asarray(assign(cost))
    assert ((found >= 0) & (found < size)).all()
    np.testing.assert_array_equal(found[1:], expected[1:])


def test_costs_of_very_different_size():
    cost = np.random.default_rng(1).normal(size=(JETS, 5, 5)).astype(np.float32) * 1e4
    cost[:, :, 3:] *= 1e-8
    for one, query_index in zip(cost, np.asarray(assign(cost)), strict=True):
        best = one[linear_sum_assignment(one)].sum(dtype=np.float64)
        assert one[query_index, np.arange(5)].sum(dtype=np.float64) == pytest.approx(best)


def test_fewer_queries_than_objects_are_refused():
    with pytest.raises(ValueError, match=r"`cost` .* at least as many .* 2 queries for 3 objects"):
        assign(np.zeros((1, 2, 3), np.float32))
