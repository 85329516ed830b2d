"""Assignment of object queries to truth objects, and of constituents to queries."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from maskformer_jax.types import Objects

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


def reorder(objects: Objects, query_index: Int[Array, "B M"]) -> Objects:
    """Predictions in the order of the truth objects that they are matched to."""
    return jax.tree.map(lambda x: jnp.take_along_axis(x, query_index[..., None], axis=1), objects)


def mask_index(
    mask_logits: Float[Array, "B M L"],
    class_prob: Float[Array, "B M C"] | None,
    valid: Bool[Array, "B L"],
) -> Int[Array, "B L"]:
    """The one object that each constituent is given to, -1 for none.

    It is the object with the largest mask probability for it, among those whose likeliest class is
    not `none`, provided that this probability is above 1/2.
    """
    logits = mask_logits
    if class_prob is not None:
        real = jnp.argmax(class_prob, axis=-1) < class_prob.shape[-1] - 1
        logits = jnp.where(real[:, :, None], mask_logits, -jnp.inf)
    assigned = (jnp.max(logits, axis=1) > 0) & valid
    return jnp.where(assigned, jnp.argmax(logits, axis=1), -1)
