"""Learning curves, drawn from the log of a training."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maskformer_jax.canvas import PlotConfig, save, style
from maskformer_jax.evaluation.plots.panels import Series, draw
from maskformer_jax.evaluation.results import Curve, Points
from maskformer_jax.training.logging import read_log

# What is measured with every step is averaged over this part of the training.
SMOOTHED = 0.02
# Quantity of the log -> its name on an axis, of those that belong to no loss.
COURSE = {
    "learning_rate": "learning rate",
    "gradient_norm": "length of the gradient",
    "weighting_residual": "residual of the solver",
}


class Log(NamedTuple):
    """The numbers of a log.

    Attributes:
        values: name of a quantity -> epochs, whole after a validation, and its values.
        unit: of the horizontal axis: epochs, or steps where no epoch has ended.
    """

    values: Mapping[str, np.ndarray]
    unit: str


def log_of(run: Path) -> Log:
    """The log of a run.

    Raises:
        InputError: it is damaged.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for line in read_log(run):
        for name, value in line.items():
            found.setdefault(name, []).append((line["step"], value))
    steps, epochs = np.transpose(found.pop("epoch", [(1, 1)]))
    scale = steps[-1] / max(epochs[-1], 1)
    unit = "epoch" if scale > 1 else "step"
    return Log({name: np.transpose(x) / [[scale], [1]] for name, x in found.items()}, unit)


def draw_learning(runs: Mapping[str, Log], folder: Path, look: PlotConfig) -> list[Path]:
    """Draws the course of a training, or the validation of several.

    Args:
        runs: label -> log; those of several are compared.
        folder: where the pictures go; it must be there.
        look: formats of the files, and what stands above the pictures.

    Returns:
        The files, `learning_*`.
    """
    files = []
    of = _of_several if len(runs) > 1 else _of_one
    with style():
        for name, series in of(runs):
            figure = draw(series) if any(curves for _, curves in series) else None
            if figure is not None:
                files += save(figure, folder / f"learning_{name}", look)
    return files


def _words(name: str) -> str:
    """A quantity of the log: `accuracy/jet_class` is the accuracy of the jet class."""
    return name.replace("_", " ").replace(" ce", " cross-entropy").replace("/", " of ")


def _curves(log: Log, names: Mapping[str, str], smooth: bool = True) -> dict[str, Curve]:
    """A line for each quantity that the log has.

    Args:
        log: of a run.
        names: quantity -> its name on the vertical axis.
        smooth: of quantities that are measured with single steps.
    """
    curves = {}
    for name, label in names.items():
        if name not in log.values:
            continue
        x, y = log.values[name]
        width = max(1, round(SMOOTHED * len(x))) if smooth else 1
        x, y = (np.convolve(v, np.ones(width) / width, "valid") for v in (x, y))
        words = {"x_label": log.unit, "y_label": label, "note": "" if smooth else "validation"}
        curves[label] = Curve("", label, "line", Points.with_error(x, y, np.nan), **words)
    return curves


def _named(log: Log, start: str) -> list[str]:
    return [name.removeprefix(start) for name in log.values if name.startswith(start)]


def _of_one(runs: Mapping[str, Log]) -> Iterator[tuple[str, Series]]:
    [(label, log)] = runs.items()
    losses = [name for name in _named(log, "loss/") if name != "total"]
    kinds = {"training, single batches": "loss/", "validation": "val/loss/"}
    yield (
        "losses",
        [
            (kind, _curves(log, {f"{start}{x}": _words(f"loss/{x}") for x in losses}, not i))
            for i, (kind, start) in enumerate(kinds.items())
        ],
    )
    shares = {
        f"share/{x}": log.values[f"weight/{x}"] * log.values[f"loss/{x}"] / log.values["loss/total"]
        for x in losses
    }
    for name in losses:
        shares[f"share/{name}"][0] = log.values[f"loss/{name}"][0]
    full = log._replace(values={**log.values, **shares})
    of = {"weight/": "weight", "share/": "share of the sum", "gradient_norm/": "length of gradient"}
    yield (
        "weights",
        [(_words(x), _curves(full, {f"{k}{x}": v for k, v in of.items()})) for x in losses],
    )
    yield (
        "cosines",
        [(_words(other), _curves(log, dict(_cosines(losses, other)))) for other in losses],
    )
    figures = {f"val/{x}": _words(x) for x in _named(log, "val/") if not x.startswith("loss/")}
    yield "course", [(label, _curves(log, COURSE) | _curves(log, figures, False))]


def _cosines(losses: Sequence[str], other: str) -> Iterator[tuple[str, str]]:
    for pair in itertools.combinations(losses, 2):
        if other in pair:
            [one] = {*pair} - {other}
            yield f"cosine/{'/'.join(pair)}", f"cosine with {_words(one)}"


def _of_several(runs: Mapping[str, Log]) -> Iterator[tuple[str, Series]]:
    names = dict.fromkeys(x for log in runs.values() for x in _named(log, "val/"))
    losses = {f"val/{x}": _words(x) for x in names if x.startswith("loss/")}
    figures = {f"val/{x}": _words(x) for x in names if not x.startswith("loss/")}
    for name, shown in (("losses", losses), ("figures", figures)):
        yield f"validation_{name}", [(x, _curves(log, shown, False)) for x, log in runs.items()]
