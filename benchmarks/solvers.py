"""How near the methods that solve a problem come to its solution, over thousands of Gramians."""

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from benchmarks import reference_solvers as reference
from maskformer_jax.errors import InputError
from maskformer_jax.weighting._upgrad import weights as upgrad_weights

Matrix = Float[np.ndarray, "K K"]
Weights = Float[np.ndarray, "K"]
SEED = 7
DECADES = 12
# Above it a solver says that it did not find a solution.
LARGE = 0.5


class Case(NamedTuple):
    """A method with options.

    Attributes:
        options: of the factory.
        excess: `excess(matrix, weights, options)`: what the weights miss the solution by, in units
            of what float32 allows; NaN where the problem has no solution.
    """

    options: dict[str, Any]
    excess: Callable[[Matrix, np.ndarray, dict[str, Any]], float]


def run(tasks: Sequence[int], gramians: int, methods: Sequence[str] | None) -> str:
    """A table of method and number of tasks.

    Args:
        tasks: numbers of tasks K.
        gramians: how many for each K, of every kind and of scales from 1e-12 to 1e12.
        methods: names of methods that solve a problem; none: all.

    Raises:
        InputError: a number is too small, a method is unknown, or a package is missing.
    """
    kinds = reference.number_of_kinds()
    if min(tasks) < 2 or gramians < kinds:
        rule = f"`--tasks` must be at least 2 and `--gramians` {kinds}"
        raise InputError(f"{rule}; got {tasks}, {gramians}")
    names = {label.split(":")[0] for label in CASES}
    if unknown := sorted(set(methods or ()) - names):
        known = ", ".join(sorted(names))
        raise InputError(f"`--methods`: no {', '.join(unknown)}; known: {known}")
    if importlib.util.find_spec("quadprog") is None:
        raise InputError("quadprog is missing; pip install -r requirements-dev.txt")
    lines = [f"{'method':15}{'K':>3}{'solved':>9}{'worst':>9}{'missed':>8}{'residual > 0.5':>16}"]
    labels = [label for label in CASES if not methods or label.split(":")[0] in methods]
    for k in tasks:
        matrices, _ = reference.gramians(k, -(-gramians // kinds), SEED, DECADES)
        for label in tqdm(labels, leave=False):
            excess, residuals = measure(label, matrices)
            there = ~np.isnan(excess)
            worst, missed = excess[there].max(initial=0.0), (excess[there] > 1).sum()
            large = (residuals[there] > LARGE).sum()
            lines.append(f"{label:15}{k:3}{there.sum():9,}{worst:9.2f}{missed:8}{large:16}")
    return "\n".join(lines)


def measure(label: str, matrices: Float[np.ndarray, "N K K"]) -> tuple[np.ndarray, np.ndarray]:
    """Excess and residual of each Gramian."""
    name, case = label.split(":")[0], CASES[label]
    solve = solve_projections if name == "upgrad" else reference.solve
    weights, residuals = solve(name, matrices, **case.options)
    excess = [case.excess(m, w, case.options) for m, w in zip(matrices, weights, strict=True)]
    return np.array(excess), residuals


def solve_projections(name: str, matrices: Float[np.ndarray, "N K K"]) -> tuple:
    """Weights [N, K, K] of the projection of every single gradient, and the largest residual."""

    def project(matrix: jax.Array, preference: jax.Array):
        return upgrad_weights(matrix, preference=preference)

    each = jax.jit(jax.vmap(jax.vmap(project, (None, 0)), (0, None)))
    narrow = jnp.asarray(matrices, jnp.float32)
    parts, residuals = each(narrow, jnp.eye(matrices.shape[-1]))
    return np.asarray(parts, np.float64), np.asarray(residuals).max(1)


def mgda(matrix: Matrix, u: Weights, options: dict) -> float:
    """By the square of the length."""
    lengths, cosines = reference.split(matrix)
    y, best = u * lengths, reference.shortest(lengths, cosines)
    # With a gradient of zero there is no rounding at all.
    tiny = np.finfo(float).tiny
    return (y @ cosines @ y - best) / max(reference.tolerance(best, u, lengths), tiny)


def dualproj(matrix: Matrix, w: Weights, options: dict) -> float:
    """By the square of the length; infinite outside the bounds."""
    if (w < np.float32(1 / len(w))).any():
        return np.inf
    lengths, cosines = reference.split(matrix)
    v, best = w * lengths, reference.projected(cosines, lengths / len(w))
    return (v @ cosines @ v - best) / reference.tolerance(best, w, lengths)


def upgrad(matrix: Matrix, parts: Matrix, options: dict) -> float:
    """As `dualproj`, the worst projection of a single gradient, which has the length 1 here."""
    lengths, cosines = reference.split(matrix)
    found = [0.0]
    for i in np.flatnonzero(lengths):
        v, bounds = parts[i] * lengths / lengths[i], np.eye(len(lengths))[i]
        best = reference.projected(cosines, bounds)
        over = v @ cosines @ v - best
        found.append(over / reference.tolerance(best, v, np.ones(len(v))))
        found.append(0.0 if (v >= (1 - reference.EPS) * bounds).all() else np.inf)
    return max(found)


def cagrad(matrix: Matrix, w: Weights, options: dict) -> float:
    """By the dual objective, bounded from below by the smallest product with the update."""
    c, k = options["c"], len(w)
    lengths, cosines = reference.split(matrix)
    scaled = cosines * lengths[:, None] * lengths
    extra, square = np.maximum(w - np.float32(1 / k), 0.0), scaled.mean()
    if extra.max() <= reference.EPS:
        # Dropped: the ball reaches the cone of no conflict, or u is on gradients of no length.
        over = square - reference.projected(cosines, lengths / k) - c**2 * square
        allowed = reference.tolerance(c**2 * square, w, lengths)
        return min(over, reference.shortest(lengths, cosines)) / allowed
    u = extra / extra.sum()
    value = reference.cagrad_value(scaled, u, c)
    length = np.sqrt(max(u @ scaled @ u, 1e-300))
    over = value - (scaled @ (1 / k + c * np.sqrt(square) * u / length)).min()
    allowed = reference.tolerance(value, w, lengths)
    # Where g_u nearly vanishes the bound is loose: there the dual problem is solved again.
    if over > allowed:
        over = min(over, value - reference.cagrad_minimum(scaled, c))
    return over / allowed


def nash_mtl(matrix: Matrix, alpha: Weights, options: dict) -> float:
    """By the largest error of an equation."""
    lengths, cosines = reference.split(matrix)
    if not reference.has_solution(lengths, cosines):
        return np.nan
    a = alpha * np.sqrt(np.diag(matrix))
    errors = np.abs(a * (reference.given_cosines(matrix) @ a) - 1)[lengths > 0]
    return errors.max() / (1e-5 + 4 * reference.EPS * (a**2).max())


def fairgrad(matrix: Matrix, w: Weights, options: dict) -> float:
    """By the largest error of an equation; terms that cancel leave their rounding."""
    lengths, cosines = reference.split(matrix)
    if not reference.has_solution(lengths, cosines):
        return np.nan
    cosines, size = reference.given_cosines(matrix), np.sqrt(np.diag(matrix))
    # (M w)_k w_k^(1/alpha) = 1; a weight below the range of float32 has no equation.
    counts = w * lengths > 1e-27 * (w * lengths).max()
    root = w[counts] ** (1 / options["alpha"]) * size[counts]
    errors = np.abs((cosines @ (w * size))[counts] * root - 1)
    terms = (np.abs(cosines) @ (w * size))[counts] * root
    return errors.max() / (1e-5 + 8 * reference.EPS * terms.max())


def pcd(matrix: Matrix, w: Weights, options: dict) -> float:
    """By the dual objective, for gradients of length 1; NaN if the constraints contradict."""
    lengths, cosines = reference.split(matrix)
    k, tau = len(w), options["tau"]
    if not lengths.all() or not reference.has_solution(np.ones(k), cosines):
        return np.nan
    dual = reference.minimum(cosines[1:, 1:], tau - cosines[1:, 0], np.eye(k - 1), np.zeros(k - 1))
    best = np.append(1.0, np.maximum(dual, 0))
    y = w * lengths / (w[0] * lengths[0])
    value, least = (v @ cosines @ v / 2 - tau * v[1:].sum() for v in (y, best))
    return (value - least) / reference.tolerance(least, y, np.ones(k))


CASES = {
    "mgda": Case({}, mgda),
    "dualproj": Case({}, dualproj),
    "upgrad": Case({}, upgrad),
    **{f"cagrad:{c}": Case({"c": c}, cagrad) for c in (0.2, 0.5, 1.5)},
    "nash_mtl": Case({"max_norm": 0.0}, nash_mtl),
    **{f"fairgrad:{a}": Case({"alpha": a}, fairgrad) for a in (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)},
    "pcd": Case({"tau": 0.1, "eps": 0.0, "beta": 0.0}, pcd),
}
