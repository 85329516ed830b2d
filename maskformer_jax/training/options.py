"""What a configuration may say about each weighting method: the arguments of its factory.

Options that are one value per loss, or name losses, are written by the losses' names.
"""

import dataclasses
import functools
import inspect
import operator
import types
import typing
from typing import Any

from maskformer_jax.configuration import chosen_by, options_of
from maskformer_jax.weighting import METHODS, Method, SharedOptions

# How an option of each form of `Method.per_loss` is written.
BY_NAME = {"values": dict[str, float], "names": list[str], "name": str}


def _options(method: Method) -> type:
    shared = () if method.family == "loss" else (SharedOptions,)
    base = {"base_options": chosen_by("base", "methods", options=True)}
    known = inspect.signature(method).parameters
    unknown = [f.name for f in dataclasses.fields(SharedOptions) if f.name not in known]
    left_out = ("num_tasks", *method.from_caller, *unknown)
    found = options_of(method, *shared, leave_out=left_out, choices=base)
    forms, made = method.per_loss, []
    for f in dataclasses.fields(found):
        annotation = _of_yaml(f.type)
        if forms.get(f.name) in BY_NAME:
            annotation = _by_name(annotation, forms[f.name])
        default = {} if f.default is dataclasses.MISSING else {"default": f.default}
        made.append((f.name, annotation, dataclasses.field(**default, metadata=f.metadata)))
    options = dataclasses.make_dataclass("Options", made, frozen=True, kw_only=True)
    options.__doc__ = found.__doc__
    return options


def _of_yaml(annotation: Any) -> Any:
    """A type without NumPy's and JAX's numbers."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return annotation
    members = typing.get_args(annotation)
    plain = [x for x in members if x.__module__.split(".")[0] not in ("numpy", "jaxtyping")]
    return functools.reduce(operator.or_, plain)


def _by_name(annotation: Any, form: str) -> Any:
    """The type of an option by name; a single number, or none, stays possible where it was."""
    found = BY_NAME[form]
    for member in typing.get_args(annotation):
        if member is type(None) or (member is float and form == "values"):
            found |= member
    return found


METHOD_OPTIONS = {name: _options(method) for name, method in METHODS.items()}
