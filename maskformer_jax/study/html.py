"""The report as one page that needs no other file."""

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from maskformer_jax.evaluation.tables.formats import plain_text, to_html
from maskformer_jax.evaluation.tables.table import Table
from maskformer_jax.study.claims import FAILS, HOLDS, UNDECIDED, UNKNOWN, Verdict
from maskformer_jax.study.comparison import SIGNIFICANT, Difference
from maskformer_jax.study.document import Block, Gallery, Listing, Part
from maskformer_jax.study.figures import Figure

STYLE = Path(__file__).with_name("page.css")
COLOURS = {HOLDS: "yes", FAILS: "no", UNDECIDED: "open", UNKNOWN: "none"}

# Bars of differences end here, in units of the uncertainty.
LONGEST = 6.0


def page(title: str, parts: Sequence[Part]) -> str:
    """The whole page, pictures included.

    Args:
        title: of the study.
        parts: of the report.
    """
    verdicts = [b for part in parts for b in part.blocks if isinstance(b, Verdict)]
    body = "".join(_part(part) for part in parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>\n{STYLE.read_text()}</style>\n</head>\n<body>\n"
        f"<nav><p>{_text(title)}</p>\n{_contents(parts)}</nav>\n<main>\n"
        f"<h1>{_text(title)}</h1>\n{_overview(verdicts)}{body}</main>\n</body>\n</html>\n"
    )


def _contents(parts: Iterable[Part]) -> str:
    links = "".join(
        f'<li class=level{part.level}><a href="#{part.name}">{_text(part.title)}</a></li>\n'
        for part in parts
    )
    return f"<ul>\n{links}</ul>\n"


def _overview(verdicts: Sequence[Verdict]) -> str:
    rows = "".join(
        f'<li>{_badge(verdict)}<a href="#claim-{i}">{_text(verdict.claim.text)}</a></li>\n'
        for i, verdict in enumerate(verdicts)
    )
    return f"<ul class=overview>\n{rows}</ul>\n" if rows else ""


def _part(part: Part) -> str:
    blocks, claims = [], 0
    for block in part.blocks:
        blocks.append(_block(block, claims))
        claims += isinstance(block, Verdict)
    heading = f"h{part.level + 1}"
    return (
        f'<section id="{part.name}">\n<{heading}>{_text(part.title)}</{heading}>\n'
        f"{''.join(blocks)}</section>\n"
    )


def _block(block: Block, claims: int) -> str:
    match block:
        case Table():
            return to_html(block)
        case Verdict():
            return _verdict(block, claims)
        case Gallery():
            return f"<div class=gallery>\n{''.join(map(_figure, block.figures))}</div>\n"
        case Listing():
            return f"<ul>\n{''.join(f'<li>{_text(item)}</li>' for item in block.items)}</ul>\n"
        case _:
            return f"<p>{_text(block)}</p>\n"


def _verdict(verdict: Verdict, number: int) -> str:
    details = _differences(verdict.details)
    return (
        f'<article id="claim-{number}" class="{COLOURS[verdict.verdict]}">\n'
        f"<h3>{_badge(verdict)}{_text(verdict.claim.text)}</h3>\n"
        f"<p class=source>{_text(verdict.claim.source)}</p>\n<p>{_text(verdict.evidence)}</p>\n"
        f"{_differences(verdict.differences)}"
        f"{f'<p class=note>Beside it, not decisive:</p>{details}' if details else ''}</article>\n"
    )


def _badge(verdict: Verdict) -> str:
    return f'<span class="badge {COLOURS[verdict.verdict]}">{_text(verdict.verdict)}</span> '


def _differences(differences: Sequence[Difference]) -> str:
    if not differences:
        return ""
    rows = "".join(
        f"<tr><th>{_text(d.what)}</th><td>{_text(d.text)}</td><td>{d.significance:+.1f}</td>"
        f"<td class=bar>{_bar(d.significance)}</td></tr>\n"
        for d in differences
    )
    head = "<tr><th></th><th>difference</th><th>in its uncertainty</th><th></th></tr>"
    return f"<div class=scroll><table class=differences>{head}\n{rows}</table></div>\n"


def _bar(significance: float) -> str:
    """A bar from zero in the middle; the band is what does not count."""
    end = max(-LONGEST, min(LONGEST, significance))
    start, width = min(0.0, end), abs(end)
    return (
        f'<svg viewBox="-{LONGEST} 0 {2 * LONGEST} 1" preserveAspectRatio="none">'
        f'<rect class=band x="-{SIGNIFICANT}" width="{2 * SIGNIFICANT}" height="1"/>'
        f'<rect class="{"plus" if end > 0 else "minus"}" x="{start:.2f}" y=".25" '
        f'width="{width:.2f}" height=".5"/><rect class=zero x="-.03" width=".06" height="1"/></svg>'
    )


def _figure(figure: Figure) -> str:
    picture = base64.b64encode(figure.path.read_bytes()).decode()
    name = figure.path.stem.replace("_", " ")
    return (
        f'<figure><img alt="{_text(name)}, {_text(figure.group)}" '
        f'src="data:image/png;base64,{picture}"><figcaption>{_text(name)}</figcaption></figure>\n'
    )


def _text(text: str) -> str:
    return html.escape(plain_text(text))
