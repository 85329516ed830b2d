"""Training on an accelerator: jets/s, memory and share of the matrix peak of every weighting.

The most important measurements come first. Those that are not reached within the time limit are
named at the end, and what has been measured is written after every group of them, so that a run
that is killed leaves something behind.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import devices
from benchmarks.compiled_steps import TURNS, Case, Steps
from benchmarks.made import chosen, load
from benchmarks.salt_peer import VARIANTS as PEERS
from benchmarks.salt_peer import Ask, salt, settings
from benchmarks.tables import Table, text
from maskformer_jax.errors import InputError
from maskformer_jax.training.compilation import use_cache

# One and K backward passes: the methods of the tables against batch size.
FIRST = ("equal", "cagrad")
PARTS = ("sizes", "correctness", "methods", "salt")
CORRECTNESS, SALT = "correctness", "salt"
COLUMNS = {"network": "", "type": "", "batch": "d", "method": "", "jets/s": ",.0f"}
COLUMNS |= {"to equal": ".3f", "with loader": ",.0f", "waiting": ".1%", "GiB": ".2f"}
COLUMNS |= {"of peak": ".1%"}
MOST = 8  # trainings that are compiled, and then measured, before the time is looked at


def run(
    models: Sequence[str],
    file: str,
    methods: Sequence[str] | None,
    dtypes: Sequence[str],
    batch_sizes: Sequence[int],
    *,
    parts: Sequence[str],
    limit: float,
    seconds: float,
    matrix: int,
    threads: int | None,
    peer_python: str | None,
    output: str,
) -> str:
    """Tables of what was measured, which are also written beside `output`, all numbers as JSON.

    Args:
        models: YAML files or names, the most important first.
        file: training file.
        methods: names; none: all.
        dtypes: of the arithmetic, the most important first.
        batch_sizes: jets of a batch, the most important first; it is that of all methods' table.
        parts: of `PARTS`: against batch size, against the CPU, all methods, Salt.
        limit: seconds after which nothing new is begun.
        seconds: of one turn of a training.
        matrix: rows of the square matrices whose product gives the peak.
        threads: programs that are compiled at the same time; none: one per core.
        peer_python: interpreter that has Salt; none: this one.
        output: JSON file.
    """
    begin, names, threads = time.perf_counter(), chosen(methods), threads or os.cpu_count() or 1
    if min(*batch_sizes, matrix, threads, seconds) <= 0:
        raise InputError(
            "`--batch_sizes`, `--matrix`, `--threads` and `--seconds` must be positive; got "
            f"{batch_sizes}, {matrix}, {threads} and {seconds}"
        )
    use_cache()
    found = {"about": devices.about(), "file": file, "limit": limit, "matrix": matrix}
    found["peaks"] = {dtype: devices.matrix_peak(dtype, matrix) for dtype in dtypes}
    found |= {"rows": [], "differences": {}, "missing": []}
    steps, deadline = Steps(file, seconds), begin + limit
    written = ""
    for group in groups(models, names, dtypes, batch_sizes, parts, min(threads, MOST)):
        if group == CORRECTNESS:
            found["differences"] = devices.compare(models[0], file, names, deadline, threads)
            missing = [f"{CORRECTNESS} of {x}" for x in names if x not in found["differences"]]
        elif group == SALT:
            cases = [(d, b) for b in batch_sizes for d in dtypes]
            rows = trained_by_salt(peer_python, models[0], file, cases, seconds, deadline)
            found["rows"] += rows
            missing = [f"Salt {d} {b}" for d, b in cases[len(rows) // len(PEERS) :]]
        else:
            rows = steps.measure(group, deadline, threads)
            found["rows"] += rows
            missing = [_name(case._asdict()) for case in group[len(rows) :]]
        found["missing"] += missing
        found["seconds"] = time.perf_counter() - begin
        written = write(found, Path(output))
    return written


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
    with salt(python, os.cpu_count() or 1) as ask:
        for dtype, batch_size in cases:
            if time.perf_counter() > deadline:
                break
            told = settings(load(model, file=file, batch_size=batch_size))
            told |= {"device": device, "dtype": dtype}
            for label in PEERS:
                row = {"model": model, "method": label, "dtype": dtype, "batch_size": batch_size}
                try:
                    rows.append(row | _turn_of_salt(ask, label, told, seconds))
                except InputError as error:
                    rows.append(row | {"failed": str(error)})
    return rows


def _turn_of_salt(ask: Ask, label: str, told: dict[str, Any], seconds: float) -> dict[str, Any]:
    parameters = ask("train", label, settings=told)
    ask("turn", label, steps=2)
    once = ask("turn", label, steps=2)["seconds"] / 2
    turns = [ask("turn", label, steps=max(round(seconds / once), 2)) for _ in range(TURNS)]
    rates = [turn["jets"] / turn["seconds"] for turn in turns]
    waiting = sum(turn["waiting"] for turn in turns) / sum(turn["seconds"] for turn in turns)
    measured = {"loaded_jets_per_second": float(np.median(rates)), "waiting": waiting}
    return measured | {"parameters": parameters, "turns": turns}


def write(found: dict[str, Any], output: Path) -> str:
    """The tables, which are written beside the JSON."""
    shown = table(found)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(found, indent=1) + "\n")
    output.with_suffix(".txt").write_text(shown + "\n")
    return shown


def table(found: dict[str, Any]) -> str:
    """Trainings by network, type and batch size; differences to the CPU; what is missing.

    Operations are those of the products and sums of the program, without the method's own, and the
    memory is what the compiled step holds, batch and state included.
    """
    lines = [", ".join(f"{name} {value}" for name, value in found["about"].items() if value)]
    peaks = (f"{name} {value / 1e12:.4g}" for name, value in found["peaks"].items())
    lines.append(f"matrix peak, 10^12 operations/s: {', '.join(peaks)}")
    rows = sorted(found["rows"], key=_setting)
    plain = {_setting(row): row.get("jets_per_second") for row in rows if row["method"] == "equal"}
    cells = [_cells(x, plain.get(_setting(x)), found["peaks"]) for x in rows if "failed" not in x]
    if cells:
        lines += ["", text(Table("trainings", COLUMNS, cells))]
    lines += [f"{_name(row)}: {row['failed']}" for row in rows if "failed" in row]
    failed = {k: x for k, x in found["differences"].items() if isinstance(x, str)}
    cells = [[k, *x] for k, x in found["differences"].items() if k not in failed]
    if cells:
        columns = {"method": "", **dict.fromkeys(devices.Differences._fields, ".1e")}
        lines += ["", text(Table("to the CPU, float32 in full precision", columns, cells))]
    lines += [f"{name}: {reason}" for name, reason in failed.items()]
    if found["missing"]:
        missing = "; ".join(found["missing"])
        lines.append(f"\nnot measured within {found['limit']:g} s: {missing}")
    return "\n".join(lines)


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
