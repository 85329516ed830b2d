"""What the methods share: checks of their arguments, and the weighted sum of task gradients."""

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree, UInt

# Added to losses that gradients are divided by.
LOSS_EPS = 1e-8


class WeightsState(NamedTuple):
    """State of a method that remembers nothing.

    Attributes:
        weights: the last weights, for the log.
    """

    weights: Float[Array, " K"]


def ones_state(num_tasks: int) -> Callable[[], WeightsState]:
    """Makes the state of a method that remembers nothing, with weights of one."""
    return lambda: WeightsState(jnp.ones(num_tasks, jnp.float32))


def check_num_tasks(num_tasks: int) -> None:
    """Raises ValueError unless `num_tasks` is a positive integer."""
    if not isinstance(num_tasks, int) or isinstance(num_tasks, bool) or num_tasks < 1:
        raise ValueError(f"`num_tasks` must be a positive integer; got {num_tasks!r}")


def check_option(condition: bool, option: str, rule: str, value: object) -> None:
    """Raises ValueError with the option, its rule and its value unless `condition` holds.

    Args:
        condition: whether the rule holds; a value that can't be compared should come as False.
        option: name of the keyword argument.
        rule: what it must do, as in "be positive".
        value: what was received.
    """
    if not condition:
        raise ValueError(f"`{option}` must {rule}; got {value!r}")


def is_number(value: object) -> bool:
    """True for a finite int or float that is no bool."""
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    # No function of floats: an integer may be too large to become one.
    return is_real and bool(abs(value) <= sys.float_info.max)


def check_positive(option: str, value: object) -> None:
    """Raises ValueError unless `value` is a finite number above 0."""
    check_option(is_number(value) and value > 0, option, "be a positive number", value)


def check_not_negative(option: str, value: object) -> None:
    """Raises ValueError unless `value` is a finite number of at least 0."""
    check_option(is_number(value) and value >= 0, option, "be a number of at least 0", value)


def check_integer(option: str, value: object, lowest: int = 0, highest: int = 2**31 - 1) -> None:
    """Raises ValueError unless `value` is an integer, and no bool, from `lowest` to `highest`."""
    fits = isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest
    check_option(fits, option, f"be an integer from {lowest} to {highest}", value)


def first_key(seed: int) -> UInt[Array, " W"]:
    """Raw key of a state before the first step.

    Raises:
        ValueError: `seed` is no integer from 0 to 2^32 - 1.
    """
    check_integer("seed", seed, highest=2**32 - 1)
    return jax.random.PRNGKey(seed)


def check_values(num_tasks: int, option: str, values: Sequence[float]) -> list[float]:
    """`values` as finite floats, one per task.

    Raises:
        ValueError: another number of values, or one that is not finite.
    """
    rule = f"hold {num_tasks} finite values, one per task"
    is_list = isinstance(values, Sequence) and not isinstance(values, str)
    check_option(is_list and len(values) == num_tasks, option, rule, values)
    check_option(all(is_number(value) for value in values), option, rule, values)
    return [float(value) for value in values]


def check_number_or_values(
    num_tasks: int, option: str, values: Sequence[float] | float
) -> list[float]:
    """One finite number per task; a single one stands for all.

    Raises:
        ValueError: another number of values, or one that is not finite.
    """
    return check_values(num_tasks, option, [values] * num_tasks if is_number(values) else values)


def check_preference(
    num_tasks: int, preference: Sequence[float] | None, default: float = 1.0
) -> list[float]:
    """Positive values, one per task, or `default` for all of them.

    Raises:
        ValueError: another number of values, or one that is not positive.
    """
    if preference is None:
        return [default] * num_tasks
    values = check_values(num_tasks, "preference", preference)
    check_option(min(values) > 0, "preference", "hold positive values", values)
    return values


def check_shares(num_tasks: int, option: str, values: Sequence[float]) -> list[float]:
    """Values that are not negative and not all zero, one per task.

    Raises:
        ValueError: another number of values, one that is negative, or nothing but zeros.
    """
    shares = check_values(num_tasks, option, values)
    rule = "hold values that are not negative and not all zero"
    check_option(min(shares) >= 0 and any(shares), option, rule, shares)
    return shares


