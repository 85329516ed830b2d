"""The tables of the thesis, Section 5.6 and the appendices, and some beside them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from maskformer_jax.evaluation.names import heading, prefixes, short, singular, spoken
from maskformer_jax.evaluation.report import class_title
from maskformer_jax.evaluation.tables.seeds import (
    Entry,
    Measure,
    Measurement,
    area,
    at,
    cell,
    first_at,
    keys_at,
    network_points,
    number,
    over_seeds,
    percent,
    rejection,
    relative_change,
    residual,
    uncertainty_notes,
    vertex_classes,
)
from maskformer_jax.evaluation.tables.table import Cell, Column, Row, Table

SCORES = {"auc": "AUC", "precision": "precision", "recall": "recall", "f1": "F1"}
# Ends of the keys of residuals that are not divided by the true value.
UNDIVIDED = ("_absolute", "_short")
# Signs of the thesis for the hadron properties of the default configuration.
SYMBOLS = {"mass": "m", "pt": "pT", "deta": "Δη", "dphi": "Δφ"}

Heading = tuple[Column, Measure]
Builder = Callable[[Sequence[Entry], str], Iterator[Table]]


def all_tables(entries: Sequence[Entry], reference: Entry | None = None) -> list[Table]:
    """Every table that has a value, for each task that any of the models has.

    Args:
        entries: the models, those of a group together.
        reference: what percentage changes refer to; none: the first.
    """
    if not entries:
        return []

    def tagging(entries: Sequence[Entry], task: str) -> Iterator[Table]:
        names = keys_at(entries, "tagging", task, "discriminants")
        for name in names:
            yield rejections(entries, task, name)
            if name == names[0]:
                yield rejection_changes(entries, reference or entries[0], task, name)

    tables: list[Table] = []
    for section, build in {"tagging": tagging, **BUILDERS}.items():
        tasks = {task: None for task in keys_at(entries, section)}
        for task, prefix in prefixes(tasks).items():
            for table in build(entries, task):
                title = heading(table.title, task, tasks)
                tables.append(table._replace(name=prefix + table.name, title=title))
    return [table for table in tables if not table.is_empty]


def rejections(entries: Sequence[Entry], task: str, name: str) -> Table:
    """Table 5.1: rejections at the working points of a discriminant."""
    found = _discriminant(entries, task, name)
    words = " and ".join(map(spoken, _backgrounds(found)))
    title = f"Rejection of {words} jets at fixed {short(found['signal'])}-jet efficiency"
    return _table(f"{name}_tagging", title, _rejections(entries, task, name), entries)


def rejection_changes(entries: Sequence[Entry], reference: Entry, task: str, name: str) -> Table:
    """Table B.1: percentage change of the rejections to a reference, which has no row."""
    headings = _rejections(entries, task, name)
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
    return _with_notes(f"{name}_tagging_changes", title, columns, rows, note)


def _discriminant(entries: Sequence[Entry], task: str, name: str) -> Mapping:
    return first_at(entries, "tagging", task, "discriminants", name)


def _backgrounds(found: Mapping) -> list[str]:
    """The one whose fraction is varied last."""
    return list(found["fractions"])[::-1]


def _rejections(entries: Sequence[Entry], task: str, name: str) -> list[Heading]:
    found = _discriminant(entries, task, name)
    metrics = [results.metrics for entry in entries for results in entry.seeds.values()]
    points = sorted({p for m in metrics for p in network_points(m, task, name)}, key=float)
    return [
        (
            Column(f"{100 * float(point):g} %", f"{spoken(background)}-jet rejection"),
            rejection(task, name, point, background),
        )
        for background in _backgrounds(found)
        for point in points
    ]


def vertices(entries: Sequence[Entry], task: str) -> Iterator[Table]:
    """Efficiency and purity of vertices, and jets without hadrons that have a vertex."""
    titles = {
        "exclusive": "Vertices of single hadrons (exclusive)",
        "inclusive": "All vertices of a jet merged (inclusive)",
    }
    classes = vertex_classes(first_at(entries, "vertexing", task))
    for kind, title in titles.items():
        headings = []
        for name, has_vertices in classes.items():
            columns = {"with_vertex": Column("fake rate [%]", f"{spoken(name)} jets", "low", 2)}
            if has_vertices:
                columns = {
                    quantity: Column(f"{quantity} [%]", f"{spoken(name)} jets", digits=2)
                    for quantity in ("efficiency", "purity")
                }
            for key, column in columns.items():
                headings.append((column, percent("vertexing", task, kind, name, key)))
        yield _table(f"vertices_{kind}", title, headings, entries)


def class_tables(entries: Sequence[Entry], task: str) -> Iterator[Table]:
    """Tables D.1 and 5.2: classes of constituents, such as the origins of tracks."""
    part = first_at(entries, "constituents", task)
    names = keys_at(entries, "constituents", task, "classes")
    headings = [(Column(name, digits=4), area(task, name)) for name in names]
    of, title = part["of"], class_title(part)
    note = f"The statistical error takes the {of} as independent, so it is somewhat too small."
    areas = f"{title}: area under the ROC curve of each class against all others"
    label = part["label"]
    yield _table(f"{label}_areas", areas, headings, entries, note)
    yield _score_ranges(entries, task, label, title, of)


def _score_ranges(entries: Sequence[Entry], task: str, label: str, title: str, of: str) -> Table:
    """Lowest and highest weighted score of each group."""
    groups = {entry.group: [e for e in entries if e.group == entry.group] for entry in entries}
    rows = []
    for group, models in groups.items():
        cells = []
        for score in SCORES:
            read = number("constituents", task, "weighted", score)
            values = [cell(model, read).value for model in models]
            known = [value for value in values if value == value]
            cells += [Cell(min(known)), Cell(max(known))] if known else [Cell(), Cell()]
        rows.append(Row(group or "all models", tuple(cells)))
    columns = [
        Column(end, name, best="") for name in SCORES.values() for end in ("lowest", "highest")
    ]
    title = f"{title}: lowest and highest score among the models of a group"
    note = f"Scores of the classes are averaged with their numbers of {of} as weights."
    return Table(f"{label}_ranges", title, tuple(columns), tuple(rows), (note,))


def object_tables(entries: Sequence[Entry], task: str) -> Iterator[Table]:
    """Tables 5.3 and 5.4: whether an object is real, and of its own class."""
    of = first_at(entries, "objects", task)["of"]
    kinds = {"tpr": "high", "fpr": "low", "fnr": "low", "tnr": "high"}
    headings = [
        (
            Column(f"{kind.upper()} [%]", best=best, digits=2),
            percent("objects", task, "valid", kind),
        )
        for kind, best in kinds.items()
    ]
    every, *names = keys_at(entries, "objects", task, "flavour")
    title = f"{singular(of).capitalize()} ({' or '.join(names)}, p > 0.5) against none"
    yield _table(f"valid_{of}", title, headings, entries)
    words = {every: f"{' and '.join(names)} {of}", **{name: f"{name} {of}" for name in names}}
    headings = [
        (Column(f"{text} [%]", digits=2), percent("objects", task, "flavour", key))
        for key, text in words.items()
    ]
    note = (
        f"Objects are matched to {of} with their true class and properties in the cost, which "
        "favours objects of the right class."
    )
    title = f"Flavour accuracy of {of} (p > 0.5)"
    yield _table(f"{singular(of)}_flavours", title, headings, entries, note)


def residual_tables(entries: Sequence[Entry], task: str) -> Iterator[Table]:
    """Table 5.5, mean and standard deviation of the residuals, and beside it robust measures."""
    part, keys = (
        first_at(entries, "regression", task),
        keys_at(entries, "regression", task, "residuals"),
    )
    title = f"Residuals of {singular(part['entries'])} properties"
    note = (
        "Single outliers rule these two, above all where a residual is divided by a small true "
        "value (Δη, Δφ); medians and widths are robust."
    )
    columns = {
        "mean": Column("mean", best="zero"),
        "std": Column("std. dev.", best="low", digits=3),
    }
    divided = [key for key in keys if not key.endswith(UNDIVIDED)]
    of_keys = _residuals(entries, task, divided, columns)
    name = f"{title}: mean and standard deviation"
    yield _table("residual_moments", name, of_keys, entries, note)
    of_keys = _residuals(entries, task, keys, {"median": Column("", best="zero")})
    yield _table("residual_medians", f"{title}: median", of_keys, entries)
    of_keys = _residuals(entries, task, keys, {"half_width_68": Column("", best="low")})
    notes = []
    if part["against"] != "jet":
        of_keys.insert(0, (Column("found [%]", digits=1), _found(task)))
        notes = [
            f"Found: true {part['entries']} whose object is more likely real than none; only those "
            "enter."
        ]
    name = f"{title}: half of the 68 % width"
    yield _table("residual_widths", name, of_keys, entries, *notes)


def _found(task: str) -> Measure:
    def measure(metrics: Mapping) -> Measurement:
        part = at(metrics, "regression", task) or {}
        return Measurement(100 * part["found"] / part["of"]) if part.get("of") else Measurement()

    return measure


def _residuals(
    entries: Sequence[Entry], task: str, keys: Sequence[str], columns: Mapping[str, Column]
) -> list[Heading]:
    headings: list[Heading] = []
    for key in keys:
        quantity = _residual_name(key, first_at(entries, "regression", task, "residuals", key))
        for statistic, column in columns.items():
            # A table of one statistic says in its title which.
            heading = column._replace(**{"group" if column.name else "name": quantity})
            headings.append((heading, residual(task, key, statistic)))
    return headings


def _residual_name(key: str, summary: dict) -> str:
    """Such as `Δη, absolute` or `Lxy, true <= 1 mm [mm]`, from the formula of the residual."""
    target, _, kind = key.rpartition("_") if key.endswith(UNDIVIDED) else (key, "", "")
    condition = summary["formula"].partition(", ")[2].replace("<=", "≤")
    words = [SYMBOLS.get(target, target), condition, "absolute" if kind == "absolute" else ""]
    unit = f" [{summary['unit']}]" if summary.get("unit") else ""
    return ", ".join(filter(None, words)) + unit


# Section of the metrics -> its tables, beside those of the tagging.
BUILDERS: dict[str, Builder] = {
    "vertexing": vertices,
    "constituents": class_tables,
    "objects": object_tables,
    "regression": residual_tables,
}


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
