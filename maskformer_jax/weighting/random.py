"""Random loss weighting with the normal distribution (arXiv 2111.10603)."""

import optax

from maskformer_jax.weighting.rlw import rlw


def random(num_tasks: int, *, seed: int = 0) -> optax.GradientTransformationExtraArgs:
    """Weighted sum of the losses with w = softmax(z), z ~ N(0, 1) anew at each step.

    The same as `rlw` with its default distribution, under the name that other libraries use.

    Args:
        num_tasks: number of tasks K.
        seed: of the draws, from 0 to 2^32 - 1.

    Returns:
        A transformation that takes task gradients `[K, ...]` and returns `sum_k w_k g_k`. Family
        `loss`: its `update` requires `losses`, of which it reads the number alone.

    State:
        `RLWState`: the last weights, and the key of the next draw.

    Raises:
        ValueError: `num_tasks` is not positive, or `seed` breaks its rule.

    Laws: linear in the gradients. The weights add up to 1.

    Source: Lin et al., arXiv 2111.10603; TorchJD calls it Random.
    """
    return rlw(num_tasks, distribution="normal", seed=seed)
