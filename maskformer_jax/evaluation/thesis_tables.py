"""The tables of the thesis, Section 5.6 and the appendices, and some beside them."""

from collections.abc import Callable, Iterable, Sequence

from maskformer_jax.evaluation.seeds import (
    Entry,
    Measure,
    area,
    at,
    cell,
    number,
    over_seeds,
    percent,
    rejection,
    relative_change,
    residual,
    uncertainty_notes,
)
from maskformer_jax.evaluation.tables import Cell, Column, Row, Table

JETS = {"ujets": "light", "cjets": "c", "bjets": "b"}
SCORES = {"auc": "AUC", "precision": "precision", "recall": "recall", "f1": "F1"}
# Signs of the thesis for the hadron properties of the default configuration.
SYMBOLS = {"mass": "m", "pt": "pT", "deta": "Δη", "dphi": "Δφ"}

Heading = tuple[Column, Measure]


def all_tables(entries: Sequence[Entry], reference: Entry | None = None) -> list[Table]:
    """Every table that has a value.

    Args:
        entries: the models, those of a group together.
        reference: what percentage changes refer to; none: the first.
    """
    if not entries:
        return []
    builders: list[Callable[[Sequence[Entry]], Table]] = [
        b_rejections,
        lambda models: rejection_changes(models, reference or models[0]),
        c_rejections,
        vertices,
        origin_areas,
        origin_ranges,
        valid_hadrons,
        hadron_flavours,
        residual_moments,
        residual_widths,
    ]
    return [table for table in (build(entries) for build in builders) if not table.is_empty]


def b_rejections(entries: Sequence[Entry]) -> Table:
    """Table 5.1: rejection of light and c jets at the working points of b-tagging."""
    return _table(
        "b_tagging",
        "Rejection of light and c jets at fixed b-jet efficiency",
        _rejections(entries, "b", ("ujets", "cjets")),
        entries,
    )


def c_rejections(entries: Sequence[Entry]) -> Table:
    """Rejection of light and b jets at the working points of c-tagging."""
    return _table(
        "c_tagging",
        "Rejection of light and b jets at fixed c-jet efficiency",
        _rejections(entries, "c", ("ujets", "bjets")),
        entries,
    )


def rejection_changes(entries: Sequence[Entry], reference: Entry) -> Table:
    """Table B.1: percentage change of the rejections to a reference, which has no row."""
    headings = _rejections(entries, "b", ("ujets", "cjets"))
    others = [entry for entry in entries if entry is not reference]
    rows = [
        _row(entry, (over_seeds(relative_change(entry, reference, read)) for _, read in headings))
        for entry in others
    ]
    title = f"Percentage change of the rejection to {reference.label}"
    columns = [column._replace(digits=1) for column, _ in headings]
    note = (
        "Changes are formed seed by seed; statistical errors are added as if the two models saw "
        "different jets, so they are too large."
    )
    return _with_notes("b_tagging_changes", title, columns, rows, note)


def vertices(entries: Sequence[Entry]) -> Table:
    """Efficiency and purity of the vertices, and light jets with a vertex."""
    headings = []
    for kind in ("exclusive", "inclusive"):
        for jets in ("bjets", "cjets"):
            group = f"{kind}, {JETS[jets]} jets"
            for quantity in ("efficiency", "purity"):
                read = percent("vertexing", kind, jets, quantity)
                headings.append((Column(f"{quantity} [%]", group, digits=2), read))
        read = percent("vertexing", kind, "ujets", "with_vertex")
        headings.append((Column("fake rate [%]", f"{kind}, light jets", "low", 2), read))
    title = "Vertices: each (exclusive) and all of a jet merged (inclusive)"
    return _table("vertices", title, headings, entries)


def origin_areas(entries: Sequence[Entry]) -> Table:
    """Table D.1: area under the ROC curve of each track origin against all others."""
    names = _keys(entries, "track_origin", "classes")
    headings = [(Column(name, digits=4), area(name)) for name in names]
    note = "The statistical error takes the tracks as independent, so it is somewhat too small."
    title = "Track origin: area under the ROC curve of each class against all others"
    return _table("origin_areas", title, headings, entries, note)


def origin_ranges(entries: Sequence[Entry]) -> Table:
    """Table 5.2: lowest and highest weighted score of each group."""
    groups = {entry.group: [e for e in entries if e.group == entry.group] for entry in entries}
    rows = []
    for group, models in groups.items():
        cells = []
        for score in SCORES:
            values = [cell(model, number("track_origin", "weighted", score)) for model in models]
            known = [c.value for c in values if c.value == c.value]
            cells += [Cell(min(known)), Cell(max(known))] if known else [Cell(), Cell()]
        rows.append(Row(group or "all models", tuple(cells)))
    columns = [
        Column(end, name, best="") for name in SCORES.values() for end in ("lowest", "highest")
    ]
    title = "Track origin: lowest and highest score among the models of a group"
    note = "Scores of the classes are averaged with their numbers of tracks as weights."
    return Table("origin_ranges", title, tuple(columns), tuple(rows), (note,))


