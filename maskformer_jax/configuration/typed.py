"""From plain data to frozen dataclasses: nothing is guessed, nothing is turned into another type.

Only an integer may stand for a number. `object` takes any plain data, as they are.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Sequence
from typing import Any, Literal

from maskformer_jax.configuration.fields import (
    Place,
    Tables,
    UnknownOptionError,
    defaults,
    is_mapping,
    places,
    required,
)
from maskformer_jax.configuration.safe_yaml import Text, parse
from maskformer_jax.errors import InputError, nearest

NONE = types.NoneType
MAX_INTEGER = 2**31 - 1
SCALARS = {bool: "true or false", int: "an integer", float: "a number", str: "text", NONE: "none"}


def convert(value: object, place: Place, tables: Tables, path: str = "") -> Any:
    """What `place` says, made of plain data.

    Args:
        value: plain data, with `Text` where an override was not read yet.
        place: what may be there.
        tables: name -> dataclass, by the name of the table.
        path: dotted, for messages.

    Raises:
        InputError: a key is unknown, a type wrong, something is missing, or a rule broken.
    """
    if isinstance(value, Text):
        value = read_text(value, place, path)
    if place.is_section and not (value is None and NONE in place.members):
        data = _mapping(value, path)
        return _dataclass(data, place.section(data, path, tables), tables, path)
    for member in place.members:
        if not _fits(value, member):
            continue
        if isinstance(value, dict) and member is not object:
            entry = place.entry()
            return {
                k: convert(v, entry, tables, f"{path}.{k}".lstrip(".")) for k, v in value.items()
            }
        if isinstance(value, list) and member is not object:
            item = place._replace(annotation=typing.get_args(member)[0])
            return [convert(v, item, tables, f"{path}[{i}]") for i, v in enumerate(value)]
        if isinstance(value, str) and "\0" in value:
            raise InputError(f"`{path}` must have no NUL in it; got {shown(value)}")
        return value if type(value) not in (int, float) else _number(value, member, place, path)
    choices = [str(c) for member in place.members for c in _choices(member)]
    near = nearest(value, choices) if isinstance(value, str) else ""
    raise InputError(f"`{path}` must be {describe(place)}; got {shown(value)}{near}")


def read_text(text: Text, place: Place, path: str) -> object:
    """The plain data that the text of an override stands for.

    Text where text may be; otherwise YAML. `none` is null where no choice is called so.
    """
    optional = NONE in place.members
    if str in place.members:
        return None if optional and text in ("none", "null") else str(text)
    try:
        value = parse(text)
    except InputError as error:
        raise InputError(f"`{path}` is not YAML: {error}; got {shown(str(text))}") from error
    is_choice = any("none" in _choices(member) for member in place.members)
    return None if optional and value == "none" and not is_choice else value


def _choices(member: Any) -> tuple:
    return typing.get_args(member) if typing.get_origin(member) is Literal else ()


def _fits(value: object, member: Any) -> bool:
    """Whether a value is of a type, whatever is in it."""
    origin = typing.get_origin(member)
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in _choices(member))
    if is_mapping(member) or origin in (list, Sequence):
        return isinstance(value, dict if is_mapping(member) else list)
    if member is float:
        return type(value) in (int, float)
    if member in SCALARS or member is object:
        return member is object or type(value) is member
    if dataclasses.is_dataclass(member):
        return False  # a section, where nothing but `none` is no section
    raise TypeError(f"a configuration can't hold {member}")


def _number(value: float, member: Any, place: Place, path: str) -> float:
    if member is not float:
        if member is int and abs(value) > MAX_INTEGER:
            raise InputError(f"`{path}` must be at most {MAX_INTEGER}; got {shown(value)}")
        return value
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if place.finite and not math.isfinite(number):
        raise InputError(f"`{path}` must be a finite number; got {shown(value)}")
    return number


def _mapping(value: object, path: str) -> dict:
    if not isinstance(value, dict):
        raise InputError(f"`{path}` must be a section; got {shown(value)}")
    return value


def _dataclass(value: dict, kind: type, tables: Tables, path: str) -> Any:
    known, made = places(kind), {}
    wrong = [key for key in value if key not in known]
    if wrong:
        raise UnknownOptionError(wrong, path, known)
    for name, place in known.items():
        inner = f"{path}.{name}".lstrip(".")
        if place.has_options:
            usual, by = defaults(kind), place.choice.by
            if value.get(by, usual.get(by)) != usual.get(by):
                usual.pop(name, None)  # they are those of another choice
            made[name] = _options({**usual, **value}, name, place, tables, inner)
        elif name in value:
            made[name] = convert(value[name], place, tables, inner)
        elif name in required(kind):
            raise InputError(f"`{inner}` must be given")
    try:
        return kind(**made)
    except InputError as error:
        # A rule of a dataclass begins with one of its fields; only here is known where that is.
        raise InputError(str(error).replace("`", f"`{path}." if path else "`", 1)) from error


def _options(beside: dict, name: str, place: Place, tables: Tables, path: str) -> Any:
    """The options of what is named beside them, checked; only those given where it is a dict."""
    data, kind = beside.get(name, {}), place.section(beside, path, tables)
    if isinstance(data, Text):
        data = read_text(data, place, path)
    if data is None and NONE in place.members:
        return None
    made = _dataclass(_mapping(data, path), kind, tables, path)
    is_dict = any(map(is_mapping, place.members))
    return {key: getattr(made, key) for key in data} if is_dict else made


def describe(place: Place) -> str:
    """What may be at a place, in words."""
    words = []
    for member in sorted(place.members, key=lambda member: member is NONE):
        choices = ", ".join(map(str, _choices(member)))
        if choices:
            words.append(f"one of {choices}" if "," in choices else choices)
        elif typing.get_origin(member) in (list, Sequence):
            words.append("a list")
        else:
            words.append(SCALARS.get(member, "a mapping"))
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def shown(value: object) -> str:
    """A value in a message: one line, not too long."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
