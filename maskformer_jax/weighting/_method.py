"""What a method is beside its function, and options written by the losses' names."""

import difflib
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from functools import partial, wraps
from typing import Any, Literal, Protocol, runtime_checkable

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._compose import scheduled
from maskformer_jax.weighting._losses import Weighting
from maskformer_jax.weighting._options import SharedOptions

PerLoss = Literal["values", "names", "name", "base_options"]
Family = Literal["loss", "gramian", "gradient"]


@runtime_checkable
class Method(Protocol):
    """The factory of a weighting method, and what the method needs.

    Attributes:
        family: `loss` needs the losses alone, `gramian` the inner products of the task gradients,
            `gradient` the task gradients themselves. The last two take `SharedOptions` as well.
        needs: arguments of `update` beyond the losses: `losses_after`, the losses of the previous
            batch after its step, or `task_grads_2`, gradients on an independent batch.
        weights_follow_losses: True for a method of family `loss` whose weights depend on the losses
            that they weight: these must be known before the backward pass.
        per_loss: options that say something of each loss, see `options_in_order`: `values` (one per
            loss), `names` (some losses), `name` (one of them), or `base_options` (options of the
            method that `base` names).
        from_caller: options that only the caller can know, and no configuration can hold.
    """

    __name__: str
    family: Family
    needs: tuple[str, ...]
    weights_follow_losses: bool
    per_loss: Mapping[str, PerLoss]
    from_caller: tuple[str, ...]

    def __call__(self, num_tasks: int, **options: Any) -> Weighting:
        """The method for `num_tasks` tasks."""


class Methods(dict[str, Method]):
    """Methods by name; a name that is none of them is met with the nearest."""

    def __missing__(self, name: str) -> Method:
        raise KeyError(f"no method is called {name!r}{_nearest(name, self)}")


# What every docstring would say: of a family, of what it needs, and of all.
SAID: dict[str, str] = {
    "loss": "their sum out with weights that follow from the losses. `update` requires these, "
    "unless the weights are fixed.",
    "gramian": "their sum out with weights that follow from their inner products.",
    "gradient": "one update out that follows from the gradients themselves.",
    "losses_after": "It takes `losses_after`: those of the previous batch after its step.",
    "task_grads_2": "It requires `task_grads_2`, gradients on an independent batch.",
    "shared": "All options of `SharedOptions` come on top of its own.",
    "refused": "An option that breaks its rule, a number of tasks that is not positive, and what "
    "`update` needs but does not get in its form, are a ValueError of one line.",
}
PREFERENCE: dict[str, PerLoss] = {"preference": "values"}
# Filled where all of them are imported.
METHODS = Methods()


def method(
    family: Family,
    *,
    needs: tuple[str, ...] = (),
    weights_follow_losses: bool = False,
    per_loss: Mapping[str, PerLoss] | None = None,
    from_caller: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
) -> Callable[[Callable[..., Weighting]], Method]:
    """Says what a factory makes; arguments as of `Method`, and shared options that it is `without`.

    The factory then shows `SharedOptions` in its signature, and takes mappings by the names of the
    losses for options of one value per loss, in the order of the sorted names.
    """
    of_each = dict(per_loss or {})
    if family != "loss":
        of_each = {k: v for k, v in PREFERENCE.items() if k not in without} | of_each
        from_caller = ("shared", *from_caller)

    def describe(factory: Callable[..., Weighting]) -> Method:
        signature = _with_shared_options(factory, family, without)

        @wraps(factory)
        def make(num_tasks: int, **options: Any) -> Weighting:
            for name in options.keys() - signature.parameters.keys():
                hint = _nearest(name, signature.parameters)
                raise TypeError(f"{factory.__name__} has no option {name!r}{hint}")
            num_tasks = check.num_tasks(num_tasks)
            if schedules := {
                k: v for k, v in options.items() if k not in from_caller and callable(v)
            }:
                return scheduled(partial(make, num_tasks, **options), schedules)
            names = _names_in(options, of_each)
            ordered = options_in_order(factory.__name__, options, names) if names else options
            made = factory(num_tasks, **ordered)
            known = {"family": family, "num_tasks": num_tasks, "needs": needs, "names": names}
            vars(made).update({**known, **vars(made)})
            return made

        make.__signature__ = signature
        make.__doc__ = f"{inspect.cleandoc(factory.__doc__)}\n\n{_said(family, needs)}"
        make.family, make.needs, make.per_loss, make.from_caller = (
            family,
            needs,
            of_each,
            from_caller,
        )
        make.weights_follow_losses = weights_follow_losses
        return make

    return describe


