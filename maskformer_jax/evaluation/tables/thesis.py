"""The tables of the thesis, Section 5.6 and the appendices, and some beside them."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from maskformer_jax.evaluation.tables.seeds import (
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
from maskformer_jax.evaluation.tables.table import Cell, Column, Row, Table

JETS = {"ujets": "light", "cjets": "c", "bjets": "b"}
SCORES = {"auc": "AUC", "precision": "precision", "recall": "recall", "f1": "F1"}
# Ends of the keys of residuals that are not divided by the true value.
UNDIVIDED = ("_absolute", "_short")
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
        exclusive_vertices,
        inclusive_vertices,
        origin_areas,
        origin_ranges,
        valid_hadrons,
        hadron_flavours,
        residual_moments,
        residual_medians,
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


def exclusive_vertices(entries: Sequence[Entry]) -> Table:
    """Efficiency and purity of the vertices of single hadrons, and light jets with a vertex."""
    return _vertices("exclusive", "Vertices of single hadrons (exclusive)", entries)


def inclusive_vertices(entries: Sequence[Entry]) -> Table:
    """The same with all vertices of a jet merged into one."""
    return _vertices("inclusive", "All vertices of a jet merged (inclusive)", entries)


def _vertices(kind: str, title: str, entries: Sequence[Entry]) -> Table:
    headings = [
        (
            Column(f"{quantity} [%]", f"{JETS[jets]} jets", digits=2),
            percent("vertexing", kind, jets, quantity),
        )
        for jets in ("bjets", "cjets")
        for quantity in ("efficiency", "purity")
    ]
    fakes = percent("vertexing", kind, "ujets", "with_vertex")
    headings.append((Column("fake rate [%]", "light jets", "low", 2), fakes))
    return _table(f"vertices_{kind}", title, headings, entries)


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
    note = (
        "Objects are matched to hadrons with their true class and properties in the cost, which "
        "favours objects of the right class."
    )
    title = "Flavour accuracy of hadrons (p > 0.5)"
    return _table("hadron_flavours", title, headings, entries, note)


def residual_moments(entries: Sequence[Entry]) -> Table:
    """Table 5.5: mean and standard deviation of the residuals that are divided by the truth."""
    note = (
        "Single outliers rule these two, above all where a residual is divided by a small true "
        "value (Δη, Δφ); medians and widths are robust."
    )
    keys = [k for k in _residual_keys(entries) if not k.endswith(UNDIVIDED)]
    columns = {
        "mean": Column("mean", best="zero"),
        "std": Column("std. dev.", best="low", digits=3),
    }
    title = "Residuals of hadron properties: mean and standard deviation"
    return _residuals("residual_moments", title, keys, columns, entries, note)


def residual_medians(entries: Sequence[Entry]) -> Table:
    """Beside Table 5.5: medians of the residuals."""
    columns = {"median": Column("", best="zero")}
    title = "Residuals of hadron properties: median"
    return _residuals("residual_medians", title, _residual_keys(entries), columns, entries)


def residual_widths(entries: Sequence[Entry]) -> Table:
    """Beside Table 5.5: half of the 68 % width of the residuals, and the hadrons that enter."""
    table = _residuals(
        "residual_widths",
        "Residuals of hadron properties: half of the 68 % width",
        _residual_keys(entries),
        {"half_width_68": Column("", best="low")},
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


def _residual_keys(entries: Sequence[Entry]) -> list[str]:
    return _keys(entries, "regression", "residuals")


def _residuals(
    name: str,
    title: str,
    keys: Sequence[str],
    columns: Mapping[str, Column],
    entries: Sequence[Entry],
    *notes: str,
) -> Table:
    headings: list[Heading] = []
    for key in keys:
        summary = next(filter(None, (_summary(entry, key) for entry in entries)))
        quantity = _residual_name(key, summary)
        for statistic, column in columns.items():
            # A table of one statistic says in its title which.
            heading = column._replace(**{"group" if column.name else "name": quantity})
            headings.append((heading, residual(key, statistic)))
    return _table(name, title, headings, entries, *notes)


def _summary(entry: Entry, key: str) -> dict | None:
    found = (at(r.metrics, "regression", "residuals", key) for r in entry.seeds.values())
    return next(filter(None, found), None)


def _residual_name(key: str, summary: dict) -> str:
    """Such as `Δη, absolute` or `Lxy, true <= 1 mm [mm]`, from the formula of the residual."""
    target, _, kind = key.rpartition("_") if key.endswith(UNDIVIDED) else (key, "", "")
    condition = summary["formula"].partition(", ")[2].replace("<=", "≤")
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
