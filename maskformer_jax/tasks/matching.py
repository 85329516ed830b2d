"""Assignment of object queries to truth objects: cost matrix in, permutation out."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

# Up to 5 x 5 the 120 permutations are faster to enumerate than the Hungarian algorithm is to run.
LARGEST_ENUMERATION = 5


def assign(cost: Float[Array, "B Q M"]) -> Int[Array, "B M"]:
    """Query of each truth object in the cheapest assignment of different queries to all objects.

    Exact. A NaN cost gives some assignment; the losses that are computed with it are NaN too.

    Args:
        cost: pairwise costs, Q >= M; a truth object that is padding has a column of equal costs.

    Raises:
        ValueError: there are fewer queries than truth objects.

    Source: bipartite matching of DETR (arXiv 2005.12872), Eq. 1.
    """
    num_queries, num_objects = cost.shape[-2:]
    if num_queries < num_objects:
        raise ValueError(
            f"`cost` must have at least as many queries as objects; got {num_queries} queries "
            f"for {num_objects} objects"
        )
    if num_queries <= LARGEST_ENUMERATION:
        return _enumerate(cost)
    return jax.vmap(_hungarian)(cost)


def _enumerate(cost: Float[Array, "B Q M"]) -> Int[Array, "B M"]:
    num_queries, num_objects = cost.shape[-2:]
    choices = np.array(list(itertools.permutations(range(num_queries), num_objects)), np.int32)
    totals = cost[:, choices, np.arange(num_objects)].sum(-1)
    return jnp.asarray(choices)[totals.argmin(-1)]


def _hungarian(cost: Float[Array, "Q M"]) -> Int[Array, " M"]:
    query_index, object_index = optax.assignment.hungarian_algorithm(cost)
    return jnp.zeros(cost.shape[-1], jnp.int32).at[object_index].set(query_index)
