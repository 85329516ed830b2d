"""Whether what a file of jets claims to hold is there: chunks, links, sources of virtual datasets.

HDF5 gives zeros for what is missing, which no reader can tell from data.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py

from maskformer_jax.errors import InputError

UNREADABLE = (OSError, RuntimeError, ValueError, LookupError, TypeError, ArithmeticError)


@contextlib.contextmanager
def damaged(what: str) -> Iterator[None]:
    """Whatever h5py raises for a damaged file becomes an InputError of one printable line."""
    try:
        yield
    except InputError:
        raise
    except (*UNREADABLE, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{what} ({printable(reason)})") from error


def printable(text: str | bytes) -> str:
    """A name or message that may be no text at all."""
    return text if isinstance(text, str) and text.isprintable() else ascii(text)


def datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """The datasets that a file has and that can be opened; by links also those of other files."""
    found = {}
    for name in file:
        with contextlib.suppress(*UNREADABLE):
            item = file.get(name)
            if isinstance(item, h5py.Dataset):
                found[printable(name)] = item
    return found


def dead_links(file: h5py.File, names: Sequence[str]) -> dict[str, str]:
    """A clause for each of the names that is a link; they lead to no dataset."""
    clauses = {}
    for name in names:
        link = file.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            where = f"`{printable(link.path)}` in {printable(link.filename)}"
        elif isinstance(link, h5py.SoftLink):
            where = f"`{printable(link.path)}`"
        else:
            continue
        clauses[name] = f"dataset `{name}` is a link to {where}, where no dataset is"
    return clauses


def other_files(file: h5py.File, dataset: h5py.Dataset) -> set[str]:
    """Names of the files that a dataset is read from, beside its own."""
    names = {dataset.file.filename, *(name for name, *_ in dataset.external or ())}
    if dataset.is_virtual:
        names |= {source.file_name for source in dataset.virtual_sources()}
    return {printable(name) for name in names - {file.filename, "."}}


def check_is_there(
    dataset: h5py.Dataset, what: str, above: tuple = (), seen: set | None = None
) -> None:
    """Raises InputError unless all of a dataset has been written, its sources included.

    Args:
        dataset: of any layout.
        what: file and dataset, for the message.
        above: files and names of the virtual datasets that led here.
        seen: those of all sources that have been looked at.
    """
    own, seen = (dataset.file.filename, dataset.name), set() if seen is None else seen
    if own in above:
        raise InputError(f"{what} leads back to itself")
    if not dataset.size or own in seen:
        return
    seen.add(own)
    if dataset.is_virtual:
        _check_virtual(dataset, what, (*above, own), seen)
    elif dataset.external:
        gone = [name for name, *_ in dataset.external if _find(dataset, name) is None]
        if gone:
            raise InputError(f"{what} lies in {printable(gone[0])}, which is not there")
    else:
        if dataset.chunks:
            pairs = zip(dataset.shape, dataset.chunks, strict=True)
            claimed, there = math.prod(-(-s // c) for s, c in pairs), dataset.id.get_num_chunks()
            unit = "chunks"
        else:
            claimed = dataset.size * dataset.id.get_type().get_size()
            there = dataset.id.get_storage_size()
            unit = "bytes"
        if there < claimed:
            raise InputError(
                f"{what} claims {len(dataset):,} jets, and {there:,} of {claimed:,} {unit} are "
                "there: the file is unfinished or damaged"
            )


def _check_virtual(dataset: h5py.Dataset, what: str, above: tuple, seen: set) -> None:
    covered = 0
    for source in dataset.virtual_sources():
        name = printable(source.file_name)
        path = _find(dataset, source.file_name.replace("%b", "0"))
        if path is None:
            raise InputError(f"{what} is virtual and its source {name} is not there")
        points = _points(source.vspace)
        unreadable = f"{what} is virtual and its source {name} is not readable"
        with damaged(unreadable), h5py.File(path, "r") as file:
            part = file.get(source.dset_name)
            if not isinstance(part, h5py.Dataset) or _is_short(part, source.src_space, points):
                lacks = f"has not all that is read of `{printable(source.dset_name)}`"
                raise InputError(f"{what} is virtual and its source {name} {lacks}")
            inner = f"{what} is virtual: `{printable(part.name)}` in {name}"
            check_is_there(part, inner, above, seen)
        covered += points
    if covered < dataset.size:
        raise InputError(
            f"{what} is virtual and its sources have {covered:,} of {dataset.size:,} entries"
        )


def _find(dataset: h5py.Dataset, name: str) -> Path | None:
    """The file of a source: where HDF5 looks for it."""
    own = Path(dataset.file.filename)
    if name == ".":
        return own
    paths = (Path(name), own.parent / name, own.parent / Path(name).name)
    return next((path for path in paths if path.is_file()), None)


def _points(space: h5py.h5s.SpaceID) -> float:
    """Entries of a selection; inf where it has no end, and is as long as its source."""
    try:
        return space.get_select_npoints()
    except RuntimeError:
        return math.inf


def _is_short(part: h5py.Dataset, space: h5py.h5s.SpaceID, points: float) -> bool:
    """Whether a source ends before the selection that is read of it."""
    if points == math.inf:
        return False
    if space.get_select_type() != h5py.h5s.SEL_HYPERSLABS:
        return part.size < points
    _, last = space.get_select_bounds()
    return any(end >= length for end, length in zip(last, part.shape, strict=True))
