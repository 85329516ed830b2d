"""The Gramian of task gradients as lengths and directions, and arithmetic that stays exact on it.

M = G G^T holds the inner products of the K task gradients. A method that is a function w(M) costs
K x K arithmetic once M is there, whatever the number of parameters. Where gradients nearly cancel,
all that is left of their sum is in the smallest eigenvalues of the cosine matrix, which are found
to more digits than float32 arithmetic would leave.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# Of more tasks what costs much is left out, where fewer digits do.
FEW = 16

Gramian = Float[Array, "K K"]
Vector = Float[Array, " K"]


def norms(gramian: Float[Array, "*G K K"]) -> Float[Array, "*G K"]:
    """Lengths of the task gradients, for one Gramian or several."""
    return jnp.sqrt(jnp.maximum(jnp.diagonal(gramian, axis1=-2, axis2=-1), 0.0))


def reciprocal(values: Float[Array, "..."]) -> Float[Array, "..."]:
    """1/x, and 0 where x is not positive."""
    return jnp.where(values > 0, 1.0 / jnp.where(values > 0, values, 1.0), 0.0)


def cosines(gramian: Gramian) -> Gramian:
    """Cosines between the task gradients; rows and columns of a zero gradient are zero."""
    scale = reciprocal(norms(gramian))
    # One factor at a time: the product of two scales overflows where gradients are tiny.
    return jnp.clip(gramian * scale[:, None] * scale, -1.0, 1.0)


def pinv_dot(matrix: Float[Array, "K K"], values: Float[Array, " K"]) -> Float[Array, " K"]:
    """Solution of smallest length of a symmetric system; null directions don't count.

    A direction is null where its eigenvalue is below K eps times the largest.
    """
    eigenvalues, vectors = jnp.linalg.eigh(matrix)
    lowest = eigenvalues[-1] * len(values) * jnp.finfo(matrix.dtype).eps
    inverse = jnp.where(eigenvalues > lowest, reciprocal(eigenvalues), 0.0)
    project = jnp.einsum("ji,j->i", vectors, values, precision="highest")
    return jnp.einsum("ij,j->i", vectors, inverse * project, precision="highest")


def dot(a: Array, b: Array) -> Array:
    """Product of matrices or vectors with all digits of their type."""
    return jnp.matmul(a, b, precision="highest")


class Unit(NamedTuple):
    """Task gradients as directions and lengths.

    Attributes:
        gramian: as given.
        cosines: C; one gradient of zero has a direction of its own.
        lengths: norms of the task gradients over that of the longest.
        present: whether the gradient is not zero.
    """

    gramian: Gramian
    cosines: Gramian
    lengths: Vector
    present: Bool[Array, " K"]


def equilibrate(gramian: Gramian) -> tuple[Gramian, Vector]:
    """Inner products of task gradients over their lengths, as powers of two that round nothing.

    Returns:
        Inner products of vectors shorter than 1 and not below 1/2; a gradient of zero gets a
        direction of its own. And the powers of two; 1 for a gradient of zero.
    """
    sizes = norms(gramian)
    exponents = jnp.frexp(sizes)[1]
    shrink = jnp.ldexp(jnp.ones_like(sizes), -exponents)
    # One factor at a time: the product of two overflows where gradients are tiny.
    scaled = gramian * shrink[:, None] * shrink
    scaled = jnp.where(jnp.diag(sizes == 0), 1.0, scaled)
    return scaled, jnp.ldexp(jnp.ones_like(sizes), exponents)


@jax.jit
def split(gramian: Gramian) -> Unit:
    """Directions and lengths of task gradients with the given inner products."""
    sizes = norms(gramian)
    longest = jnp.max(sizes)
    longest = jnp.where(longest == 0, 1.0, longest)
    present = sizes > 0
    matrix = jnp.where(jnp.diag(~present), 1.0, cosines(gramian))
    return Unit(gramian, matrix, sizes / longest, present)


def length(unit: Unit, values: Vector) -> Float[Array, ""]:
    """|S x|, of many tasks without S where the terms of x.C x don't cancel."""

    def exact() -> Float[Array, ""]:
        direction = dot(root_of(unit), values)
        return jnp.sqrt(dot(direction, direction))

    if len(values) <= FEW:
        return exact()
    square = dot(values, dot(unit.cosines, values))
    clear = square > 1e-2 * dot(values, values)
    return jax.lax.cond(clear, lambda: jnp.sqrt(jnp.maximum(square, 0.0)), exact)


@jax.jit
def root_of(unit: Unit) -> Float[Array, "K K"]:
    """S with columns of length 1 that have the cosines C as inner products, by C's eigenvectors V.

    Eigenvalues of C below half a rounding count as that much, which makes all problems strictly
    convex.

    C and the eigenvalues that `eigh` finds are off by a few roundings, and where gradients nearly
    cancel there is no more than that. So the small eigenvalues are found once more, those of V^T C
    V, without rounding C and with exact sums.
    """
    gramian, eps = unit.gramian, jnp.finfo(unit.gramian.dtype).eps
    eigenvalues, vectors = jnp.linalg.eigh(unit.cosines)
    small = eigenvalues < jnp.sqrt(eps)

    # V takes up what the powers of two leave of the lengths.
    scaled, _ = equilibrate(gramian)
    rows = vectors / norms(scaled)[:, None]
    projected = dot(rows.T, exact_product(scaled, rows)) / jnp.sqrt(eps)

    # The others stand behind, above the largest that is small.
    block = small[:, None] & small
    others = jnp.diag(jnp.where(small, 0.0, 2.0 + eigenvalues))
    refined, turn = jnp.linalg.eigh(jnp.where(block, projected, others))
    turn = jnp.where(block, turn, jnp.eye(len(small), dtype=turn.dtype))
    eigenvalues = jnp.where(small, refined * jnp.sqrt(eps), eigenvalues)
    return jnp.sqrt(jnp.maximum(eigenvalues, 0.5 * eps))[:, None] * dot(vectors, turn).T


def exact_product(a: Float[Array, "I J"], b: Float[Array, "J K"]) -> Float[Array, "I K"]:
    """The product of two matrices, each entry rounded once, however much its terms cancel.

    Halves of the digits have exact products, so fused multiplication and addition does no harm;
    the error of each sum of two is found exactly (Knuth's TwoSum) and added at the end.
    """
    terms = jnp.concatenate(
        [x.T[:, :, None] * y[:, None, :] for x in _halves(a) for y in _halves(b)]
    )
    lost = jnp.zeros(terms.shape[1:], terms.dtype)
    while len(terms) > 1:
        pairs = len(terms) // 2
        x, y, rest = terms[:pairs], terms[pairs : 2 * pairs], terms[2 * pairs :]
        total = x + y
        other = total - x
        lost += jnp.sum((x - (total - other)) + (y - other), axis=0)
        terms = jnp.concatenate([total, rest])
    return terms[0] + lost


def _halves(values: Array) -> tuple[Array, Array]:
    """Two parts with half the digits each, whose sum is the number."""
    kind = jnp.finfo(values.dtype)
    high = jax.lax.reduce_precision(values, kind.nexp, (kind.nmant - 1) // 2)
    return high, values - high
