"""Tables as Markdown, CSV, LaTeX (booktabs) and HTML."""

import csv
import html
import io
import math
import re
from collections.abc import Callable, Iterable, Sequence

from maskformer_jax.evaluation.tables.table import Best, Table, best_cells, cell_text, spans

# What LaTeX writes for each sign that may stand in a label, a heading or a note.
_LATEX = {
    **{sign: f"\\{sign}" for sign in "%&_#{}$"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "†": r"$\dagger$",
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
_FORMULA = re.compile(r"\$(.+?)\$")
_SYMBOLS = {r"\epsilon": "ε", r"\Delta": "Δ", r"\eta": "η", r"\phi": "φ", r"\times": "×"}

# More columns than these are scaled to the width of the page.
_WIDEST = 8


def plain_text(text: str) -> str:
    r"""A label without formulas, for CSV, HTML and the terminal.

    >>> plain_text(r"DWA ($\epsilon = -1$)")
    'DWA (ε = −1)'
    """

    def symbols(match: re.Match[str]) -> str:
        formula = match[1].replace("-", "−")
        for name, sign in _SYMBOLS.items():
            formula = formula.replace(name, sign)
        return re.sub(r"(?<! )([=<>])(?! )", r" \1 ", formula)

    return _FORMULA.sub(symbols, text)


def latex_text(text: str) -> str:
    r"""A label for LaTeX: formulas as they are, special signs escaped.

    >>> latex_text(r"A_1 ($\epsilon = 1$)")
    'A\\_1 ($\\epsilon = 1$)'
    """
    pieces = _FORMULA.split(text)
    escaped = ["".join(_LATEX.get(sign, sign) for sign in piece) for piece in pieces[::2]]
    formulas = [f"${formula}$" for formula in pieces[1::2]]
    return "".join(a + b for a, b in zip(escaped, [*formulas, ""], strict=True))


def to_markdown(table: Table) -> str:
    """A GitHub table: the best bold, the best in its group underlined (`<ins>`)."""
    best = best_cells(table)
    headings = [f"{c.group}<br>{c.name}" if c.group else c.name for c in table.columns]
    lead = [""] if table.has_groups else []
    lines = [
        _pipes([*lead, "", *map(_markdown, headings)]),
        _pipes([*["---"] * (len(lead) + 1), *["---:"] * len(headings)]),
    ]
    marks, previous = ("**{}**", "<ins>{}</ins>", "{}"), None
    for i, row in enumerate(table.rows):
        group = ["" if row.group == previous else _markdown(row.group)] if lead else []
        cells = [_marked(table, best, (i, j), marks, _markdown) for j in _columns(table)]
        lines.append(_pipes([*group, _markdown(row.label), *cells]))
        previous = row.group
    notes = plain_text(" ".join(table.all_notes()))
    return "\n".join([f"### {plain_text(table.title)}", "", *lines, "", notes]).rstrip() + "\n"


def to_csv(table: Table) -> str:
    """One line per row; of every column the value, its spread and its statistical error."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    titles = [plain_text(column.title) for column in table.columns]
    kinds = ("", " spread", " error")
    heading = [f"{title}{kind}" for title in titles for kind in kinds]
    writer.writerow(["group", "label", *heading, "remarks"])
    for row in table.rows:
        numbers = [f"{x:.7g}" if math.isfinite(x) else "" for cell in row.cells for x in cell[:3]]
        remarks = [
            f"{title}: {cell.remark}"
            for title, cell in zip(titles, row.cells, strict=True)
            if cell.remark
        ]
        writer.writerow(
            [plain_text(row.group), plain_text(row.label), *numbers, "; ".join(remarks)]
        )
    return text.getvalue()


def to_latex(table: Table) -> str:
    """A `table` of booktabs: the best bold, the best in its group underlined."""
    lead = 2 if table.has_groups else 1
    body = [
        f"\\begin{{tabular}}{{{'l' * lead}{'r' * len(table.columns)}}}",
        r"\toprule",
        *_latex_heading(table, lead),
        r"\midrule",
        *_latex_rows(table),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    if len(table.columns) > _WIDEST:
        body = [r"\resizebox{\textwidth}{!}{%", *body[:-1], f"{body[-1]}}}"]
    caption = ". ".join([table.title, *(note.rstrip(".") for note in table.all_notes())])
    return "\n".join(
        [
            "% needs \\usepackage{booktabs} and \\usepackage{graphicx}",
            r"\begin{table}",
            r"\centering",
            *body,
            f"\\caption{{{latex_text(caption)}.}}",
            f"\\label{{tab:{table.name}}}",
            r"\end{table}",
            "",
        ]
    )


def _latex_heading(table: Table, lead: int) -> list[str]:
    lines, column = [], lead + 1
    groups = spans([c.group for c in table.columns])
    if any(group for group, _ in groups):
        titles = [f"\\multicolumn{{{n}}}{{c}}{{{latex_text(group)}}}" for group, n in groups]
        lines.append(" & ".join([*[""] * lead, *titles]) + r" \\")
        rules = []
        for group, number in groups:
            rules += [f"\\cmidrule(lr){{{column}-{column + number - 1}}}"] if group else []
            column += number
        lines.append(" ".join(rules))
    names = [latex_text(c.name) for c in table.columns]
    return [*lines, " & ".join([*[""] * lead, *names]) + r" \\"]


def _latex_rows(table: Table) -> list[str]:
    best, marks = best_cells(table), (r"\textbf{{{}}}", r"\underline{{{}}}", "{}")
    lines, previous = [], None
    for i, row in enumerate(table.rows):
        first = row.group != previous
        lines += [r"\midrule"] if first and i else []
        lead = [latex_text(row.group) if first else ""] if table.has_groups else []
        cells = [_marked(table, best, (i, j), marks, latex_text) for j in _columns(table)]
        lines.append(" & ".join([*lead, latex_text(row.label), *cells]) + r" \\")
        previous = row.group
    return lines


def to_html(table: Table) -> str:
    """A `<table>` with its caption; classes `best` and `group-best` on the marked cells."""
    lead = 2 if table.has_groups else 1
    notes = "".join(f"<p class=note>{_html(note)}</p>" for note in table.all_notes())
    groups = spans([c.group for c in table.columns])
    head = "".join(f"<th>{_html(c.name)}</th>" for c in table.columns)
    head = f"<tr><th colspan={lead}></th>{head}</tr>"
    if any(group for group, _ in groups):
        above = "".join(f"<th class=group colspan={n}>{_html(group)}</th>" for group, n in groups)
        head = f"<tr><th colspan={lead}></th>{above}</tr>{head}"
    return (
        f'<figure class=table id="{table.name}"><figcaption>{_html(table.title)}</figcaption>'
        f"<div class=scroll><table><thead>{head}</thead>{_html_bodies(table)}</table></div>"
        f"{notes}</figure>\n"
    )


def _html_bodies(table: Table) -> str:
    best, bodies, previous = best_cells(table), [], None
    sizes = iter(spans([row.group for row in table.rows]))
    for i, row in enumerate(table.rows):
        group = ""
        if row.group != previous:
            bodies.append("")
            name, size = next(sizes)
            group = f"<th class=rows rowspan={size}>{_html(name)}</th>" if table.has_groups else ""
        marks = "<td class=best>{}</td>", "<td class=group-best>{}</td>", "<td>{}</td>"
        cells = "".join(_marked(table, best, (i, j), marks, _html) for j in _columns(table))
        bodies[-1] += f"<tr>{group}<th>{_html(row.label)}</th>{cells}</tr>\n"
        previous = row.group
    return "".join(f"<tbody>{body}</tbody>" for body in bodies)


def _columns(table: Table) -> range:
    return range(len(table.columns))


def _marked(
    table: Table,
    best: Best,
    position: tuple[int, int],
    marks: Sequence[str],
    text: Callable[[str], str],
) -> str:
    """A cell in the first mark if it is the best, the second if best in its group, or the third."""
    row, column = position
    number = text(cell_text(table.rows[row].cells[column], table.columns[column]))
    rank = 0 if position in best.overall else 1 if position in best.in_group else 2
    return marks[rank].format(number)


def _html(text: str) -> str:
    return html.escape(plain_text(text))


def _pipes(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown(text: str) -> str:
    return plain_text(text).replace("|", r"\|")