def valid_hadrons(entries: Sequence[Entry]) -> Table:
    """Table 5.3: whether an object is a b or c hadron at all."""
    kinds = {"tpr": "high", "fpr": "low", "fnr": "low", "tnr": "high"}
    headings = [
        (Column(f"{kind.upper()} [%]", best=best, digits=2), percent("hadrons", "valid", kind))
        for kind, best in kinds.items()
    ]
    return _table("valid_hadrons", "Hadron (b or c, p > 0.5) against none", headings, entries)


def hadron_flavours(entries: Sequence[Entry]) -> Table:
    """Table 5.4: true hadrons whose own class has a probability above one half."""
    names = {"bc": "b and c hadrons", "b": "b hadrons", "c": "c hadrons"}
    headings = [
        (Column(f"{name} [%]", digits=2), percent("hadrons", "flavour", key))
        for key, name in names.items()
    ]
    return _table("hadron_flavours", "Flavour accuracy of hadrons (p > 0.5)", headings, entries)


def residual_moments(entries: Sequence[Entry]) -> Table:
    """Table 5.5: mean and standard deviation of the residuals."""
    note = (
        "Single outliers rule these two, above all where a residual is divided by a small true "
        "value (Δη, Δφ); the next table is robust."
    )
    return _residuals(
        "residual_moments",
        "Residuals of hadron properties: mean and standard deviation",
        {"mean": "zero", "std": "low"},
        entries,
        note,
    )


def residual_widths(entries: Sequence[Entry]) -> Table:
    """Beside Table 5.5: median and half of the 68 % width of the residuals, and hadrons kept."""
    table = _residuals(
        "residual_widths",
        "Residuals of hadron properties: median and half of the 68 % width",
        {"median": "zero", "half_width_68": "low"},
        entries,
        "Found: true hadrons whose object is more likely real than none; only those enter.",
    )
    rows = tuple(
        row._replace(cells=(_found(entry), *row.cells))
        for row, entry in zip(table.rows, entries, strict=True)
    )
    return table._replace(columns=(Column("found [%]", digits=1), *table.columns), rows=rows)


def _found(entry: Entry) -> Cell:
    parts = [at(results.metrics, "regression") or {} for results in entry.seeds.values()]
    shares = [100 * part["found"] / part["of"] for part in parts if part.get("of")]
    return Cell(sum(shares) / len(shares)) if shares else Cell()


def _residuals(
    name: str, title: str, statistics: dict[str, str], entries: Sequence[Entry], note: str
) -> Table:
    headings: list[Heading] = []
    short = {"std": "std. dev.", "half_width_68": "half width"}
    for key in _keys(entries, "regression", "residuals"):
        summary = next(filter(None, (_summary(entry, key) for entry in entries)))
        group = _residual_name(key, summary)
        for statistic, best in statistics.items():
            column = Column(short.get(statistic, statistic), group, best)
            headings.append((column, residual(key, statistic)))
    return _table(name, title, headings, entries, note)


def _summary(entry: Entry, key: str) -> dict | None:
    found = (at(r.metrics, "regression", "residuals", key) for r in entry.seeds.values())
    return next(filter(None, found), None)


def _residual_name(key: str, summary: dict) -> str:
    """Such as `Δη, absolute` or `Lxy, true <= 1 mm [mm]`, from the formula of the residual."""
    target, _, kind = key.partition("_")
    condition = summary["formula"].partition(", ")[2]
    words = [SYMBOLS.get(target, target), condition, "absolute" if kind == "absolute" else ""]
    unit = f" [{summary['unit']}]" if summary.get("unit") else ""
    return ", ".join(filter(None, words)) + unit


def _rejections(entries: Sequence[Entry], signal: str, jets: Sequence[str]) -> list[Heading]:
    first = next(iter(_keys(entries, "tagging", signal, "points")), "")
    points = sorted(_keys(entries, "tagging", signal, "points", first), key=float)
    return [
        (Column(f"{100 * float(p):g} %", f"{JETS[name]}-jet rejection"), rejection(signal, p, name))
        for name in jets
        for p in points
    ]


def _keys(entries: Iterable[Entry], *path: str) -> list[str]:
    """Keys below a path in any of the results, in the order in which they occur."""
    found = [at(r.metrics, *path) or {} for entry in entries for r in entry.seeds.values()]
    return list(dict.fromkeys(key for mapping in found for key in mapping))


def _table(
    name: str, title: str, headings: Sequence[Heading], entries: Sequence[Entry], *notes: str
) -> Table:
    rows = [_row(entry, (cell(entry, read) for _, read in headings)) for entry in entries]
    return _with_notes(name, title, [column for column, _ in headings], rows, *notes)


def _row(entry: Entry, cells: Iterable[Cell]) -> Row:
    return Row(entry.label, tuple(cells), entry.group)


def _with_notes(
    name: str, title: str, columns: Sequence[Column], rows: Sequence[Row], *notes: str
) -> Table:
    cells = [cell for row in rows for cell in row.cells]
    return Table(name, title, tuple(columns), tuple(rows), (*uncertainty_notes(cells), *notes))
