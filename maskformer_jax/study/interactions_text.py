"""The answers in words and tables, as Markdown that reads well on a terminal too."""

from collections.abc import Iterator, Mapping, Sequence

from maskformer_jax.study.interactions_answers import (
    MASKS,
    Answers,
    Crossing,
    Dominance,
    Pair,
    Span,
    answer,
)
from maskformer_jax.study.interactions_record import Record

SHOWN = 4


def write(records: Mapping[str, Record]) -> str:
    """The text on one or several trainings.

    Args:
        records: name of the weighting -> its records.
    """
    answers = {name: answer(record) for name, record in records.items()}
    lines = [_recorded(records), ""]
    for heading, paragraphs in (
        ("Which losses are in conflict", _conflicts),
        ("Which loss dominates", _dominance),
        ("Mask cross-entropy and Dice", _masks),
        ("Curvature along the update", _curvature),
    ):
        found = [line for name, x in answers.items() for line in paragraphs(name, x)]
        if found:
            lines += [f"## {heading}", "", *found]
    return "\n".join(lines).rstrip() + "\n"


def _recorded(records: Mapping[str, Record]) -> str:
    parts = (
        f"`{name}`: {len(r.steps)} records of the steps {r.steps[0]} to {r.steps[-1]}, curves are "
        f"means over {r.window} of them, the first window left out."
        for name, r in records.items()
    )
    early = "Early and late are the first and the last quarter of the records."
    return " ".join([*parts, early])


def label(loss: str) -> str:
    """A loss in sentences and pictures.

    >>> label("mask_ce")
    'mask CE'
    """
    return loss.replace("_", " ").replace(" ce", " CE")


def _conflicts(name: str, answers: Answers) -> Iterator[str]:
    yield _sentence_on_conflicts(name, answers)
    yield ""
    head = ("pair", "cosine, early", "late", "negative [%]", "smoothed below 0 at steps")
    rows = [
        (
            _names(pair),
            f"{pair.early:.3f}",
            f"{pair.late:.3f}",
            f"{100 * pair.negative:.0f}",
            _spans(pair.below),
        )
        for pair in answers.pairs
    ]
    yield from _table(head, rows)
    yield ""


def _sentence_on_conflicts(name: str, answers: Answers) -> str:
    """On conflicts that last longer than the window, which a single bad batch can't make."""
    lasting = {
        _names(pair): spans
        for pair in answers.pairs
        if (spans := [span for span in pair.below if span.points > answers.window])
    }
    if not lasting:
        return f"With `{name}` the smoothed cosine of no pair stays negative for a window."
    pairs = "; ".join(f"{pair} (steps {_spans(spans)})" for pair, spans in lasting.items())
    return f"With `{name}` the smoothed cosine stays negative for longer than a window for {pairs}."


def _dominance(name: str, answers: Answers) -> Iterator[str]:
    sizes = _sizes(answers)
    for when, found in sizes:
        largest = max(found, key=lambda loss: found[loss].share)
        yield (
            f"With `{name}`, {when} scaling, {label(largest)} has the largest gradient in "
            f"{100 * found[largest].share:.0f} % of the steps."
        )
    yield ""
    head = ["loss"]
    for when, _ in sizes:
        head += [f"largest {when} [%]", "L2 early", "late"]
    rows = [
        [label(loss), *(text for _, found in sizes for text in _size(found[loss]))]
        for loss in answers.before
    ]
    yield from _table(head, rows)
    yield ""


def _size(found: Dominance) -> tuple[str, str, str]:
    return f"{100 * found.share:.0f}", f"{found.early:.3g}", f"{found.late:.3g}"


def _masks(name: str, answers: Answers) -> Iterator[str]:
    if answers.masks is None:
        return
    (pair,) = (pair for pair in answers.pairs if {*pair.losses} == {*MASKS})
    words = ("from conflict to agreement", "into conflict")
    cosine = _crossings(answers.masks.cosine, *words)
    cosine = f"crosses 0 {cosine}" if cosine else f"stays {'below' if pair.late < 0 else 'above'} 0"
    yield f"With `{name}` their smoothed cosine {cosine}."
    for when, found in _sizes(answers):
        words = tuple(f"{label(loss)} becoming the larger" for loss in MASKS)
        sizes = _crossings(answers.masks.norms[when], *words)
        larger = label(max(MASKS, key=lambda loss: found[loss].late))
        sizes = f"cross {sizes}" if sizes else f"do not cross, {larger} is the larger"
        yield f"Their smoothed L2 norms {when} scaling {sizes}."
    yield ""


def _sizes(answers: Answers) -> list[tuple[str, dict[str, Dominance]]]:
    """Before and, where it makes a difference, after scaling."""
    both = [("before", answers.before), ("after", answers.after)]
    return both[:1] if answers.before == answers.after else both


def _curvature(name: str, answers: Answers) -> Iterator[str]:
    found = answers.curvature
    if found is None:
        return
    yield (
        f"With `{name}` the curvature in the direction of the gradient, averaged along the update, "
        f"is positive in {100 * found.positive:.0f} % of the records; early {found.early:.3g}, "
        f"late {found.late:.3g}, at most {found.highest:.3g} (step {found.at:,})."
    )
    yield ""


def _names(pair: Pair) -> str:
    return " / ".join(map(label, pair.losses))


def _spans(spans: Sequence[Span]) -> str:
    if not spans:
        return "-"
    texts = [f"{s.first:,} to {s.last:,}" if s.first < s.last else f"{s.first:,}" for s in spans]
    if len(spans) > SHOWN:
        return f"{len(spans)} stretches from {spans[0].first:,} to {spans[-1].last:,}"
    return ", ".join(texts)


def _crossings(found: Sequence[Crossing], upwards: str, downwards: str) -> str:
    if len(found) > SHOWN:
        return f"{len(found)} times between the steps {found[0].step:,} and {found[-1].step:,}"
    return ", ".join(f"at step {x.step:,} ({upwards if x.upwards else downwards})" for x in found)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A Markdown table with aligned columns, the first one of text."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    for cells in (head, rule, *rows):
        numbers = (text.rjust(width) for text, width in zip(cells[1:], widths[1:], strict=True))
        yield f"| {' | '.join([cells[0].ljust(widths[0]), *numbers])} |"
