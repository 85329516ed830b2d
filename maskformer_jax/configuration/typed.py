"""From plain data to frozen dataclasses: nothing is guessed, nothing is turned into another type.

Only an integer may stand for a number. `object` takes any plain data, as they are.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from maskformer_jax.configuration.fields import Place, Tables, is_mapping, is_required, places
from maskformer_jax.configuration.safe_yaml import Text, parse
from maskformer_jax.errors import InputError

NONE = types.NoneType
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
    if place.is_section:
        if value is None and NONE in place.members:
            return None
        return _section(value, place, tables, path)
    for member in place.members:
        if _fits(value, member):
            return _convert_member(value, member, place, tables, path)
    raise InputError(f"`{path}` must be {describe(place)}; got {shown(value)}{_near(value, place)}")


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
    return None if optional and value == "none" and not _is_choice(value, place) else value


def _is_choice(value: object, place: Place) -> bool:
    return any(_fits(value, m) for m in place.members if typing.get_origin(m) is Literal)


def _fits(value: object, member: Any) -> bool:
    """Whether a value is of a type, whatever is in it."""
    origin = typing.get_origin(member)
    if member is object:
        return True
    if origin is Literal:
        return any(value == v and type(value) is type(v) for v in typing.get_args(member))
    if is_mapping(member):
        return isinstance(value, dict)
    if origin in (list, Sequence):
        return isinstance(value, list)
    if member is float:
        return type(value) in (int, float)
    if member in SCALARS:
        return type(value) is member
    raise TypeError(f"a configuration can't hold {member}")


def _convert_member(value: Any, member: Any, place: Place, tables: Tables, path: str) -> Any:
    if isinstance(value, dict) and member is not object:
        return {k: convert(v, place.entry(k), tables, f"{path}.{k}") for k, v in value.items()}
    if isinstance(value, list) and member is not object:
        item = place._replace(annotation=typing.get_args(member)[0])
        return [convert(v, item, tables, f"{path}[{i}]") for i, v in enumerate(value)]
    if member is object and isinstance(value, dict):
        return {k: convert(v, Place(object), tables, f"{path}.{k}") for k, v in value.items()}
    if member is not float:
        return value
    if place.finite and (isinstance(value, int) or not math.isfinite(value)):
        finite = abs(value) <= 1e300
        if not finite:
            raise InputError(f"`{path}` must be a finite number; got {shown(value)}")
    return float(value)


def _section(value: Any, place: Place, tables: Tables, path: str) -> Any:
    if not isinstance(value, dict):
        raise InputError(f"`{path}` must be a section; got {shown(value)}")
    kind = place.section(value, path.rpartition(".")[2], tables)
    if kind is None:
        raise _not_chosen(value, place, tables, path)
    return kind(**_convert_fields(value, kind, tables, path))


def _convert_fields(value: dict, kind: type, tables: Tables, path: str) -> dict[str, Any]:
    known, prefix = places(kind), f"{path}." if path else ""
    wrong = [f"{prefix}{key}" for key in value if key not in known]
    if wrong:
        raise unknown(wrong, kind, path)
    made = {}
    for f in dataclasses.fields(kind):
        place, inner = known[f.name], f"{prefix}{f.name}"
        if place.has_options:
            made |= _options(value, f, place, tables, path)
        elif f.name in value:
            made[f.name] = convert(value[f.name], place, tables, inner)
        elif is_required(f):
            raise InputError(f"`{inner}` must be given")
    return made


def _options(
    beside: dict, f: dataclasses.Field, place: Place, tables: Tables, path: str
) -> dict[str, Any]:
    """The options of what is named beside them, checked; only those given where it is a dict."""
    inner = f"{path}.{f.name}".lstrip(".")
    name = beside.get(place.choice.by)
    if isinstance(name, Text):
        name = str(name)
    data = beside.get(f.name, {})
    if data is None and NONE in place.members:
        return {f.name: None}
    kind = tables[place.choice.table].get(name) if isinstance(name, str) else None
    if kind is None:
        raise _not_chosen(beside, place, tables, path)
    if isinstance(data, Text):
        data = read_text(data, place, inner)
    made = _section(data, Place(kind), tables, inner)
    if any(is_mapping(member) for member in place.members):
        made = {key: getattr(made, key) for key in data}
    return {f.name: made}


def _not_chosen(value: dict, place: Place, tables: Tables, path: str) -> InputError:
    by, names = place.choice.by, list(tables[place.choice.table])
    if by is None:
        parent, _, name = path.rpartition(".")
        return InputError(f"`{parent}` has no `{name}`; {_suggest(name, names)}")
    name, option = value.get(by), f"{path}.{by}".lstrip(".")
    if by not in value:
        return InputError(f"`{option}` must be given: one of {', '.join(names)}")
    near = difflib.get_close_matches(str(name), names, 1)
    hint = f"; did you mean `{near[0]}`?" if near else ""
    return InputError(f"`{option}` must be one of {', '.join(names)}; got {shown(name)}{hint}")


def unknown(wrong: Sequence[str], kind: type, path: str = "") -> InputError:
    """An error that names all unknown options of a section and what is near the first of them."""
    prefix = f"{path}." if path else ""
    names = [f"{prefix}{name}" for name in places(kind)]
    options = "option" if len(wrong) == 1 else "options"
    listed = ", ".join(f"`{name}`" for name in wrong)
    return InputError(f"no {options} {listed}; {_suggest(wrong[0], names)}")


def _suggest(name: str, names: Iterable[str]) -> str:
    names = list(names)
    head, _, rest = name.partition(".")
    near = difflib.get_close_matches(name, names, 1) or difflib.get_close_matches(head, names, 1)
    if not near:
        return f"known: {', '.join(n.rpartition('.')[2] for n in names) or 'none'}"
    tail = f".{rest}" if near[0] not in (name,) and rest and "." not in near[0] else ""
    return f"did you mean `{near[0]}{tail}`?"


def _near(value: object, place: Place) -> str:
    choices = [a for m in place.members if typing.get_origin(m) is Literal for a in m.__args__]
    near = difflib.get_close_matches(str(value), [str(choice) for choice in choices], 1)
    return f"; did you mean `{near[0]}`?" if near and isinstance(value, str) else ""


def describe(place: Place) -> str:
    """What may be at a place, in words."""
    words = []
    for member in sorted(place.members, key=lambda m: m is NONE):
        origin = typing.get_origin(member)
        if origin is Literal:
            choices = ", ".join(str(choice) for choice in typing.get_args(member))
            words.append(choices if len(typing.get_args(member)) == 1 else f"one of {choices}")
        elif is_mapping(member):
            words.append("a mapping")
        elif origin in (list, Sequence):
            words.append("a list")
        else:
            words.append(SCALARS.get(member, "a section"))
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def shown(value: object) -> str:
    """A value in a message: one line, not too long."""
    words = {None: "none", True: "true", False: "false"}
    known = value is None or isinstance(value, bool)
    try:
        text = words[value] if known else repr(value)
    except ValueError:
        return "an integer too long to print"
    return text if len(text) <= 100 else f"{text[:100]}..."
