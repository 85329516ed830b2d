"""The two-objective toy problem of CAGrad (arXiv 2110.14048), also of Nash-MTL (arXiv 2202.01017).

Two losses of a point in the plane: above x2 = 0 both have a steep valley in which gradients
conflict, and where a plain sum of the gradients gets stuck; below lies the Pareto front.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from tqdm import tqdm

from benchmarks.made import at_least, chosen
from benchmarks.settings import options
from benchmarks.tables import Table
from maskformer_jax import canvas
from maskformer_jax.weighting import METHODS

STARTS = ((-8.5, 7.5), (-8.5, -5.0), (9.0, 9.0), (0.0, 0.0), (10.0, -8.0))
LEARNING_RATE = 1e-3
POINTS = 500  # of a trajectory, in a picture
PANEL, TICKS = (1.9, 2.0), (-10, 0, 10)  # of the picture, sizes in inches
REACHED = 0.2  # distance from the front; the plane shown is 20 wide
# Both losses are above -21, and methods that divide by losses or take their logarithm need
# positive ones: every method is told the losses plus 21. Their gradients are the same.
SHIFT = 21.0


def losses(x: Float[Array, "2"]) -> Float[Array, "2"]:
    """Both losses of a point (CAGrad, appendix on the toy problem)."""
    x1, x2 = x
    upper, lower = jnp.maximum(jnp.tanh(0.5 * x2), 0.0), jnp.maximum(jnp.tanh(-0.5 * x2), 0.0)
    valleys = jnp.stack([0.5 * (-x1 - 7) - jnp.tanh(-x2), 0.5 * (-x1 + 3) - jnp.tanh(-x2) + 2])
    logs = jnp.log(jnp.maximum(jnp.abs(valleys), 5e-6)) + 6
    squares = jnp.stack([-x1 + 7, -x1 - 7]) ** 2
    bowls = (squares + 0.1 * (-x2 - 8) ** 2) / 10 - 20
    return upper * logs + lower * bowls


def front() -> Float[Array, "N 2"]:
    """Points of the Pareto front: the minima of all mixtures of the losses, near x2 = -8."""
    shares = jnp.linspace(0.0, 1.0, 401)

    def minimum(share: Array) -> Array:
        def mixture(x: Array) -> Array:
            return jnp.stack([share, 1 - share]) @ losses(x)

        def newton(_: int, x: Array) -> Array:
            return x - jnp.linalg.solve(jax.hessian(mixture)(x), jax.grad(mixture)(x))

        return jax.lax.fori_loop(0, 20, newton, jnp.stack([14 * share - 7, -8.2]))

    return jax.jit(jax.vmap(minimum))(shares)


def distance(points: Float[Array, "N 2"]) -> Float[Array, " N"]:
    """From each point to the Pareto front."""
    return jnp.linalg.norm(points[:, None] - front(), axis=-1).min(1)


def trajectories(
    name: str, steps: int, learning_rate: float = LEARNING_RATE, num_points: int = POINTS
) -> Float[Array, "5 N 2"]:
    """Points on the way from each start, under Adam on the method's update."""
    method = METHODS[name](2, **options(name, 2))
    optimiser = optax.chain(method, optax.adam(learning_rate))
    needs = METHODS[name].needs

    def step(_: int, carry: tuple) -> tuple:
        x, state, after = carry
        grads = jax.jacobian(losses)(x)
        # The problem is not stochastic: gradients on an independent batch are the same.
        known = {"losses_after": after, "task_grads_2": grads}
        extra = {need: known[need] for need in needs}
        update, state = optimiser.update(grads, state, x, losses=losses(x) + SHIFT, **extra)
        # The losses of this batch after the step are known at the next one.
        x = optax.apply_updates(x, update)
        return x, state, losses(x) + SHIFT

    def advance(carry: tuple, _: None) -> tuple:
        carry = jax.lax.fori_loop(0, steps // num_points, step, carry)
        return carry, carry[0]

    def descend(start: Array) -> Array:
        carry = start, optimiser.init(start), losses(start) + SHIFT
        _, points = jax.lax.scan(advance, carry, length=num_points)
        return jnp.concatenate([start[None], points])

    return jax.jit(jax.vmap(descend))(jnp.asarray(STARTS))


def run(
    methods: Sequence[str] | None = None, steps: int = 150_000, picture: str = "runs/toy.png"
) -> Iterator[dict[str, Table]]:
    """Two losses whose sum gets stuck: who of five starts finds the front.

    Args:
        steps: of Adam with rate 1e-3
        picture: of the trajectories, as PNG, PDF or SVG by its ending; empty: none
    """
    at_least(POINTS, steps=steps)
    paths, rows, left_out = {}, [], []
    for name in tqdm(chosen(methods), leave=False):
        try:
            paths[name] = np.asarray(trajectories(name, steps))
        except ValueError as error:
            left_out.append(f"{name} left out: {error}")
            continue
        away = np.asarray(distance(paths[name][:, -1]))
        ends = " ".join(f"{value:6.2f}" for value in away)
        rows.append([name, f"{(away < REACHED).sum()} of {len(away)}", ends])
    if picture and paths:
        draw(paths, Path(picture))
    columns = {"method": "", "on the front": "", "distances from it at the end": ""}
    yield {"toy": Table("Starts that reach the Pareto front", columns, rows, left_out)}


def draw(paths: dict[str, np.ndarray], output: Path) -> None:
    """One panel per method: contours of the mean loss, the front, and the five trajectories.

    Args:
        paths: trajectories by method.
        output: whose ending says the format.
    """
    look = canvas.PlotConfig(formats=[output.suffix[1:]])
    output.parent.mkdir(parents=True, exist_ok=True)
    with canvas.style():
        columns = math.ceil(math.sqrt(len(paths)))
        rows = math.ceil(len(paths) / columns)
        figure, cells = canvas.grid(columns, rows, PANEL, 0)
        grid = np.stack(np.meshgrid(np.linspace(-11, 11, 150), np.linspace(-11, 11, 150)), -1)
        height = jax.jit(jax.vmap(jax.vmap(lambda x: losses(x).mean())))(grid)
        pareto = np.asarray(front())
        for number, ((name, points), (axes, _)) in enumerate(
            zip(paths.items(), cells, strict=False)
        ):
            axes.contour(*grid.T, height.T, 12, colors="0.8", linewidths=0.5, linestyles="solid")
            axes.plot(*pareto.T, color="0.45", linewidth=5, solid_capstyle="round", alpha=0.6)
            for path, colour in zip(points, canvas.COLOURS[1:], strict=False):
                axes.plot(*path.T, color=colour, linewidth=1.5)
                axes.plot(*path[0], "o", color="black", markersize=4)
                axes.plot(*path[-1], "*", color=colour, markersize=11, markeredgecolor="black")
            is_left, is_lowest = number % columns == 0, number >= len(paths) - columns
            axes.set_title(name)
            axes.set(xlim=(-11, 11), ylim=(-11, 11), aspect="equal", xticks=TICKS, yticks=TICKS)
            axes.tick_params(labelleft=is_left, labelbottom=is_lowest, labelsize=canvas.SMALL)
        for axes, _ in cells[len(paths) :]:
            axes.remove()
        figure.supxlabel("$x_1$")
        figure.supylabel("$x_2$")
        canvas.save(figure, output.with_suffix(""), look)
