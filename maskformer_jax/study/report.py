"""Writes the report of a study: tables, pictures, a Markdown file and a page."""

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from markupsafe import Markup

from maskformer_jax.canvas import check_label
from maskformer_jax.evaluation.cells import cell_text, plain_text
from maskformer_jax.evaluation.formats import to_csv, to_html, to_latex, to_markdown
from maskformer_jax.evaluation.models import all_tables
from maskformer_jax.evaluation.names import plural
from maskformer_jax.files import refuse_links, write_whole, writing
from maskformer_jax.progress import stage
from maskformer_jax.study.claims import confront
from maskformer_jax.study.collect import collect
from maskformer_jax.study.comparison import SIGNIFICANT
from maskformer_jax.study.config import StudyConfig
from maskformer_jax.study.figures import caption, draw_figures, draw_logs
from maskformer_jax.study.limits import precision, resolution, tests_done
from maskformer_jax.study.overview import changes, cost_table, judged, published
from maskformer_jax.study.plan import Run
from maskformer_jax.study.templating import environment

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
        InputError: there is no result yet, a result is damaged, a label can't be drawn, or the
            folder is not writable or has a symbolic link in it.
    """
    refuse_links(folder or Path(study.output_dir))
    for model in study.models:
        check_label(study.label(model))
    with stage("reading the results"):
        collected = collect(study, runs)
    folder = folder or Path(study.output_dir) / FOLDER
    with writing(folder):
        for name in ("tables", "figures"):
            (folder / name).mkdir(parents=True, exist_ok=True)
    first = collected.tests[0]
    content = {
        "study": study,
        "config": runs[0].config,
        "trained": sum(map(len, collected.costs.values())),
        "done": tests_done(collected),
        "verdicts": confront(study, first.models),
        "several_seeds": max(len(entry.seeds) for entry in first.entries) > 1,
        "precision": precision(first),
        "resolution": resolution(first),
        "tests": collected.tests,
        "overview": {test.name: changes(collected, test) for test in collected.tests},
        "published": published(study, collected.tests),
        "tables": {t.name: all_tables(t.entries, collected.reference(t)) for t in collected.tests},
        "figures": draw_figures(collected, folder / "figures"),
        "learning": draw_logs(collected, folder / "figures"),
        "cost": cost_table(collected),
        "missing": collected.missing,
    }
    tables = [t.renamed(f"{k}_{t.name}") for k, v in content["tables"].items() for t in v]
    tables += [t.renamed(f"{k}_{t.name}") for k, t in content["overview"].items()]
    for table in (*tables, *content["published"], content["cost"]):
        write_whole(folder / "tables" / f"{table.name}.csv", to_csv([table]).encode())
        write_whole(folder / "tables" / f"{table.name}.tex", to_latex(table).encode())
    write_whole(folder / "report.md", render("markdown", content, folder).encode())
    write_whole(folder / "index.html", render("html", content, folder).encode())
    return _summary(content, folder)


def _summary(content: Mapping[str, Any], folder: Path) -> str:
    lines = [f"{v.verdict:>14}  {plain_text(v.claim.text)}" for v in content["verdicts"]]
    done = [f"{test.name}: {len(test.models)} models" for test in content["tests"]]
    lines += ["", f"{', '.join(done)}; written to {folder / 'index.html'}"]
    if content["missing"]:
        lines.append(f"missing: {'; '.join(content['missing'])}")
    return "\n".join(lines).strip()


def render(kind: Literal["html", "markdown"], content: Mapping[str, Any], folder: Path) -> str:
    """The report as a page that needs no other file, or as GitHub shows it.

    Args:
        kind: the format.
        content: what `templates/report.j2` speaks of.
        folder: of the file, which links to pictures begin at.
    """
    templates = environment(
        autoescape=kind == "html",
        plain=plain_text,
        counted=plural,
        cell=cell_text,
        judged=judged,
        caption=caption,
        markdown=to_markdown,
        html=lambda table: Markup(to_html(table)),
        relative=lambda path: path.relative_to(folder).as_posix(),
        base64=lambda path: base64.b64encode(path.read_bytes()).decode(),
    )
    templates.globals |= {**content, "contents": [], "significant": SIGNIFICANT}
    write = templates.get_template(f"{kind}.j2").module
    text = templates.get_template("report.j2").render(write=write)
    if kind == "html":
        text = templates.get_template("page.j2").render(body=Markup(text))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
