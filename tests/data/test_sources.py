"""Files that claim what they do not hold, or say themselves that they mean something else."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from maskformer_jax.data import JetFile
from maskformer_jax.errors import InputError


@pytest.fixture
def path(tables, opened):
    """A good file."""
    file = opened(tables)
    file.close()
    return file.path


def moved(file, folder, *names):
    """Puts datasets into another file and returns its path."""
    path = folder / "other.h5"
    with h5py.File(path, "w") as other:
        for name in names:
            file.copy(name, other)
            del file[name]
    return path


def virtual(file, name, source, rows, more=0, whole=True):
    """A dataset of rows of a source, which are all of it or not, and of more that none has."""
    with h5py.File(source) as other:
        shape, dtype = other[name].shape, other[name].dtype
    layout = h5py.VirtualLayout((rows + more, *shape[1:]), dtype)
    there = h5py.VirtualSource(source.name, name, (rows + (not whole), *shape[1:]))
    layout[:rows] = there if whole else there[:rows]
    file.create_virtual_dataset(name, layout)


def external(file, folder):
    path = moved(file, folder, "tracks")
    file["tracks"] = h5py.ExternalLink(path.name, "/tracks")
    return path


def source(file, folder, rows=50, more=0, whole=True):
    path = moved(file, folder, "tracks")
    virtual(file, "tracks", path, rows, more, whole)
    return path


def of_a_virtual(file, folder):
    source(file, folder).rename(folder / "first.h5")
    with h5py.File(folder / "other.h5", "w") as other:
        virtual(other, "tracks", folder / "first.h5", 50)
    return folder / "first.h5"


def cycle(file, folder):
    """A virtual dataset of one that is virtual and leads back."""
    own, path = Path(file.filename), source(file, folder)
    with h5py.File(path, "w") as other:
        layout = h5py.VirtualLayout((50, 6), file["tracks"].dtype)
        layout[:50] = h5py.VirtualSource(own.name, "tracks", (50, 6))
        other.create_virtual_dataset("tracks", layout)


def claimed(file, **options):
    dtype = file["tracks"].dtype
    for name in ("jets", "tracks", "truth_hadrons"):
        shape, dtype = file[name].shape, file[name].dtype
        del file[name]
        file.create_dataset(name, (10**10, *shape[1:]), dtype, **options)


def raw(file, folder):
    table = file["tracks"][:]
    del file["tracks"]
    path = folder / "tracks.raw"
    file.create_dataset("tracks", data=table, external=[(str(path), 0, table.nbytes)])
    return path


def odd_names(file):
    dtype = h5py.h5t.create(h5py.h5t.COMPOUND, 8)
    dtype.insert(b"\xff\xfe", 0, h5py.h5t.NATIVE_DOUBLE)
    del file["tracks"]
    space = h5py.h5s.create_simple((50, 6))
    written = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    written.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    h5py.h5d.create(file.id, b"tracks", dtype, space, written)


def replaced(file, name, item):
    del file[name]
    file[name] = item


# What is done to a file -> what is said.
BROKEN = {
    "self-referring link": (
        lambda f, d: replaced(f, "tracks", h5py.SoftLink("/tracks")),
        "dataset `tracks` is a link to `/tracks`, where no dataset is",
    ),
    "dead soft link": (
        lambda f, d: replaced(f, "tracks", h5py.SoftLink("/tracs")),
        "dataset `tracks` is a link to `/tracs`, where no dataset is",
    ),
    "dead external link": (
        lambda f, d: external(f, d).unlink(),
        "dataset `tracks` is a link to `/tracks` in other.h5, where no dataset is",
    ),
    "group": (
        lambda f, d: f.move("tracks", "x") or f.create_group("tracks"),
        "no dataset `tracks`",
    ),
    "null dataspace": (
        lambda f, d: replaced(f, "jets", h5py.Empty(f["jets"].dtype)),
        "dataset `jets` must have 1 axes; its shape is None",
    ),
    "names that are no text": (lambda f, d: odd_names(f), "codec can't decode byte 0xff"),
    "lost source": (
        lambda f, d: source(f, d).unlink(),
        "dataset `tracks` is virtual and its source other.h5 is not there",
    ),
    "source of a source": (
        lambda f, d: of_a_virtual(f, d).unlink(),
        "`/tracks` in other.h5 is virtual and its source first.h5 is not there",
    ),
    "cycle": (cycle, "leads back to itself"),
    "other source": (
        lambda f, d: source(f, d).write_bytes(b"no HDF5"),
        "source other.h5 is not readable",
    ),
    "empty source": (
        lambda f, d: h5py.File(source(f, d), "w").close(),
        "source other.h5 has not all that is read of `tracks`",
    ),
    "rows without a source": (
        lambda f, d: source(f, d, 40, 10),
        "dataset `tracks` is virtual and its sources have 240 of 300 entries",
    ),
    "rows beyond the source": (
        lambda f, d: source(f, d, 51),
        "has not all that is read of `tracks`",
    ),
    "a row beyond the source": (
        lambda f, d: source(f, d, 51, whole=False),
        "has not all that is read of `tracks`",
    ),
    "no raw file": (lambda f, d: raw(f, d).unlink(), "tracks.raw, which is not there"),
    "chunks": (
        lambda f, d: claimed(f, chunks=True, compression="gzip"),
        "dataset `jets` claims 10,000,000,000 jets, and 0 of",
    ),
    "contiguous": (lambda f, d: claimed(f), "claims 10,000,000,000 jets, and 0 of"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_there_is_named_on_opening(case, path, tmp_path, schema):
    change, message = BROKEN[case]
    with h5py.File(path, "r+") as file:
        change(file, tmp_path)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        JetFile(path, schema)
    text = str(caught.value)
    assert text.isprintable() and text.startswith(str(path)) and len(text) < 500


OTHERS = {raw: "tracks.raw"}


@pytest.mark.parametrize("change", [external, source, of_a_virtual, raw])
def test_what_lies_elsewhere_is_read(change, path, tables, tmp_path, schema):
    with h5py.File(path, "r+") as file:
        change(file, tmp_path)
    file = JetFile(path, schema)
    assert [name.rpartition("/")[2] for name in file.others] == [OTHERS.get(change, "other.h5")]
    assert file.read(0, 50).streams["tracks"].table.tobytes() == tables["tracks"].tobytes()
    file.close()


def test_a_file_with_names_that_are_no_text_beside_its_own_is_read(path, schema):
    with h5py.File(path, "r+") as file:
        file[b"\xff\xfe"] = np.zeros(3)
        file["loop"] = h5py.SoftLink("/loop")
        file["two\nlines"] = np.zeros(3)
    JetFile(path, schema).close()
    with h5py.File(path, "r+") as file:
        del file["tracks"]
    with pytest.raises(InputError, match=r"no dataset `tracks`; it has: jets, truth_h") as caught:
        JetFile(path, schema)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("block", range(0, 2600, 130))
def test_a_damaged_index_is_one_line(block, tables, opened, schema):
    """Bytes of headers and of the B-tree of the chunks, one place after the other."""
    file = opened(tables, compression="gzip", chunks=True)
    file.close()
    path = file.path
    content = bytearray(path.read_bytes())
    content[block + 100 : block + 116] = b"\xa5" * 16
    path.write_bytes(content)
    try:
        file = JetFile(path, schema)
    except InputError as error:
        assert str(error).isprintable()
        return
    try:
        file.read(0, 50)
        file.classes()
    except InputError as error:
        assert str(error).isprintable()
    file.close()


# Names that a file lists for the values 0, 1, 2 -> whether they are those of the configuration,
# bjets, cjets and ujets; names that only one side has say nothing.
ORDERS = {
    ("bjets", "cjets", "ujets"): True,
    ("bjets", "cjets", "ujets", "taujets"): True,
    ("b", "c", "light"): True,
    ("b", "cjets", "light"): True,
    ("ujets", "cjets", "bjets"): False,
    ("bjets", "ujets", "cjets"): False,
    ("bjets", "cjets"): True,
    ("light", "bjets", "cjets"): False,
}


@pytest.mark.parametrize("kind", ["S", "O"])
@pytest.mark.parametrize("names", ORDERS)
def test_the_order_of_classes_that_a_file_states_is_compared(names, kind, path, schema):
    with h5py.File(path, "r+") as file:
        value = np.array(names, "S") if kind == "S" else np.array(names, h5py.string_dtype())
        file["jets"].attrs["flavour_label"] = value
    if ORDERS[names]:
        JetFile(path, schema).close()
        return
    listed = ", ".join(f"{i}: {name}" for i, name in enumerate(names))
    message = f"`flavour_label` is {listed}; `data.labels.flavour.classes` says 0: bjets, 1: cjets"
    with pytest.raises(InputError, match=re.escape(message)):
        JetFile(path, schema)


@pytest.mark.parametrize("value", [3.0, "bjets", h5py.Empty("f4"), np.zeros((2, 2))])
def test_an_attribute_that_lists_no_names_says_nothing(value, path, schema):
    with h5py.File(path, "r+") as file:
        file["jets"].attrs["flavour_label"] = value
    JetFile(path, schema).close()
