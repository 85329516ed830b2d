"""What methods are told, checked before anything is traced: one line, the rule and the value."""

import sys
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt


def option(condition: bool, name: str, rule: str, value: object) -> None:
    """Raises ValueError with the option, its rule and its value unless `condition` holds.

    Args:
        condition: whether the rule holds; a value that can't be compared should come as False.
        name: of the keyword argument.
        rule: what it must do, as in "be positive".
        value: what was received.
    """
    if not condition:
        raise ValueError(f"`{name}` must {rule}; got {value!r}")


def num_tasks(number: int) -> None:
    """Raises ValueError unless the number of tasks is a positive integer."""
    fits = isinstance(number, int) and not isinstance(number, bool) and number > 0
    option(fits, "num_tasks", "be a positive integer", number)


def is_number(value: object) -> bool:
    """True for a finite int or float that is no bool."""
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    # No function of floats: an integer may be too large to become one.
    return is_real and bool(abs(value) <= sys.float_info.max)


def number(name: str, value: object, rule: str, holds: Callable[[float], bool]) -> None:
    """Raises ValueError unless `value` is a finite number for which `holds` is true."""
    option(is_number(value) and holds(value), name, rule, value)


def positive(name: str, value: object) -> None:
    """Raises ValueError unless `value` is a finite number above 0."""
    number(name, value, "be a positive number", lambda x: x > 0)


def not_negative(name: str, value: object, rule: str = "be a number of at least 0") -> None:
    """Raises ValueError unless `value` is a finite number of at least 0."""
    number(name, value, rule, lambda x: x >= 0)


def below_one(name: str, value: object) -> None:
    """Raises ValueError unless `value` is a number from 0 to below 1."""
    number(name, value, "be a number from 0 to below 1", lambda x: 0 <= x < 1)


def integer(name: str, value: object, lowest: int = 0, highest: int = 2**31 - 1) -> None:
    """Raises ValueError unless `value` is an integer, and no bool, from `lowest` to `highest`."""
    fits = isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest
    option(fits, name, f"be an integer from {lowest} to {highest}", value)


def true_or_false(name: str, value: object) -> None:
    """Raises ValueError unless `value` is a bool."""
    option(isinstance(value, bool), name, "be true or false", value)


def one_of(name: str, value: object, known: Sequence[object]) -> None:
    """Raises ValueError unless `value` is in `known`, of which it may differ in kind."""
    option(value in known, name, f"be one of {tuple(known)}", value)


def key(seed: int) -> UInt[Array, " W"]:
    """Raw key of a state before the first step.

    Raises:
        ValueError: `seed` is no integer from 0 to 2^32 - 1.
    """
    integer("seed", seed, highest=2**32 - 1)
    return jax.random.PRNGKey(seed)


def values(count: int, name: str, given: Sequence[float]) -> list[float]:
    """Finite floats, one for each of `count` tasks.

    Raises:
        ValueError: another number of values, or one that is not finite.
    """
    num_tasks(count)
    is_list = isinstance(given, Sequence) and not isinstance(given, str) and len(given) == count
    fits = is_list and all(is_number(value) for value in given)
    option(fits, name, f"hold {count} finite values, one per task", given)
    return [float(value) for value in given]


def number_or_values(count: int, name: str, given: Sequence[float] | float) -> list[float]:
    """The same, where a single number stands for all."""
    num_tasks(count)
    return values(count, name, [given] * count if is_number(given) else given)


def preference(
    count: int, given: Sequence[float] | None, total: float | None = None
) -> list[float]:
    """Positive values, one per task; none: ones, or equal values that add up to `total`.

    Raises:
        ValueError: another number of values, or one that is not positive.
    """
    num_tasks(count)
    if given is None:
        return [1.0 if total is None else total / count] * count
    found = values(count, "preference", given)
    option(min(found) > 0, "preference", "hold positive values", found)
    return found


def shares(count: int, given: Sequence[float]) -> list[float]:
    """The option `weights`: values that are not negative and not all zero, one per task.

    Raises:
        ValueError: another number of values, one that is negative, or nothing but zeros.
    """
    found = values(count, "weights", given)
    rule = "hold values that are not negative and not all zero"
    option(min(found) >= 0 and any(found), "weights", rule, found)
    return found


def ray(count: int, given: Sequence[float] | None) -> list[float]:
    """Such weights as a direction of losses; none: the same for all."""
    num_tasks(count)
    return shares(count, [1.0 / count] * count if given is None else given)


def losses(
    method: str, count: int, given: Float[Array, " K"] | None, *, lowest: float | None = None
) -> Float[Array, " K"]:
    """The losses, one per task, which `method` can't do without.

    Args:
        method: its name, for the message.
        count: number of tasks K.
        given: unweighted losses.
        lowest: smallest value allowed; checked where the values are known, outside `jit`.

    Raises:
        ValueError: no losses, another number of them, or one below `lowest`.
    """
    if given is None:
        raise ValueError(
            f"`losses` must be given to {method}: update(..., losses=losses); got None"
        )
    given = jnp.asarray(given)
    if given.shape != (count,):
        raise ValueError(f"`losses` must have shape ({count},); got shape {given.shape}")
    if lowest is not None and not isinstance(given, jax.core.Tracer):
        # They may be constants of a function that is being traced.
        with jax.ensure_compile_time_eval():
            too_small = bool((given < lowest).any())
        if too_small:
            raise ValueError(f"`losses` of {method} must be at least {lowest:g}; got {given}")
    return given
