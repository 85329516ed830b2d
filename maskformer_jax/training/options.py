"""What a configuration may say about each weighting method: the arguments of its factory.

Options that are one value per loss, or name losses, are written by the losses' names.
"""

import dataclasses
import typing
from typing import Any

from maskformer_jax.configuration import chosen_by, options_of
from maskformer_jax.weighting import METHODS, Method, SharedOptions

# How an option of each form of `Method.per_loss` is written.
BY_NAME = {"values": dict[str, float], "names": list[str], "name": str}


def _options(method: Method) -> type:
    shared = () if method.family == "loss" else (SharedOptions,)
    base = {"base_options": chosen_by("base", "methods", options=True)}
    left_out = ("num_tasks", *method.from_caller)
    found = options_of(method, *shared, leave_out=left_out, choices=base)
    forms, made = method.per_loss, []
    for f in dataclasses.fields(found):
        annotation = _by_name(f.type, forms[f.name]) if forms.get(f.name) in BY_NAME else f.type
        default = {} if f.default is dataclasses.MISSING else {"default": f.default}
        made.append((f.name, annotation, dataclasses.field(**default, metadata=f.metadata)))
    options = dataclasses.make_dataclass("Options", made, frozen=True, kw_only=True)
    options.__doc__ = found.__doc__
    return options


def _by_name(annotation: Any, form: str) -> Any:
    """The type of an option by name; a single number, or none, stays possible where it was."""
    found = BY_NAME[form]
    for member in typing.get_args(annotation):
        if member is type(None) or (member is float and form == "values"):
            found |= member
    return found


METHOD_OPTIONS = {name: _options(method) for name, method in METHODS.items()}
