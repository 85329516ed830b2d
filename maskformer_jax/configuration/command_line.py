"""The command line: `--config FILE`, dotted overrides, `--print_config`, `--help[.SECTION]`."""

import dataclasses
import sys
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from maskformer_jax.configuration import fields
from maskformer_jax.configuration.fields import Place, Tables, plain
from maskformer_jax.configuration.merge import merge, override
from maskformer_jax.configuration.safe_yaml import Text, dump, read_file
from maskformer_jax.configuration.typed import convert, describe, shown
from maskformer_jax.errors import InputError

Kind = TypeVar("Kind")
NO_KEYS = ("config", "print_config", "help")
BASE = "base"


class Arguments(NamedTuple):
    """A command line.

    Attributes:
        files: of --config, in order.
        overrides: (dotted path, text), in order.
        help: section that --help asks for, "" for all; none: it was not asked.
        print_config: whether the resolved configuration is wanted.
    """

    files: list[str]
    overrides: list[tuple[str, Text]]
    help: str | None
    print_config: bool


def read_arguments(argv: Sequence[str]) -> Arguments:
    """The words of a command line, `--a=b` being the same as `--a b`.

    Raises:
        InputError: a word belongs to no option, or an option has no value.
    """
    files, overrides, asked, print_config = [], [], None, False
    words = iter(argv)
    for word in words:
        option, equals, value = word.partition("=")
        name = option[2:]
        if word == "-h" or name == "help" or name.startswith("help."):
            asked = name.removeprefix("help").removeprefix(".") if word != "-h" else ""
            continue
        if word == "--print_config":
            print_config = True
            continue
        if not option.startswith("--"):
            raise InputError(f"`{word}` belongs to no option: they are --config FILE, --NAME VALUE")
        if not equals:
            value = next(words, "--") if name else ""
            if value.startswith("--"):
                raise InputError(f"`--{name}` must be followed by a value")
        if name == "config":
            files.append(value)
        else:
            overrides.append((name, Text(value)))
    return Arguments(files, overrides, asked, print_config)


def _read_with_bases(path: Path, seen: tuple[Path, ...] = ()) -> Iterable[dict]:
    """A file after the files that it is based on."""
    if path.resolve() in seen:
        raise InputError(f"{path}: `{BASE}` leads back to itself")
    data = dict(read_file(path))
    _check_keys(data)
    base = data.pop(BASE, None)
    if base is not None:
        if not isinstance(base, str) or not base.isprintable():
            raise InputError(f"{path}: `{BASE}` must be the name of a file; got {shown(base)}")
        yield from _read_with_bases(path.parent / base, (*seen, path.resolve()))
    yield data


def _check_keys(names: Iterable[str]) -> None:
    for name in names:
        if name in NO_KEYS:
            raise InputError(f"`{name}` is an option of the command line, no key of a file")


def load(
    argv: Sequence[str] | None,
    kind: type[Kind],
    description: str = "",
    tables: Tables | None = None,
    *,
    saved: Path | None = None,
    overrides: Iterable[tuple[str, object]] = (),
) -> Kind:
    """The configuration that defaults, files and overrides describe, in this order.

    `--help`, `--help.SECTION` and `--print_config` print and leave the program.

    Args:
        argv: words after the program's name; none: those of the process.
        kind: the dataclass of all options.
        description: first line of `--help`.
        tables: name -> dataclass, for each table that `chosen_by` names in a field's metadata.
        saved: a file of `save`, which takes the place of the defaults.
        overrides: (dotted path, plain data or `Text`), before those of `argv`.

    Raises:
        InputError: a file is missing, a key unknown, a type wrong, or a rule broken.
    """
    tables, root = tables or {}, Place(kind)
    given = read_arguments(sys.argv[1:] if argv is None else argv)
    if given.help is not None:
        print(help_text(kind, description, tables, given.help), end="")
        raise SystemExit(0)
    data: Any = fields.defaults(kind) if saved is None else _resolved(saved)
    for name in given.files:
        for layer in _read_with_bases(Path(name)):
            data = merge(data, layer, root, tables)
    # A name first, since it drops the options of another.
    ordered = sorted([*overrides, *given.overrides], key=lambda o: not _is_name(o[0]))
    for path, value in ordered:
        keys = path.split(".")
        _check_keys(keys[:1])
        if keys[0] == BASE:
            raise InputError(f"`{BASE}` is read only from files named by --config")
        if not all(keys) or not path.isprintable():
            raise InputError(f"no option `{path}`" if path.isprintable() else "no such option")
        data = override(data, keys, value, root, tables)
    config = convert(data, root, tables)
    if given.print_config:
        print(dump(plain(config)), end="")
        raise SystemExit(0)
    return config


