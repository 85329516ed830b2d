"""Event displays: the tracks of a jet with its true and its predicted vertices side by side."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from maskformer_jax.canvas import COLOURS, SMALL, SYMBOLS, PlotConfig, save, style
from maskformer_jax.evaluation.events import Event, Events, Hadron, View
from maskformer_jax.evaluation.names import plural, short

SIZE = (15, 9.6)
MARGINS = {"left": 0.065, "right": 0.985, "top": 0.88, "bottom": 0.16, "wspace": 0.14}
# The window of the transverse plane in units of the farthest vertex; where there is none, it is
# as if there was one at this distance [mm].
WINDOW = (-0.15, 1.35)
NO_VERTEX = 3.0
# A predicted vertex does not widen the window beyond this multiple of the farthest true one.
FARTHEST_PREDICTION = 2.0
# Smallest half height of the window [mm]: the resolution of the impact parameter.
MIN_HALF_HEIGHT = 0.15
CURVE_POINTS = 60
OUTSIDE_SIZE = 11.0
# Where the height of the window is taken, so that wide tracks do not flatten the others.
HEIGHT_AT = 0.6
GREY, PILEUP_COLOUR = "0.62", "0.72"
# Of the classes of hadrons, with sizes that look alike.
MARKERS = (("*", 17.0), ("P", 12.0), ("X", 12.0), ("D", 10.0))
SHOWN = 5
# Properties that are seen around the jet axis.
DRAWN = ("deta", "dphi")
AXIS_COLOUR = "0.8"


def draw(events: Events, folder: Path, look: PlotConfig) -> list[Path]:
    """Draws jets as `event_<row>`.

    Args:
        events: the jets.
        folder: where the pictures go; it must be there.
        look: formats of the files, and what stands above the pictures.

    Returns:
        The files.
    """
    with style():
        return [
            file
            for event in events.events
            for file in save(draw_event(event, events), folder / f"event_{event.row}", look)
        ]


def draw_event(event: Event, events: Events) -> Any:
    """A figure of one jet.

    Above, the transverse plane around the primary vertex, the jet along x. A track of a hadron is
    drawn from where it comes closest to the vertex, and faintly before. Below, the tracks around
    the jet axis.

    Args:
        event: the jet.
        events: what it is drawn with.
    """
    from matplotlib.figure import Figure

    views = [("Truth", event.truth)] if event.truth is not None else []
    views.append((events.label, event.prediction))
    figure = Figure(figsize=(SIZE[0] * len(views) / 2, SIZE[1]))
    outer = figure.add_gridspec(1, len(views), **MARGINS)
    window = _window(event)
    for column, (title, view) in enumerate(views):
        cells = outer[column].subgridspec(
            2, 2, height_ratios=[1, 0.85], width_ratios=[0.9, 1.1], hspace=0.27, wspace=0
        )
        plane = figure.add_subplot(cells[0, :])
        _draw_plane(plane, event, view, window)
        plane.set_title(f"{title}: {_class(view.class_prob, 'jet') or 'no label'}")
        _draw_angles(figure.add_subplot(cells[1, 0], anchor="W"), event, view)
        _list_hadrons(figure.add_subplot(cells[1, 1]), view, events.units)
    figure.suptitle(_heading(event))
    figure.legend(handles=_line_styles(), loc="lower center", ncols=2 * len(views))
    return figure


def _heading(event: Event) -> str:
    parts = [f"Jet {event.row}"]
    if math.isfinite(event.pt):
        parts.append(f"$p_T$ = {event.pt:.0f} GeV")
    if math.isfinite(event.eta):
        parts.append(rf"$\eta$ = {event.eta:.2f}".replace("-", "−"))
    return ",  ".join([*parts, f"{len(event.track_pt)} tracks"])


def _window(event: Event) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits along and across the jet [mm], the same for truth and prediction."""

    def farthest(view: View | None) -> float:
        hadrons = view.hadrons if view else []
        return max((math.hypot(*h.position) for h in hadrons if h.position), default=0.0)

    true, predicted = farthest(event.truth), farthest(event.prediction)
    scale = max(true, min(predicted, FARTHEST_PREDICTION * true) if true else predicted)
    scale = scale or NO_VERTEX
    along = (WINDOW[0] * scale, WINDOW[1] * scale)
    views = [view for view in (event.truth, event.prediction) if view is not None]
    assigned = np.any([view.slot >= 0 for view in views], axis=0)
    shown = assigned if assigned.any() else np.ones_like(assigned)
    path = np.broadcast_to(np.linspace(0, HEIGHT_AT * scale, 20), (len(shown), 20))
    across = [event.tracks.points(path)[shown, :, 1].ravel(), [-MIN_HALF_HEIGHT, MIN_HALF_HEIGHT]]
    across += [[h.position[1]] for view in views for h in view.hadrons if h.position]
    low, high = (float(limit(np.concatenate(across))) for limit in (np.min, np.max))
    margin = 0.12 * (high - low)
    return along, (max(low - margin, -scale), min(high + margin, scale))


