"""Options that say something of each loss, written by the losses' names."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from maskformer_jax.weighting._method import Method


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
    entry = methods[method]
    forms = {"preference": "values"} if entry.family != "loss" else {}
    forms |= entry.per_loss
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
