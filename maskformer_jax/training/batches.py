"""Batches of jets as the parts whose gradients are added up, and samples of them."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from maskformer_jax.gradients import Parts
from maskformer_jax.types import Batch, Targets


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
