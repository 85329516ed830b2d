"""What dataclasses say about a configuration: types, defaults, and where a name chooses a type."""

import dataclasses
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, field
from typing import Any, NamedTuple

from maskformer_jax.errors import InputError, nearest

Tables = Mapping[str, Mapping[str, type]]


class Choice(NamedTuple):
    """What `chosen_by` says."""

    by: str | None
    table: str
    default: str | None = None
    options: bool = False


def chosen_by(by: str | None, table: str, **more: Any) -> dict[str, Choice]:
    """Metadata of a field whose dataclass, or that of whose entries, is looked up by a name.

    Args:
        by: the key, beside the options, that holds the name; none: an entry's own key is the name.
        table: which of the tables given to `load` holds the dataclasses.
        **more: `default`, the name where none is given; `options=True`: the name is beside this
            field (`{name, options}`), not inside. A field of that kind that is annotated as a dict
            keeps what was given, and no more, as a dict after it was checked.
    """
    return {"choice": Choice(by, table, **more)}


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
        union = typing.get_origin(self.annotation) in (typing.Union, types.UnionType)
        return typing.get_args(self.annotation) if union else (self.annotation,)

    @property
    def has_options(self) -> bool:
        """Whether it holds the options of what is named beside it."""
        return self.choice is not None and self.choice.options

    @property
    def is_map(self) -> bool:
        """Whether it holds entries under names of the user's."""
        return any(map(is_mapping, self.members)) and not self.has_options

    @property
    def is_section(self) -> bool:
        """Whether it holds a dataclass, whose keys are known."""
        known = self.choice is not None or any(map(dataclasses.is_dataclass, self.members))
        return known and not (self.is_map or self.has_options)

    def entry(self) -> "Place":
        """The place under a key of a map."""
        kinds = [typing.get_args(member)[1] for member in self.members if is_mapping(member)]
        return self._replace(annotation=kinds[0] if kinds else object)

    def kinds(self, tables: Tables) -> Mapping[str, type]:
        """Dataclasses that it or its entries may hold by name; "" where there is no choice."""
        if self.choice:
            return tables[self.choice.table]
        members = (self.entry() if self.is_map else self).members
        found = [kind for kind in members if dataclasses.is_dataclass(kind)]
        return {"": found[0]} if found else {}

    def section(self, names: Mapping, path: str, tables: Tables) -> type:
        """The dataclass of a section.

        Args:
            names: the section or, for options, what is beside them.
            path: dotted, of the section.
            tables: name -> dataclass, by the name of the table.

        Raises:
            InputError: the name that chooses it is missing or unknown.
        """
        kinds = self.kinds(tables)
        if not self.choice:
            return kinds[""]
        parent, _, key = path.rpartition(".")
        by, default = self.choice.by, self.choice.default
        name = key if by is None else names.get(by, default)
        if isinstance(name, str) and name in kinds:
            return kinds[name]
        if by is None:
            raise UnknownOptionError([key], parent, kinds)
        option = f"{parent if self.has_options else path}.{by}".lstrip(".")
        if name is None:
            raise InputError(f"`{option}` must be given: one of {', '.join(kinds)}")
        near = nearest(str(name), kinds)
        raise InputError(f"`{option}` must be one of {', '.join(kinds)}; got {name!r}{near}")


class UnknownOptionError(InputError):
    """Options of a section that there are not; what is near the first of them is suggested.

    Attributes:
        first: the first of them, dotted.
    """

    def __init__(self, wrong: Sequence[str], path: str, known: Mapping[str, object]):
        full = [f"{path}.{name}".lstrip(".") for name in wrong[:10]]
        self.first, names = full[0], ", ".join(f"`{name}`" for name in full)
        self._text = f"no option{'s' if len(wrong) > 1 else ''} {names}"
        self._near = nearest(wrong[0], known).replace("`", f"`{path}." if path else "`", 1)
        super().__init__(self._text + (self._near or f"; known: {', '.join(known) or 'none'}"))

    def hinted(self, kind: type, tables: Tables) -> InputError:
        """With what is called so elsewhere in the configuration of a dataclass, if anything is."""
        flat, last = self.first.replace(".", "_"), self.first.rpartition(".")[2]
        known = [*options_in(kind, tables)]
        found = [x for x in known if x.replace(".", "_") == flat]
        if not (found or self._near or "." in self.first):
            found = [x for x in known if x.endswith(f".{last}")]
        names = " or ".join(f"`{x}`" for x in found[:3])
        return InputError(f"{self._text}; did you mean {names}?") if names else self


def options_in(kind: type, tables: Tables, path: str = "") -> Iterator[str]:
    """Dotted options of a dataclass and of its sections, but for those of a choice."""
    for name, place in places(kind).items() if dataclasses.is_dataclass(kind) else ():
        full = f"{path}.{name}".lstrip(".")
        yield full
        if place.is_section and not place.choice:
            yield from options_in(place.kinds(tables)[""], tables, full)


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


@functools.cache
def required(kind: type) -> set[str]:
    """The fields of a dataclass that have no default."""
    missing = (MISSING, MISSING)
    return {f.name for f in dataclasses.fields(kind) if (f.default, f.default_factory) == missing}


def defaults(kind: type) -> dict[str, object]:
    """The other fields of a dataclass, with their defaults as plain data."""
    return {
        f.name: plain(f.default_factory() if f.default is MISSING else f.default)
        for f in dataclasses.fields(kind)
        if f.name not in required(kind)
    }


def plain(value: object) -> Any:
    """Plain data of dataclasses, tuples and what is in them."""
    if dataclasses.is_dataclass(value):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def options_of(
    *factories: Callable, leave_out: Sequence[str] = (), choices: Mapping[str, dict] | None = None
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
                default = MISSING if argument.default is argument.empty else argument.default
                made = field(default=default, metadata=(choices or {}).get(name))
                found[name] = (name, argument.annotation, made)
    made = dataclasses.make_dataclass("Options", found.values(), frozen=True, kw_only=True)
    functions = [getattr(factory, "func", factory) for factory in factories]
    made.__doc__ = "\n".join(inspect.getdoc(function) or "" for function in functions)
    return made


def meanings(kind: type) -> dict[str, str]:
    """Field -> what its docstring says under `Attributes:` or `Args:`."""
    doc = inspect.cleandoc(kind.__doc__ or "")
    sections = re.findall(r"^(?:Attributes|Args):\n((?:(?: +.*)?(?:\n|\Z))+)", doc, re.MULTILINE)
    entries = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", "\n".join(sections), re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in reversed(entries)}
