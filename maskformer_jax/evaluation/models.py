"""Several models side by side: their tables stacked, with means and spreads over seeds."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from maskformer_jax.evaluation.cells import ROUNDING
from maskformer_jax.evaluation.names import heading
from maskformer_jax.evaluation.results import (
    CONSTANT,
    FEW,
    LOWER,
    UPPER,
    Confusion,
    Curve,
    Part,
    Points,
    Quantity,
    Result,
    Table,
)

# More columns than these make another table.
WIDEST = 9
CHANGES = (
    "Changes are formed seed by seed; statistical errors are added as if the two models saw "
    "different jets, so they are too large."
)

# Column and row of a cell -> its quantity of each seed.
Key = tuple[str, str]
Measured = Mapping[Key, Mapping[int, Quantity]]


class Entry(NamedTuple):
    """A model in the tables.

    Attributes:
        label: its name; formulas between dollar signs.
        group: of similar models; "" for none.
        seeds: evaluation of each training, by the seed of the training.
    """

    label: str
    group: str
    seeds: Mapping[int, Result]

    def quantities(self, section: str, task: str, name: str) -> dict[Key, dict[int, Quantity]]:
        """What models are compared by in a table: column and row -> the quantity of each seed."""
        found: dict[Key, dict[int, Quantity]] = {}
        for seed, result in self.seeds.items():
            table = result.table(section, task, name)
            for column, row in table.compared() if table else ():
                found.setdefault((column, row), {})[seed] = table.cells[row][column]
        return found


def tasks_of(entries: Iterable[Entry], section: str) -> list[str]:
    """Tasks of a section in any of the results, in the order in which they occur."""
    results = (result for entry in entries for result in entry.seeds.values())
    return list(dict.fromkeys(task for r in results for task in r.sections.get(section, {})))


def tables_named(entries: Iterable[Entry], section: str, task: str) -> dict[str, Table]:
    """Tables of a task by name, each from the first of the results that has it."""
    found: dict[str, Table] = {}
    for entry in entries:
        for result in entry.seeds.values():
            for table in result.sections.get(section, {}).get(task, Part()).tables:
                found.setdefault(table.name, table)
    return found


def left_out(results: Iterable[Result]) -> list[Table]:
    """A table of nothing but notes: what could not be measured; no table where there is nothing."""
    notes = dict.fromkeys(line for result in results for line in result.left_out)
    return [Table("left_out", "Left out", {}, {}, notes=(*notes,))] if notes else []


def own_tables(result: Result) -> list[Table]:
    """The tables of one run; those of several tasks of a section are told apart by their names."""
    return left_out([result]) + [
        _named(table, task, tasks)
        for tasks in result.sections.values()
        for task, part in tasks.items()
        for table in part.tables
    ]


def _named(table: Table, task: str, tasks: Mapping[str, object]) -> Table:
    name = f"{task}_{table.name}" if len(tasks) > 1 else table.name
    return dataclasses.replace(table, name=name, title=heading(table.title, task, tasks))


def _compared(entries: Sequence[Entry]) -> Iterator[tuple[Table, list[Measured]]]:
    """Every table of the results with what each of the models has in it."""
    results = [result for entry in entries for result in entry.seeds.values()]
    for section in dict.fromkeys(name for result in results for name in result.sections):
        tasks = dict.fromkeys(tasks_of(entries, section))
        for task in tasks:
            for name, table in tables_named(entries, section, task).items():
                found = [entry.quantities(section, task, name) for entry in entries]
                if any(found):
                    yield _named(table, task, tasks), found


def all_tables(entries: Sequence[Entry], reference: Entry | None = None) -> list[Table]:
    """Every table of the results with a row for each model, and the changes to a reference.

    Args:
        entries: the models, those of a group together.
        reference: one of them, what percentage changes refer to; none: the first.
    """
    tables = left_out(result for entry in entries for result in entry.seeds.values())
    base = next((i for i, entry in enumerate(entries) if entry is reference), 0)
    others = [*entries[:base], *entries[base + 1 :]]
    for table, found in _compared(entries):
        tables += _stacked(table, entries, found)
        changes = [_changes(own, found[base]) for own in found]
        del changes[base]
        if table.is_ratio and any(changes):
            tables += _stacked(_changed(table, entries[base].label), others, changes)
    return tables


def side_by_side(entries: Sequence[Entry]) -> list[Table]:
    """Every table with a column for each of few models, and one for its change to the first."""
    tables = left_out(result for entry in entries for result in entry.seeds.values())
    for table, found in _compared(entries):
        keys = dict.fromkeys(key for own in found for key in own)
        columns, cells = {}, {"/".join(key): {} for key in keys}
        for i, (entry, own) in enumerate(zip(entries, found, strict=True)):
            measured = {str(i): (entry.label, own)}
            if i and table.is_ratio:
                changes = _changes(own, found[0])
                measured[f"change {i}"] = (f"change of {entry.label}", changes)
            for column, (label, parts) in measured.items():
                columns[column] = label
                for key, seeds in parts.items():
                    cells["/".join(key)][column] = over_seeds(seeds)
        rows = {"/".join(key): table.rows[key[1]] for key in keys}
        groups = _above(table, keys)
        options = {"row_groups": groups, "notes": table.notes, "corner": table.corner}
        tables.append(Table(table.name, table.title, rows, columns, cells, **options))
    return tables


def _above(table: Table, keys: Iterable[Key]) -> dict[str, str]:
    """What stands above cells that are put beside each other, where they are of several columns."""
    several = len({column for column, _ in keys}) > 1
    return {"/".join(key): table.columns[key[0]] for key in keys if several}


def _changed(table: Table, reference: str) -> Table:
    title = f"{table.title}; change to {reference} [%]"
    name, notes = f"{table.name}_changes", (CHANGES,)
    return dataclasses.replace(table, name=name, title=title, notes=notes)


def _changes(own: Measured, theirs: Measured) -> Measured:
    changes = {key: relative_change(seeds, theirs.get(key, {})) for key, seeds in own.items()}
    return {key: seeds for key, seeds in changes.items() if seeds}


def _stacked(table: Table, entries: Sequence[Entry], found: Sequence[Measured]) -> Iterator[Table]:
    """The compared cells of a table as columns; in several tables where they are many."""
    keys = list(dict.fromkeys(key for cells in found for key in cells))
    columns = [column for column in table.columns if any(c == column for c, _ in keys)]
    pieces: list[list[Key]] = []
    for column in columns:
        new = [key for key in keys if key[0] == column]
        if pieces and len(pieces[-1]) + len(new) <= WIDEST:
            pieces[-1] += new
        else:
            pieces.append(new)
    for piece in pieces:
        cells = {
            str(i): {"/".join(key): over_seeds(own[key]) for key in piece if key in own}
            for i, own in enumerate(found)
        }
        name = table.name if len(pieces) == 1 else f"{table.name}_{piece[0][0]}"
        yield Table(
            name,
            table.title,
            {str(i): entry.label for i, entry in enumerate(entries)},
            {"/".join(key): table.rows[key[1]] for key in piece},
            cells,
            notes=(*uncertainty_notes(cells), *table.notes),
            row_groups={str(i): entry.group for i, entry in enumerate(entries) if entry.group},
            column_groups=_above(table, keys),
            is_ranked=True,
        )


def relative_change(
    mine: Mapping[int, Quantity], theirs: Mapping[int, Quantity]
) -> dict[int, Quantity]:
    """Percentage change to a reference, seed by seed; none where one of both is a limit.

    Both are measured on the same jets, which lets part of their errors cancel; here they are added
    as if independent, so that the error is rather too large.
    """
    changes = {}
    for seed, a in mine.items():
        b = theirs.get(seed)
        # Biases have no ratio.
        if b is None or a.better == "zero" or a.is_limit or b.is_limit:
            continue
        if not a.value or not b.value:
            continue
        ratio = a.value / b.value
        error = 100 * ratio * math.hypot(a.error / a.value, b.error / b.value)
        remark = FEW if FEW in (a.remark, b.remark) else ""
        changes[seed] = Quantity(100 * (ratio - 1), error, "%", a.better, remark)
    return changes


def over_seeds(seeds: Mapping[int, Quantity]) -> Quantity | None:
    """Mean, spread with n - 1, and the root mean square of the statistical errors."""
    if len(seeds) < 2:
        return next(iter(seeds.values()), None)
    found = list(seeds.values())
    values, remarks = [x.value for x in found], [x.remark for x in found]
    return dataclasses.replace(
        found[0],
        value=float(np.mean(values)),
        error=float(np.sqrt(np.mean(np.square([x.error for x in found])))),
        remark=next((r for r in (LOWER, UPPER, FEW, CONSTANT) if r in remarks), ""),
        spread=float(np.std(values, ddof=1)),
    )


def uncertainty_notes(cells: Mapping[str, Mapping[str, Quantity]]) -> tuple[str, ...]:
    """What stands after ± in a table, and how the two kinds of uncertainty compare."""
    found = [x for row in cells.values() for x in row.values()]
    several = [x for x in found if not math.isnan(x.spread)]
    if not any(x.uncertainty > 0 for x in found):
        return ()
    if not several:
        return ("± is the statistical error of the test file; one training each.",)
    note = "± is the standard deviation over the seeds of the training"
    if len(several) < len(found):
        note += ", or where there is one seed the statistical error of the test file"
    known = [x for x in several if x.spread > ROUNDING * abs(x.value) and x.error > 0]
    if not known:
        return (f"{note}.",)
    ratio = np.median([x.error / x.spread for x in known])
    return (f"{note}. The statistical error of one seed is typically {ratio:.2g} times as large.",)


def averaged(entry: Entry) -> Result:
    """Results of a model with every number averaged over its seeds, to be drawn.

    A curve gets the spread over seeds as its error. Where curves have different points, such as
    histograms with bins of their own, those of the first seed stand for all.
    """
    first, *others = entry.seeds.values()
    mean = _mean([first, *others]) if others else first
    return dataclasses.replace(mean, label=entry.label)


def _mean(found: Sequence[Any]) -> Any:
    """Of the same part of several results: what they have in common, numbers averaged."""
    first = found[0]
    match first:
        case Quantity():
            return over_seeds(dict(enumerate(found)))
        case Points():
            if not all(np.array_equal(first.x, points.x) for points in found):
                return first
            # A point that one seed lacks, such as no passing jet, has no mean, only a limit.
            values, lows = (np.array([getattr(p, x) for p in found]) for x in ("value", "low"))
            mean = Points.with_error(first.x, values.mean(axis=0), values.std(axis=0, ddof=1))
            return mean._replace(low=np.where(np.isnan(mean.value), lows.min(axis=0), mean.low))
        case Confusion():
            counts = np.mean([confusion.counts for confusion in found], axis=0)
            return dataclasses.replace(first, counts=counts.tolist())
        case Result() | Part() | Table() | Curve():
            fields = vars(first)
            means = {name: _mean([vars(x)[name] for x in found]) for name in fields}
            return type(first)(**means)
        case Mapping():
            shared = [key for key in first if all(key in other for other in found)]
            return {key: _mean([other[key] for other in found]) for key in shared}
        case list() | tuple():
            named = [{_name(item): item for item in items} for items in found]
            return list(_mean(named).values())
        case _:
            return first


def _name(item: Any) -> Any:
    """What tells the tables, matrices and curves of a part from each other."""
    return (item.figure, item.name) if isinstance(item, Curve) else getattr(item, "name", item)
