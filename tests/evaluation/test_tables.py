"""Tables: numbers, marks and formats by hand; means and spreads over seeds against NumPy."""

import csv
import dataclasses
import io
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from made_up_results import SIZES, made_up

from maskformer_jax.evaluation.cells import best_cells, cell_text, plain_text, to_text
from maskformer_jax.evaluation.formats import (
    all_formats,
    csv_text,
    latex_text,
    to_csv,
    to_html,
    to_latex,
    to_markdown,
)
from maskformer_jax.evaluation.models import Entry, all_tables, own_tables, side_by_side
from maskformer_jax.evaluation.results import FEW, LOWER, UPPER, Part, Quantity, Result, Table

NAN = math.nan


def q(value, error=NAN, better="high", remark="", spread=NAN):
    return Quantity(value, error, "", better, remark, spread)


def small_table():
    rows = {"0": "Default", "1": "GLS", "2": r"DWA ($\epsilon=-1$)", "3": "A & B", "4": "=1+<b>"}
    cells = {
        "0": {"a": q(100.0, 9.0), "b": q(3.0, better="low"), "c": q(1, better="")},
        "1": {"a": q(120.0, 9.0, spread=11.0), "b": q(2.0, better="low"), "c": q(2, better="")},
        "2": {"a": q(90.0, 9.0, spread=9.0, remark=FEW)},
        "3": {"a": q(500.0, remark=LOWER), "b": q(4.0, 0.1, "low")},
        "4": {"a": q(135.0, 9.0), "b": q(1.0, 0.1, "low"), "c": q(5000, better="")},
    }
    return Table(
        "small",
        "A small table",
        rows,
        {"a": "60 %", "b": "70 %", "c": "number"},
        cells,
        notes=("A note.",),
        row_groups={"1": "Loss", "2": "Loss", "3": "Grad", "4": "Grad"},
        column_groups={"a": "u_jets", "b": "u_jets"},
        is_ranked=True,
    )


def test_markdown_by_hand():
    lines = to_markdown(small_table()).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:9]]
    assert rows[0] == ["", "", "u_jets<br>60 %", "u_jets<br>70 %", "number"]
    assert rows[2:] == [
        ["", "Default", "100.0 ± 9.0", "3", "1"],
        ["Loss", "GLS", "120 ± 11", "2", "2"],
        ["Loss", "DWA (ε = −1)", "90.0 ± 9.0 †", "-", "-"],
        ["Grad", "A &amp; B", "&gt; 500", "4.00 ± 0.10", "-"],
        ["Grad", "=1+&lt;b&gt;", "**135.0 ± 9.0**", "1.00 ± 0.10", "5,000"],
    ]
    assert lines[0] == "### A small table" and "A note. A number after &gt; is a lower" in lines[-1]
    assert "† Fewer than 10 background jets pass. Bold is the best" in lines[-1]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "-"),
        (q(0.93456), "0.9346"),
        (q(411.3, 114.2), "411 ± 114"),
        (q(411.3, 114.2, spread=20.3), "411 ± 20"),
        (q(18.84, spread=0.0131), "18.840 ± 0.013"),
        (q(-0.5, spread=0.0), "−0.5"),
        (q(10.5637, 1.2, spread=0.0068), "10.56 ± 0.01"),
        (q(0.95, spread=1e-16), "0.95"),
        (q(1234.5, remark=LOWER), "> 1.23e+03"),
        (q(0.25, remark=UPPER), "< 0.25"),
        (q(0.99983, remark=LOWER), "> 0.99983"),
        (Quantity(97.04869, unit="%", remark=LOWER), "> 97.0"),
        (q(12.0, 5.0, remark=FEW), "12.0 ± 5.0 †"),
        (q(12345), "12,345"),
    ],
)
def test_numbers_have_two_digits_of_their_uncertainty(cell, text):
    assert cell_text(cell) == text


@pytest.mark.parametrize(
    ("better", "values", "error", "best"),
    [
        ("high", [1, 3, 2], 0.5, {1}),
        ("low", [1, 3, 2], 0.5, {0}),
        ("zero", [-1, 3, 0.1], 0.5, {2}),
        # The difference of 1 is within sqrt(2) times the error.
        ("high", [1, 3, 2], 0.8, set()),
        ("high", [3, 3, 1], 0.1, set()),
        ("high", [1, 3], NAN, set()),
        # Seeds that agree make no number exact.
        ("high", [1, 3], (2.0, 0.0), set()),
        ("", [1, 3], 0.1, set()),
        ("high", [1], 0.1, set()),
    ],
)
def test_the_best_is_marked_where_it_is_significant(better, values, error, best):
    error, spread = error if isinstance(error, tuple) else (error, NAN)
    cells = {str(i): {"c": q(float(v), error, better, "", spread)} for i, v in enumerate(values)}
    table = Table("t", "t", dict.fromkeys(cells, ""), {"c": ""}, cells, is_ranked=True)
    assert {int(row) for row, _ in best_cells(table)} == best
    assert not best_cells(dataclasses.replace(table, is_ranked=False))


