"""What the colours, markers and lines of an event display stand for."""

from typing import Any

from maskformer_jax.canvas import COLOURS, SMALL, SYMBOLS
from maskformer_jax.evaluation.event_display import Hadron, View

GREY, PILEUP_COLOUR = "0.62", "0.72"
# Of the classes of hadrons, with sizes that look alike.
MARKERS = (("*", 17.0), ("P", 12.0), ("X", 12.0), ("D", 10.0))
SHOWN = 5
# Properties that are seen around the jet axis.
DRAWN = ("deta", "dphi")
AXIS_COLOUR = "0.8"


def colour(slot: int) -> str:
    """Of an object and its tracks; the same for a true hadron and its prediction."""
    return COLOURS[1 + slot % (len(COLOURS) - 1)]


def marker_of(hadron: Hadron) -> tuple[str, float]:
    """Marker and its size, one for each class of hadrons."""
    return MARKERS[hadron.kind % len(MARKERS)]


def draw_symbol(panel: Any, hadron: Hadron, x: float, y: float) -> None:
    """Marks a hadron in its colour."""
    marker, size = marker_of(hadron)
    panel.plot(
        x, y, marker, markersize=size, zorder=6, clip_on=False,
        markerfacecolor=colour(hadron.slot), markeredgecolor="black",
    )  # fmt: skip


def flavour_text(view: View) -> str:
    """`b jet` for the truth, the probabilities of a prediction."""
    if len(view.class_prob) == 1:
        return next(iter(view.class_prob)).removesuffix("jets") + " jet"
    if not view.class_prob:
        return "no label"
    return ", ".join(
        f"{kind.removesuffix('jets')} {_percent(prob)}" for kind, prob in view.class_prob.items()
    )


def _percent(prob: float) -> str:
    if 0.01 <= prob <= 0.99:
        return f"{100 * prob:.0f} %"
    return "< 1 %" if prob < 0.5 else "> 99 %"


def list_hadrons(panel: Any, view: View, unit: dict[str, str]) -> None:
    """What the colours stand for."""
    panel.set_axis_off()
    panel.set(xlim=(0, 1), ylim=(0, 1))
    if not view.hadrons:
        panel.text(0.02, 0.97, "no hadrons", va="top")
    for row, hadron in enumerate(view.hadrons[:SHOWN]):
        top = 0.99 - 0.2 * row
        draw_symbol(panel, hadron, 0.05, top - 0.03)
        lines = [f"{_kind(hadron)}; {hadron.tracks} track{'s' * (hadron.tracks != 1)}"]
        values = [
            f"{SYMBOLS.get(name, name)} = {_with_unit(value, unit.get(name, ''))}"
            for name, value in hadron.properties.items()
            if name not in DRAWN
        ]
        lines += [", ".join(values[i : i + 2]) for i in range(0, len(values), 2)]
        panel.text(0.11, top, "\n".join(lines), va="top", fontsize=SMALL - 1)


def _kind(hadron: Hadron) -> str:
    if len(hadron.class_prob) == 1:
        return f"{next(iter(hadron.class_prob))} hadron"
    return ", ".join(f"{kind} {_percent(prob)}" for kind, prob in hadron.class_prob.items())


def _with_unit(value: float, unit: str) -> str:
    if unit == "MeV":
        value, unit = value / 1000, "GeV"
    size = abs(value)
    number = f"{value:.3f}" if size < 1 else f"{value:.3g}" if size < 100 else f"{value:,.0f}"
    return f"{number} {unit}".strip().replace("-", "−")


def line_styles() -> list[Any]:
    """Handles of a legend that holds for both views."""
    from matplotlib.lines import Line2D

    def line(label: str, **style: Any) -> Any:
        return Line2D([], [], label=label, **style)

    return [
        line("track of a hadron (in its colour)", color=COLOURS[1], linewidth=2),
        line("before its vertex", color=COLOURS[1], linestyle=":", linewidth=1.5),
        line("other track", color=GREY, linewidth=1.5),
        line("pile-up", color=PILEUP_COLOUR, linestyle="--", linewidth=1.5),
        line("primary vertex", color="black", marker="o", linestyle="none"),
        line(
            "true vertices, in the prediction",
            color="0.35",
            marker="*",
            markersize=12,
            markerfacecolor="none",
            linestyle="none",
        ),
        line("jet axis (+ below)", color=AXIS_COLOUR, linewidth=1.5),
    ]
