"""Numbers as the cells of tables on the terminal."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from maskformer_jax.evaluation.discriminants import FEW_JETS


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join(["", *cells]).rstrip()


def with_error(value: float, error: float) -> str:
    """Two significant digits of the error, and the same digits of the value.

    >>> with_error(12.345, 0.678)
    '12.35 +- 0.68'
    """
    if not (math.isfinite(value) and error > 0):
        return significant(value)
    digits = min(decimals(error), 4)
    return f"{value:.{digits}f} +- {error:.{digits}f}"


def decimals(error: float) -> int:
    """Digits after the point that two significant digits of a positive error need.

    >>> decimals(0.678), decimals(45.0)
    (2, 0)
    """
    return max(0, 1 - math.floor(math.log10(error)))


def number(value: float, digits: int = 4) -> str:
    """With so many digits after the point; a dash where it is not defined."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def significant(value: float) -> str:
    """Three significant digits; a dash where it is not defined."""
    return f"{value:.3g}" if math.isfinite(value) else "-"


def percent(part: Mapping[str, Any]) -> str:
    """A fraction in percent, with its error."""
    return with_error(100 * part["value"], 100 * part["error"])


def rejection(value: Mapping[str, Any]) -> str:
    """A rejection with its error; two columns are kept for the mark that `footnotes` explains."""
    if value["is_lower_limit"]:
        return f"> {value['value']:.3g}  "
    few = "*" if 0 < value["passed"] < FEW_JETS else " "
    return f"{with_error(value['value'], value['error'])} {few}"


def footnotes(values: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """What the marks beside these rejections mean."""
    values = list(values)
    if any(0 < value["passed"] < FEW_JETS for value in values):
        yield f"  * fewer than {FEW_JETS} background jets pass"
    if any(value["is_lower_limit"] for value in values):
        yield "  > no background jet passes: lower limit at 95 % confidence"
