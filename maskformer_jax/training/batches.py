"""Batches of jets as the parts whose gradients are added up, and samples of them."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from maskformer_jax.gradients import Parts
from maskformer_jax.types import Batch, Labels, Pairs


def used_parts(batch: Batch, labels: Labels) -> Iterator[tuple[Batch, Labels]]:
    """The parts of a batch that hold jets, one by one."""
    for part in np.flatnonzero(np.asarray(batch.jet_valid).any(axis=1)):
        yield jax.tree.map(lambda x, at=part: x[at], (batch, labels))


def parts_of(batch: Batch, labels: Labels, halves: int = 1) -> Parts:
    """The batch, the labels and the numbers of the parts, as keys of the dropout.

    Args:
        batch: leaves `[parts, ...]`.
        labels: the same.
        halves: with 2, `used` is that of each half.
    """
    used = batch.jet_valid.any(axis=1).reshape(halves, -1).sum(1)
    index = jnp.arange(len(batch.jet_valid))
    return Parts((batch, labels, index), used if halves > 1 else used[0])


def sample_of(
    batch: Batch, labels: Labels, fraction: float, spread: int | None = None
) -> Parts | None:
    """Some rows with their jets, of as few parts as hold them; none for all of them.

    Each part that a batch is spread over has its share of long and of short jets, and rows come in
    random order. Some rows of the first are a fair sample, in one program of a size worth running.

    Args:
        batch: leaves `[parts, ...]`.
        labels: the same.
        fraction: of the rows of the parts that a batch is spread over, rounded to at least one.
        spread: number of these parts, which come first; none: not known, rows of every part that
            is used are taken.
    """
    num_parts, num_rows = _rows(batch)
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

    (_, _, index), used = parts_of(batch, labels)
    thinned, labels = jax.tree.map(thin, (batch._replace(pairs={}), labels))
    pairs = {
        name: _thin_pairs(jax.tree.map(lambda x: x[:first], some), num_rows, chosen, width)
        for name, some in batch.pairs.items()
        for width in [batch.streams[name].values.shape[2]]
    }
    tree = (thinned._replace(pairs=pairs), labels, index[:first])
    return Parts(tree, jnp.minimum(used, first))


def _thin_pairs(pairs: Pairs, num_rows: int, chosen: np.ndarray, width: int) -> Pairs:
    """The pairs of the chosen rows of each part, all of them one group."""
    rows_of_group = num_rows // pairs.valid.shape[1]
    new_row = np.full(num_rows, -1)
    new_row[chosen] = np.arange(len(chosen))
    begin = rows_of_group * jnp.arange(pairs.valid.shape[1])[:, None]

    def moved(place: Array) -> tuple[Array, Array]:
        row = jnp.asarray(new_row)[begin + place // width]
        return row * width + place % width, row >= 0

    (first, is_chosen), (second, _) = moved(pairs.first), moved(pairs.second)
    valid = pairs.valid & is_chosen
    shape = (len(valid), 1, -1)
    kept = (jnp.where(valid, first, 0), jnp.where(valid, second, 0), valid)
    return Pairs(*(x.reshape(shape) for x in kept))


def _rows(batch: Batch) -> tuple[int, int]:
    """Parts, and rows of a part; without a stream a row is a jet."""
    for stream in batch.streams.values():
        return stream.values.shape[:2]
    return batch.jet_valid.shape
