"""What all methods on gradients may be told: which parameters, in which groups, at which scale."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Values
from maskformer_jax.weighting._gramian import norms, reciprocal
from maskformer_jax.weighting._rows import inner_products, weighted_sum

GRANULARITIES = ("model", "module", "layer", "tensor")
NORMALISATIONS = ("none", "l2", "loss")
# Added to losses that gradients are divided by.
LOSS_EPS = 1e-8

OwnWeights = Callable[[Float[Array, " K"], PyTree, Float[Array, " K"] | None], Float[Array, " K"]]
Scales = Callable[[Float[Array, "*G K K"], Float[Array, " K"] | None], Float[Array, "*G K"]]


# Of parameters that one task alone reaches, from the weights, the state and the losses.
OWN_WEIGHTS: dict[str, OwnWeights] = {
    "one": lambda weights, *_: jnp.ones_like(weights),
    "weights": lambda weights, *_: weights,
}


@dataclass(frozen=True, kw_only=True)
class SharedOptions:
    """Options of every method on gradients, unless it has its own of that name.

    Attributes:
        own_weights: factor of the gradients of parameters that one task alone reaches: `one`, or
            the `weights` of the tasks; none: by the method's definition.
        shared: True for each shared parameter, as a tree like the parameters, the beginning of such
            a tree, or a function of a parameter's key path; none: all are. The update of the others
            adds up two batches where the method is given two.
        granularity: one set of weights for the whole `model`, or one for each `module` (child of
            the model), `layer` (tensors with the same parent) or `tensor`. Gramian methods only.
        normalise: what the gradients are divided by first: nothing, their length (`l2`), or the
            `loss` of their task.
        preference: positive: the larger, the more of the update is for a task. Factors of the
            gradients, applied after `normalise`, where the method has no definition of its own.
    """

    own_weights: Literal["one", "weights"] | None = None
    shared: PyTree | None = None
    granularity: Literal["model", "module", "layer", "tensor"] = "model"
    normalise: Literal["none", "l2", "loss"] = "none"
    preference: Values | None = None

    def __post_init__(self) -> None:
        check.one_of("normalise", self.normalise, NORMALISATIONS)
        check.one_of("granularity", self.granularity, GRANULARITIES)
        check.one_of("own_weights", self.own_weights, (None, *OWN_WEIGHTS))
        for leaf in () if is_predicate(self.shared) else jax.tree.leaves(self.shared):
            is_bool = isinstance(leaf, bool) or str(getattr(leaf, "dtype", "")) == "bool"
            check.option(is_bool, "shared", "be a tree of True and False", leaf)


def scales_of(num_tasks: int, options: SharedOptions, *, divide: bool) -> Scales:
    """`scales(gramian, losses)`: factors of the gradients before the method sees them.

    Args:
        num_tasks: number of tasks K.
        options: normalisation and preference.
        divide: by the preference, for a method that looks for a short combination: that of g_k/p_k
            has weights that grow with p_k, also after they are divided by p_k once more.
    """
    factors = check.preference(num_tasks, options.preference)

    def scales(
        products: Float[Array, "*G K K"], losses: Float[Array, " K"] | None
    ) -> Float[Array, "*G K"]:
        preferred = jnp.asarray(factors, products.dtype)
        preferred = 1.0 / preferred if divide else preferred
        scale = jnp.broadcast_to(preferred, products.shape[:-1])
        if options.normalise == "l2":
            return scale * reciprocal(norms(products))
        if options.normalise == "loss":
            given = check.losses("`normalise: loss`", num_tasks, losses, lowest=0.0)
            return scale / (given.astype(scale.dtype) + LOSS_EPS)
        return scale

    return scales


def is_predicate(shared: PyTree | None) -> bool:
    """Whether the option is a function; a tree that can be called, as a module, is a tree."""
    return callable(shared) and jax.tree_util.treedef_is_leaf(jax.tree.structure(shared))


def shared_leaves(tree: PyTree, shared: PyTree | None) -> PyTree:
    """True or False for each leaf of `tree`, as the option `shared` says.

    Raises:
        ValueError: `shared` has another form.
    """
    if shared is None:
        return jax.tree.map(lambda _: True, tree)
    if is_predicate(shared):
        return jax.tree_util.tree_map_with_path(lambda path, _: bool(shared(path)), tree)
    try:
        return jax.tree.map(lambda x, part: jax.tree.map(lambda _: bool(x), part), shared, tree)
    except ValueError as error:
        found = jax.tree.structure(shared)
        raise ValueError(
            f"`shared` must be a tree like the parameters, or its beginning; got {found}"
        ) from error


def keep(tree: PyTree, shared: PyTree | None, *, others: bool = False) -> PyTree:
    """`tree` with nothing in place of the leaves that are not shared, or, for `others`, that are.

    Args:
        tree: parameters or their gradients.
        shared: the option.
        others: keep those that are not shared.
    """
    chosen = shared_leaves(tree, shared)
    return jax.tree.map(lambda leaf, is_shared: leaf if is_shared != others else None, tree, chosen)


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


def group_gramians(tree: PyTree, groups: Sequence[int]) -> Float[Array, "G K K"]:
    """Inner products of the task gradients in each group."""
    members: list[list[Array]] = [[] for _ in range(max(groups) + 1)]
    for leaf, group in zip(jax.tree.leaves(tree), groups, strict=True):
        members[group].append(leaf)
    return jnp.stack([inner_products(leaves, leaves) for leaves in members])


def group_sums(tree: PyTree, groups: Sequence[int], weights: Float[Array, "G K"]) -> PyTree:
    """sum_k w_k g_k with the weights of the group of each leaf."""
    leaves, structure = jax.tree.flatten(tree)
    sums = [weighted_sum(leaf, weights[group]) for leaf, group in zip(leaves, groups, strict=True)]
    return jax.tree.unflatten(structure, sums)
