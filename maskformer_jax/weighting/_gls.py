"""Geometric loss strategy: the geometric mean of the losses (arXiv 1904.08492)."""

from collections.abc import Sequence
from functools import partial

import jax.numpy as jnp
from jaxtyping import Array, Float

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Number
from maskformer_jax.weighting._losses import Given, Weighting, from_losses, plain
from maskformer_jax.weighting._method import method


def weights(
    losses: Float[Array, " K"], given: Given, *, focus: Sequence[bool], eps: Number
) -> Float[Array, " K"]:
    """w_k = S a_k / (L_k + eps), S = prod_k (L_k + eps)^a_k, a_k = 1/K + [k in F]/m (Eq. 5.1)."""
    one = given.active.astype(losses.dtype)
    focused = one * jnp.asarray(focus)
    powers = one / jnp.maximum(one.sum(), 1) + focused / jnp.maximum(focused.sum(), 1)
    shifted = losses + eps
    total = jnp.exp(jnp.sum(powers * jnp.log(shifted)))
    return total * powers / shifted


def check_focus(num_tasks: int, focus: Sequence[int] | None) -> list[int]:
    """Numbers of the tasks in focus, none by default.

    Raises:
        ValueError: no list of different task numbers, or an empty one.
    """
    if focus is None:
        return []
    is_list = isinstance(focus, Sequence) and not isinstance(focus, str)
    tasks = [k for k in focus if type(k) is int and 0 <= k < num_tasks] if is_list else []
    different = is_list and len(set(tasks)) == len(tasks) == len(focus) > 0
    rule = f"list different tasks, as numbers from 0 to {num_tasks - 1}"
    check.option(different, "focus", rule, focus)
    return tasks


@method("loss", weights_follow_losses=True, per_loss={"focus": "names"})
def gls(num_tasks: int, *, focus: Sequence[int] | None = None, eps: Number = 1e-8) -> Weighting:
    """Geometric mean of the losses: S = (prod_k L_k)^(1/K).

    w_k = dS/dL_k = S/(K L_k), so that a task counts the same whatever the scale of its loss. With
    a focus set F of m tasks (focused loss strategy) S is that mean times the geometric mean over F:
    w_k = S (1/K + [k in F]/m)/L_k. Everywhere L_k + eps stands for L_k.

    Args:
        num_tasks: number of tasks K.
        focus: numbers of the tasks that count twice over, from 0; none: no focus.
        eps: positive; keeps a loss of zero from hiding all other tasks. A loss far below it weighs
            as little as one of that size.

    Raises:
        ValueError: outside `jit`, a loss is negative.

    Laws: linear in the gradients; equivariant under permutations of the tasks. A factor of one loss
    is one of the whole update: it does not change the relation of the tasks.

    Differs from the paper: `eps`. LibMTL computes the same update and logs other weights.

    Source: Chennupati et al., MultiNet++, arXiv 1904.08492; Eq. 5.1 and, with a focus, 6.1 of the
    thesis.
    """
    eps = check.positive("eps", eps)
    focused = check_focus(num_tasks, focus)
    how = {"focus": [k in focused for k in range(num_tasks)], "eps": eps}
    step = plain(num_tasks, partial(weights, **how))
    return from_losses("gls", num_tasks, *step, lowest=0.0)
