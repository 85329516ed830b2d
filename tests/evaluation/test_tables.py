"""Tables: marks, numbers and formats by hand; means and spreads against NumPy."""

import csv
import io
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from made_up_results import made_up
from sklearn.metrics import roc_auc_score

from maskformer_jax.evaluation.tables.formats import (
    latex_text,
    plain_text,
    to_csv,
    to_html,
    to_latex,
    to_markdown,
)
from maskformer_jax.evaluation.tables.seeds import Entry, area_error, cell, number, rejection
from maskformer_jax.evaluation.tables.table import (
    FEW,
    LIMIT,
    Cell,
    Column,
    Row,
    Table,
    best_cells,
    cell_text,
)
from maskformer_jax.evaluation.tables.thesis import all_tables

NAN = math.nan


def small_table():
    columns = (Column("60 %", "u_jets"), Column("70 %", "u_jets", "low"), Column("mean", "", ""))
    rows = (
        Row("Default", (Cell(100.0, NAN, 9.0), Cell(3.0), Cell(1.0))),
        Row("GLS", (Cell(120.0, 11.0, 9.0), Cell(2.0), Cell(2.0)), "Loss"),
        Row(r"DWA ($\epsilon=-1$)", (Cell(90.0, 9.0, 9.0, FEW), Cell(), Cell(3.0)), "Loss"),
        Row("A & B", (Cell(500.0, NAN, NAN, LIMIT), Cell(4.0), Cell(4.0)), "Grad"),
        Row("PCGrad", (Cell(110.0, NAN, 9.0), Cell(1.0), Cell(5.0)), "Grad"),
    )
    return Table("small", "A small table", columns, rows, ("A note.",))


MARKDOWN = """\
### A small table

|  |  | u_jets<br>60 % | u_jets<br>70 % | mean |
| --- | --- | ---: | ---: | ---: |
|  | Default | 100.0 ± 9.0 | 3.0000 | 1.0000 |
| Loss | GLS | **120 ± 11** | 2.0000 | 2.0000 |
|  | DWA (ε = −1) | 90.0 ± 9.0 † | - | 3.0000 |
| Grad | A & B | > 500 | 4.0000 | 4.0000 |
|  | PCGrad | 110.0 ± 9.0 | **1.0000** | 5.0000 |

A note. A number after > is a lower limit at 95 % confidence: no background jet passes. \
† Fewer than 10 background jets pass.
"""


def test_markdown_by_hand():
    assert to_markdown(small_table()) == MARKDOWN


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Cell(), "-"),
        (Cell(0.93456), "0.9346"),
        (Cell(411.3, NAN, 114.2), "411 ± 114"),
        (Cell(411.3, 20.3, 114.2), "411 ± 20"),
        (Cell(18.84, 0.0131), "18.840 ± 0.013"),
        (Cell(-0.5, 0.0), "−0.5000"),
        (Cell(10.5637, 0.0068, 1.2), "10.56 ± 0.01"),
        (Cell(0.95, 1e-16), "0.9500"),
        (Cell(1234.5, NAN, NAN, LIMIT), "> 1.23e+03"),
        (Cell(12.0, NAN, 5.0, FEW), "12.0 ± 5.0 †"),
        (Cell(12.0, 0.0, 5.0, FEW), "12.0000 †"),
    ],
)
def test_numbers_have_two_digits_of_their_uncertainty(cell, text):
    assert cell_text(cell, Column("x")) == text


@pytest.mark.parametrize(
    ("best", "values", "groups", "overall", "in_group"),
    [
        ("high", [1, 3, 2, 2], "aabb", {1}, {2, 3}),
        ("low", [1, 3, 2, 5], "aabb", {0}, {2}),
        ("zero", [-1, 3, 0.5, -2], "aabb", {2}, {0}),
        ("high", [3, 3, 1, NAN], "aabb", {0, 1}, set()),
        ("high", [1, 2, 3, 4], "aaaa", {3}, set()),
        ("", [1, 2, 3, 4], "aabb", set(), set()),
        ("high", [1, NAN, NAN, NAN], "aabb", set(), set()),
        ("high", [1, 1, 2, 2], "aabb", {2, 3}, {0, 1}),
        ("high", [2, 2, 2, 2], "aabb", set(), set()),
    ],
)
def test_the_best_is_marked(best, values, groups, overall, in_group):
    rows = [Row("", (Cell(v),), g) for v, g in zip(values, groups, strict=True)]
    marks = best_cells(Table("t", "t", (Column("c", best=best),), tuple(rows)))
    assert {i for i, _ in marks.overall} == overall
    assert {i for i, _ in marks.in_group} == in_group