def check_losses(
    name: str, num_tasks: int, losses: Float[Array, " K"] | None, *, lowest: float | None = None
) -> Float[Array, " K"]:
    """The losses, one per task, which `name` can't do without.

    Args:
        name: of the method, for the message.
        num_tasks: number of tasks K.
        losses: unweighted losses.
        lowest: smallest value allowed; checked where the values are known, outside `jit`.

    Raises:
        ValueError: no losses, another number of them, or one below `lowest`.
    """
    if losses is None:
        raise ValueError(f"`losses` must be given to {name}: update(..., losses=losses); got None")
    losses = jnp.asarray(losses)
    if losses.shape != (num_tasks,):
        raise ValueError(f"`losses` must have shape ({num_tasks},); got shape {losses.shape}")
    if lowest is not None and not isinstance(losses, jax.core.Tracer) and (losses < lowest).any():
        raise ValueError(f"`losses` of {name} must be at least {lowest:g}; got {losses}")
    return losses


def check_rows(num_tasks: int, task_grads: PyTree, argument: str = "task_grads") -> None:
    """Raises ValueError where a leaf has no leading task axis of length `num_tasks`."""
    for leaf in jax.tree.leaves(task_grads):
        if leaf.ndim == 0 or leaf.shape[0] != num_tasks:
            raise ValueError(
                f"`{argument}` must have a leading task axis of length {num_tasks}; "
                f"got a leaf of shape {leaf.shape}"
            )


def sum_dtype(dtype: jnp.dtype) -> jnp.dtype:
    """Type of sums over values of `dtype`: float32, or float64 for float64."""
    return jnp.promote_types(dtype, jnp.float32)


def weighted_sum(task_grads: PyTree, weights: Float[Array, " K"]) -> PyTree:
    """sum_k w_k g_k of leaves `[K, ...]`: summed in float32 at least, returned in their own type.

    Raises:
        ValueError: a leaf has no leading task axis of length K.
    """
    check_rows(weights.shape[0], task_grads)

    def combine(leaf: Array) -> Array:
        dtype = sum_dtype(leaf.dtype)
        total = jnp.tensordot(
            weights.astype(dtype), leaf.astype(dtype), axes=1, precision="highest"
        )
        return total.astype(leaf.dtype)

    return jax.tree.map(combine, task_grads)


def separate(state: PyTree) -> PyTree:
    """`state` in arrays that nothing else holds, so that it can be donated to a jitted step."""
    return jax.tree.map(jnp.copy, state)


Scalarisation = Callable[..., tuple[Float[Array, " K"], PyTree]]


def from_losses(
    name: str,
    num_tasks: int,
    initial: Callable[[], PyTree],
    weights: Scalarisation,
    *,
    lowest: float | None = None,
) -> optax.GradientTransformationExtraArgs:
    """A method of family `loss` from the derivative of its scalarisation.

    Args:
        name: of the method, for messages.
        num_tasks: number of tasks K.
        initial: makes the state before the first step.
        weights: `weights(losses, state, **extra) -> (weights, state)`, the weights being dS/dL;
            `losses` come as float32, or as float64 where they are.
        lowest: smallest loss allowed.

    Returns:
        A transformation whose `update` requires `losses` and returns sum_k w_k g_k.
    """

    def init(params: PyTree) -> PyTree:
        del params
        return separate(initial())

    def update(
        task_grads: PyTree,
        state: PyTree,
        params: PyTree | None = None,
        *,
        losses: Float[Array, " K"] | None = None,
        **extra,
    ) -> tuple[PyTree, PyTree]:
        del params
        check_rows(num_tasks, task_grads)
        losses = check_losses(name, num_tasks, losses, lowest=lowest)
        losses = losses.astype(sum_dtype(losses.dtype))
        values, state = weights(losses, state, **extra)
        return weighted_sum(task_grads, values), state

    return optax.GradientTransformationExtraArgs(init, update)
