"""K losses and the gradient of each, from one forward pass."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting.reverse_pass import Pullback, fill_rows, gradients_by_loss

# `losses_fn(params, *data)`: [K], or scalars by name; with `has_aux` in a pair with something else.
LossesFn = Callable[..., Any]


class Forward(NamedTuple):
    """A forward pass, and the ways back from it.

    Attributes:
        losses: of a mapping in the order of its sorted keys.
        pull: from the cotangent of the losses to a gradient.
        pull_apart: the same from one cotangent per loss.
        apart: False if the losses come as one array.
        names: of the losses; none: they have none.
        aux: what came beside the losses.
    """

    losses: Float[Array, " K"]
    pull: Callable[[Float[Array, " K"]], PyTree]
    pull_apart: Pullback
    apart: bool
    names: tuple[str, ...] | None
    aux: PyTree


def forward(
    losses_fn: LossesFn, params: PyTree, *data: PyTree, has_aux: bool = False, **more: Any
) -> Forward:
    """Calls `losses_fn` once.

    Raises:
        ValueError: it returns neither a vector nor scalars.
    """

    def pair(params: PyTree) -> tuple[PyTree, PyTree]:
        found = losses_fn(params, *data, **more)
        losses, aux = found if has_aux else (found, None)
        # An OrderedDict would keep an order of its own.
        return dict(losses) if isinstance(losses, Mapping) else losses, aux

    found, pull, aux = jax.vjp(pair, params, has_aux=True)
    if isinstance(found, jax.Array) and found.ndim == 1:

        def pull_vector(cotangent: Float[Array, " K"]) -> PyTree:
            return pull(cotangent)[0]

        return Forward(found, pull_vector, lambda x: pull_vector(jnp.stack(x)), False, None, aux)
    leaves, tree = jax.tree.flatten(found)
    rule = "return a vector of losses, or scalars by name (with `has_aux` in a pair)"
    shapes = [jnp.shape(leaf) for leaf in leaves]
    check.option(leaves != [] and not any(shapes), "losses_fn", rule, f"shapes {shapes}")
    is_flat = not isinstance(found, Mapping) or len(leaves) == len(found)
    rule = "return one scalar under each name"
    check.option(is_flat, "losses_fn", rule, len(leaves))

    def pull_apart(cotangents: Any) -> PyTree:
        cast = [x.astype(leaf.dtype) for x, leaf in zip(cotangents, leaves, strict=True)]
        return pull(tree.unflatten(cast))[0]

    losses = jnp.stack(leaves)
    names = tuple(map(str, sorted(found))) if isinstance(found, Mapping) else None
    return Forward(losses, lambda x: pull_apart(list(x)), pull_apart, True, names, aux)


def rows_of(found: Forward, *, skip_zeros: bool = True, chunk: int | None = None) -> PyTree:
    """The gradient of every loss, leaves `[K, ...]`; arguments as of `value_and_task_grads`."""
    number = len(found.losses)
    if chunk is None and skip_zeros and found.apart:
        ones = tuple(jnp.ones_like(found.losses))
        return fill_rows(gradients_by_loss(found.pull_apart, ones), number)
    identity = jnp.eye(number, dtype=found.losses.dtype)
    if chunk is None or chunk >= number:
        return jax.vmap(found.pull)(identity)
    return jax.lax.map(found.pull, identity, batch_size=None if chunk == 1 else chunk)


def check_chunk(chunk: int | None) -> None:
    """Raises ValueError unless it is None or a positive integer."""
    if chunk is not None:
        check.integer("chunk", chunk, 1)


def value_and_task_grads(
    losses_fn: LossesFn,
    *,
    has_aux: bool = False,
    skip_zeros: bool = True,
    chunk: int | None = None,
) -> Callable[..., tuple[Any, PyTree]]:
    """A function that returns K losses and the gradient of each, like `jax.value_and_grad` of one.

    One forward pass and one reverse pass. Where the losses come apart, as scalars by name, each
    value of the reverse pass has rows of those losses alone that reach it: K heads on a trunk cost
    K rows in the trunk and one in each head. Of one array all K rows go everywhere.

    Args:
        losses_fn: `losses_fn(params, *data)` returns scalars by name (any tree of scalars), or a
            vector `[K]`. One forward pass makes all losses: one key of dropout for all, one update
            of running statistics, which go into `aux`.
        has_aux: `losses_fn` returns a pair of the losses and anything else.
        skip_zeros: False maps the whole pass over K cotangents in any case, as for a vector.
        chunk: how many losses are pulled back together, with zeros: less memory; none: all.

    Returns:
        `function(params, *data)`, which returns the losses `[K]`, in the order of sorted keys (with
        `has_aux` a pair of them and the rest), and the task gradients: like the parameters, leaves
        `[K, ...]`.

    Raises:
        ValueError: `chunk` is no positive integer; when called, `losses_fn` returns something else.
    """
    check_chunk(chunk)

    def function(params: PyTree, *data: PyTree, **more: Any) -> tuple[Any, PyTree]:
        found = forward(losses_fn, params, *data, has_aux=has_aux, **more)
        rows = rows_of(found, skip_zeros=skip_zeros, chunk=chunk)
        return (found.losses, found.aux) if has_aux else found.losses, rows

    return function