def _draw_plane(panel: Any, event: Event, view: View, window: tuple) -> None:
    along, across = window
    positions = {h.slot: h.position for h in view.hadrons if h.position}
    reach = 2 * (along[1] - along[0])
    starts = _starts(event, view, positions)
    before, after = (
        event.tracks.points(np.linspace(*ends, CURVE_POINTS, axis=1))
        for ends in ((0, starts), (starts, reach))
    )
    for track in np.argsort(view.slot, kind="stable"):
        style = _style(event, view, int(track))
        panel.plot(*after[track].T, **style)
        if starts[track] > 0:
            panel.plot(*before[track].T, **style | {"linestyle": ":", "alpha": 0.5})
    panel.plot(0, 0, "o", color="black", markersize=7, zorder=6)
    if event.truth is not None and view is event.prediction:
        for hadron in event.truth.hadrons:
            _mark(panel, hadron, window, "none", "0.35")
    for hadron in view.hadrons:
        _mark(panel, hadron, window, colour(hadron.slot), "black")
    panel.set_xlim(along)
    panel.set_ylim(across)
    panel.axhline(0, color=AXIS_COLOUR, linewidth=1.5, zorder=0)
    box = panel.get_position()
    width, height = panel.figure.get_size_inches() * (box.width, box.height)
    stretch = (height / (across[1] - across[0])) / (width / (along[1] - along[0]))
    panel.set_xlabel("Along the jet [mm]")
    panel.set_ylabel(f"Across the jet [mm]  (stretched × {stretch:.2g})")


def _starts(event: Event, view: View, positions: dict) -> Float[np.ndarray, " T"]:
    """Path length from which each track is drawn: the closest point to its vertex."""
    known = np.array([slot in positions for slot in view.slot], bool)
    target = np.array([positions.get(slot, (0.0, 0.0)) for slot in view.slot]).reshape(-1, 2)
    return np.where(known, event.tracks.path_to(target), 0.0)


def _style(event: Event, view: View, track: int) -> dict[str, Any]:
    pt = event.track_pt[track]
    width = float(np.clip(0.9 + 0.45 * np.log2(max(pt, 0.5)), 0.7, 3.0)) if np.isfinite(pt) else 1.3
    if view.slot[track] >= 0:
        return {"color": colour(int(view.slot[track])), "linewidth": width + 0.3, "zorder": 4}
    if view.pileup[track]:
        return {"color": PILEUP_COLOUR, "linewidth": width, "linestyle": "--", "zorder": 2}
    return {"color": GREY, "linewidth": width, "zorder": 3}


def _mark(panel: Any, hadron: Hadron, window: tuple, fill: str, edge: str) -> None:
    """A vertex; an arrow at the border where it is beyond the window."""
    if hadron.position is None:
        return
    (low, high), (bottom, top) = window
    x, y = hadron.position
    inside = low <= x <= high and bottom <= y <= top
    margin = 0.015 * (high - low), 0.03 * (top - bottom)
    marker, size = _marker(hadron)
    if not inside:
        marker = ">" if x > high else "<" if x < low else "^" if y > top else "v"
        size = OUTSIDE_SIZE
    panel.plot(
        np.clip(x, low + margin[0], high - margin[0]),
        np.clip(y, bottom + margin[1], top - margin[1]),
        marker,
        markersize=size,
        markerfacecolor=fill,
        markeredgecolor=edge,
        markeredgewidth=1.2,
        zorder=7 if fill != "none" else 8,
    )


