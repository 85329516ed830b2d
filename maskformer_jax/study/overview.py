"""Tables that show all models at once: changes to the reference, published values, and costs."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from maskformer_jax.evaluation.models import over_seeds, tasks_of
from maskformer_jax.evaluation.quantities import number
from maskformer_jax.evaluation.results import Better, Quantity, Table, table_of
from maskformer_jax.study.collect import Collected, Test
from maskformer_jax.study.comparison import SIGNIFICANT, cell, contrast, estimates
from maskformer_jax.study.config import StudyConfig
from maskformer_jax.study.progress import Cost
from maskformer_jax.study.quantities import everything

# A table of more quantities than these is none of a glance.
MOST = 9
NOTE = (
    "Rejections and narrowness change by a factor, told in %; others by a difference in their own "
    "unit. Larger is better in every column."
)
COSTS = {
    "time": "training [min]",
    "rate": "jets/s",
    "cpu": "CPU per jet [ms]",
    "relative": "CPU to the reference",
}
COST_NOTES = (
    "± is the standard deviation over the seeds.",
    "Time by the clock includes compilation, validation and whatever else the machine did; the "
    "CPU time per jet, a median, hardly depends on other programs.",
)


def changes(collected: Collected, test: Test) -> Table:
    """The change of every model to the reference in each quantity, with its error.

    Args:
        collected: the finished runs.
        test: on which they were evaluated.
    """
    study, models, reference = collected.study, test.models, collected.study.reference
    columns, cells = {}, {name: {} for name in models if name != reference}
    for column, quantity in enumerate(everything(models)[:MOST]):
        known = estimates(quantity.measured)
        if reference not in known:
            continue
        columns[str(column)] = quantity.name
        for name in cells.keys() & known.keys():
            value, error = contrast(known, {name: 1, reference: -1})
            unit = "%" if quantity.is_ratio else ""
            if quantity.is_ratio:
                value, error = 100 * math.expm1(value), 100 * math.exp(value) * error
            cells[name][str(column)] = number(value, error, unit, "high")
    title = f"Change to {study.label(reference)} on {test.name}"
    return _of_models(study, "overview", title, columns, cells, notes=(NOTE,))


def _of_models(study: StudyConfig, *table: Any, **options: Any) -> Table:
    """A table whose rows are models, in their groups: its name, title, columns and cells."""
    name, title, columns, cells = table
    rows = {model: study.label(model) for model in cells}
    groups = {model: study.models[model].group for model in cells}
    return table_of(name, title, rows, columns, cells, row_groups=groups, **options)


def judged(found: Quantity | None) -> str:
    """`plus` or `minus` for a change that is significant, nothing for others."""
    if found is None or not abs(found.value) >= SIGNIFICANT * found.error > 0:
        return ""
    return "plus" if found.value > 0 else "minus"


def published(study: StudyConfig, tests: Sequence[Test]) -> list[Table]:
    """Published values with those of the same models beside them, a table for each test."""
    tables = []
    for test in tests:
        chosen = {k: p for k, p in study.published.items() if p.test == test.name}
        named = dict.fromkeys(name for p in chosen.values() for name in p.values)
        columns, groups, cells = {}, {}, {name: {} for name in named if name in test.models}
        for key, entry in chosen.items():
            task = next(iter(tasks_of(test.entries, entry.section)), "")
            place = entry.section, task, entry.table, entry.row, entry.column
            own = cell(test.models, *place).groupby(level="model")
            for of, label in (("published", entry.source), ("here", "here")):
                columns[f"{key}/{of}"], groups[f"{key}/{of}"] = label, entry.text
            for name, found in cells.items():
                seeds = own.get_group(name).to_numpy().tolist() if name in own.groups else []
                here = over_seeds({seed: Quantity(*x) for seed, x in enumerate(seeds)})
                value = entry.values.get(name, math.nan)
                found |= {f"{key}/published": number(value), f"{key}/here": here}
        title = f"Published values and those on {test.name}"
        options = {"column_groups": groups, "notes": tuple(filter(None, [study.published_note]))}
        named = f"published_{test.name}"
        tables.append(_of_models(study, named, title, columns, cells, **options))
    return [table for table in tables if not table.is_empty]


def cost_table(collected: Collected) -> Table:
    """Training time, throughput and CPU time of every model, and the ratio to the reference."""
    study, costs = collected.study, collected.costs
    cells = {name: _cells(costs[name]) for name in study.models if name in costs}
    reference = cells.get(study.reference, {}).get("cpu")
    for found in cells.values():
        if reference and found["cpu"]:
            found["relative"] = number(found["cpu"].value / reference.value)
    options = {"notes": COST_NOTES, "is_ranked": True}
    return _of_models(study, "cost", "Training time and cost", COSTS, cells, **options)


def _cells(costs: Mapping[int, Cost]) -> dict[str, Quantity | None]:
    def mean(read: Callable[[Cost], float], unit: str = "", better: Better = "") -> Quantity | None:
        found = {seed: number(read(cost), unit=unit, better=better) for seed, cost in costs.items()}
        return over_seeds({seed: x for seed, x in found.items() if x is not None})

    return {
        "time": mean(lambda cost: cost.seconds / 60, "min", "low"),
        "rate": mean(lambda cost: cost.jets_per_second),
        "cpu": mean(lambda cost: cost.cpu_ms_per_jet, "ms", "low"),
    }