def test_csv_holds_values_and_both_uncertainties():
    rows = list(csv.DictReader(io.StringIO(to_csv(small_table()))))
    assert [row["label"] for row in rows][2] == "DWA (ε = −1)"
    gls = rows[1]
    assert (gls["u_jets, 60 %"], gls["u_jets, 60 % spread"], gls["u_jets, 60 % error"]) == (
        *("120", "11"),
        "9",
    )
    assert rows[2]["u_jets, 70 %"] == ""
    assert rows[3]["remarks"] == "u_jets, 60 %: limit"


def test_latex_is_escaped_and_balanced():
    text = to_latex(small_table())
    assert re.search(r"Loss & GLS & \\textbf\{120 \$\\pm\$ 11\} & 2.0000", text)
    assert r"A \& B" in text and r"DWA ($\epsilon=-1$)" in text
    for latex in (text, *map(to_latex, all_tables(entries()))):
        assert latex.count("{") == latex.count("}")
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    cells = [re.findall(r"\\multicolumn\{(\d)\}|(?<!\\)&", row) for row in rows]
    assert len(rows) == 7
    assert {row.count("&") - row.count(r"\&") for row in rows[1:]} == {4}
    assert [x for x in cells[0] if x] == ["2", "1"]


def test_latex_compiles(tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    tables = [small_table(), *all_tables(entries())]
    document = "\n".join(
        [
            r"\documentclass{article}\usepackage{booktabs}\usepackage{graphicx}\begin{document}",
            *map(to_latex, tables),
            r"\end{document}",
        ]
    )
    (tmp_path / "tables.tex").write_text(document)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "tables.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout.decode()[-2000:]
    assert (tmp_path / "tables.pdf").exists()


class Cells(HTMLParser):
    """Numbers of columns that each row of a table takes, with `rowspan` counted."""

    def __init__(self):
        super().__init__()
        self.widths, self.hanging, self.marks = [], {}, []

    def handle_starttag(self, tag, attrs):
        options = dict(attrs)
        if tag == "tr":
            row = len(self.widths)
            self.widths.append(self.hanging.get(row, 0))
        if tag in ("td", "th"):
            self.widths[-1] += int(options.get("colspan", 1))
            for below in range(1, int(options.get("rowspan", 1))):
                row = len(self.widths) - 1 + below
                self.hanging[row] = self.hanging.get(row, 0) + 1
            self.marks.append(options.get("class"))


def test_html_rows_are_equally_wide():
    parser = Cells()
    parser.feed(to_html(small_table()))
    assert parser.widths == [5] * 7
    assert parser.marks.count("best") == 2


@pytest.mark.parametrize(
    ("label", "plain", "latex"),
    [
        ("DWA", "DWA", "DWA"),
        (r"Default ($\epsilon=-1$)", "Default (ε = −1)", r"Default ($\epsilon=-1$)"),
        ("50 % & a_b", "50 % & a_b", r"50 \% \& a\_b"),
        ("Δη ± 1 < 2", "Δη ± 1 < 2", r"$\Delta$$\eta$ $\pm$ 1 $<$ 2"),
        ("a price of $5", "a price of $5", r"a price of \$5"),
    ],
)
def test_labels_in_every_format(label, plain, latex):
    assert plain_text(label) == plain
    assert latex_text(label) == latex


def entries(seeds=(0, 1, 2)):
    lights = {"Default": 100.0, "GLS": 120.0, "DWA": 150.0, "PCGrad": 200.0, "CAGrad": 180.0}
    groups = {"Default": "Baseline", "PCGrad": "Grad-based", "CAGrad": "Grad-based"}
    return [
        Entry(
            label,
            groups.get(label, "Loss-based"),
            {seed: made_up(label, light + 5 * seed) for seed in seeds},
        )
        for label, light in lights.items()
    ]


def test_mean_and_spread_over_seeds():
    found = cell(entries()[0], rejection("jet_class", "b", "0.6", "ujets"))
    values = [100.0, 105.0, 110.0]
    assert found.value == pytest.approx(np.mean(values))
    assert found.spread == pytest.approx(np.std(values, ddof=1))
    errors = [v * math.sqrt((1 - 1 / v) / round(10_000 / v)) for v in values]
    assert found.error == pytest.approx(np.sqrt(np.mean(np.square(errors))))
    assert math.isnan(cell(entries((0,))[0], rejection("jet_class", "b", "0.6", "ujets")).spread)


def tables_by_name(models):
    return {table.name: table for table in all_tables(models)}


def test_every_table_of_the_thesis_is_there():
    tables = tables_by_name(entries())
    assert list(tables) == [
        "b_tagging",
        "b_tagging_changes",
        "c_tagging",
        "vertices_exclusive",
        "vertices_inclusive",
        "origin_areas",
        "origin_ranges",
        "valid_hadrons",
        "hadron_flavours",
        "residual_moments",
        "residual_medians",
        "residual_widths",
    ]
    for table in tables.values():
        assert all(len(row.cells) == len(table.columns) for row in table.rows)


def test_changes_are_formed_seed_by_seed():
    table = tables_by_name(entries())["b_tagging_changes"]
    assert [row.label for row in table.rows] == ["GLS", "DWA", "PCGrad", "CAGrad"]
    changes = [100 * (a / b - 1) for a, b in ((120, 100), (125, 105), (130, 110))]
    assert table.rows[0].cells[0].value == pytest.approx(np.mean(changes))
    assert table.rows[0].cells[0].spread == pytest.approx(np.std(changes, ddof=1))


def test_ranges_of_groups():
    models = [
        Entry("a", "A", {0: made_up(auc=0.9)}),
        Entry("b", "A", {0: made_up(auc=0.8)}),
        Entry("c", "B", {0: made_up(auc=0.7)}),
    ]
    rows = tables_by_name(models)["origin_ranges"].rows
    assert [(row.label, row.cells[0].value, row.cells[1].value) for row in rows] == [
        ("A", 0.8, 0.9),
        ("B", 0.7, 0.7),
    ]


def test_what_is_missing_is_a_dash():
    empty = made_up()._replace(metrics={"jets": 0})
    models = [*entries((0,)), Entry("empty", "Loss-based", {0: empty}), Entry("none", "", {})]
    for table in all_tables(models):
        for row in table.rows:
            if row.label in ("empty", "none"):
                assert {cell_text(c, k) for c, k in zip(row.cells, table.columns, strict=True)} == {
                    "-"
                }
    assert all_tables([models[-1]]) == []
    assert all_tables([]) == []


def test_few_jets_and_limits_are_remarked():
    lights = {"few": 4_000, "no": 1e6, "many": 100}
    models = [Entry(name, "", {0: made_up(light=light)}) for name, light in lights.items()]
    cells = [row.cells[0] for row in tables_by_name(models)["b_tagging"].rows]
    assert [c.remark for c in cells] == [FEW, LIMIT, ""]
    changes = [row.cells[0] for row in tables_by_name(models)["b_tagging_changes"].rows]
    assert math.isnan(changes[0].value)
    assert changes[1].remark == FEW


def test_error_of_an_area_is_the_scatter_of_areas():
    rng = np.random.default_rng(0)
    labels = np.repeat([1, 0], [300, 900])
    areas = [roc_auc_score(labels, rng.exponential(1 + 2 * labels)) for _ in range(200)]
    assert area_error(np.mean(areas), 300, 900) == pytest.approx(np.std(areas), rel=0.15)
    assert math.isnan(area_error(0.9, 0, 10))


def test_a_number_that_is_null_is_missing():
    results = made_up()
    results.metrics["constituents"]["track_origin"]["weighted"]["auc"] = NAN
    assert math.isnan(cell(Entry("a", "", {0: results}), number("constituents", "x")).value)
    read = number("constituents", "track_origin", "weighted", "auc")
    assert math.isnan(cell(Entry("a", "", {0: results}), read).value)
