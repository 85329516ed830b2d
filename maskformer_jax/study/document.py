"""The report of a study, part by part, before it becomes a page or a Markdown file."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from maskformer_jax.evaluation.tables.seeds import Measurement, over_seeds
from maskformer_jax.evaluation.tables.table import Cell, Column, Row, Table
from maskformer_jax.evaluation.tables.thesis import all_tables
from maskformer_jax.study.claims import Verdict, confront
from maskformer_jax.study.collect import Collected, Test
from maskformer_jax.study.figures import Figure
from maskformer_jax.study.limits import resolution, what_it_allows, what_was_done


class Listing(NamedTuple):
    """Sentences, one a line."""

    items: tuple[str, ...]


class Gallery(NamedTuple):
    """Pictures that belong together."""

    figures: tuple[Figure, ...]


Block = str | Listing | Table | Verdict | Gallery


class Part(NamedTuple):
    """A part of the report.

    Attributes:
        name: anchor of links.
        title: heading.
        blocks: what is in it, in order; a `str` is a paragraph.
        level: 1 for a part, 2 for a part of the one before it.
    """

    name: str
    title: str
    blocks: tuple[Block, ...] = ()
    level: int = 1


def compose(collected: Collected, figures: Sequence[Figure]) -> list[Part]:
    """All parts of the report.

    Args:
        collected: the finished runs.
        figures: that have been drawn of them.
    """
    first = collected.tests[0]
    parts = [
        Part("what", "What was done", (Listing(tuple(what_was_done(collected))),)),
        *_claims(collected, first),
        Part(
            "statistics",
            "What the statistics allow one to conclude",
            (
                " ".join(what_it_allows(collected, first)),
                "Two models with typical errors differ significantly from these differences on:",
                Listing(tuple(resolution(first))),
            ),
        ),
    ]
    for test in collected.tests:
        # Names of tests are free: anchors begin with a word that no part has.
        parts += _results(collected, test, figures)
    costs = cost_table(collected)
    parts += [] if costs.is_empty else [Part("time", "Training time and cost", (costs,))]
    if collected.missing:
        parts.append(Part("missing", "What is missing", (Listing(tuple(collected.missing)),)))
    return parts


def tables_of(collected: Collected) -> dict[str, list[Table]]:
    """Tables of every test, by its name; names of tables are the same in all."""
    return {
        test.name: all_tables(test.entries, collected.reference(test)) for test in collected.tests
    }


def _claims(collected: Collected, test: Test) -> list[Part]:
    verdicts = confront(collected.study, test.models)
    explanation = (
        f"Published statements, confronted with the results on the test {test.name}. Every "
        "verdict is computed: a statement holds if each difference that it claims is at least "
        "twice its uncertainty, and does not hold if one has the other sign as clearly, corrected "
        "for their number. Otherwise it is not decided."
    )
    return [Part("claims", "Does it hold here?", (explanation, *verdicts))] if verdicts else []


def _results(collected: Collected, test: Test, figures: Sequence[Figure]) -> list[Part]:
    tables = all_tables(test.entries, collected.reference(test))
    named = [table._replace(name=f"test-{test.name}-{table.name}") for table in tables]
    legend = "Bold is the best of all models, underlined the best of a group that has it not."
    parts = [Part(f"test-{test.name}", f"Test {test.name}: tables", (legend, *named))]
    drawn = [figure for figure in figures if figure.test == test.name]
    if drawn:
        title = f"Test {test.name}: figures"
        note = "Curves are means over the seeds; ratios are to the first model of each picture."
        parts.append(Part(f"test-{test.name}-figures", title, (note,)))
    for group in dict.fromkeys(figure.group for figure in drawn):
        of_group = tuple(figure for figure in drawn if figure.group == group)
        name = f"test-{test.name}-figures-{len(parts)}"
        parts.append(Part(name, group, (Gallery(of_group),), level=2))
    return parts


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