def test_csv_holds_values_and_both_uncertainties():
    rows = list(csv.DictReader(io.StringIO(to_csv([small_table()]))))
    assert len(rows) == 12
    gls = next(row for row in rows if row["row"] == "GLS")
    assert gls == {
        **{"table": "small", "group": "Loss", "row": "GLS", "column": "u_jets, 60 %"},
        **{"unit": "", "remark": "", "value": "120", "spread": "11", "error": "9"},
    }
    assert [row["remark"] for row in rows if row["row"] == "A & B"] == [LOWER, ""]
    assert {row["row"] for row in rows} >= {"'=1+<b>", "DWA (ε = −1)"}


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1"])
def test_text_is_no_formula_of_a_spreadsheet(text):
    assert csv_text(text) == f"'{text}"


def test_latex_is_escaped_and_balanced():
    text = to_latex(small_table())
    assert r"\textbf{135.0 $\pm$ 9.0} & 1.00 $\pm$ 0.10" in text
    assert r"A \& B" in text and r"DWA ($\epsilon=-1$)" in text and r"=1+$<$b$>$" in text
    assert r"\multicolumn{2}{c}{u\_jets}" in text
    for latex in (text, *map(to_latex, all_tables(entries()))):
        assert latex.count("{") == latex.count("}")
        rows = [line for line in latex.splitlines() if line.endswith(r"\\")]
        widths = {re.sub(r"\\multicolumn\{(\d+)\}", widened, r).count(" & ") for r in rows}
        assert len(widths) == 1


def widened(match):
    return " & " * (int(match[1]) - 1)


