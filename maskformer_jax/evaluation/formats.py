"""Tables as Markdown, CSV, LaTeX (booktabs) and HTML."""

import html
from collections.abc import Callable, Sequence
from typing import Any

from maskformer_jax.evaluation.cells import (
    FORMULA,
    best_cells,
    cell_text,
    headings,
    notes_of,
    plain_text,
)
from maskformer_jax.evaluation.names import in_file_name
from maskformer_jax.evaluation.results import Table

# What LaTeX writes for each sign that may stand in a label, a heading or a note.
_LATEX = {
    **{sign: f"\\{sign}" for sign in "%&_#{}$"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
    "−": "$-$",
    ">": "$>$",
    "<": "$<$",
    "≤": r"$\leq$",
    "Δ": r"$\Delta$",
    "ε": r"$\epsilon$",
    "η": r"$\eta$",
    "φ": r"$\phi$",
    "×": r"$\times$",
    "²": "$^2$",
}
# What a spreadsheet takes for a formula.
_SPREADSHEET = ("=", "+", "-", "@", "\t", "\r")

# More columns than these are scaled to the width of the page.
_WIDEST = 8


def latex_text(text: str) -> str:
    r"""A label for LaTeX: formulas as they are, special signs escaped.

    >>> latex_text(r"A_1 ($\epsilon = 1$)")
    'A\\_1 ($\\epsilon = 1$)'
    """
    pieces = FORMULA.split(text)
    escaped = ["".join(_LATEX.get(sign, sign) for sign in piece) for piece in pieces[::2]]
    formulas = [f"${formula}$" for formula in pieces[1::2]]
    return "".join(a + b for a, b in zip(escaped, [*formulas, ""], strict=True))


def html_text(text: str) -> str:
    """A label for HTML, escaped."""
    return html.escape(plain_text(text))


def csv_text(text: str) -> str:
    """A label for CSV, with a quote before what a spreadsheet would take for a formula.

    >>> csv_text("=1+1"), csv_text("DWA")
    ("'=1+1", 'DWA')
    """
    text = plain_text(text)
    return f"'{text}" if text.startswith(_SPREADSHEET) else text


def markdown_text(text: str) -> str:
    """A label for a cell of Markdown, without tags."""
    return html_text(text).replace("|", r"\|")


def _frame(table: Table, text: Callable[[str], str], bold: str) -> Any:
    """The cells as text, with groups of rows and columns as further levels where there are some."""
    import pandas as pd

    best, titles = best_cells(table), headings(table)
    cells = [
        [
            (bold if (row, column) in best else "{}").format(text(cell_text(found.get(column))))
            for column in table.columns
        ]
        for row, found in ((row, table.cells.get(row, {})) for row in table.rows)
    ]
    corner = text(table.corner)
    return pd.DataFrame(
        cells,
        _index(pd, table.rows, table.row_groups, text, ""),
        _index(pd, titles, table.column_groups, text, corner),
    )


def _index(pd: Any, labels: Any, groups: Any, text: Callable[[str], str], name: str) -> Any:
    if not groups:
        return pd.Index([text(label) for label in labels.values()], name=name or None)
    pairs = [(text(groups.get(key, "")), text(label)) for key, label in labels.items()]
    return pd.MultiIndex.from_tuples(pairs, names=[None, name or None])


def to_markdown(table: Table) -> str:
    """A GitHub table: the best bold."""
    text = "" if table.is_empty else _pipes(table)
    notes = html_text(" ".join(notes_of(table)))
    return "\n\n".join(filter(None, [f"### {html_text(table.title)}", text, notes])) + "\n"


def _pipes(table: Table) -> str:
    frame = _frame(table, markdown_text, "**{}**")
    frame.columns = ["<br>".join(filter(None, c)) if isinstance(c, tuple) else c for c in frame]
    lead = frame.index.nlevels
    frame = frame.reset_index(names=[" ", markdown_text(table.corner)][-lead:])
    sides = (*["left"] * lead, *["right"] * len(table.columns))
    options = {"index": False, "disable_numparse": True, "colalign": sides}
    return frame.to_markdown(tablefmt="pipe", **options)


def to_csv(tables: Sequence[Table]) -> str:
    """A line for each quantity: its labels, value, spread over seeds and statistical error."""
    import pandas as pd

    lines: list[dict] = []
    for table in tables:
        # A table of notes alone has them as remarks.
        notes = () if table.rows else table.notes
        lines += ({"table": table.name, "remark": csv_text(note)} for note in notes)
        for row, label in table.rows.items():
            for column, found in table.cells.get(row, {}).items():
                above = table.column_groups.get(column, "")
                words = {
                    "table": table.name,
                    "group": table.row_groups.get(row, ""),
                    "row": label,
                    "column": ", ".join(filter(None, [above, table.columns[column]])),
                    "unit": found.unit,
                    "remark": found.remark,
                }
                numbers = {name: getattr(found, name) for name in ("value", "spread", "error")}
                lines.append({key: csv_text(text) for key, text in words.items()} | numbers)
    order = ("table", "group", "row", "column", "unit", "remark", "value", "spread", "error")
    return pd.DataFrame(lines, columns=order).to_csv(
        index=False, float_format="%.7g", lineterminator="\n"
    )


def to_latex(table: Table) -> str:
    """A `table` of booktabs: the best bold."""
    if not table.rows:
        return "".join(f"% {table.title}: {plain_text(note)}\n" for note in notes_of(table))
    frame = _frame(table, latex_text, r"\textbf{{{}}}")
    caption = ". ".join([table.title, *(note.rstrip(".") for note in notes_of(table))])
    text = frame.to_latex(
        escape=False,
        column_format="l" * frame.index.nlevels + "r" * len(frame.columns),
        multicolumn_format="c",
        multirow=False,
        caption=f"{latex_text(caption)}.",
        label=f"tab:{in_file_name(table.name)}",
    )
    if len(table.columns) > _WIDEST:
        text = text.replace(r"\begin{tabular}", "\\resizebox{\\textwidth}{!}{%\n\\begin{tabular}")
        text = text.replace(r"\end{tabular}", "\\end{tabular}}")
    return f"% needs \\usepackage{{booktabs}} and \\usepackage{{graphicx}}\n{text}"


def to_html(table: Table) -> str:
    """A `<table>` with its caption: the best bold."""
    frame = _frame(table, html_text, "<strong>{}</strong>")
    text = frame.to_html(escape=False, border=0) if table.rows else ""
    notes = "".join(f"<p class=note>{html_text(note)}</p>" for note in notes_of(table))
    title = f"<figcaption>{html_text(table.title)}</figcaption>"
    return (
        f'<figure class=table id="{in_file_name(table.name)}">{title}'
        f"<div class=scroll>{text}</div>{notes}</figure>\n"
    )


def all_formats(tables: Sequence[Table]) -> dict[str, str]:
    """All tables in one text for each format, by the end of the name of its file."""
    page = '<!doctype html>\n<meta charset="utf-8">\n<title>Tables</title>\n'
    return {
        "md": "\n".join(map(to_markdown, tables)),
        "csv": to_csv(tables),
        "tex": "\n".join(map(to_latex, tables)),
        "html": page + "".join(map(to_html, tables)),
    }
