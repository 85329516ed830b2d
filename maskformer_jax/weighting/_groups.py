"""Which parameters are weighted together: shared or own, and by model, module, layer or tensor."""

from collections.abc import Sequence

import jax
from jaxtyping import Array, Float, PyTree

from maskformer_jax.weighting._combine import check_option, weighted_sum
from maskformer_jax.weighting._gramian import inner_products

GRANULARITIES = ("model", "module", "layer", "tensor")


def keep(tree: PyTree, shared: PyTree | None, *, others: bool = False) -> PyTree:
    """`tree` with nothing in place of the leaves that are not shared, or, for `others`, that are.

    Args:
        tree: parameters or their gradients.
        shared: True or False for each leaf, as a tree of the same form; none: all are shared.
        others: keep those that are not shared.

    Raises:
        ValueError: `shared` has another form.
    """
    if shared is None:
        return jax.tree.map(lambda _: None, tree) if others else tree
    same = jax.tree.structure(shared) == jax.tree.structure(tree)
    check_option(same, "shared", "be a tree like the parameters", jax.tree.structure(shared))
    return jax.tree.map(lambda leaf, is_shared: leaf if is_shared != others else None, tree, shared)


def merge(a: PyTree, b: PyTree) -> PyTree:
    """The tree whose shared leaves are in `a` and whose others are in `b`."""
    return jax.tree.map(lambda x, y: y if x is None else x, a, b, is_leaf=lambda x: x is None)


def group_index(tree: PyTree, granularity: str, shared: PyTree | None = None) -> list[int]:
    """Number of the group of each shared leaf, counted from 0 in the order of the leaves.

    A module is a child of the model: the first key of a path after those that the paths of all
    parameters share. A layer holds the tensors with the same parent.
    """
    paths = _paths(tree)
    common = 0
    while paths and all(
        len(path) > common + 1 and path[common] == paths[0][common] for path in paths
    ):
        common += 1
    key = {
        "model": lambda path: (),
        "module": lambda path: path[common : common + 1],
        "layer": lambda path: path[:-1],
        "tensor": lambda path: path,
    }[granularity]
    numbers: dict[tuple, int] = {}
    return [numbers.setdefault(key(path), len(numbers)) for path in _paths(keep(tree, shared))]


def _paths(tree: PyTree) -> list[tuple]:
    return [path for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def members(tree: PyTree, groups: Sequence[int]) -> list[list[Array]]:
    """Leaves of each group."""
    leaves = jax.tree.leaves(tree)
    return [
        [leaf for leaf, group in zip(leaves, groups, strict=True) if group == number]
        for number in range(max(groups) + 1)
    ]


def group_gramians(tree: PyTree, groups: Sequence[int]) -> list[Float[Array, "K K"]]:
    """Inner products of the task gradients in each group."""
    return [inner_products(leaves, leaves) for leaves in members(tree, groups)]


def group_sums(tree: PyTree, groups: Sequence[int], weights: Float[Array, "G K"]) -> PyTree:
    """sum_k w_k g_k with the weights of the group of each leaf."""
    leaves, structure = jax.tree.flatten(tree)
    sums = [weighted_sum(leaf, weights[group]) for leaf, group in zip(leaves, groups, strict=True)]
    return jax.tree.unflatten(structure, sums)
