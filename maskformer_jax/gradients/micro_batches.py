"""A batch in parts of the same shape, one after the other: sums over those that are used.

Losses are sums of terms divided by the sum of their weights in the whole batch, so that any number
of parts gives the same losses and gradients, and only the activations of one are in memory at a
time. Parts that are not used cost nothing.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from maskformer_jax.gradients.reverse_pass import Pullback


class LossSums(NamedTuple):
    """Losses as sums and weights, so that batches add up to the exact mean over a file.

    Attributes:
        total: sum of the terms of each loss.
        count: sum of their weights.
    """

    total: Float[Array, "*K"]
    count: Float[Array, "*K"]

    def mean(self) -> Float[Array, "*K"]:
        """The losses; zero for one without a term, such as that of objects in an empty batch."""
        there = self.count > 0
        return jnp.where(there, self.total / jnp.where(there, self.count, 1.0), 0.0)


SumsOf = Callable[[PyTree, PyTree], Sequence[LossSums]]


class Parts(NamedTuple):
    """A batch.

    Attributes:
        tree: leaves `[parts, ...]`.
        used: number of parts that hold something; they come first. Of each half, where a method
            needs two batches.
    """

    tree: PyTree
    used: Int[Array, "*halves"]

    def number(self) -> int:
        """Parts that there are."""
        return jax.tree.leaves(self.tree)[0].shape[0]

    def part(self, index: int | Int[Array, ""]) -> PyTree:
        """One of them."""
        return jax.tree.map(lambda x: x[index], self.tree)


def add_up(function: Callable[[PyTree], PyTree], parts: Parts) -> PyTree:
    """Sum of `function(part)` over the parts that are used."""
    if parts.number() == 1:
        return function(parts.part(0))
    shapes = jax.eval_shape(function, parts.part(0))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    return jax.lax.fori_loop(
        0, parts.used, lambda i, total: optax.tree.add(total, function(parts.part(i))), zeros
    )


def known_before(function: Callable[[PyTree], PyTree], parts: Parts) -> Callable[[PyTree], PyTree]:
    """What is needed of the whole batch before the backward pass of its first part.

    Where one part is used, which is the rule, it comes from the same forward pass as the gradients,
    and otherwise from a forward pass over all of them.

    Args:
        function: what is added up over the parts.
        parts: the batch.

    Returns:
        `of_batch(of_part)`: the sum over the batch, given the value of `function` for a part.
    """
    if parts.number() == 1:
        return lambda of_part: of_part
    several = parts.used > 1
    total = add_up(function, parts._replace(used=jnp.where(several, parts.used, 0)))
    return lambda of_part: jax.tree.map(partial(jnp.where, several), total, of_part)


def sums_before(sums_of: SumsOf, params: PyTree, parts: Parts) -> Callable[[LossSums], LossSums]:
    """`known_before` for the losses."""
    return known_before(lambda part: stacked(sums_of(params, part)), parts)


def counts_before(sums_of: SumsOf, params: PyTree, parts: Parts) -> Callable[[Array], Array]:
    """`known_before` for the counts; no parameter decides them: the compiler drops the network."""
    return known_before(lambda part: stacked(sums_of(params, part)).count, parts)


def stacked(sums: Sequence[LossSums]) -> LossSums:
    """The losses as vectors `[K]`."""
    return jax.tree.map(lambda *x: jnp.stack(x), *sums)


def losses(sums_of: SumsOf, params: PyTree, parts: Parts) -> Float[Array, " K"]:
    """The losses alone, by forward passes."""
    return add_up(lambda part: stacked(sums_of(params, part)), parts).mean()


def cotangents(count: Float[Array, " K"]) -> Float[Array, " K"]:
    """Of the totals: derivatives of `LossSums.mean`."""
    return LossSums(jnp.ones_like(count), count).mean()


def sums_and_pullback(sums_of: SumsOf, params: PyTree, part: PyTree) -> tuple[LossSums, Pullback]:
    """Losses of a part, and the function from cotangents of their totals to gradients."""

    def totals(params: PyTree) -> tuple[tuple[Array, ...], Array]:
        sums = sums_of(params, part)
        return tuple(x.total for x in sums), jnp.stack([x.count for x in sums])

    total, pull, count = jax.vjp(totals, params, has_aux=True)
    return LossSums(jnp.stack(total), count), lambda cotangents: pull(tuple(cotangents))[0]
