"""The command line: `--config FILE`, dotted overrides, `--print_config`, `--help[.SECTION]`."""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from maskformer_jax.configuration import shipped
from maskformer_jax.configuration.fields import (
    Place,
    Tables,
    UnknownOptionError,
    defaults,
    meanings,
    places,
    plain,
)
from maskformer_jax.configuration.merge import merge, override
from maskformer_jax.configuration.safe_yaml import Text, dump, read_file
from maskformer_jax.configuration.typed import convert, describe, shown
from maskformer_jax.errors import InputError, nearest

Kind = TypeVar("Kind")
BASE = "base"
MAX_BASES = 20
# What the command line takes beside the options of the dataclass.
WORDS = {
    "--config FILE": "a file or the name of a shipped configuration; again: later ones win",
    "--SECTION.OPTION VALUE": "wins over all files",
    "--print_config": "prints what comes of it, and does nothing else",
    "--help.SECTION": "prints the options of a section",
}
OWN = ("config", "print_config", "help")


class _Arguments(NamedTuple):
    """--config; dotted overrides; the section that --help asks for, "" for all; --print_config."""

    files: list[str]
    overrides: list[tuple[str, Text]]
    help: str | None
    print_config: bool


def _read_arguments(argv: Sequence[str]) -> _Arguments:
    files, overrides, asked, print_config = [], [], None, False
    words = iter(argv)
    for word in words:
        option, equals, value = word.partition("=")
        name = "help" if word == "-h" else option.removeprefix("--")
        if name.split(".")[0] == "help" and not equals:
            asked = name.removeprefix("help").removeprefix(".")
        elif word == "--print_config":
            print_config = True
        elif not option.startswith("--") or not name:
            raise InputError(f"`{word}` belongs to no option: they are --config FILE, --NAME VALUE")
        else:
            value = value if equals else next(words, "--")
            if value.startswith("--") and not equals:
                hint = nearest(name, OWN)
                raise InputError(f"`--{name}` must be followed by a value{hint}")
            if name == "config":
                files.append(value)
            else:
                overrides.append((name, Text(value)))
    return _Arguments(files, overrides, asked, print_config)


def _check_keys(names: Iterable[str]) -> None:
    for name in names:
        if name in OWN:
            raise InputError(f"`{name}` is an option of the command line, no key of a file")


def _read_with_bases(path: Path, seen: tuple[str, ...] = ()) -> Iterable[dict]:
    """What a file is based on, and the file."""
    here = os.path.realpath(path)
    if here in seen or len(seen) > MAX_BASES:
        problem = (
            "leads back to itself" if here in seen else f"leads through over {MAX_BASES} files"
        )
        raise InputError(f"{path}: `{BASE}` {problem}")
    data = read_file(path)
    _check_keys(data)
    base = data.pop(BASE, None)
    if base is not None:
        if not isinstance(base, str) or not base.isprintable():
            raise InputError(f"{path}: `{BASE}` must be the name of a file; got {shown(base)}")
        yield from _read_with_bases(path.parent / base, (*seen, here))
    yield data


def load(
    argv: Sequence[str] | None,
    kind: type[Kind],
    description: str = "",
    tables: Tables | None = None,
    *,
    words: Mapping[str, str] | None = None,
    saved: Path | None = None,
    overrides: Iterable[tuple[str, object]] = (),
) -> Kind:
    """The configuration that defaults, files and overrides describe, merged in this order.

    `--help`, `--help.SECTION` and `--print_config` print and leave the program.

    Args:
        argv: words after the program's name; none: those of the process.
        kind: the dataclass of all options.
        description: first line of `--help`.
        tables: name -> dataclass, for each table that `chosen_by` names in a field's metadata.
        words: further ones of `--help`, with what they do; who calls reads them.
        saved: a file of `save`, which takes the place of the defaults.
        overrides: (dotted path, plain data or `Text`), before those of `argv`.

    Raises:
        InputError: a file is missing, a key unknown, a type wrong, or a rule broken.
    """
    tables, root = tables or {}, Place(kind)
    given = _read_arguments(sys.argv[1:] if argv is None else argv)
    if given.help is not None:
        print(help_text(kind, description, tables, given.help, words or {}))
        raise SystemExit(0)
    try:
        config = _merged(given, root, tables, saved, overrides)
    except UnknownOptionError as error:
        raise error.hinted(kind, tables) from error
    if given.print_config:
        print(dump(plain(config)), end="")
        raise SystemExit(0)
    return config