def _draw_angles(panel: Any, event: Event, view: View) -> None:
    deta, dphi = event.directions.T
    pt = np.where(np.isfinite(event.track_pt), event.track_pt, 2.0)
    area = 22 * np.clip(pt, 0.5, 400) ** 0.6
    for chosen, filled in ((view.slot >= 0, True), (view.slot < 0, False)):
        colours = [colour(int(slot)) if slot >= 0 else GREY for slot in view.slot[chosen]]
        panel.scatter(
            deta[chosen], dphi[chosen], area[chosen],
            facecolors=colours if filled else "none", edgecolors=colours,
            alpha=0.75 if filled else 1, linewidths=1.2,
            linestyles=["--" if pileup else "-" for pileup in view.pileup[chosen]] or ["-"],
            zorder=4 if filled else 3,
        )  # fmt: skip
    for hadron in view.hadrons:
        if hadron.direction is not None:
            _draw_symbol(panel, hadron, *hadron.direction)
    panel.plot(0, 0, "+", color="black", markersize=12, zorder=5)
    limit = 1.12 * max(np.max(np.abs(event.directions), initial=0.0), 0.05)
    panel.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    panel.text(0.03, 0.97, "area: $p_T$", transform=panel.transAxes, va="top", fontsize=SMALL)
    panel.set_xlabel(r"$\Delta\eta$(track, jet)")
    panel.set_ylabel(r"$\Delta\phi$(track, jet) [rad]")


def colour(slot: int) -> str:
    """Of an object and its tracks; the same for a true hadron and its prediction."""
    return COLOURS[1 + slot % (len(COLOURS) - 1)]


def _marker(hadron: Hadron) -> tuple[str, float]:
    """Marker and its size, one for each class of hadrons."""
    return MARKERS[hadron.kind % len(MARKERS)]


def _draw_symbol(panel: Any, hadron: Hadron, x: float, y: float) -> None:
    """Marks a hadron in its colour."""
    marker, size = _marker(hadron)
    panel.plot(
        x, y, marker, markersize=size, zorder=6, clip_on=False,
        markerfacecolor=colour(hadron.slot), markeredgecolor="black",
    )  # fmt: skip


def _class(class_prob: Mapping[str, float], noun: str) -> str:
    """`b jet` for the truth, the probabilities of a prediction."""
    if len(class_prob) == 1:
        return f"{short(next(iter(class_prob)))} {noun}"
    return ", ".join(f"{short(kind)} {_percent(prob)}" for kind, prob in class_prob.items())


def _percent(prob: float) -> str:
    if 0.01 <= prob <= 0.99:
        return f"{100 * prob:.0f} %"
    return "< 1 %" if prob < 0.5 else "> 99 %"


def _list_hadrons(panel: Any, view: View, unit: dict[str, str]) -> None:
    """What the colours stand for."""
    panel.set_axis_off()
    panel.set(xlim=(0, 1), ylim=(0, 1))
    if not view.hadrons:
        panel.text(0.02, 0.97, "no hadrons", va="top")
    for row, hadron in enumerate(view.hadrons[:SHOWN]):
        top = 0.99 - 0.2 * row
        _draw_symbol(panel, hadron, 0.05, top - 0.03)
        lines = [f"{_class(hadron.class_prob, 'hadron')}; {plural(hadron.tracks, 'track')}"]
        values = [
            f"{SYMBOLS.get(name, name)} = {_with_unit(value, unit.get(name, ''))}"
            for name, value in hadron.properties.items()
            if name not in DRAWN
        ]
        lines += [", ".join(values[i : i + 2]) for i in range(0, len(values), 2)]
        panel.text(0.11, top, "\n".join(lines), va="top", fontsize=SMALL - 1)


def _with_unit(value: float, unit: str) -> str:
    if unit == "MeV":
        value, unit = value / 1000, "GeV"
    size = abs(value)
    number = f"{value:.3f}" if size < 1 else f"{value:.3g}" if size < 100 else f"{value:,.0f}"
    return f"{number} {unit}".strip().replace("-", "−")


def _line_styles() -> list[Any]:
    """Handles of a legend that holds for both views."""
    from matplotlib.lines import Line2D

    point = {"linestyle": "none"}
    empty = {"marker": "*", "markersize": 12, "markerfacecolor": "none"}
    looks = {
        "track of a hadron (in its colour)": {"color": COLOURS[1], "linewidth": 2},
        "before its vertex": {"color": COLOURS[1], "linestyle": ":", "linewidth": 1.5},
        "other track": {"color": GREY, "linewidth": 1.5},
        "pile-up": {"color": PILEUP_COLOUR, "linestyle": "--", "linewidth": 1.5},
        "primary vertex": {"color": "black", "marker": "o", **point},
        "true vertices, in the prediction": {"color": "0.35", **empty, **point},
        "jet axis (+ below)": {"color": AXIS_COLOUR, "linewidth": 1.5},
    }
    return [Line2D([], [], label=label, **look) for label, look in looks.items()]
