"""What dataclasses say about a configuration: types, defaults, and where a name chooses a type."""

import dataclasses
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any, NamedTuple

Tables = Mapping[str, Mapping[str, type]]


@dataclass(frozen=True)
class Choice:
    """How a dataclass is chosen; see `chosen_by`."""

    by: str | None
    table: str
    default: str | None
    options: bool


def chosen_by(
    by: str | None, table: str, *, default: str | None = None, options: bool = False
) -> dict[str, Choice]:
    """Metadata of a field whose dataclass, or that of whose entries, is looked up by a name.

    Args:
        by: the key, beside the options, that holds the name; none: an entry's own key is the name.
        table: which of the tables given to `load` holds the dataclasses.
        default: the name where none is given; none: it must be given.
        options: the name is beside this field (`{name, options}`) and not inside. Where the field
            is annotated as a dict, what was given stays a dict after it was checked.
    """
    return {"choice": Choice(by, table, default, options)}


class Place(NamedTuple):
    """What a place in a configuration may hold.

    Attributes:
        annotation: its type.
        choice: how the dataclass there, or in its entries, is chosen.
        finite: whether inf and nan are refused; `metadata={"finite": False}` allows them.
    """

    annotation: Any
    choice: Choice | None = None
    finite: bool = True

    @property
    def members(self) -> tuple:
        """The types of a union, or the one type."""
        origin = typing.get_origin(self.annotation)
        union = origin in (typing.Union, types.UnionType)
        return typing.get_args(self.annotation) if union else (self.annotation,)

    @property
    def is_map(self) -> bool:
        """Whether it holds entries under names of the user's."""
        return any(is_mapping(member) for member in self.members) and not self.has_options

    @property
    def has_options(self) -> bool:
        """Whether it holds the options of what is named beside it."""
        return self.choice is not None and self.choice.options

    @property
    def is_section(self) -> bool:
        """Whether it holds a dataclass, whose keys are known."""
        known = self.choice is not None or any(map(dataclasses.is_dataclass, self.members))
        return known and not (self.is_map or self.has_options)

    def entry(self, key: str) -> "Place":
        """The place under a key of a map."""
        for member in self.members:
            if is_mapping(member):
                return self._replace(annotation=typing.get_args(member)[1])
        return Place(object)

    def section(self, data: Mapping, key: str, tables: Tables) -> type | None:
        """The dataclass of a section that holds `data` under `key`; none: its name is unknown."""
        if self.choice is None:
            return next(filter(dataclasses.is_dataclass, self.members), None)
        name = key if self.choice.by is None else data.get(self.choice.by, self.choice.default)
        return tables[self.choice.table].get(name) if isinstance(name, str) else None


def is_mapping(annotation: Any) -> bool:
    """Whether a type is dict[str, ...] or Mapping[str, ...]."""
    return typing.get_origin(annotation) in (dict, Mapping)


@functools.cache
def places(kind: type) -> dict[str, Place]:
    """The fields of a dataclass."""
    hints = typing.get_type_hints(kind)
    return {
        f.name: Place(hints[f.name], f.metadata.get("choice"), f.metadata.get("finite", True))
        for f in dataclasses.fields(kind)
    }


def is_required(f: dataclasses.Field) -> bool:
    """Whether a field has no default."""
    return f.default is MISSING and f.default_factory is MISSING


def defaults(kind: type) -> dict[str, object]:
    """The fields of a dataclass that have a default, as plain data."""
    return {
        f.name: plain(f.default if f.default is not MISSING else f.default_factory())
        for f in dataclasses.fields(kind)
        if not is_required(f)
    }


def plain(value: object) -> Any:
    """Plain data of dataclasses, tuples and what is in them."""
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def options_of(
    *factories: Callable, leave_out: tuple[str, ...] = (), choices: Mapping[str, dict] | None = None
) -> type:
    """A dataclass of the arguments of factories, by their names, annotations and defaults.

    Args:
        *factories: of two with an argument of the same name the first counts.
        leave_out: arguments that no configuration can hold.
        choices: `chosen_by(...)` of arguments that are options of something else.
    """
    found: dict[str, tuple] = {}
    for factory in factories:
        for name, argument in inspect.signature(factory).parameters.items():
            if name not in leave_out and name not in found:
                value = argument.default
                default = {} if value is inspect.Parameter.empty else {"default": value}
                made = field(**default, metadata=(choices or {}).get(name))
                found[name] = (name, argument.annotation, made)
    made = dataclasses.make_dataclass("Options", found.values(), frozen=True, kw_only=True)
    made.__doc__ = "\n".join(inspect.getdoc(factory) or "" for factory in factories)
    return made


def meanings(kind: type) -> dict[str, str]:
    """Field -> what its docstring says under `Attributes:` or `Args:`."""
    found: dict[str, str] = {}
    inside, name = False, ""
    for line in inspect.cleandoc(kind.__doc__ or "").splitlines():
        entry = re.fullmatch(r"    (\w+): (.*)", line)
        if not line.startswith(" "):
            inside = line in ("Attributes:", "Args:") or (inside and not line)
        elif inside and entry:
            name = entry[1] if entry[1] not in found else ""
            found.setdefault(entry[1], entry[2])
        elif inside and name and line.strip():
            found[name] += f" {line.strip()}"
    return found
