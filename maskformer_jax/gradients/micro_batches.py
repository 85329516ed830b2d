"""A batch in parts of the same shape, one after the other: sums over those that are used.

Losses are sums of terms divided by the sum of their weights in the whole batch, so that any number
of parts gives the same losses and gradients, and only the activations of one are in memory at a
time. Parts that are not used cost nothing.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from maskformer_jax.weighting.reverse_pass import Pullback, fill_rows, gradients_by_loss


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


Backward = Literal["vmap", "map"]
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


class LossGradients(NamedTuple):
    """Losses of a batch as sums, and their gradients.

    Attributes:
        sums: the losses.
        gradients: leaves `[K, ...]`.
    """

    sums: LossSums
    gradients: PyTree


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

    Returns:
        `of_batch(of_part)`: the sum of `function(part)` over the batch, given that of this part.
    """
    if parts.number() == 1:
        return lambda of_part: of_part
    several = parts.used > 1
    total = add_up(function, parts._replace(used=jnp.where(several, parts.used, 0)))
    return lambda of_part: jax.tree.map(partial(jnp.where, several), total, of_part)


def counts_before(sums_of: SumsOf, params: PyTree, parts: Parts) -> Callable[[Array], Array]:
    """`known_before` for the counts; no parameter decides them: the compiler drops the network."""
    return known_before(lambda part: stacked_of(sums_of, params)(part).count, parts)


def stacked(sums: Sequence[LossSums]) -> LossSums:
    """Losses one by one as vectors `[K]`."""
    return jax.tree.map(lambda *x: jnp.stack(x), *sums)


def stacked_of(sums_of: SumsOf, params: PyTree) -> Callable[[PyTree], LossSums]:
    """The losses of a part as vectors `[K]`."""
    return lambda part: stacked(sums_of(params, part))


def losses(sums_of: SumsOf, params: PyTree, parts: Parts) -> Float[Array, " K"]:
    """The losses alone, by forward passes."""
    return add_up(stacked_of(sums_of, params), parts).mean()


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


def gradients_of_losses(
    sums_of: SumsOf, params: PyTree, parts: Parts, backward: Backward = "vmap"
) -> LossGradients:
    """The gradient of every loss, from one forward pass; arguments as of `weighted_gradient`."""
    counts_of_batch = counts_before(sums_of, params, parts)

    def pull_back(part: PyTree) -> tuple[LossSums, PyTree]:
        sums, pull = sums_and_pullback(sums_of, params, part)
        starts = cotangents(counts_of_batch(sums.count))
        if backward == "map":
            return sums, jax.lax.map(pull, jnp.diag(starts))
        return sums, gradients_by_loss(pull, tuple(starts))

    sums, gradients = add_up(pull_back, parts)
    return LossGradients(sums, fill_rows(gradients, len(sums.count)))
