"""What the trainings of a study took, as a table."""

import math

from maskformer_jax.evaluation.tables.seeds import Measurement, over_seeds
from maskformer_jax.evaluation.tables.table import Cell, Column, Row, Table
from maskformer_jax.study.collect import Collected


def cost_table(collected: Collected) -> Table:
    """Training time, throughput and CPU time of every model, and the ratio to the reference."""
    study, costs = collected.study, collected.costs
    reference = _cost_cells(costs.get(study.reference, {}))[2].value
    rows = []
    for name, model in study.models.items():
        if name not in costs:
            continue
        cells = _cost_cells(costs[name])
        rows.append(Row(study.label(name), (*cells, Cell(cells[2].value / reference)), model.group))
    columns = (
        Column("training [min]", best="low", digits=1),
        Column("jets/s", digits=0),
        Column("CPU per jet [ms]", best="low", digits=2),
        Column("CPU to the reference", best="", digits=2),
    )
    notes = (
        "± is the standard deviation over the seeds.",
        "Time by the clock includes compilation, validation and whatever else the machine did; the "
        "CPU time per jet, a median, hardly depends on other programs.",
    )
    return Table("cost", "Training time and cost", columns, tuple(rows), notes)


def _cost_cells(costs: dict) -> tuple[Cell, Cell, Cell]:
    columns = (
        {seed: cost.seconds / 60 for seed, cost in costs.items()},
        {seed: cost.jets_per_second for seed, cost in costs.items()},
        {seed: cost.cpu_ms_per_jet for seed, cost in costs.items()},
    )
    known = ({s: Measurement(x) for s, x in c.items() if not math.isnan(x)} for c in columns)
    return tuple(over_seeds(column) for column in known)
