"""What must be in a file for a schema, and the one line that says what is not."""

import difflib
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import h5py

from maskformer_jax.data.config import LabelConfig, ObjectsConfig
from maskformer_jax.data.schema import Label, Schema, Targets
from maskformer_jax.data.sources import check_is_there, datasets, dead_links, printable
from maskformer_jax.errors import InputError

# Of names that are listed in a message.
MOST_NAMES = 12
KINDS = {"numeric": "fiub", "integer": "iu", "boolean": "b"}


class Field(NamedTuple):
    """A field that is read.

    Attributes:
        dataset: where it is.
        name: its name; none: the dataset alone.
        kind: an entry of `KINDS`.
    """

    dataset: str
    name: str | None
    kind: str = "numeric"


def input_fields(schema: Schema) -> Iterator[Field]:
    """The fields that any file must have."""
    yield Field(schema.jets.dataset, None)
    yield from (Field(schema.jets.dataset, name) for name in schema.jets.inputs)
    for stream in schema.streams.values():
        yield from (Field(stream.dataset, name) for name in stream.inputs)
        yield Field(stream.dataset, stream.valid, "boolean")
        if stream.sort_by is not None:
            yield Field(stream.dataset, stream.sort_by)


def label_fields(schema: Schema, name: str) -> Iterator[Field]:
    """The fields of a label; for objects also those that say which objects there are."""
    label = schema.labels[name]
    if isinstance(label, ObjectsConfig):
        yield Field(label.dataset, label.key, "integer")
        yield Field(schema.streams[label.of].dataset, label.link, "integer")
        yield from _object_fields(schema, name)
        return
    dataset = schema.dataset(label.of)
    if isinstance(label, Targets):
        yield from (Field(dataset, field) for field in label.transforms)
        yield from (Field(dataset, field) for field in label.denominators.values())
    else:
        yield Field(dataset, label.field, "integer" if label.classes else "numeric")
    if label.of in schema.objects:
        yield from _object_fields(schema, label.of)


def labels_missing(file: h5py.File, schema: Schema) -> dict[str, str]:
    """Labels of which a dataset or a field is not in the file -> the first of those."""
    there = {name: data.dtype.names or () for name, data in datasets(file).items()}
    found: dict[str, str] = {}
    for label in schema.labels:
        for dataset, name, _ in label_fields(schema, label):
            if dataset not in there:
                found.setdefault(label, f"no dataset `{dataset}`")
            elif name not in there[dataset]:
                found.setdefault(label, f"no field `{name}` of `{dataset}`")
    return found


def check_fields(file: h5py.File, schema: Schema, labels: Sequence[str]) -> None:
    """Raises InputError that names all that is missing or has a wrong type.

    Args:
        file: an open file.
        schema: what is read.
        labels: those that must be there.
    """
    fields = dict.fromkeys(input_fields(schema))
    for name in labels:
        fields |= dict.fromkeys(label_fields(schema, name))
    there = datasets(file)
    for name in dict.fromkeys(field.dataset for field in fields):
        if name in there:
            _check_filters(file, name)
            check_is_there(there[name], f"{file.filename}: dataset `{name}`")
    problems = _missing(file, fields)
    for dataset, name, kind in fields:
        if dataset in there and name in (there[dataset].dtype.names or ()):
            dtype = there[dataset].dtype[name]
            if dtype.kind not in KINDS[kind]:
                problems.append(
                    f"field `{name}` of dataset `{dataset}` must be {kind}; its type is {dtype}"
                )
    if problems:
        raise InputError(f"{file.filename}: {'; '.join(problems)}")


def check_shapes(file: h5py.File, schema: Schema, objects: Iterable[str]) -> None:
    """Raises InputError unless the datasets have as many jets, and the axes that they need.

    Args:
        file: an open file.
        schema: what is read.
        objects: those whose dataset is read.
    """
    ranks = {schema.dataset(name): 2 for name in (*schema.streams, *objects)}
    ranks = {schema.jets.dataset: 1} | ranks
    for name, rank in ranks.items():
        shape = file[name].shape
        if shape is None or len(shape) != rank:
            raise InputError(
                f"{file.filename}: dataset `{name}` must have {rank} axes; its shape is {shape}"
            )
        if shape[0] == 0:
            raise InputError(f"{file.filename}: dataset `{name}` is empty; its shape is {shape}")
    lengths = {name: file[name].shape[0] for name in ranks}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{file.filename}: datasets must have the same length; got {lengths}")