def test_latex_compiles(tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    tables = [small_table(), *all_tables(entries())]
    packages = r"\documentclass{article}\usepackage{booktabs}\usepackage{graphicx}"
    document = rf"{packages}\begin{{document}}{all_formats(tables)['tex']}\end{{document}}"
    (tmp_path / "tables.tex").write_text(document)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "tables.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout.decode()[-2000:]


class Cells(HTMLParser):
    """Columns that each row of a table takes, with `rowspan` counted, and all tags."""

    def __init__(self):
        super().__init__()
        self.widths, self.hanging, self.tags = [], {}, []

    def handle_starttag(self, tag, attrs):
        options = dict(attrs)
        self.tags.append(tag)
        if tag == "tr":
            row = len(self.widths)
            self.widths.append(self.hanging.get(row, 0))
        if tag in ("td", "th"):
            self.widths[-1] += int(options.get("colspan", 1))
            for below in range(1, int(options.get("rowspan", 1))):
                row = len(self.widths) - 1 + below
                self.hanging[row] = self.hanging.get(row, 0) + 1


def test_html_is_escaped_and_rows_are_equally_wide():
    parser = Cells()
    parser.feed(to_html(small_table()))
    assert parser.widths == [5] * 7
    # The best is strong; the `<b>` of a label is text.
    assert parser.tags.count("strong") == 1 and "b" not in parser.tags
    named = small_table().renamed('x"><b>}')
    assert 'id="x_b"' in to_html(named) and r"\label{tab:x_b}" in to_latex(named)


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


def line(text, start):
    return next(" ".join(x.split()) for x in text.splitlines() if x.strip().startswith(start))


def test_terminal_of_one_run():
    text = "\n\n".join(map(to_text, own_tables(made_up(light=2_000.0))))
    # Of 10,000 light jets 5 and 10 pass: 2000 sqrt(0.9995/5) = 894; of 2,000 c jets 2 and 4.
    assert line(text, "60 %") == "60 % 2000 +- 894 * 1000 +- 707 * 200"
    assert "* Fewer than 10 background jets pass." in text
    assert line(text, "FPR") == "FPR < 0.03" and "an upper limit at 95 %" in text
    assert (
        line(text, "Fake") == "Fake - - 0" and line(text, "b jets") == "b jets 5,000 70.00 +- 0.46"
    )
    limit = "\n".join(map(to_text, own_tables(made_up(light=1e6))))
    # 1/(1 - 0.05^(1/10000)) = 3339
    assert line(limit, "60 %").startswith("60 % > 3.34e+03 > 668")
    for found in (text, limit):
        assert max(map(len, found.splitlines())) <= 100 and found.isascii()


def test_tasks_of_one_section_are_told_apart_by_their_names():
    text = "\n".join(map(to_text, own_tables(made_up(tasks=("other",)))))
    for title in ("f_c = 0.1 (jet_class)", "f_c = 0.1 (other)", "origin (track_origin)"):
        assert title in text
    names = [table.name for table in all_tables([Entry("", "", {0: made_up(tasks=("other",))})])]
    assert len(set(names)) == len(names) and "other_b_tagging" in names


def test_wide_tables_are_split_on_the_terminal():
    columns = {str(i): f"column {i}" for i in range(12)}
    cells = {"a": {name: q(12.345, 0.678) for name in columns}}
    text = to_text(Table("t", "t " * 100, {"a": "A"}, columns, cells))
    assert max(map(len, text.splitlines())) <= 100 and text.count("12.35 +- 0.68") == 12


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


def by_name(models, reference=None):
    return {table.name: table for table in all_tables(models, reference)}


def rejections(*lights):
    """Of so many of 10,000 jets as pass at these rejections."""
    return np.array([SIZES["ujets"] / round(SIZES["ujets"] / light) for light in lights])


def test_mean_and_spread_over_seeds():
    found = by_name(entries())["b_tagging"].get("0", "ujets/0.6")
    values = rejections(100, 105, 110)
    assert found.value == pytest.approx(np.mean(values))
    assert found.spread == pytest.approx(np.std(values, ddof=1))
    errors = values * np.sqrt((1 - 1 / values) / (10_000 / values))
    assert found.error == pytest.approx(np.sqrt(np.mean(np.square(errors))))
    assert math.isnan(by_name(entries((0,)))["b_tagging"].get("0", "ujets/0.6").spread)


def test_every_table_has_a_row_for_each_model():
    tables = by_name(entries())
    assert list(tables) == [
        *("flavour", "b_tagging", "b_tagging_changes", "c_tagging", "c_tagging_changes"),
        *("vertices_exclusive", "vertices_inclusive", "origin"),
        *("valid_hadrons", "hadron_classes", "residual_widths", "residual_widths_changes"),
    ]
    for name, table in tables.items():
        labels = ["Default", "GLS", "DWA", "PCGrad", "CAGrad"]
        assert list(table.rows.values()) == labels["changes" in name :]
    # Counts and the baseline are not compared.
    assert not any("baseline" in column for column in tables["b_tagging"].columns)
    assert tables["b_tagging"].column_groups["ujets/0.6"] == "light rejection"
    assert tables["valid_hadrons"].column_groups == {}


def test_many_columns_make_several_tables():
    rows = {str(i): f"row {i}" for i in range(6)}
    cells = {row: {"a": q(1.0, 0.1), "b": q(2.0, 0.1)} for row in rows}
    table = Table("wide", "Wide", rows, {"a": "A", "b": "B"}, cells)
    result = Result("run", 1, {"section": {"task": Part([table])}})
    assert list(by_name([Entry("run", "", {0: result})])) == ["wide_a", "wide_b"]


def test_changes_are_formed_seed_by_seed():
    tables = by_name(entries())
    ours, theirs = rejections(120, 125, 130), rejections(100, 105, 110)
    changes = 100 * (ours / theirs - 1)
    found = tables["b_tagging_changes"].get("0", "ujets/0.6")
    assert found.value == pytest.approx(np.mean(changes))
    assert found.spread == pytest.approx(np.std(changes, ddof=1))
    # A median may be 0, which nothing is a multiple of.
    columns = tables["residual_widths_changes"].columns
    assert {column.split("/")[0] for column in columns} == {"half_width_68"}
    models = entries()
    assert "PCGrad" in by_name(models, models[3])["b_tagging_changes"].title


def test_few_models_stand_side_by_side(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    lights = {"A": 100.0, "B": 200.0, "none": 1e6}
    models = [Entry(label, "", {0: made_up(label, x)}) for label, x in lights.items()]
    tables = {table.name: table for table in side_by_side(models)}
    text = to_text(tables["b_tagging"])
    # Twice the rejection, with sqrt(0.99/100 + 0.995/50) of error; a limit has no change.
    assert line(text, "light rejection, 60 %").endswith(
        "100.0 +- 9.9 200 +- 28 100 +- 35 > 3.34e+03 -"
    )
    assert max(map(len, text.splitlines())) <= 100
    assert line(to_text(tables["valid_hadrons"]), "TPR").startswith("TPR 70.00 +- 0.46")


def test_what_is_missing_is_a_dash():
    models = [*entries((0,)), Entry("empty", "", {0: Result("", 0, {})}), Entry("none", "", {})]
    for table in all_tables(models):
        for row, label in table.rows.items():
            if label in ("empty", "none"):
                assert {cell_text(table.get(row, column)) for column in table.columns} == {"-"}
    assert all_tables([models[-1]]) == all_tables([]) == []


def test_few_jets_and_limits_are_remarked():
    lights = {"few": 4_000, "no": 1e6, "many": 100}
    models = [Entry(name, "", {0: made_up(light=light)}) for name, light in lights.items()]
    tables = by_name(models)
    found = [tables["b_tagging"].get(row, "ujets/0.6").remark for row in "012"]
    assert found == [FEW, LOWER, ""]
    changes = tables["b_tagging_changes"]
    assert changes.get("0", "ujets/0.6") is None
    assert changes.get("1", "ujets/0.6").remark == FEW
