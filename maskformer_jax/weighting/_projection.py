"""Gradients changed pair by pair, in random order, as coefficients on the task gradients."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt

from maskformer_jax.weighting._gramian import Gramian, norms, reciprocal


def random_orders(key: UInt[Array, " W"], num_tasks: int) -> Int[Array, "K others"]:
    """For each task, independently, a random permutation of the other tasks."""
    others = (jnp.arange(num_tasks)[:, None] + jnp.arange(1, num_tasks)) % num_tasks
    return jax.random.permutation(key, others, axis=1, independent=True)


def sum_of_units(coefficients: Float[Array, "K K"], gramian: Gramian) -> Float[Array, " K"]:
    """Weights w with sum_k w_k g_k = sum_i |g_i| sum_k a_ik g_k/|g_k|.

    Args:
        coefficients: a_ik, changed gradient i in units of task gradient k, both of length 1.
        gramian: inner products of the task gradients.
    """
    lengths = norms(gramian)
    ratios = lengths[:, None] * reciprocal(lengths)
    # A gradient's own length cancels, also where it is zero.
    ratios = jnp.where(jnp.eye(len(lengths), dtype=bool), 1.0, ratios)
    return (coefficients * ratios).sum(0)