def _merged(
    given: _Arguments,
    root: Place,
    tables: Tables,
    saved: Path | None,
    overrides: Iterable[tuple[str, object]],
) -> Any:
    """See `load`."""
    kind = root.annotation
    data: object = defaults(kind) if saved is None else _read_saved(saved)
    for name in given.files:
        for layer in _read_with_bases(shipped.find(name)):
            data = merge(data, layer, root, tables)
    # A name first, since it drops the options of another.
    everything = sorted([*overrides, *given.overrides], key=lambda pair: not _is_name(pair[0]))
    for path, value in everything:
        keys = path.split(".")
        _check_keys(keys[:1])
        if keys[0] == BASE:
            raise InputError(f"`{BASE}` is read only from files named by --config")
        if not (all(keys) and path.isprintable()):
            raise InputError(f"no option {shown(path)}")
        if keys[0] not in places(kind) and nearest(keys[0], OWN):
            raise UnknownOptionError(keys[:1], "", dict.fromkeys(OWN))
        data = override(data, keys, value, root, tables)
    return convert(data, root, tables)


def _is_name(path: str) -> bool:
    return path.rpartition(".")[2] in ("name", "kind")


def _read_saved(path: Path) -> dict:
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
    """The configuration in a file of `save`, with the files and overrides of a command line.

    Raises:
        InputError: as for `load`; what is wrong in the file itself, such as an option that is not
            there, is said with its path.
    """
    try:
        config = load([], kind, tables=tables, saved=path)
        lost = next(_lost(plain(config), read_file(path)), None)
        if lost is not None:
            raise InputError(f"`{lost}` is missing, and a saved configuration has every option")
    except InputError as error:
        named = str(error).startswith(str(path))
        raise InputError(str(error) if named else f"{path}: {error}") from error
    return load(argv, kind, tables=tables, saved=path) if argv else config


def _lost(whole: dict, given: object, path: str = "") -> Iterable[str]:
    """Dotted options that are in one configuration and not in another."""
    for key, value in whole.items():
        full = f"{path}.{key}".lstrip(".")
        if not isinstance(given, dict) or key not in given:
            yield full
        elif isinstance(value, dict):
            yield from _lost(value, given[key], full)


def help_text(
    kind: type,
    description: str,
    tables: Tables,
    section: str = "",
    words: Mapping[str, str] | None = None,
) -> str:
    """What `--help` prints: the options of a dotted section with their types and meanings.

    Args:
        kind: the dataclass of all options.
        description: what the command does.
        tables: name -> dataclass, by the name of the table.
        section: dotted; "": all.
        words: of the command line, before those that every command takes.

    Raises:
        InputError: there is no such section.
    """
    kinds, path = {"": kind}, ""
    for key in section.replace(".NAME", "").split(".") if section else ():
        known = places(kinds[""]) if "" in kinds else {}
        if key not in known or not known[key].kinds(tables):
            sections = {n: p for n, p in known.items() if p.kinds(tables)}
            raise UnknownOptionError([key], path, sections)
        kinds, path = known[key].kinds(tables), f"{path}.{key}".lstrip(".")
        path += ".NAME" if known[key].is_map else ""
    lines = []
    if not section:
        own = {**(words or {}), **WORDS}
        lines += [description, "", *(f"  {word}: {text}" for word, text in own.items())]
    for name, chosen in kinds.items():
        lines += (
            [f"{path} {name}".rstrip() + ":"] if section else ["", "Options, and sections of them:"]
        )
        for option, place in places(chosen).items():
            text, full = meanings(chosen).get(option, ""), f"{path}.{option}".lstrip(".")
            value = shown(defaults(chosen)[option]) if option in defaults(chosen) else "required"
            inside = f"--help.{full}" if place.kinds(tables) and not name else ""
            lines.append(f"  {inside or f'--{full} ({describe(place)}; {value})'}: {text}")
    return "\n".join(map(_wrapped, lines))


def _wrapped(line: str) -> str:
    """A line of the help, broken where the terminal ends."""
    width = shutil.get_terminal_size().columns
    whole = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.fill(line, max(width, 40), subsequent_indent="      ", **whole)