def check_class_order(file: h5py.File, schema: Schema, labels: Sequence[str]) -> None:
    """Raises InputError where a file says itself that a label means other classes.

    A dataset may list the names of a field's classes, in the order of its values, in an attribute
    of the name of the field. Names that only one side has are not compared.
    """
    for name in labels:
        label = schema.labels[name]
        if not has_classes(label):
            continue
        listed = _listed_classes(file[schema.dataset(label.of)], label.field)
        own = {value: c for c, values in label.values().items() for value in values}
        pairs = [(own.get(value), there) for value, there in enumerate(listed)]
        both = {*own.values()} & {*listed}
        if any(here != there and {here, there} & both for here, there in pairs):
            order = ", ".join(f"{value}: {there}" for value, there in enumerate(listed))
            here = ", ".join(f"{value}: {c}" for value, c in sorted(own.items()))
            raise InputError(
                f"{file.filename}: dataset `{schema.dataset(label.of)}` says that `{label.field}` "
                f"is {order}; `data.labels.{name}.classes` says {here}"
            )


def _listed_classes(dataset: h5py.Dataset, field: str) -> list[str]:
    names = dataset.attrs.get(field)
    names = names.tolist() if hasattr(names, "tolist") else names
    if not isinstance(names, list) or not all(isinstance(name, str | bytes) for name in names):
        return []
    return [printable(n.decode(errors="replace") if isinstance(n, bytes) else n) for n in names]


def has_classes(label: Label) -> bool:
    """Whether a label is of classes, rather than numbers, targets or objects."""
    return isinstance(label, LabelConfig) and label.classes is not None


def _object_fields(schema: Schema, name: str) -> Iterator[Field]:
    objects = schema.objects[name]
    yield Field(objects.dataset, objects.valid, "boolean")
    for label in schema.classes_of(name).values():
        yield Field(objects.dataset, label.field, "integer")


def _missing(file: h5py.File, fields: Iterable[Field]) -> list[str]:
    """What is missing, a clause for all datasets and one for each dataset that lacks fields."""
    found, wanted = datasets(file), {}
    for field in fields:
        wanted.setdefault(field.dataset, []).append(field.name)
    links = dead_links(file, [name for name in wanted if name not in found])
    problems = list(links.values())
    absent = [name for name in wanted if name not in found and name not in links]
    problems += [f"no dataset {_names(absent, found)}"] if absent else []
    for dataset in wanted:
        if dataset in found:
            there = found[dataset].dtype.names or ()
            lacks = [name for name in wanted[dataset] if name and name not in there]
            if lacks:
                names = _names(list(dict.fromkeys(lacks)), there, "no named fields")
                problems.append(f"dataset `{dataset}` has no field {names}")
    return problems


def _names(absent: Sequence[str], there: Sequence[str], nothing: str = "none") -> str:
    """The names that are absent, each with the nearest there is, and the first that there are."""
    listed, there = [], list(map(printable, there))
    for name in absent:
        near = difflib.get_close_matches(name, there, 1)
        listed.append(f"`{name}`" + (f" (nearest: `{near[0]}`)" if near else ""))
    more = f" and {len(there) - MOST_NAMES} more" if len(there) > MOST_NAMES else ""
    return f"{', '.join(listed)}; it has: {', '.join(there[:MOST_NAMES]) or nothing}{more}"


def _check_filters(file: h5py.File, name: str) -> None:
    filters = file[name].id.get_create_plist()
    for position in range(filters.get_nfilters()):
        code, _, _, title = filters.get_filter(position)
        if not h5py.h5z.filter_avail(code) and importlib.util.find_spec("hdf5plugin"):
            importlib.import_module("hdf5plugin")
        if not h5py.h5z.filter_avail(code):
            raise InputError(
                f"{file.filename}: dataset `{name}` is compressed with "
                f"`{title.decode() or code}`, which is not there; install `hdf5plugin`"
            )
