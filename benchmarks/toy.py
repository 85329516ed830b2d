"""Who solves the toy problem of CAGrad, from which starts, with a picture of the ways."""

import math
import runpy
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import jax
import matplotlib.pyplot as plt
import numpy as np

from benchmarks.made import at_least, chosen
from benchmarks.tables import Table

# What the tests hold the methods to, with fewer steps.
PROBLEM = Path(__file__).parents[1] / "tests" / "weighting" / "toy_problem.py"
REACHED = 0.2  # distance from the front; the plane shown is 20 wide


def run(
    methods: Sequence[str] | None = None, steps: int = 150_000, picture: str = "runs/toy.png"
) -> Iterator[dict[str, Table]]:
    """Two losses whose sum gets stuck: who of five starts finds the front.

    Args:
        steps: of Adam with rate 1e-3
        picture: of the trajectories; empty: none
    """
    toy = SimpleNamespace(**runpy.run_path(str(PROBLEM)))
    at_least(toy.POINTS, steps=steps)
    paths, rows, left_out = {}, [], []
    for name in chosen(methods):
        try:
            paths[name] = np.asarray(toy.trajectories(name, steps))
        except ValueError as error:
            left_out.append(f"{name} left out: {error}")
            continue
        away = np.asarray(toy.distance(paths[name][:, -1]))
        ends = " ".join(f"{value:6.2f}" for value in away)
        rows.append([name, f"{(away < REACHED).sum()} of {len(away)}", ends])
    if picture and paths:
        draw(toy, paths, Path(picture))
    columns = {"method": "", "on the front": "", "distances from it at the end": ""}
    yield {"toy": Table("Starts that reach the Pareto front", columns, rows, left_out)}


def draw(toy: SimpleNamespace, paths: dict[str, np.ndarray], output: Path) -> None:
    """One panel per method: contours of the mean loss, the front, and the five trajectories."""
    columns = min(7, len(paths))
    rows = math.ceil(len(paths) / columns)
    size = (1.7 * columns, 1.8 * rows + 0.2)
    shared = {"sharex": True, "sharey": True, "squeeze": False}
    figure, axes = plt.subplots(rows, columns, figsize=size, **shared)
    grid = np.stack(np.meshgrid(np.linspace(-11, 11, 150), np.linspace(-11, 11, 150)), -1)
    height = jax.jit(jax.vmap(jax.vmap(lambda x: toy.losses(x).mean())))(grid)
    pareto = np.asarray(toy.front())
    colours = plt.get_cmap("plasma")(np.linspace(0.0, 0.85, len(toy.STARTS)))
    contours = {"colors": "0.8", "linewidths": 0.4, "linestyles": "solid"}
    for axis, (name, points) in zip(axes.flat, paths.items(), strict=False):
        axis.contour(grid[..., 0], grid[..., 1], height, 12, **contours)
        axis.plot(*pareto.T, color="0.45", linewidth=4, solid_capstyle="round", alpha=0.6)
        for path, colour in zip(points, colours, strict=True):
            axis.plot(*path.T, color=colour, linewidth=1.0)
            axis.plot(*path[0], "o", color="black", markersize=2.5)
            axis.plot(*path[-1], "*", color=colour, markersize=7, markeredgecolor="black", mew=0.4)
        axis.set_title(name, fontsize=8, pad=3)
        limits = {"xlim": (-11, 11), "ylim": (-11, 11), "aspect": "equal"}
        axis.set(xticks=(-10, 0, 10), yticks=(-10, 0, 10), **limits)
        axis.tick_params(labelsize=6, length=2)
    for axis in axes.flat[len(paths) :]:
        axis.set_axis_off()
    for axis in axes.flat[max(len(paths) - columns, 0) : len(paths)]:
        axis.tick_params(labelbottom=True)
    figure.supxlabel("$x_1$", fontsize=8)
    figure.supylabel("$x_2$", fontsize=8)
    figure.tight_layout(pad=1.0, w_pad=0.3, h_pad=0.8)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=115)
    plt.close(figure)
