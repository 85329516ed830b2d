"""Numbers with their errors as the cells of tables, and tables on the terminal."""

import math
import re
import shutil
import textwrap
from collections.abc import Sequence

from maskformer_jax.evaluation.results import CONSTANT, FEW, FEW_JETS, LOWER, UPPER, Quantity, Table

MISSING = "-"
# Most columns that a table has on the terminal; longer labels of rows are broken.
WIDTH = 100
LONGEST_LABEL = 42

# An error below this part of the value comes from the order of a sum.
ROUNDING = 1e-9

# What the remarks of the quantities mean.
FOOTNOTES = {
    LOWER: "A number after > is a lower limit at 95 % confidence: of a rejection, that no jet "
    "passes; of a share, that all entries count.",
    UPPER: "A number after < is an upper limit at 95 % confidence: no entry counts.",
    FEW: f"† Fewer than {FEW_JETS} background jets pass.",
    CONSTANT: "‡ No better than a prediction without the network, such as a constant, by twice the "
    "error.",
}
SIGNS = {FEW: "†", CONSTANT: "‡"}
BEST = "Bold is the best, where it is so by more than the error of its difference to the next."

# For a terminal that has ASCII only.
_ASCII = {"±": "+-", "−": "-", "†": "*", "‡": "(=)", "≤": "<=", "ε": "epsilon"}
# Formulas in labels.
FORMULA = re.compile(r"\$(.+?)\$")
_SYMBOLS = {r"\epsilon": "ε", r"\Delta": "Δ", r"\eta": "η", r"\phi": "φ", r"\times": "×"}


def with_error(value: float, error: float, scale: float = 0.0) -> str:
    """Two significant digits of the error, and the same digits of the value.

    Args:
        value: four digits of it where there is no error.
        error: that is shown; one from rounding is none.
        scale: a larger error that says how many digits make sense.

    >>> with_error(12.345, 0.678), with_error(-0.5, 0.0), with_error(10.5637, 0.0068, 0.12)
    ('12.35 ± 0.68', '−0.5', '10.56 ± 0.01')
    """
    if not error > ROUNDING * abs(value):
        return f"{value:.4g}".replace("-", "−")
    digits = min(decimals(max(error, scale)), 4)
    return f"{value:.{digits}f} ± {error:.{digits}f}".replace("-", "−")


def decimals(error: float) -> int:
    """Digits after the point that two significant digits of a positive error need.

    >>> decimals(0.678), decimals(45.0)
    (2, 0)
    """
    return max(0, 1 - math.floor(math.log10(error)))


def cell_text(found: Quantity | None) -> str:
    """A quantity with what is known of its error.

    >>> cell_text(Quantity(12.0, 5.0, remark=FEW)), cell_text(Quantity(334.3, remark=LOWER))
    ('12.0 ± 5.0 †', '> 334')
    """
    if found is None:
        return MISSING
    if found.is_limit:
        top = 100.0 if found.unit == "%" else 1.0
        # Of a share that is nearly all, two digits of what is missing.
        near = found.remark == LOWER and found.value < top
        text = f"{found.value:.{decimals(top - found.value)}f}" if near else f"{found.value:.3g}"
        return f"{'>' if found.remark == LOWER else '<'} {text}"
    if isinstance(found.value, int):
        return f"{found.value:,}"
    # Two seeds that happen to agree make no number exact.
    scale = 0.1 * found.error if found.error > 0 else 0.0
    text = with_error(found.value, found.uncertainty, scale)
    return f"{text} {SIGNS[found.remark]}" if found.remark in SIGNS else text


def best_cells(table: Table) -> set[tuple[str, str]]:
    """Row and column of the best model in each column, if the next is farther than the error.

    Limits are not compared.
    """
    best = set()
    for column in table.columns if table.is_ranked else ():
        known = [(row, table.get(row, column)) for row in table.rows]
        known = [(row, q) for row, q in known if q and q.better and not q.is_limit]
        if len(known) < 2:
            continue
        (row, first), (_, second) = sorted(known, key=lambda pair: _merit(pair[1]))[:-3:-1]
        if _merit(first) - _merit(second) > math.hypot(*map(_scale, (first, second))):
            best.add((row, column))
    return best


def _scale(found: Quantity) -> float:
    """The uncertainty; of seeds that happen to agree the statistical error."""
    is_known = found.uncertainty > ROUNDING * abs(found.value)
    return found.uncertainty if is_known else found.error


def _merit(found: Quantity) -> float:
    return {"high": found.value, "low": -found.value, "zero": -abs(found.value)}[found.better]


def headings(table: Table) -> dict[str, str]:
    """Label of each column, with the unit that all its cells have."""
    labels = {}
    for column, label in table.columns.items():
        units = {row[column].unit for row in table.cells.values() if column in row} or {""}
        unit = f" [{units.pop()}]" if len(units) == 1 else ""
        is_told = unit == " []" or label.endswith((unit, unit.strip(" []")))
        labels[column] = label if is_told else f"{label}{unit}"
    return labels


def notes_of(table: Table) -> list[str]:
    """Its notes, and what the signs in its cells mean."""
    found = {q.remark for row in table.cells.values() for q in row.values()}
    signs = [text for remark, text in FOOTNOTES.items() if remark in found]
    return [*table.notes, *signs, *([BEST] if best_cells(table) else [])]


def to_text(table: Table) -> str:
    """For the terminal: ASCII, as wide as it is, at most 100 columns; a column may be wider."""
    width = min(shutil.get_terminal_size((WIDTH, 24)).columns, WIDTH)
    lines = textwrap.wrap(plain_text(table.title), width)
    if not table.is_empty:
        lines += _aligned(table, list(table.columns), width)
    for note in notes_of(table):
        lines += textwrap.wrap(note, width, initial_indent="  ", subsequent_indent="  ")
    return "".join(_ASCII.get(sign, sign) for sign in plain_text("\n".join(lines)))


def _aligned(table: Table, columns: Sequence[str], width: int) -> list[str]:
    from tabulate import tabulate

    titles = headings(table)
    heads = [titles[c].replace(" [", "\n[").replace(" (", "\n(") for c in columns]
    rows = [[table.corner, *heads]]
    for row, label in table.rows.items():
        above = table.row_groups.get(row, "")
        label = ", ".join(filter(None, [above, label]))
        rows.append([label, *(cell_text(table.get(row, c)) for c in columns)])
    text = tabulate(
        [[plain_text(cell) for cell in row] for row in rows],
        tablefmt="plain",
        disable_numparse=True,
        colalign=("left", *["right"] * len(columns)),
        maxcolwidths=[LONGEST_LABEL, *[None] * len(columns)],
    )
    lines = [f"  {line}".rstrip() for line in text.splitlines()]
    if max(map(len, lines)) <= width or len(columns) == 1:
        return lines
    half = -(-len(columns) // 2)
    return [*_aligned(table, columns[:half], width), "", *_aligned(table, columns[half:], width)]


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

    return FORMULA.sub(symbols, text)
