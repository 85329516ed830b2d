"""What methods need that compare the losses of epochs."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

# Mean losses and arguments of a logarithm below it count as this: ratios stay finite.
SMALLEST_LOSS = 1e-12


def at_least_smallest(losses: Float[Array, " K"]) -> Float[Array, " K"]:
    """The losses, raised to `SMALLEST_LOSS` where they are below it."""
    return jnp.maximum(losses, SMALLEST_LOSS)


def add_to_mean(
    mean: Float[Array, " K"], losses: Float[Array, " K"], position: Int32[Array, ""]
) -> Float[Array, " K"]:
    """Mean over an epoch after the losses of its step `position`, counted from 0, in float32."""
    old = jnp.where(position == 0, 0.0, mean)
    return old + (losses.astype(jnp.float32) - old) / (position + 1).astype(jnp.float32)