def _said(family: Family, needs: tuple[str, ...]) -> str:
    """What a method takes and returns, and what it refuses."""
    shared = () if family == "loss" else ("shared",)
    first = f"A method of family `{family}`: gradients `[K, ...]` in, {SAID[family]}"
    rest = (SAID[what] for what in (*needs, *shared, "refused"))
    return textwrap.fill(" ".join([first, *rest]), 100)


def _with_shared_options(
    factory: Callable, family: Family, without: Sequence[str]
) -> inspect.Signature:
    """The signature of a factory; one on gradients ends in the options that all of them have."""
    signature = inspect.signature(factory)
    if family == "loss":
        return signature
    kind = inspect.Parameter.KEYWORD_ONLY
    shared = [
        inspect.Parameter(f.name, kind, default=f.default, annotation=f.type)
        for f in fields(SharedOptions)
        if f.name not in (*signature.parameters, *without)
    ]
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    return signature.replace(parameters=[*own, *shared])


def _names_in(options: Mapping[str, Any], of_each: Mapping[str, PerLoss]) -> tuple | None:
    """Names of the losses, sorted, where a value per loss comes as a mapping."""
    for option, form in of_each.items():
        value = options.get(option)
        if form == "values" and isinstance(value, Mapping):
            return tuple(sorted(value))
    return None


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(name), list(names), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def options_in_order(
    method: str, options: Mapping[str, Any], losses: Sequence[str]
) -> dict[str, Any]:
    """Options of a method as its factory takes them, in the order of the losses.

    A value per loss may be written as a mapping from the losses' names, losses in a list or alone
    by their names. What has the factory's form already, such as a list in order, stays as it is.

    Args:
        method: its name.
        options: of that method.
        losses: names of all losses, in order.

    Raises:
        ValueError: a name is no loss, or a loss has no value.
    """
    forms = METHODS[method].per_loss
    ordered = dict(options)
    for option in forms.keys() & options.keys():
        value, form = options[option], forms[option]
        if form == "values" and isinstance(value, Mapping):
            ordered[option] = _values(option, value, losses)
        elif form == "names" and isinstance(value, list | tuple):
            ordered[option] = [_index(option, name, losses) for name in value]
        elif form == "name":
            ordered[option] = _index(option, value, losses)
        elif isinstance(value, Mapping) and options.get("base") in METHODS:
            ordered[option] = options_in_order(options["base"], value, losses)
    return ordered


def _values(option: str, values: Mapping[str, Any], losses: Sequence[str]) -> list[Any]:
    for name in values:
        _check_name(option, name, losses)
    missing = [name for name in losses if name not in values]
    if missing:
        raise ValueError(f"`{option}` must have a value for every loss; none for {missing}")
    return [values[name] for name in losses]


def _index(option: str, name: Any, losses: Sequence[str]) -> Any:
    """Position of a loss; numbers, and what the factory will refuse, stay as they are."""
    if not isinstance(name, str):
        return name
    _check_name(option, name, losses)
    return list(losses).index(name)


def _check_name(option: str, name: Any, losses: Sequence[str]) -> None:
    if name not in losses:
        known, hint = ", ".join(losses), _nearest(name, losses)
        raise ValueError(f"`{option}` names {name!r}, which is none of the losses {known}{hint}")
