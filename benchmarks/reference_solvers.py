"""Gramians of gradients of all kinds, and the problems of the methods solved in float64.

A float32 Gramian stands for all matrices within its rounding, and for opposite rows a minimum may
jump between two of them: a rounding in their sum is a direction. So the references solve what the
methods solve: the given cosines with eigenvalues of at least half a rounding.
"""

import jax
import jax.numpy as jnp
import numpy as np

from maskformer_jax.weighting import METHODS

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
    """How many kinds of gradients there are."""
    return len(kinds_of_gradients(np.random.default_rng(0), 2, 2))


def gramians(k, each=EACH, seed=0, decades=0):
    """Gramians rounded to float32, of shapes with P < K, P = K and P > K.

    With `decades` the longest gradient is 10^x long, with x uniform up to that much either way.
    """
    generator = np.random.default_rng([seed, k])
    found, names = [], []
    for i in range(each):
        for name, rows in kinds_of_gradients(
            generator, k, (max(1, k // 2), k, 3 * k)[i % 3]
        ).items():
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
    weigh = jax.jit(jax.vmap(lambda m: method.weigh(m, state)))
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
    import quadprog  # of requirements-dev.txt: nothing else here needs it

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
