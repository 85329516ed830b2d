"""Pictures of classes: confusion matrices, and areas under the ROC curves of constituents."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskformer_jax.evaluation.names import singular
from maskformer_jax.evaluation.plots.canvas import COLOURS, save
from maskformer_jax.evaluation.plots.panels import MARKERS, SPREAD, confusions, tasks_of
from maskformer_jax.evaluation.results import Results

NAMES = {
    "pileup": "pile-up",
    "fromB": "from $b$",
    "fromBC": r"from $b\to c$",
    "fromC": "from $c$",
    "fromTau": r"from $\tau$",
    "otherSecondary": "other secondary",
}

# The axis of the areas begins here or lower.
LOWEST_AREA = 0.75


def draw(results: Sequence[Results], folder: Path) -> list[Path]:
    """Draws the confusion matrices of constituents and objects, and the AUC of each class.

    Args:
        results: of one or more runs.
        folder: where the pictures go.

    Returns:
        The files; none of a task without labelled entries.
    """
    labels, files = [result.label for result in results], []
    for task, _, metrics, _ in tasks_of(results, "constituents"):
        first = metrics[0]
        if not all(part["accuracy"]["total"] for part in metrics):
            continue
        names = [NAMES.get(name, name) for name in first["classes"]]
        matrices = [(n, part["confusion"]) for n, part in zip(labels, metrics, strict=True)]
        title = f"{first['label'].capitalize()} of"
        figure = confusions(matrices, names, f"{title} the {first['of']}", (6.4, 5.8))
        files.append(save(figure, folder / f"{task}_confusion.png"))
        areas = [[entry["auc"] for entry in part["classes"].values()] for part in metrics]
        title = f"{title} {first['accuracy']['total']:,} {first['of']}"
        files.append(_draw_auc(areas, labels, names, title, folder / f"{task}_auc.png"))
    for task, _, metrics, _ in tasks_of(results, "objects"):
        # The first entry is that of all classes together.
        names = [
            f"${name}$ {singular(metrics[0]['of'])}" for name in list(metrics[0]["flavour"])[1:]
        ]
        matrices = [(n, part["confusion"]) for n, part in zip(labels, metrics, strict=True)]
        figure = confusions(matrices, [*names, "none"], "Objects", (4.6, 4.4))
        files.append(save(figure, folder / f"{task}_confusion.png"))
    return files


def _draw_auc(
    areas: Sequence[Sequence[float]],
    labels: Sequence[str],
    names: Sequence[str],
    title: str,
    path: Path,
) -> Path:
    """Rows of classes; in each row a dot for each run."""
    from matplotlib.figure import Figure

    rows = np.arange(len(names))
    height = 1.6 + len(names) * max(0.45, 0.1 * len(labels))
    figure = Figure(figsize=(6.4, height), layout="constrained")
    axes = figure.subplots()
    offsets = np.linspace(-0.5, 0.5, len(labels)) * SPREAD * (len(labels) > 1)
    for index, (label, offset) in enumerate(zip(labels, offsets, strict=True)):
        marker, colour = MARKERS[index % len(MARKERS)], COLOURS[index % len(COLOURS)]
        axes.plot(areas[index], rows + offset, marker, color=colour, label=label)
    axes.set_yticks(rows, names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    low = min([area for run in areas for area in run if np.isfinite(area)], default=LOWEST_AREA)
    axes.set_xlim(min(LOWEST_AREA, np.floor(20 * low) / 20), 1)
    axes.hlines(rows[1:] - 0.5, *axes.get_xlim(), color="0.9", zorder=0)
    axes.grid(axis="x", alpha=0.25)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("Area under the ROC curve, one class against all others")
    axes.set_title(title, fontsize=11)
    figure.legend(loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
    return save(figure, path)