def _is_name(path: str) -> bool:
    return path.rpartition(".")[2] in ("name", "kind")


def _resolved(path: Path) -> dict:
    data = read_file(path)
    _check_keys(data)
    if BASE in data:
        raise InputError(f"{path}: `{BASE}` is read only from files named by --config")
    return data


def save(config: object, path: Path) -> None:
    """Writes every value of `config` as YAML that `load_saved` reads back."""
    path.write_text(dump(plain(config)), encoding="utf-8")


def load_saved(
    path: Path, kind: type[Kind], tables: Tables | None = None, argv: Sequence[str] = ()
) -> Kind:
    """The configuration in a file of `save`, with overrides.

    Args:
        path: the file; no other file is read for it.
        kind: the dataclass of all options.
        tables: as for `load`.
        argv: a command line whose files and overrides win.

    Raises:
        InputError: as for `load`; what is wrong in the file itself is said with its path.
    """
    try:
        config = load([], kind, tables=tables, saved=path)
    except InputError as error:
        named = str(error).startswith(str(path))
        raise InputError(str(error) if named else f"{path}: {error}") from error
    return load(argv, kind, tables=tables, saved=path) if argv else config


def help_text(kind: type, description: str, tables: Tables, section: str = "") -> str:
    """What `--help` prints: the options, or those of a dotted section with their meanings.

    Raises:
        InputError: there is no such section.
    """
    place, name = Place(kind), section.rpartition(".")[2]
    for key in filter(None, section.split(".")):
        inside = {} if place.is_map or not place.is_section else fields.places(_dataclass(place))
        if key not in inside:
            raise InputError(f"no section `{section}`: --help lists them")
        place = inside[key]
    lines = [description, ""] if description else []
    if not section:
        lines += ["--config FILE (again: later ones win), --print_config, --help.SECTION", ""]
    prefix = f"{section}." if section else ""
    if place.choice is None and place.is_section:
        lines += _describe_fields(_dataclass(place), prefix, short=not section)
    elif place.choice is not None:
        for chosen, options in tables[place.choice.table].items():
            lines += [f"{place.choice.by or name}: {chosen}"]
            lines += [f"  {line}" for line in _describe_fields(options, "", short=False)]
    else:
        entry = place.entry("")
        lines += _describe_fields(_dataclass(entry), f"{prefix}NAME.", short=False)
    return "\n".join(lines) + "\n"


def _dataclass(place: Place) -> type:
    found = next(filter(dataclasses.is_dataclass, place.members), None)
    if found is None:
        raise InputError("no section of its own: --help lists them")
    return found


def _describe_fields(kind: type, prefix: str, *, short: bool) -> list[str]:
    texts, lines = fields.meanings(kind), []
    for f in dataclasses.fields(kind):
        place, text = fields.places(kind)[f.name], texts.get(f.name, "")
        if place.is_section or place.has_options or (place.is_map and place.choice):
            lines.append(f"--help.{prefix}{f.name}: {text}")
            continue
        default = "required" if fields.is_required(f) else shown(fields.defaults(kind)[f.name])
        what = "" if short else f" ({describe(place)}; {default})"
        lines.append(f"--{prefix}{f.name}{what}: {text}")
    return lines
