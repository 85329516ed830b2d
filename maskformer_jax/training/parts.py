"""A batch in parts of the same shape, one after the other: sums over those that are used.

Losses are sums over jets, tracks or objects divided by their number in the whole batch, so that any
number of parts gives the same losses and gradients, and only the activations of one are in memory
at a time. Parts that are not used cost nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from maskformer_jax.tasks import LossSums
from maskformer_jax.training.pullback import Pullback
from maskformer_jax.types import Batch, Targets

SumsOf = Callable[[PyTree, PyTree], Sequence[LossSums]]


class Parts(NamedTuple):
    """A batch.

    Attributes:
        tree: leaves `[parts, ...]`.
        used: number of parts that hold something; they come first.
    """

    tree: PyTree
    used: Int[Array, ""]

    def number(self) -> int:
        """Parts that there are."""
        return jax.tree.leaves(self.tree)[0].shape[0]

    def part(self, index: int | Int[Array, ""]) -> PyTree:
        """One of them."""
        return jax.tree.map(lambda x: x[index], self.tree)


def used_parts(batch: Batch, targets: Targets) -> Iterator[tuple[Batch, Targets]]:
    """The parts of a batch that hold jets, one by one."""
    for part in np.flatnonzero(np.asarray(batch.jet_valid).any(axis=1)):
        yield Batch(*(x[part] for x in batch)), Targets(*(x[part] for x in targets))


def parts_of(batch: Batch, targets: Targets, halves: int = 1) -> Parts:
    """The batch, the targets and the numbers of the parts, as keys of the dropout.

    Args:
        batch: leaves `[parts, ...]`.
        targets: the same.
        halves: with 2, `used` is that of each half.
    """
    used = batch.jet_valid.any(axis=1).reshape(halves, -1).sum(1)
    index = jnp.arange(len(batch.jet_valid))
    return Parts((batch, targets, index), used if halves > 1 else used[0])


def sample_of(
    batch: Batch, targets: Targets, fraction: float, spread: int | None = None
) -> Parts | None:
    """Some rows of tracks with their jets, of as few parts as hold them; none for all of them.

    Each part that a batch is spread over has its share of long and of short jets, and rows come in
    random order. Some rows of the first are a fair sample, in one program of a size worth running.

    Args:
        batch: leaves `[parts, ...]`.
        targets: the same.
        fraction: of the rows of the parts that a batch is spread over, rounded to at least one.
        spread: number of these parts, which come first; none: not known, rows of every part that
            is used are taken.
    """
    num_parts, num_rows = batch.tracks.shape[:2]
    if spread is None:
        spread = first = num_parts
        number = max(round(fraction * num_rows), 1)
    else:
        rows = max(round(fraction * spread * num_rows), 1)
        first = -(-rows // num_rows)
        number = round(rows / first)
    if (first, number) == (spread, num_rows):
        return None
    chosen = np.arange(number) * num_rows // number

    def thin(x: Array) -> Array:
        by_row = x[:first].reshape(first, num_rows, -1, *x.shape[2:])
        return by_row[:, chosen].reshape(first, -1, *x.shape[2:])

    (_, _, index), used = parts_of(batch, targets)
    tree = (*jax.tree.map(thin, (batch, targets)), index[:first])
    return Parts(tree, jnp.minimum(used, first))


def add_up(function: Callable[[PyTree], PyTree], parts: Parts) -> PyTree:
    """Sum of `function(part)` over the parts that are used."""
    if parts.number() == 1:
        return function(parts.part(0))
    shapes = jax.eval_shape(function, parts.part(0))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    return jax.lax.fori_loop(
        0, parts.used, lambda i, total: optax.tree.add(total, function(parts.part(i))), zeros
    )


def add_up_several(function: Callable[[PyTree], PyTree], parts: Parts) -> PyTree | None:
    """The same where more than one part is used, otherwise zeros; none if there is only one."""
    if parts.number() == 1:
        return None
    several = jnp.where(parts.used > 1, parts.used, 0)
    return add_up(function, parts._replace(used=several))


def whole(parts: Parts, of_part: PyTree, of_several: PyTree | None) -> PyTree:
    """Of the whole batch: what belongs to its only part, or what `add_up_several` gave.

    A method that needs sums over the batch before the backward pass of its first part gets them in
    the same forward pass where one part is used, which is the rule, and from a forward pass over
    all of them otherwise.
    """
    if of_several is None:
        return of_part
    return jax.tree.map(partial(jnp.where, parts.used > 1), of_several, of_part)


def stacked(sums: Sequence[LossSums]) -> LossSums:
    """The losses as vectors `[K]`."""
    return jax.tree.map(lambda *x: jnp.stack(x), *sums)


def counts(sums_of: SumsOf, params: PyTree, parts: Parts) -> Float[Array, " K"] | None:
    """Counts of several parts; the targets decide them, so that the compiler drops the model."""
    return add_up_several(lambda part: stacked(sums_of(params, part)).count, parts)


def per_term(count: Float[Array, " K"]) -> Float[Array, " K"]:
    """Derivative of `LossSums.mean` with respect to the totals."""
    return LossSums(jnp.ones_like(count), count).mean()


def vjp(sums_of: SumsOf, params: PyTree, part: PyTree) -> tuple[LossSums, Pullback]:
    """Losses of a part, and the function from cotangents of their totals to gradients."""

    def totals(params: PyTree) -> tuple[tuple[Array, ...], Array]:
        sums = sums_of(params, part)
        return tuple(x.total for x in sums), jnp.stack([x.count for x in sums])

    total, pull, count = jax.vjp(totals, params, has_aux=True)
    return LossSums(jnp.stack(total), count), lambda cotangents: pull(tuple(cotangents))[0]
