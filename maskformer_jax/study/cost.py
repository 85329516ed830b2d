"""What the trainings of a study took, as a table."""

from collections.abc import Callable, Mapping

from maskformer_jax.evaluation.models import over_seeds
from maskformer_jax.evaluation.quantities import number
from maskformer_jax.evaluation.results import Better, Quantity, Table, table_of
from maskformer_jax.study.collect import Collected
from maskformer_jax.study.progress import Cost

COLUMNS = {
    "time": "training [min]",
    "rate": "jets/s",
    "cpu": "CPU per jet [ms]",
    "relative": "CPU to the reference",
}
NOTES = (
    "± is the standard deviation over the seeds.",
    "Time by the clock includes compilation, validation and whatever else the machine did; the "
    "CPU time per jet, a median, hardly depends on other programs.",
)


def cost_table(collected: Collected) -> Table:
    """Training time, throughput and CPU time of every model, and the ratio to the reference."""
    study, costs = collected.study, collected.costs
    cells = {name: _cells(costs[name]) for name in study.models if name in costs}
    reference = cells.get(study.reference, {}).get("cpu")
    for found in cells.values():
        if reference and found["cpu"]:
            found["relative"] = number(found["cpu"].value / reference.value)
    rows = {name: study.label(name) for name in cells}
    groups = {name: study.models[name].group for name in cells}
    options = {"notes": NOTES, "row_groups": groups, "is_ranked": True}
    return table_of("cost", "Training time and cost", rows, COLUMNS, cells, **options)


def _cells(costs: Mapping[int, Cost]) -> dict[str, Quantity | None]:
    def mean(read: Callable[[Cost], float], unit: str = "", better: Better = "") -> Quantity | None:
        found = {seed: number(read(cost), unit=unit, better=better) for seed, cost in costs.items()}
        return over_seeds({seed: x for seed, x in found.items() if x is not None})

    return {
        "time": mean(lambda cost: cost.seconds / 60, "min", "low"),
        "rate": mean(lambda cost: cost.jets_per_second),
        "cpu": mean(lambda cost: cost.cpu_ms_per_jet, "ms", "low"),
    }
