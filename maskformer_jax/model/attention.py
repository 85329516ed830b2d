"""Multi-head attention over sets with padding (arXiv 1706.03762)."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float

# Added to a masked logit: far below any other, yet finite, so that a query with nothing to attend
# to stays finite. (A `where` on the [B, H, S, T] logits costs three times as much on CPU.)
NEVER = -1e9


_found: ContextVar[tuple[str, dict[str, Array]] | None] = ContextVar("found", default=None)


@contextlib.contextmanager
def recorded(kind: str = "weights") -> Iterator[dict[str, Array]]:
    """In the block layers keep something by name; inside of a `jit` it is traced.

    Args:
        kind: `weights [B, H, S, T]` of the attentions, or `mask_logits [B, S, L]` that restrict
            those of a decoder, infinite where constituents are of another jet.
    """
    found: dict[str, Array] = {}
    token = _found.set((kind, found))
    try:
        yield found
    finally:
        _found.reset(token)


def records(kind: str) -> dict[str, Array] | None:
    """Where a layer keeps what is recorded; none if it is not."""
    wanted, found = _found.get() or ("", None)
    return found if wanted == kind else None


class MultiHeadAttention(nnx.Module):
    """Attention of `S` queries to `T` keys, restricted by a mask.

    Keys outside the mask have weight exactly zero (their exponential underflows), so neither
    values nor gradients leak from padding; a query that may attend to nothing receives the bias of
    the output layer. Logits and softmax are in float32 whatever the compute type. The softmax is
    normalised after the sum over keys: E/H divisions for each query instead of T.

    Args:
        embed_dim: width E of queries, keys and output.
        num_heads: number of heads; divides `embed_dim`.
        dtype: type of the arithmetic of the linear layers.
        rngs: source of the initial parameters.
        norm: `norm(width, rngs)` of queries, keys and values in each head; none: no such.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
        norm: Callable[[int, nnx.Rngs], Callable[[Array], Array]] | None = None,
    ):
        self.num_heads, self.name = num_heads, "attention"

        def linear() -> nnx.Linear:
            return nnx.Linear(embed_dim, embed_dim, dtype=dtype, rngs=rngs)

        self.query, self.key, self.value, self.output = linear(), linear(), linear(), linear()
        norms = [norm(embed_dim // num_heads, rngs) if norm else None for _ in range(3)]
        self.query_norm, self.key_norm, self.value_norm = norms

    def __call__(
        self,
        queries: Float[Array, "B S E"],
        keys: Float[Array, "B T E"],
        mask: Bool[Array, "B #S T"] | None = None,
        bias: Float[Array, "B H S T"] | None = None,
    ) -> Float[Array, "B S E"]:
        def heads(x: Float[Array, "B N E"], norm: Any) -> Float[Array, "B H N D"]:
            x = x.reshape(*x.shape[:2], self.num_heads, -1).swapaxes(1, 2)
            return x if norm is None else norm(x)

        q = heads(self.query(queries), self.query_norm)
        k = heads(self.key(keys), self.key_norm)
        v = heads(self.value(keys), self.value_norm)
        q = q / jnp.sqrt(jnp.asarray(q.shape[-1], q.dtype))
        logits = jnp.matmul(q, k.swapaxes(2, 3), preferred_element_type=jnp.float32)
        if bias is not None:
            logits = logits + bias
        if mask is not None:
            logits = logits + jnp.where(mask, 0.0, NEVER)[:, None]
        weights = jnp.exp(logits - lax.stop_gradient(logits.max(-1, keepdims=True)))
        if (found := records("weights")) is not None:
            share = weights / weights.sum(-1, keepdims=True)
            found[self.name] = share if mask is None else jnp.where(mask[:, None], share, 0.0)
        mixed = jnp.matmul(weights.astype(v.dtype), v, preferred_element_type=jnp.float32)
        mixed = mixed / weights.sum(-1, keepdims=True)
        if mask is not None:
            mixed = jnp.where(mask.any(-1)[:, None, :, None], mixed, 0.0)
        mixed = mixed.swapaxes(1, 2).reshape(queries.shape)
        return self.output(mixed)
