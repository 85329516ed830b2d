"""What methods are told, checked before anything is traced: one line, the rule and the value."""

import operator
import sys
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped, UInt

# What options may be beside Python's own numbers: NumPy's and JAX's, whose values may be traced.
Number = float | jnp.number | Shaped[Array, ""]
Values = Sequence[float] | Shaped[Array, " K"]
# An integer, or a key of `jax.random`.
Seed = int | jnp.integer | Shaped[Array, "..."]


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


def num_tasks(number: int) -> int:
    """The number of tasks, as Python's own integer.

    Raises:
        ValueError: it is no positive integer.
    """
    rule = "be a positive integer"
    if isinstance(number, jax.Array):
        rule += ", and no array: name it in `static_args` of optax.inject_hyperparams"
    found = index(None if isinstance(number, jax.Array) else number)
    option(found is not None and found > 0, "num_tasks", rule, number)
    return found


def index(value: object) -> int | None:
    """The integer that Python, NumPy or JAX holds; None for anything else."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def is_traced(value: object) -> bool:
    """Whether its numbers are not known yet: rules are for those that are."""
    return isinstance(value, jax.core.Tracer)


def is_number(value: object) -> bool:
    """True for a finite int or float that is no bool."""
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    # No function of floats: an integer may be too large to become one.
    return is_real and bool(abs(value) <= sys.float_info.max)


def number(name: str, value: Number, rule: str, holds: Callable[[float], bool]) -> Number:
    """A finite number for which `holds` is true, or a traced one.

    Raises:
        ValueError: it is something else.
    """
    if is_traced(value) and value.ndim == 0:
        return value
    found = _item(value)
    option(is_number(found) and holds(found), name, rule, value)
    return found


def _item(value: object) -> object:
    """Python's own number in place of an array or a scalar of NumPy's or JAX's."""
    has_one = getattr(value, "ndim", None) == 0 and not is_traced(value)
    return value.item() if has_one else value


def positive(name: str, value: Number) -> Number:
    """A finite number above 0."""
    return number(name, value, "be a positive number", lambda x: x > 0)


def not_negative(name: str, value: Number, rule: str = "be a number of at least 0") -> Number:
    """A finite number of at least 0."""
    return number(name, value, rule, lambda x: x >= 0)


def below_one(name: str, value: Number) -> Number:
    """A number from 0 to below 1."""
    return number(name, value, "be a number from 0 to below 1", lambda x: 0 <= x < 1)


def integer(name: str, value: object, lowest: int = 0, highest: int = 2**31 - 1) -> int:
    """An integer, and no bool, from `lowest` to `highest`."""
    found = index(value)
    fits = found is not None and lowest <= found <= highest
    option(fits, name, f"be an integer from {lowest} to {highest}", value)
    return found


def true_or_false(name: str, value: object) -> None:
    """Raises ValueError unless `value` is a bool."""
    option(isinstance(value, bool), name, "be true or false", value)


def one_of(name: str, value: object, known: Sequence[object]) -> None:
    """Raises ValueError unless `value` is in `known`, of which it may differ in kind."""
    option(value in known, name, f"be one of {tuple(known)}", value)


def key(seed: Seed) -> UInt[Array, " W"]:
    """Raw key of a state before the first step, from a seed or a key of either kind.

    Raises:
        ValueError: `seed` is no integer from 0 to 2^32 - 1, and no key of JAX's usual kind.
    """
    if isinstance(seed, jax.Array):
        usual = jax.eval_shape(jax.random.PRNGKey, 0)
        is_key = jnp.issubdtype(seed.dtype, jax.dtypes.prng_key)
        found = jax.random.key_data(seed) if is_key else seed
        if (found.shape, found.dtype) == (usual.shape, usual.dtype):
            return found
        if is_traced(seed) and seed.ndim == 0 and jnp.issubdtype(seed.dtype, jnp.integer):
            return jax.random.PRNGKey(seed)
    return jax.random.PRNGKey(integer("seed", seed, highest=2**32 - 1))


def values(
    count: int, name: str, given: Values, rule: str = "", holds: Callable = bool
) -> list | Array:
    """Finite floats, one for each of `count` tasks; an array where they are traced.

    Args:
        count: number of tasks K.
        name: of the option.
        given: the values.
        rule: what they must do beyond that, in full.
        holds: whether the values as a list do; not asked of traced ones.

    Raises:
        ValueError: another number of values, one that is not finite, or the rule is broken.
    """
    if is_traced(given) and given.shape == (count,):
        return given
    if hasattr(given, "tolist") and not is_traced(given):
        given = given.tolist()
    is_list = isinstance(given, Sequence) and not isinstance(given, str) and len(given) == count
    found = [_item(value) for value in given] if is_list else []
    if is_list and any(map(is_traced, found)):
        return jnp.stack([jnp.asarray(value, jnp.float32) for value in found])
    fits = is_list and all(map(is_number, found))
    option(fits, name, f"hold {count} finite values, one per task", given)
    found = [float(value) for value in found]
    option(not rule or holds(found), name, rule, found)
    return found


def number_or_values(count: int, name: str, given: Values | Number) -> list | Array:
    """The same, where a single number stands for all."""
    given = _item(given)
    one = is_number(given) or (is_traced(given) and given.ndim == 0)
    return values(count, name, [given] * count if one else given)


def preference(count: int, given: Values | None, total: float | None = None) -> list | Array:
    """Positive values, one per task; none: ones, or equal values that add up to `total`.

    Raises:
        ValueError: another number of values, or one that is not positive.
    """
    if given is None:
        return [1.0 if total is None else total / count] * count
    return values(count, "preference", given, "hold positive values", lambda x: min(x) > 0)


def shares(count: int, given: Values) -> list | Array:
    """The option `weights`: values that are not negative and not all zero, one per task.

    Raises:
        ValueError: another number of values, one that is negative, or nothing but zeros.
    """
    rule = "hold values that are not negative and not all zero"
    return values(count, "weights", given, rule, lambda x: min(x) >= 0 and any(x))


def ray(count: int, given: Values | None) -> list | Array:
    """Such weights as a direction of losses; none: the same for all."""
    return shares(count, [1.0 / count] * count if given is None else given)


def active(count: int, given: Array) -> Bool[Array, " K"]:
    """The argument `active`: True for each task that takes part.

    Raises:
        ValueError: it has another shape, or is no array of booleans.
    """
    found = jnp.asarray(given)
    fits = found.shape == (count,) and found.dtype == bool
    option(fits, "active", f"be {count} booleans, one per task", given)
    return found


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
