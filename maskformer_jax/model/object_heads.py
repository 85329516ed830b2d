"""What the objects task reads from a query: class, mask and properties of its object."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Key

from maskformer_jax.model.layers import Dense, Style, key_of
from maskformer_jax.types import Objects

# Logarithm of the weight of the sink at the start, where a constituent of the mask has one of one.
LOG_SINK = -2.0


class HeadWidths(NamedTuple):
    """Hidden layers of each head.

    Attributes:
        object_class: of the classes.
        mask: of the mask tokens.
        regression: of the properties.
    """

    object_class: tuple[int, ...]
    mask: tuple[int, ...]
    regression: tuple[int, ...]


def products(
    tokens: Float[Array, "N S E"], states: Float[Array, "N L E"], scaled: bool = True
) -> Float[Array, "N S L"]:
    """Of every token with every state, in float32, and if `scaled` over sqrt(E)."""
    tokens = tokens.astype(states.dtype)
    found = jnp.einsum("bqe,ble->bql", tokens, states, preferred_element_type=jnp.float32)
    return found / jnp.sqrt(jnp.float32(states.shape[-1])) if scaled else found


class ConstituentMeans(nnx.Module):
    """Properties of objects as weighted means of inputs of their constituents.

    With the mask logits m, the values v of the inputs, and z, s and g read from the states of
    queries and constituents,

        a_ql = sigmoid(m_ql) exp(z_ql),    y_q = g_q sum_l a_ql v_l / (exp(s_q) + sum_l a_ql):

    attention with a sink of value zero, which draws the mean of few or doubtful constituents to
    zero. It starts near the mean over the mask, or over all constituents where there is none. What
    is odd under a mirror, as a direction seen from the axis of the jet is, stays odd where z, s and
    g are even.

    Args:
        embed_dim: width E.
        num_means: properties T.
        style: of the network.
        rngs: source of the initial parameters.
    """

    def __init__(self, embed_dim: int, num_means: int, style: Style, rngs: nnx.Rngs):
        def constant(width: int, start: float) -> nnx.Linear:
            zeros, start = nnx.initializers.zeros_init(), nnx.initializers.constant(start)
            return nnx.Linear(embed_dim, width, kernel_init=zeros, bias_init=start, rngs=rngs)

        self.token = nnx.Linear(embed_dim, embed_dim, dtype=style.dtype, rngs=rngs)
        self.key = nnx.Linear(embed_dim, embed_dim, dtype=style.dtype, rngs=rngs)
        self.sink = constant(1, LOG_SINK)
        self.gain = constant(num_means, 1.0)

    def __call__(
        self,
        queries: Float[Array, "N S E"],
        states: Float[Array, "N L E"],
        mask_logits: Float[Array, "N S L"] | None,
        values: Float[Array, "N L T"],
        own: Bool[Array, "N S L"],
    ) -> Float[Array, "N S T"]:
        logits = products(self.token(queries), self.key(states))
        if mask_logits is not None:
            logits += jax.nn.log_sigmoid(mask_logits)
        logits = jnp.concatenate([jnp.where(own, logits, -jnp.inf), self.sink(queries)], axis=-1)
        weights = jax.nn.softmax(logits.astype(jnp.float32))[..., :-1]
        means = jnp.einsum("bql,blt->bqt", weights, values, precision="highest")
        return self.gain(queries) * means


class ObjectHeads(nnx.Module):
    """Class, mask and regression of every query, from the state of the decoder.

    The mask logit of query q and constituent l is the product of the query's mask token and the
    normalised state of the constituent, over sqrt(E) if scaled. What has no loss has no head.

    Args:
        embed_dim: width E.
        widths: hidden layers of each head.
        num_classes: classes with `none`; 0: no such head.
        num_targets: regression targets R; 0: no such head.
        has_masks: whether there are masks.
        means: regression target -> input of the constituents, by number: a weighted mean of this
            input is added to what the head says.
        style: of the network; its norm stands before the heads.
        rngs: source of the initial parameters.
        scaled: divide the mask logits by sqrt(E).
    """

    def __init__(
        self,
        embed_dim: int,
        widths: HeadWidths,
        num_classes: int,
        num_targets: int,
        has_masks: bool,
        means: Mapping[int, int],
        style: Style,
        rngs: nnx.Rngs,
        scaled: bool = True,
    ):
        def head(hidden: tuple[int, ...], width: int) -> Dense | None:
            return Dense(embed_dim, hidden, width, style, rngs) if width else None

        self.scaled = scaled

        self.query_norm = style.make_norm(embed_dim, rngs)
        reads = has_masks or means
        self.constituent_norm = style.make_norm(embed_dim, rngs) if reads else None
        self.object_class = head(widths.object_class, num_classes)
        self.mask_token = head(widths.mask, embed_dim if has_masks else 0)
        self.regression = head(widths.regression, num_targets)
        self.targets, self.inputs = tuple(means), tuple(means.values())
        self.means = ConstituentMeans(embed_dim, len(means), style, rngs) if means else None

    def masks(
        self,
        queries: Float[Array, "N S E"],
        states: Float[Array, "N L E"],
        key: Key[Array, ""] | None,
    ) -> Float[Array, "N S L"] | None:
        """Mask logits alone, for the masked attention of the next layer; none without masks."""
        if self.mask_token is None:
            return None
        tokens = self.mask_token(self.query_norm(queries), key_of(key, "mask_token"))
        return products(tokens, self.constituent_norm(states), self.scaled)

    def __call__(
        self,
        queries: Float[Array, "N S E"],
        states: Float[Array, "N L E"],
        num_jets: int,
        key: Key[Array, ""] | None,
        values: Float[Array, "N L F"],
        own: Bool[Array, "N S L"],
    ) -> Objects:
        """Predictions jet by jet, `num_jets` of a row.

        Args:
            queries: states.
            states: of the constituents.
            num_jets: jets of a row.
            key: of dropout.
            values: inputs of the constituents.
            own: True where the constituent belongs to the jet of the query.
        """
        normed = self.query_norm(queries)
        masks = self.masks(queries, states, key)
        num_queries = queries.shape[1] // num_jets

        def of_jets(x: Float[Array, "N S X"]) -> Float[Array, "B Q X"]:
            return x.reshape(-1, num_queries, x.shape[-1])

        def read(head: Dense | None, name: str) -> Float[Array, "B Q X"] | None:
            return None if head is None else of_jets(head(normed, key_of(key, name)))

        regression = read(self.regression, "regression")
        if self.means is not None:
            chosen = values[..., list(self.inputs)]
            means = self.means(normed, self.constituent_norm(states), masks, chosen, own)
            regression = regression.at[..., list(self.targets)].add(of_jets(means))
        return Objects(
            class_logits=read(self.object_class, "object_class"),
            mask_logits=None if masks is None else of_jets(masks),
            regression=regression,
        )
