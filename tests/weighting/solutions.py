"""Gramians of gradients of all kinds, the problems of the methods solved in float64, and how far
weights in float32 are from these solutions; also what `python benchmark.py solvers` counts.

A float32 Gramian stands for all matrices within its rounding, and for opposite rows a minimum may
jump between two of them: a rounding in their sum is a direction. So the references solve what the
methods solve: the given cosines with eigenvalues of at least half a rounding.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from maskformer_jax.weighting import METHODS
from maskformer_jax.weighting._upgrad import weights as upgrad_weights

Matrix, Weights = Float[np.ndarray, "K K"], Float[np.ndarray, "K"]

EPS = np.finfo(np.float32).eps
EACH = 20  # gradients of each kind and number of tasks


def kinds_of_gradients(generator, k, p):
    """Name -> K task gradients of P entries."""
    normal = generator.normal(size=(k, p))
    common = np.ones(p) / np.sqrt(p)
    other = normal - np.outer(normal @ common, common)
    sides = np.outer(generator.choice([-1.0, 1.0], k), generator.normal(size=p))
    spread = 10.0 ** generator.uniform(-3, 3, (k, 1))
    small, smaller, least, less = 10.0 ** -generator.uniform(1, 6, 4)
    opposite, equal, zero, closed, pair = (normal.copy() for _ in range(5))
    opposite[0] = -generator.uniform(0.5, 2) * opposite[1]
    equal[0] = equal[1]
    zero[generator.integers(k)] = 0
    closed[0] = -closed[1:].sum(0)
    pair[0] = least * generator.normal(size=p) - generator.uniform(0.5, 2) * pair[1]
    return {
        "normal": normal,
        "conflicting": generator.uniform(0.1, 3, (k, 1)) * (0.1 * common + other),
        "nearly collinear": common + small * normal,
        "nearly opposite": sides + smaller * normal,
        "one pair nearly opposite": pair,
        "sum is nearly zero": closed + less * normal,
        "sum is zero": closed,
        "a zero row": zero,
        "opposite rows": opposite,
        "equal rows": equal,
        "norms 1e3 apart": np.sqrt(spread) * normal,
        "norms 1e6 apart": spread * normal,
        "conflicting, norms 1e6 apart": spread * (0.3 * common + other),
        "aligned": np.abs(normal),
        "tiny": 1e-12 * normal,
        "huge": 1e12 * normal,
    }


def number_of_kinds():
    """How many there are."""
    return len(kinds_of_gradients(np.random.default_rng(0), 2, 2))


def gramians(k, each=EACH, seed=0, decades=0):
    """Gramians rounded to float32, of shapes with P < K, P = K and P > K.

    With `decades` the longest gradient is 10^x long, with x uniform up to that much either way.
    """
    generator = np.random.default_rng([seed, k])
    found, names = [], []
    for i in range(each):
        p = (max(1, k // 2), k, 3 * k)[i % 3]
        for name, rows in kinds_of_gradients(generator, k, p).items():
            if decades:
                longest = np.sqrt((rows**2).sum(1).max())
                rows = rows / longest * 10.0 ** generator.uniform(-decades, decades)
            found.append((rows @ rows.T).astype(np.float32).astype(np.float64))
            names.append(name)
    return np.array(found), names


def solve(name, matrices, **options):
    """Weights and residuals for a batch of Gramians, in float32."""
    method = METHODS[name](matrices.shape[-1], **options)
    state = method.init(jnp.zeros(1))
    weigh = jax.jit(jax.vmap(lambda matrix: method.weigh(matrix, state)))
    found = weigh(jnp.asarray(matrices, jnp.float32))
    assert np.isfinite(found.weights).all()
    return np.asarray(found.weights, np.float64), np.asarray(found.residual, np.float64)


def given_cosines(matrix):
    """Cosines as they are; a gradient of zero has a direction of its own."""
    size = np.sqrt(np.diag(matrix))
    safe = np.where(size > 0, size, 1.0)
    return matrix / safe[:, None] / safe + np.diag(size == 0)


def split(matrix):
    """Lengths over the largest, and cosines with eigenvalues of at least half a rounding."""
    size = np.sqrt(np.diag(matrix))
    values, vectors = np.linalg.eigh(given_cosines(matrix))
    return size / size.max(), (vectors * np.maximum(values, EPS / 2)) @ vectors.T


def tolerance(value, weights, lengths):
    """What a solution of float32 may be above the minimum."""
    return 1e-5 * abs(value) + 8 * EPS * (weights @ lengths) ** 2


def minimum(cosines, linear, constraints, bounds, equalities=0):
    """argmin y.C y / 2 - linear.y with constraints.T y >= bounds; the first ones are equalities."""
    import quadprog  # of requirements-dev.txt

    matrix = cosines + 1e-10 * np.eye(len(cosines))
    return quadprog.solve_qp(matrix, linear, constraints, bounds, equalities)[0]


def shortest(lengths, cosines):
    """Length^2 of the shortest convex combination of the gradients."""
    if lengths.min() == 0:
        return 0.0
    k, bounds = len(lengths), lengths.min() / lengths
    constraints = np.column_stack([bounds, np.eye(k)])
    y = minimum(cosines, np.zeros(k), constraints, np.eye(k + 1)[0], 1)
    y = np.maximum(y, 0) / (np.maximum(y, 0) @ bounds) * lengths.min()
    return y @ cosines @ y


def projected(cosines, bounds):
    """min v.C v over v >= bounds."""
    k = len(bounds)
    v = np.maximum(minimum(cosines, np.zeros(k), np.eye(k), bounds), bounds)
    return v @ cosines @ v


def has_solution(lengths, cosines):
    """Whether zero is no convex combination of the gradients that are not zero, up to rounding."""
    there = lengths > 0
    return shortest(np.ones(there.sum()), cosines[np.ix_(there, there)]) > 16 * EPS


def cagrad_value(matrix, u, c):
    """The function that the u of CAGrad minimises."""
    return u @ matrix.mean(1) + c * np.sqrt(max(matrix.mean(), 0.0) * max(u @ matrix @ u, 0.0))


def cagrad_minimum(matrix, c):
    """u is the shortest combination of the g_k + s g_0 with |g_u| = sqrt(phi) s: bisected for s."""
    mean, square = matrix.mean(1), matrix.mean()
    low, high, values = -8.0, 8.0, []
    for _ in range(40):
        s = 10.0 ** ((low + high) / 2)
        shifted = matrix + s * (mean[:, None] + mean) + s**2 * square
        size = np.sqrt(np.maximum(shifted.diagonal(), 1e-30))
        bounds = size.min() / size
        constraints = np.column_stack([bounds, np.eye(len(matrix))])
        cosines = shifted / size[:, None] / size
        u = np.maximum(minimum(cosines, 0 * mean, constraints, np.eye(len(matrix) + 1)[0], 1), 0)
        u = u * bounds / (u @ bounds)
        values.append(cagrad_value(matrix, u, c))
        too_small = u @ matrix @ u > c**2 * square * s**2
        low, high = ((low + high) / 2, high) if too_small else (low, (low + high) / 2)
    return min(values)


class Case(NamedTuple):
    """A method with options.

    Attributes:
        options: of the factory.
        excess: `excess(matrix, weights, options)`: what the weights miss the solution by, in units
            of what float32 allows; NaN where the problem has no solution.
    """

    options: dict[str, Any]
    excess: Callable[[Matrix, np.ndarray, dict[str, Any]], float]


def measure(label: str, matrices: Float[np.ndarray, "N K K"]) -> tuple[np.ndarray, np.ndarray]:
    """Excess and residual of each Gramian."""
    name, case = label.split(":")[0], CASES[label]
    solver = solve_projections if name == "upgrad" else solve
    weights, residuals = solver(name, matrices, **case.options)
    excess = [case.excess(m, w, case.options) for m, w in zip(matrices, weights, strict=True)]
    return np.array(excess), residuals


def solve_projections(name: str, matrices: Float[np.ndarray, "N K K"]) -> tuple:
    """Weights [N, K, K] of the projection of every single gradient, and the largest residual."""

    def project(matrix: jax.Array, preference: jax.Array):
        return upgrad_weights(matrix, preference=preference)

    each = jax.jit(jax.vmap(jax.vmap(project, (None, 0)), (0, None)))
    parts, residuals = each(jnp.asarray(matrices, jnp.float32), jnp.eye(matrices.shape[-1]))
    return np.asarray(parts, np.float64), np.asarray(residuals).max(1)


def mgda(matrix: Matrix, u: Weights, options: dict) -> float:
    """By the square of the length."""
    lengths, cosines = split(matrix)
    y, best = u * lengths, shortest(lengths, cosines)
    # With a gradient of zero there is no rounding at all.
    tiny = np.finfo(float).tiny
    return (y @ cosines @ y - best) / max(tolerance(best, u, lengths), tiny)


def dualproj(matrix: Matrix, w: Weights, options: dict) -> float:
    """By the square of the length; infinite outside the bounds."""
    if (w < np.float32(1 / len(w))).any():
        return np.inf
    lengths, cosines = split(matrix)
    v, best = w * lengths, projected(cosines, lengths / len(w))
    return (v @ cosines @ v - best) / tolerance(best, w, lengths)


def upgrad(matrix: Matrix, parts: Matrix, options: dict) -> float:
    """As `dualproj`, the worst projection of a single gradient, which has the length 1 here."""
    lengths, cosines = split(matrix)
    found = [0.0]
    for i in np.flatnonzero(lengths):
        v, bounds = parts[i] * lengths / lengths[i], np.eye(len(lengths))[i]
        best = projected(cosines, bounds)
        found.append((v @ cosines @ v - best) / tolerance(best, v, np.ones(len(v))))
        found.append(0.0 if (v >= (1 - EPS) * bounds).all() else np.inf)
    return max(found)


def cagrad(matrix: Matrix, w: Weights, options: dict) -> float:
    """By the dual objective, bounded from below by the smallest product with the update."""
    c, k = options["c"], len(w)
    lengths, cosines = split(matrix)
    scaled = cosines * lengths[:, None] * lengths
    extra, square = np.maximum(w - np.float32(1 / k), 0.0), scaled.mean()
    if extra.max() <= EPS:
        # Dropped: the ball reaches the cone of no conflict, or u is on gradients of no length.
        over = square - projected(cosines, lengths / k) - c**2 * square
        allowed = tolerance(c**2 * square, w, lengths)
        return min(over, shortest(lengths, cosines)) / allowed
    u = extra / extra.sum()
    value = cagrad_value(scaled, u, c)
    length = np.sqrt(max(u @ scaled @ u, 1e-300))
    over = value - (scaled @ (1 / k + c * np.sqrt(square) * u / length)).min()
    allowed = tolerance(value, w, lengths)
    # Where g_u nearly vanishes the bound is loose: there the dual problem is solved again.
    if over > allowed:
        over = min(over, value - cagrad_minimum(scaled, c))
    return over / allowed


def nash_mtl(matrix: Matrix, alpha: Weights, options: dict) -> float:
    """By the largest error of an equation."""
    lengths, cosines = split(matrix)
    if not has_solution(lengths, cosines):
        return np.nan
    a = alpha * np.sqrt(np.diag(matrix))
    errors = np.abs(a * (given_cosines(matrix) @ a) - 1)[lengths > 0]
    return errors.max() / (1e-5 + 4 * EPS * (a**2).max())


def fairgrad(matrix: Matrix, w: Weights, options: dict) -> float:
    """By the largest error of an equation; terms that cancel leave their rounding."""
    lengths, cosines = split(matrix)
    if not has_solution(lengths, cosines):
        return np.nan
    cosines, size = given_cosines(matrix), np.sqrt(np.diag(matrix))
    # (M w)_k w_k^(1/alpha) = 1; a weight below the range of float32 has no equation.
    counts = w * lengths > 1e-27 * (w * lengths).max()
    root = w[counts] ** (1 / options["alpha"]) * size[counts]
    errors = np.abs((cosines @ (w * size))[counts] * root - 1)
    terms = (np.abs(cosines) @ (w * size))[counts] * root
    return errors.max() / (1e-5 + 8 * EPS * terms.max())


def pcd(matrix: Matrix, w: Weights, options: dict) -> float:
    """By the dual objective, for gradients of length 1; NaN if the constraints contradict."""
    lengths, cosines = split(matrix)
    k, tau = len(w), options["tau"]
    if not lengths.all() or not has_solution(np.ones(k), cosines):
        return np.nan
    dual = minimum(cosines[1:, 1:], tau - cosines[1:, 0], np.eye(k - 1), np.zeros(k - 1))
    best = np.append(1.0, np.maximum(dual, 0))
    y = w * lengths / (w[0] * lengths[0])
    value, least = (v @ cosines @ v / 2 - tau * v[1:].sum() for v in (y, best))
    return (value - least) / tolerance(least, y, np.ones(k))


CASES = {
    "mgda": Case({}, mgda),
    "dualproj": Case({}, dualproj),
    "upgrad": Case({}, upgrad),
    **{f"cagrad:{c}": Case({"c": c}, cagrad) for c in (0.2, 0.5, 1.5)},
    "nash_mtl": Case({"max_norm": 0.0}, nash_mtl),
    **{f"fairgrad:{a}": Case({"alpha": a}, fairgrad) for a in (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)},
    "pcd": Case({"tau": 0.1, "eps": 0.0, "beta": 0.0}, pcd),
}
