"""A JSON schema of the YAML files, for editors: made of what the dataclasses say.

A file may be an overlay that says a little, so nothing is required but that what is there fits.
Rules that only `__post_init__` knows are not in it.
"""

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from maskformer_jax.configuration.command_line import BASE
from maskformer_jax.configuration.fields import (
    Place,
    Tables,
    defaults,
    is_mapping,
    meanings,
    places,
)
from maskformer_jax.configuration.typed import MAX_INTEGER

DRAFT = "https://json-schema.org/draft/2020-12/schema"
SCALARS: dict[Any, dict] = {
    bool: {"type": "boolean"},
    int: {"type": "integer", "maximum": MAX_INTEGER, "minimum": -MAX_INTEGER},
    float: {"type": "number"},
    str: {"type": "string"},
    types.NoneType: {"type": "null"},
    object: {},
}


class _Schema(NamedTuple):
    """The tables, and the definitions that were made: (dataclass, key, name) -> title -> schema."""

    tables: Tables
    names: dict[tuple[type, str | None, str | None], str]
    definitions: dict[str, dict]


def schema(kind: type, tables: Tables) -> dict[str, Any]:
    """The schema of the files of a dataclass.

    Args:
        kind: the dataclass of all options.
        tables: name -> dataclass, by the name of the table.
    """
    made = _Schema(tables, {}, {})
    base = {"type": "string", "description": "another file, beside this one, that is read first"}
    found = _dataclass(kind, made)
    properties = {BASE: base, **found["properties"]}
    return {"$schema": DRAFT, **found, "properties": properties, "$defs": made.definitions}


def _section(kind: type, made: _Schema, by: str | None = None, name: str | None = None) -> dict:
    """A reference to the definition of a dataclass; options may hold options of their like."""
    key = kind, by, name
    if key not in made.names:
        made.names[key] = title = f"{name or kind.__name__}_{len(made.names)}"
        made.definitions[title] = _dataclass(kind, made, {by: name} if by else {})
    return {"$ref": f"#/$defs/{made.names[key]}"}


def _dataclass(kind: type, made: _Schema, chosen: Mapping[str, str] | None = None) -> dict:
    """Of a section; `chosen` is the key and the name that chose its dataclass."""
    texts, values, properties, rules = meanings(kind), defaults(kind), {}, []
    for name, place in places(kind).items():
        about = {"description": texts.get(name), "default": values.get(name)}
        about = {key: x for key, x in about.items() if x is not None}
        properties[name] = {**_place(place, made), **about}
        if place.has_options:
            rules += _options(name, place, made)
            properties[place.choice.by]["enum"] = list(place.kinds(made.tables))
    properties |= {key: {"const": name} for key, name in (chosen or {}).items()}
    section = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**section, "allOf": rules} if rules else section


def _options(name: str, place: Place, made: _Schema) -> list[dict]:
    """A rule for each name beside the options: what they may be then."""
    by = place.choice.by
    return [
        {
            "if": {"properties": {by: {"const": chosen}}, "required": [by]},
            "then": {"properties": {name: {"anyOf": [_section(kind, made), {"type": "null"}]}}},
        }
        for chosen, kind in place.kinds(made.tables).items()
    ]


def _place(place: Place, made: _Schema) -> dict:
    if place.has_options:
        return {"type": ["object", "null"]}
    if place.is_section:
        by = place.choice.by if place.choice else None
        kinds = place.kinds(made.tables).items()
        found = [_section(kind, made, by, name if by else None) for name, kind in kinds]
        # An empty section says nothing.
        return {"anyOf": [*found, {"type": "null"}]}
    found = [_member(member, place, made) for member in place.members]
    return found[0] if len(found) == 1 else {"anyOf": found}


def _member(member: Any, place: Place, made: _Schema) -> dict:
    if is_mapping(member) and place.choice and place.choice.by is None:
        kinds = place.kinds(made.tables).items()
        entries = {name: _section(kind, made) for name, kind in kinds}
        return {"type": "object", "properties": entries, "additionalProperties": False}
    if is_mapping(member):
        return {"type": "object", "additionalProperties": _place(place.entry(), made)}
    if typing.get_origin(member) in (list, Sequence):
        item = Place(typing.get_args(member)[0])
        return {"type": "array", "items": _place(item, made)}
    if typing.get_origin(member) is Literal:
        return {"enum": list(typing.get_args(member))}
    return SCALARS[member]
