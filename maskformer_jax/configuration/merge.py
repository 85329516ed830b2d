"""How several configurations become one, as plain data.

Sections, and the maps called `MERGED`, merge by key at every depth; any other value, a mapping too,
replaces the one before. A null section says nothing, but a null entry of the maps called `DROPPED`
is dropped: `targets: {mass: null}`. A new `name` or `kind` drops the options of
the old one. A dotted override follows its path and sets what is at the end by the same rule.
"""

from collections.abc import Sequence

from maskformer_jax.configuration.fields import Place, Tables, UnknownOptionError, defaults, places
from maskformer_jax.configuration.safe_yaml import Text
from maskformer_jax.configuration.typed import read_text
from maskformer_jax.errors import InputError

MERGED = (
    *("streams", "labels", "objects", "tasks"),
    *("losses", "transforms", "targets", "discriminants"),
)
# Those of them whose entries are dropped by null; `without` leaves out tasks and losses.
DROPPED = ("transforms", "targets", "discriminants")


def merge(base: object, overlay: object, place: Place, tables: Tables, path: str = "") -> object:
    """`base` with what `overlay` says about it.

    Args:
        base: plain data; none: nothing yet.
        overlay: plain data that win.
        place: what may be there.
        tables: name -> dataclass, by the name of the table.
        path: dotted, for messages and for the names of maps.

    Raises:
        InputError: a name that chooses a dataclass is missing or unknown, or a new entry is null.
    """
    is_map = place.is_map and path.rpartition(".")[2] in MERGED
    if not (is_map or place.is_section):
        return overlay
    if isinstance(overlay, Text):
        overlay = read_text(overlay, place, path)
        if overlay is None and type(None) in place.members:
            return None
    if overlay is None:
        return base
    if not isinstance(overlay, dict):
        return overlay
    base = base if isinstance(base, dict) else {}
    if place.is_section:
        return _merge_section(base, overlay, place, tables, path)
    merged, inner = dict(base), place.entry()
    for key, value in overlay.items():
        if key in base and _drops(value, path):
            del merged[key]
            continue
        if value is None and key not in base and inner.is_section:
            raise InputError(f"`{path}.{key}` is empty: write {{}} for its defaults")
        merged[key] = merge(base.get(key), value, inner, tables, f"{path}.{key}")
    return merged


def _drops(value: object, path: str) -> bool:
    """Whether an entry of the map at a path is dropped by a value."""
    is_none = value is None or (isinstance(value, Text) and value in ("null", "none"))
    return is_none and path.rpartition(".")[2] in DROPPED


def _merge_section(base: dict, overlay: dict, place: Place, tables: Tables, path: str) -> dict:
    by = place.choice.by if place.choice else None
    if by in overlay and overlay[by] != base.get(by):
        base = {}
    kind = place.section({**base, **overlay}, path, tables)
    known, merged = places(kind), dict(base or defaults(kind))
    for name, inner in known.items():
        by = inner.choice.by if inner.has_options else None
        if by in overlay and overlay[by] != merged.get(by):
            merged.pop(name, None)
    for key, value in overlay.items():
        inner = known.get(key, Place(object))
        merged[key] = merge(merged.get(key), value, inner, tables, f"{path}.{key}".lstrip("."))
    return merged


def override(
    base: object, keys: Sequence[str], value: object, place: Place, tables: Tables, path: str = ""
) -> object:
    """`base` with `value` at the end of a path.

    Args:
        base: plain data.
        keys: the path.
        value: plain data, or `Text` that is read once its place is known.
        place: what may be at `path`.
        tables: name -> dataclass, by the name of the table.
        path: dotted, where `base` is.

    Raises:
        InputError: the path leads nowhere, or as `merge`.
    """
    if not keys:
        return merge(base, value, place, tables, path)
    key, rest = keys[0], keys[1:]
    data = base if isinstance(base, dict) else {}
    if not rest and key in data and _drops(value, path):
        return merge(base, {key: value}, place, tables, path)
    if place.is_section and not rest:
        return _merge_section(data, {key: value}, place, tables, path)
    if place.is_section:
        data = _merge_section(data, {}, place, tables, path)
        known = places(place.section(data, path, tables))
        if key not in known:
            raise UnknownOptionError([key], path, known)
        inner = known[key]
    elif place.is_map or place.has_options or place.annotation is object:
        inner = Place(object) if place.has_options else place.entry()
    else:
        raise InputError(f"`{path}` has no options of its own; got `{path}.{'.'.join(keys)}`")
    inner_path = f"{path}.{key}".lstrip(".")
    return {**data, key: override(data.get(key), rest, value, inner, tables, inner_path)}
