"""An entry of the table of methods, and options written by the losses' names."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from maskformer_jax.weighting._losses import Weighting

PerLoss = Literal["values", "names", "name", "base_options"]


@dataclass(frozen=True)
class Method:
    """A weighting method: its factory, and what it needs.

    Attributes:
        factory: `factory(num_tasks, **options)` returns an optax transformation whose `update`
            takes leaves `[K, ...]` and returns leaves `[...]`.
        family: `loss` needs the losses alone, `gramian` the inner products of the task gradients,
            `gradient` the task gradients themselves. The last two take `SharedOptions` as well.
        needs: arguments of `update` beyond the losses: `losses_after`, the losses of the previous
            batch after its step, or `task_grads_2`, gradients on an independent batch.
        weights_follow_losses: True for a method of family `loss` whose weights depend on the losses
            that they weight: these must be known before the backward pass.
        per_loss: options that say something of each loss, see `options_in_order`: `values` (one per
            loss), `names` (some losses), `name` (one of them), or `base_options` (options of the
            method that `base` names). `preference` of the methods on gradients comes on top.
        from_caller: options that only the caller can know, and no configuration can hold; `shared`
            of the methods on gradients comes on top.
    """

    factory: Callable[..., Weighting]
    family: Literal["loss", "gramian", "gradient"]
    needs: tuple[str, ...] = ()
    weights_follow_losses: bool = False
    per_loss: Mapping[str, PerLoss] = field(default_factory=dict)
    from_caller: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.family != "loss":
            object.__setattr__(self, "per_loss", {"preference": "values", **self.per_loss})
            object.__setattr__(self, "from_caller", ("shared", *self.from_caller))

    def __call__(self, num_tasks: int, **options: Any) -> Weighting:
        """The method for `num_tasks` tasks.

        Args:
            num_tasks: number of tasks K.
            **options: those of the factory.

        Raises:
            ValueError: an option breaks its rule.
            TypeError: an option is unknown.
        """
        return self.factory(num_tasks, **options)


def in_order(
    methods: Mapping[str, Method], method: str, options: Mapping[str, Any], losses: Sequence[str]
) -> dict[str, Any]:
    """Options of a method as its factory takes them, in the order of the losses.

    A value per loss may be written as a mapping from the losses' names, losses in a list or alone
    by their names. What has the factory's form already, such as a list in order, stays as it is.

    Args:
        methods: the table of methods.
        method: name of one of them.
        options: of that method.
        losses: names of all losses, in order.

    Raises:
        ValueError: a name is no loss, or a loss has no value.
    """
    forms = methods[method].per_loss
    ordered = dict(options)
    for option in forms.keys() & options.keys():
        value, form = options[option], forms[option]
        if form == "values" and isinstance(value, Mapping):
            ordered[option] = _values(option, value, losses)
        elif form == "names" and isinstance(value, list | tuple):
            ordered[option] = [_index(option, name, losses) for name in value]
        elif form == "name":
            ordered[option] = _index(option, value, losses)
        elif isinstance(value, Mapping) and options.get("base") in methods:
            ordered[option] = in_order(methods, options["base"], value, losses)
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
        near = difflib.get_close_matches(str(name), losses, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        known = ", ".join(losses)
        raise ValueError(f"`{option}` names {name!r}, which is none of the losses {known}{meant}")
