"""Training on an accelerator: jets/s and memory of every weighting.

The most important measurements come first. Those that are not reached within the time limit are
named at the end.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import jax

from benchmarks.devices import DIFFERENCES, Case, Numbers, compare, prepare
from benchmarks.export import BATCH_SIZE
from benchmarks.made import SAMPLE, at_least, chosen
from benchmarks.tables import Table, about
from maskformer_jax.errors import InputError

# One and K backward passes: the methods of the tables against batch size.
FIRST = ("equal", "cagrad")
SIZES, CORRECTNESS, OTHERS = PARTS = ("sizes", "correctness", "methods")
DTYPES = ("bfloat16", "float32")
COLUMNS = {"network": "", "type": "", "batch": "d", "method": "", "jets/s": ",.0f"}
COLUMNS |= {"to equal": ".3f", "with loader": ",.0f", "waiting": ".1%", "GiB": ".2f"}
Prepare = Callable[[Case, ThreadPoolExecutor], Numbers]
MOST = 8  # trainings that are compiled, and then measured, before the time is looked at


def run(
    models: Sequence[str] = ("maskformer_small", "maskformer"),
    file: str = SAMPLE,
    methods: Sequence[str] | None = None,
    dtypes: Sequence[str] = DTYPES,
    batch_sizes: Sequence[int] = (4000, 16000, 1000, 2000, 8000),
    parts: Sequence[str] = PARTS,
    limit: float = 450,
    seconds: float = 0.5,
    threads: int | None = None,
) -> Iterator[dict[str, Table]]:
    """Training on an accelerator: speed, memory, correctness.

    Args:
        models: YAML files, or names of those in configs, the most important first
        dtypes: of the arithmetic, bfloat16 or float32, the most important first
        batch_sizes: jets of a batch, the most important first; it is that of all methods' table
        parts: sizes, correctness, methods
        limit: seconds after which nothing new is begun
        seconds: of a turn, of which three are made
        threads: programs that are compiled at the same time; none: one per core
    """
    begin, names, threads = time.perf_counter(), chosen(methods), threads or os.cpu_count()
    at_least(1, batch_sizes=batch_sizes, threads=threads)
    at_least(0.001, seconds=seconds)
    dtypes, parts = chosen(dtypes, DTYPES, "type"), chosen(parts, PARTS, "part")
    deadline, rows, missing = begin + limit, [], []
    works = [x for x in cases(models, names, dtypes, batch_sizes) if x.part in parts]
    most = min(threads, MOST)
    steps = partial(prepare, file=file, seconds=seconds)
    prepares = {SIZES: steps, OTHERS: steps, CORRECTNESS: partial(compare, file=file)}
    for group in (works[start : start + most] for start in range(0, max(len(works), 1), most)):
        found = measured(group, prepares, deadline, threads)
        rows += found
        missing += [_name(case._asdict()) for case in group[len(found) :]]
        yield tables(rows, f"not measured within {limit:g} s", missing)


def cases(
    models: Sequence[str],
    methods: Sequence[str],
    dtypes: Sequence[str],
    batch_sizes: Sequence[int],
) -> list[Case]:
    """What is measured, the most important first."""
    first = [name for name in FIRST if name in methods] or methods[:1]
    others = [name for name in methods if name not in first]
    model, small, large = models[:1], batch_sizes[:1], batch_sizes[1:]
    found = [
        (SIZES, models, small, dtypes, first),
        (SIZES, model, large, dtypes, first),
        (CORRECTNESS, model, [BATCH_SIZE], ["float32"], methods),
        (OTHERS, model, small, dtypes, others),
        (SIZES, models[1:], large, dtypes, first),
    ]
    return [
        Case(part, name, method, dtype, size)
        for part, *every in found
        for name, size, dtype, method in product(*every)
    ]


def measured(
    group: Sequence[Case], prepares: Mapping[str, Prepare], deadline: float, threads: int
) -> list[dict[str, Any]]:
    """Numbers of every case that was begun before the deadline.

    All of them are compiled first, so that no compilation disturbs a measurement. What fails, for
    want of memory perhaps, has the reason instead of numbers.

    Args:
        group: of cases.
        prepares: part -> what begins to compile a case, and returns what measures it.
        deadline: by `time.perf_counter`.
        threads: programs that are compiled at the same time.
    """
    rows, begun = [], []
    with ThreadPoolExecutor(threads) as pool:
        for case in group:
            if time.perf_counter() < deadline:
                begun.append((case, prepares[case.part](case, pool)))
    while begun:
        case, numbers = begun.pop(0)
        try:
            found = numbers()
        except (jax.errors.JaxRuntimeError, InputError) as error:
            found = {"failed": str(error).splitlines()[0]}
        rows.append(case._asdict() | found)
    return rows


def tables(rows: Sequence[dict[str, Any]], limit: str, missing: Sequence[str]) -> dict[str, Table]:
    """The machine; trainings by network, type and batch size; differences to the CPU; the rest.

    The memory is what the compiled step holds, batch and state included.
    """
    date, device, environment = about().values()
    found = {"machine": Table(f"{device}, {date}", {}, [], environment.splitlines())}
    compared = [row for row in rows if row["part"] == CORRECTNESS]
    rows = sorted((row for row in rows if row["part"] != CORRECTNESS), key=_setting)
    plain = {_setting(row): row.get("jets_per_second") for row in rows if row["method"] == "equal"}
    if rows:
        cells = [_cells(x, plain.get(_setting(x))) for x in rows if "failed" not in x]
        found["trainings"] = Table("trainings", COLUMNS, cells, _failures(rows), rows)
    if compared:
        cells = [[x["method"], *(x[y] for y in DIFFERENCES)] for x in compared if "failed" not in x]
        columns = {"method": "", **dict.fromkeys(DIFFERENCES, ".1e")}
        title = "to the CPU, float32 in full precision"
        found["differences"] = Table(title, columns, cells, _failures(compared))
    found["missing"] = Table(f"{limit}: {'; '.join(missing) or 'nothing'}", {}, [])
    return found


def _failures(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [f"{_name(row)}: {row['failed']}" for row in rows if "failed" in row]


def _cells(row: dict[str, Any], plain: float | None) -> list[Any]:
    model, dtype, batch_size = _setting(row)
    method = row["method"] if row["finite"] else f"{row['method']}, not finite"
    rate, loaded = row["jets_per_second"], (row.get("loaded_jets_per_second"), row.get("waiting"))
    cells = [Path(model).stem, dtype, batch_size, method, rate, plain and rate / plain]
    return [*cells, *loaded, row["bytes"] / 2**30]


def _setting(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["model"], row["dtype"], row["batch_size"]


def _name(row: dict[str, Any]) -> str:
    if row["part"] == CORRECTNESS:
        return f"{CORRECTNESS} of {row['method']}"
    return f"{Path(row['model']).stem} {row['method']} {row['dtype']} {row['batch_size']}"
