"""Random loss weighting: weights drawn anew at each step (arXiv 2111.10603)."""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt32

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Seed
from maskformer_jax.weighting._losses import Given, Weighting, from_losses, ones
from maskformer_jax.weighting._method import method

Key = UInt32[Array, "2"]
Active = Bool[Array, " K"]


class RLWState(NamedTuple):
    """State of `rlw`.

    Attributes:
        weights: the last weights.
        key: of the next draw.
    """

    weights: Float[Array, " K"]
    key: Key


def normal(key: Key, active: Active) -> Float[Array, " K"]:
    """softmax of standard normal numbers (Eq. 5.2)."""
    return jax.nn.softmax(jax.random.normal(key, len(active), jnp.float32), where=active)


def uniform(key: Key, active: Active) -> Float[Array, " K"]:
    """softmax of numbers that are uniform between 0 and 1."""
    return jax.nn.softmax(jax.random.uniform(key, len(active), jnp.float32), where=active)


def dirichlet(key: Key, active: Active) -> Float[Array, " K"]:
    """Uniform among all weights with sum 1."""
    found = jax.random.dirichlet(key, ones(len(active)))
    return found / found.sum(where=active)


def bernoulli(key: Key, active: Active) -> Float[Array, " K"]:
    """Each task on or off with equal chance, given that not all are off."""
    now, later = jax.random.split(key)
    tasks = jnp.arange(len(active))
    rank = jnp.where(active, jnp.cumsum(active) - 1, jnp.inf)
    # The first task that is on is k with a chance proportional to 2^-k; those after it are free.
    first = jax.random.categorical(now, -jnp.log(2.0) * rank.astype(jnp.float32))
    others = jax.random.bernoulli(later, 0.5, tasks.shape)
    return ((tasks == first) | ((tasks > first) & others)).astype(jnp.float32)


DISTRIBUTIONS = {
    "normal": normal,
    "uniform": uniform,
    "dirichlet": dirichlet,
    "bernoulli": bernoulli,
}


def weights(
    losses: Float[Array, " K"], state: RLWState, given: Given, *, distribution: str
) -> tuple[Float[Array, " K"], RLWState]:
    """A new draw, and the key of the next one."""
    key, now = jax.random.split(state.key)
    del losses
    values = DISTRIBUTIONS[distribution](now, given.active)
    return values, RLWState(values, key)


@method("loss")
def rlw(
    num_tasks: int,
    *,
    distribution: Literal["normal", "uniform", "dirichlet", "bernoulli"] = "normal",
    seed: Seed = 0,
) -> Weighting:
    """Weighted sum of the losses with weights drawn anew at each step, whatever the losses are.

    In the table of methods `random` is another name of it, which TorchJD has for its default.

    Args:
        num_tasks: number of tasks K.
        distribution: `normal`, w = softmax(z) with z ~ N(0, 1); `uniform`, the same with
            z ~ U(0, 1), which keeps the weights within a factor e of each other; `dirichlet`,
            w ~ Dir(1, ..., 1); `bernoulli`, w in {0, 1}^K with equal chances, never all zero and
            not normalised.
        seed: of the draws, from 0 to 2^32 - 1, or a key.

    Laws: linear in the gradients. The weights add up to 1, except for `bernoulli`.

    Differs from the paper: four of its distributions; of Bernoulli weights, the draw in which all
    tasks are off is left out.

    Source: Lin et al., arXiv 2111.10603; Eq. 5.2 and 5.3 of the thesis.
    """
    check.one_of("distribution", distribution, tuple(DISTRIBUTIONS))
    key = check.key(seed)
    step = partial(weights, distribution=distribution)
    return from_losses("rlw", num_tasks, lambda: RLWState(ones(num_tasks), key), step)
