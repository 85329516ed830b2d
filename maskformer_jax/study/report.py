"""Writes the report of a study: tables, pictures, a Markdown file and a page."""

import os
from collections.abc import Sequence
from pathlib import Path

from maskformer_jax.evaluation.output import not_writable, write_whole
from maskformer_jax.evaluation.tables.formats import plain_text, to_csv, to_latex, to_markdown
from maskformer_jax.evaluation.tables.table import Table
from maskformer_jax.study.claims import Verdict
from maskformer_jax.study.collect import Collected, collect
from maskformer_jax.study.comparison import Difference
from maskformer_jax.study.config import StudyConfig
from maskformer_jax.study.document import (
    Block,
    Gallery,
    Listing,
    Part,
    compose,
    cost_table,
    tables_of,
)
from maskformer_jax.study.figures import draw_figures
from maskformer_jax.study.html import page
from maskformer_jax.study.plan import Run

FOLDER = "report"


def write_report(study: StudyConfig, runs: Sequence[Run], folder: Path | None = None) -> str:
    """Writes the report of whatever has been evaluated.

    `index.html` holds everything; `report.md` the same in Markdown; `tables` the tables as CSV and
    LaTeX, `figures` the pictures.

    Args:
        study: its configuration.
        runs: the planned ones.
        folder: created if needed; none: `report` in the folder of the study.

    Returns:
        What to tell the user.

    Raises:
        InputError: there is no result yet, a result is damaged, or the folder is not writable.
    """
    collected = collect(study, runs)
    folder = folder or Path(study.output_dir) / FOLDER
    try:
        for name in ("tables", "figures"):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable(folder, error) from error
    parts = compose(collected, draw_figures(collected, folder / "figures"))
    _write_tables(collected, folder / "tables")
    write_whole(folder / "report.md", markdown(study.name, parts, folder).encode())
    write_whole(folder / "index.html", page(study.name, parts).encode())
    return _summary(collected, parts, folder)


def _write_tables(collected: Collected, folder: Path) -> None:
    for test, tables in tables_of(collected).items():
        for table in tables:
            _write_table(table._replace(name=f"{test}_{table.name}"), folder)
    _write_table(cost_table(collected), folder)


def _write_table(table: Table, folder: Path) -> None:
    write_whole(folder / f"{table.name}.csv", to_csv(table).encode())
    write_whole(folder / f"{table.name}.tex", to_latex(table).encode())


def _summary(collected: Collected, parts: Sequence[Part], folder: Path) -> str:
    verdicts = [block for part in parts for block in part.blocks if isinstance(block, Verdict)]
    lines = [f"{verdict.verdict:>14}  {plain_text(verdict.claim.text)}" for verdict in verdicts]
    done = [f"{test.name}: {len(test.models)} models" for test in collected.tests]
    lines += ["", f"{', '.join(done)}; written to {folder / 'index.html'}"]
    if collected.missing:
        lines.append(f"missing: {'; '.join(collected.missing)}")
    return "\n".join(lines).strip()


def markdown(title: str, parts: Sequence[Part], folder: Path) -> str:
    """The report as GitHub shows it.

    Args:
        title: of the study.
        parts: of the report.
        folder: of the file, which links to pictures begin at.
    """
    blocks = [f"# {plain_text(title)}"]
    for part in parts:
        blocks.append(f"{'#' * (part.level + 1)} {plain_text(part.title)}")
        blocks += [_markdown(block, folder) for block in part.blocks]
    return "\n\n".join(block.strip() for block in blocks) + "\n"


def _markdown(block: Block, folder: Path) -> str:
    match block:
        case Table():
            return to_markdown(block)
        case Verdict():
            return _markdown_verdict(block)
        case Gallery():
            links = (
                f"![{figure.path.stem.replace('_', ' ')}]({_relative(figure.path, folder)})"
                for figure in block.figures
            )
            return "\n".join(links)
        case Listing():
            return "\n".join(f"- {plain_text(item)}" for item in block.items)
        case _:
            return plain_text(block)


def _markdown_verdict(verdict: Verdict) -> str:
    lines = [
        f"### {plain_text(verdict.claim.text)} **{verdict.verdict}**",
        "",
        f"{verdict.claim.source}. {plain_text(verdict.evidence)}",
    ]
    differences = [*verdict.differences, *verdict.details]
    if differences:
        lines += ["", "| | difference | in its uncertainty |", "| --- | ---: | ---: |"]
        lines += map(_markdown_difference, differences)
    return "\n".join(lines)


def _markdown_difference(difference: Difference) -> str:
    return f"| {plain_text(difference.what)} | {difference.text} | {difference.significance:+.1f} |"


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()
