"""Numbers of vertices and objects, computed inside of the exported function."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

# The number of a vertex is an int8.
MOST_CONSTITUENTS = 127


def ranks(size: Float[Array, "B Q"]) -> Int[Array, "B Q"]:
    """Place of each entry in falling order; of equals the first comes first."""
    place, one, other = jnp.arange(size.shape[1]), size[:, :, None], size[:, None, :]
    before = (other > one) | ((other == one) & (place[None, :] < place[:, None]))
    return before.astype(jnp.int32).sum(-1)


def edge_matrix(values: Float[Array, "B P"], width: Any) -> Float[Array, "B L L"]:
    """Values of the pairs of `pairs_of` in both triangles; 0 on the diagonal."""
    place = jnp.arange(width)
    low = jnp.minimum(place[:, None], place[None, :])
    high = jnp.maximum(place[:, None], place[None, :])
    index = jnp.where(low < high, high * (high - 1) // 2 + low, values.shape[1])
    values = jnp.pad(values, ((0, 0), (0, 1)))
    return values.at[:, index].get(mode="promise_in_bounds")


def vertices(edges: Bool[Array, "B L L"]) -> Int[Array, "B L"]:
    """The first constituent that edges connect each one to, itself if it is the first.

    Squares of the matrix of edges: after k of them it holds all paths of up to 2^k edges.

    At most `MOST_CONSTITUENTS`, and one of padding: the index below has no more entries.
    """
    length = edges.shape[-1]
    reach = jnp.where(edges | jnp.eye(length, dtype=bool), 1.0, 0.0)
    for _ in range(MOST_CONSTITUENTS.bit_length()):
        reach = jnp.where(reach @ reach > 0, 1.0, 0.0)
    limit = np.zeros(MOST_CONSTITUENTS + 1, np.int32)
    refused = jnp.asarray(limit).at[jnp.asarray([length - 1])].get(mode="promise_in_bounds")
    return reach.argmax(-1).astype(jnp.int32) + refused
