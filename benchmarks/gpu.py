"""Training on an accelerator: jets/s, memory and share of the matrix peak of every weighting.

The most important measurements come first. Those that are not reached within the time limit are
named at the end.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.compiled_steps import TURNS, Case, Steps
from benchmarks.devices import Differences, compare, matrix_peak
from benchmarks.made import SAMPLE, at_least, chosen, load
from benchmarks.peer_process import SALT as PEERS
from benchmarks.peer_process import Ask, peer, salt_settings
from benchmarks.tables import Table, about
from maskformer_jax.errors import InputError

# One and K backward passes: the methods of the tables against batch size.
FIRST = ("equal", "cagrad")
PARTS = ("sizes", "correctness", "methods", "salt")
CORRECTNESS, SALT = "correctness", "salt"
DTYPES = ("bfloat16", "float32")
COLUMNS = {"network": "", "type": "", "batch": "d", "method": "", "jets/s": ",.0f"}
COLUMNS |= {"to equal": ".3f", "with loader": ",.0f", "waiting": ".1%", "GiB": ".2f"}
COLUMNS |= {"of peak": ".1%"}
PEAKS = {"type": "", "10^12 operations/s of matrix products": ".4g"}
MOST = 8  # trainings that are compiled, and then measured, before the time is looked at


def run(
    models: Sequence[str] = ("maskformer_small", "maskformer"),
    file: str = SAMPLE,
    methods: Sequence[str] | None = None,
    dtypes: Sequence[str] = DTYPES,
    batch_sizes: Sequence[int] = (4000, 16000, 1000, 2000, 8000),
    parts: Sequence[str] = PARTS[:-1],
    limit: float = 450,
    seconds: float = 0.5,
    matrix: int = 8192,
    threads: int | None = None,
    peer_python: str | None = None,
) -> Iterator[dict[str, Table]]:
    """Training on an accelerator: speed, memory, correctness.

    Args:
        models: YAML files, or names of those in configs, the most important first
        dtypes: of the arithmetic, bfloat16 or float32, the most important first
        batch_sizes: jets of a batch, the most important first; it is that of all methods' table
        parts: sizes, correctness, methods, and salt, which is another training
        limit: seconds after which nothing new is begun
        seconds: of a turn, of which three are made
        matrix: rows of the square matrices whose product gives the peak
        threads: programs that are compiled at the same time; none: one per core
    """
    begin, names, threads = time.perf_counter(), chosen(methods), threads or os.cpu_count()
    at_least(1, batch_sizes=batch_sizes, matrix=matrix, threads=threads)
    at_least(0.001, seconds=seconds)
    dtypes, parts = chosen(dtypes, DTYPES, "type"), chosen(parts, PARTS, "part")
    peaks = {dtype: matrix_peak(dtype, matrix) for dtype in dtypes}
    steps, deadline = Steps(file, seconds), begin + limit
    rows, differences, missing = [], {}, []
    for group in groups(models, names, dtypes, batch_sizes, parts, min(threads, MOST)):
        if group == CORRECTNESS:
            differences = compare(models[0], file, names, deadline, threads)
            missing += [f"{CORRECTNESS} of {x}" for x in names if x not in differences]
        elif group == SALT:
            cases = [(d, b) for b in batch_sizes for d in dtypes]
            found = trained_by_salt(peer_python, models[0], file, cases, seconds, deadline)
            rows += found
            missing += [f"Salt {d} {b}" for d, b in cases[len(found) // len(PEERS) :]]
        else:
            found = steps.measure(group, deadline, threads)
            rows += found
            missing += [_name(case._asdict()) for case in group[len(found) :]]
        yield tables(rows, differences, peaks, f"not measured within {limit:g} s", missing)


def groups(
    models: Sequence[str],
    methods: Sequence[str],
    dtypes: Sequence[str],
    batch_sizes: Sequence[int],
    parts: Sequence[str],
    most: int,
) -> Iterator[list[Case] | str]:
    """What is measured together, the most important first; two words stand for other work.

    Args:
        models: YAML files or names.
        methods: names.
        dtypes: of the arithmetic.
        batch_sizes: jets of a batch.
        parts: of `PARTS`.
        most: trainings of a group.
    """
    first = [name for name in FIRST if name in methods] or methods[:1]
    others = [name for name in methods if name not in first]

    def sizes(model: str, batch_sizes: Sequence[int]) -> list[Case]:
        return [Case(model, m, d, b, True) for b in batch_sizes for d in dtypes for m in first]

    found: list[tuple[str, list[Case]]] = [("sizes", sizes(m, batch_sizes[:1])) for m in models]
    found += [("sizes", sizes(models[0], batch_sizes[1:]))]
    found += [(SALT, []), (CORRECTNESS, [])]
    for dtype in dtypes:
        cases = [Case(models[0], name, dtype, batch_sizes[0], False) for name in others]
        found.append(("methods", cases))
    found += [("sizes", sizes(model, batch_sizes[1:])) for model in models[1:]]
    for part, cases in found:
        if part in parts and part in (CORRECTNESS, SALT):
            yield part
        elif part in parts:
            yield from (cases[i : i + most] for i in range(0, len(cases), most))


def trained_by_salt(
    python: str | None,
    model: str,
    file: str,
    cases: Sequence[tuple[str, int]],
    seconds: float,
    deadline: float,
) -> list[dict[str, Any]]:
    """Rows of Salt's trainings of the same network, loading included.

    Args:
        python: interpreter that has Salt; none: this one.
        model: YAML file or name, of a MaskFormer or GN2.
        file: training file.
        cases: types and batch sizes.
        seconds: of a turn, at least.
        deadline: no case is begun after this moment of `time.perf_counter`.
    """
    device = {"gpu": "cuda"}.get(jax.default_backend(), "cpu")
    rows = []
    with peer(python, "salt_process", os.cpu_count()) as ask:
        for dtype, batch_size in cases:
            if time.perf_counter() > deadline:
                break
            told = salt_settings(load(model, file=file, batch_size=batch_size))
            told |= {"device": device, "dtype": dtype}
            for label in PEERS:
                row = {"model": model, "method": label, "dtype": dtype, "batch_size": batch_size}
                try:
                    rows.append(row | _turn_of_salt(ask, label, told, seconds))
                except InputError as error:
                    rows.append(row | {"failed": str(error)})
    return rows


def _turn_of_salt(ask: Ask, label: str, told: dict[str, Any], seconds: float) -> dict[str, Any]:
    parameters = ask("train", label, told)
    once = [ask("turn", label, 2)["seconds"] / 2 for _ in range(2)][-1]
    turns = [ask("turn", label, max(round(seconds / once), 2)) for _ in range(TURNS)]
    rates = [turn["jets"] / turn["seconds"] for turn in turns]
    waiting = sum(turn["waiting"] for turn in turns) / sum(turn["seconds"] for turn in turns)
    measured = {"loaded_jets_per_second": float(np.median(rates)), "waiting": waiting}
    return measured | {"parameters": parameters, "turns": turns}


def tables(
    rows: Sequence[dict[str, Any]],
    differences: Mapping[str, Differences | str],
    peaks: Mapping[str, float],
    limit: str,
    missing: Sequence[str],
) -> dict[str, Table]:
    """The machine; trainings by network, type and batch size; differences to the CPU; the rest.

    Operations are those of the products and sums of the program, without the method's own, and the
    memory is what the compiled step holds, batch and state included.
    """
    machine = ", ".join(f"{name} {value}" for name, value in about().items() if value)
    found = {"machine": Table(machine, PEAKS, [[name, x / 1e12] for name, x in peaks.items()])}
    rows = sorted(rows, key=_setting)
    plain = {_setting(row): row.get("jets_per_second") for row in rows if row["method"] == "equal"}
    if rows:
        cells = [_cells(x, plain.get(_setting(x)), peaks) for x in rows if "failed" not in x]
        notes = [f"{_name(row)}: {row['failed']}" for row in rows if "failed" in row]
        found["trainings"] = Table("trainings", COLUMNS, cells, notes, rows)
    if differences:
        failed = {k: x for k, x in differences.items() if isinstance(x, str)}
        cells = [[k, *x] for k, x in differences.items() if k not in failed]
        columns = {"method": "", **dict.fromkeys(Differences._fields, ".1e")}
        notes = [f"{name}: {reason}" for name, reason in failed.items()]
        title = "to the CPU, float32 in full precision"
        found["differences"] = Table(title, columns, cells, notes)
    found["missing"] = Table(f"{limit}: {'; '.join(missing) or 'nothing'}", {}, [])
    return found


def _cells(row: dict[str, Any], plain: float | None, peaks: dict[str, float]) -> list[Any]:
    model, dtype, batch_size = _setting(row)
    method = row["method"] if row.get("finite", True) else f"{row['method']}, not finite"
    rate, held, done = (row.get(x) for x in ("jets_per_second", "bytes", "operations_per_second"))
    return [
        *(Path(model).stem, dtype, batch_size, method, rate, rate and plain and rate / plain),
        *(row.get("loaded_jets_per_second"), row.get("waiting")),
        *(held and held / 2**30, done and done / peaks[dtype]),
    ]


def _setting(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["model"], row["dtype"], row["batch_size"]


def _name(row: dict[str, Any]) -> str:
    return f"{Path(row['model']).stem} {row['method']} {row['dtype']} {row['batch_size']}"
