"""The loss terms. Each object term is a pair: the cost of every pairing, and that of the matched.

The pairwise functions take all queries and all truth objects of a jet; the matched ones take
predictions that already stand in the order of the truth objects. Both are unweighted and not yet
averaged, and `matched == pairwise[query of m, m]`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def cross_entropy(logits: Float[Array, "... C"], index: Int[Array, "..."]) -> Float[Array, "..."]:
    """-log softmax(logits)[index]; an index of -1 gives the entropy of some class, to be masked."""
    log_prob = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(log_prob, jnp.maximum(index, 0)[..., None], axis=-1)[..., 0]


def object_class(logits: Float[Array, "B M C"], index: Int[Array, "B M"]) -> Float[Array, "B M"]:
    """Cross-entropy of the class of each matched object."""
    return cross_entropy(logits, index)


def pairwise_object_class(
    logits: Float[Array, "B Q C"], index: Int[Array, "B M"]
) -> Float[Array, "B Q M"]:
    """Cross-entropy of each query with the class of each object."""
    log_prob = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(log_prob, jnp.maximum(index, 0)[:, None], axis=-1)


class MaskCrossEntropy(NamedTuple):
    """Options of the mask cross-entropy; the three numbers of `mask_ce` that never change.

    The term of a track with probability p_t of its true side is
    -(1 - p_t)^gamma log p_t + epsilon (1 - p_t): focal factor (arXiv 1708.02002, Eq. 4) and Poly-1
    (arXiv 2204.12511, Eq. 6; Section 5.5 of the thesis). The sum over the real tracks is divided
    by a constant, so that a weight means the same in every jet, or by their number.

    Attributes:
        divisor: the constant, usually the track cap; None: the number of real tracks of the jet.
        poly_epsilon: epsilon; 0 is the plain cross-entropy.
        focal_gamma: gamma; 0 is the plain cross-entropy.
    """

    divisor: float | None
    poly_epsilon: float = 0.0
    focal_gamma: float = 0.0

    def term(self, true_side: Float[Array, "..."]) -> Float[Array, "..."]:
        """Loss of a track, from the logit of its true side (the logit, negated where y = 0)."""
        miss = jax.nn.sigmoid(-true_side)
        loss = jax.nn.softplus(-true_side)
        if self.focal_gamma:
            # exp(gamma log(1 - p_t)): the derivative of a power is infinite where p_t rounds to 1.
            loss = loss * jnp.exp(self.focal_gamma * jax.nn.log_sigmoid(-true_side))
        return loss + self.poly_epsilon * miss if self.poly_epsilon else loss

    def divide(
        self, total: Float[Array, "B ..."], valid: Bool[Array, "B L"]
    ) -> Float[Array, "B ..."]:
        """The sum over tracks, divided as the options say."""
        if self.divisor is not None:
            return total / self.divisor
        count = jnp.maximum(valid.sum(-1), 1)
        return total / count.reshape(count.shape + (1,) * (total.ndim - 1))


def mask_ce(
    logits: Float[Array, "B M L"],
    masks: Bool[Array, "B M L"],
    valid: Bool[Array, "B L"],
    options: MaskCrossEntropy,
) -> Float[Array, "B M"]:
    """Binary cross-entropy of each matched mask, summed over the real tracks and divided."""
    terms = options.term(jnp.where(masks, logits, -logits))
    return options.divide(jnp.where(valid[:, None], terms, 0.0).sum(-1), valid)


def pairwise_mask_ce(
    logits: Float[Array, "B Q L"],
    masks: Bool[Array, "B M L"],
    valid: Bool[Array, "B L"],
    options: MaskCrossEntropy,
) -> Float[Array, "B Q M"]:
    """The same for each query with the mask of each object, without a [B, Q, M, L] array."""
    inside = jnp.where(valid[:, None], options.term(logits), 0.0)
    outside = jnp.where(valid[:, None], options.term(-logits), 0.0)
    swapped = jnp.einsum(
        "bql,bml->bqm", inside - outside, masks.astype(logits.dtype), precision="highest"
    )
    return options.divide(swapped + outside.sum(-1, keepdims=True), valid)


def mask_dice(
    logits: Float[Array, "B M L"], masks: Bool[Array, "B M L"], valid: Bool[Array, "B L"]
) -> Float[Array, "B M"]:
    """1 - (2 sum p y + 1)/(sum p + sum y + 1) of each matched mask; 1 - 1/(sum p + 1) if empty.

    Source: arXiv 1606.04797, with the additive smoothing of Mask2Former (arXiv 2112.01527).
    """
    prob = jnp.where(valid[:, None], jax.nn.sigmoid(logits), 0.0)
    overlap = jnp.where(masks, prob, 0.0).sum(-1)
    return 1 - (2 * overlap + 1) / (prob.sum(-1) + masks.sum(-1) + 1)


def pairwise_mask_dice(
    logits: Float[Array, "B Q L"], masks: Bool[Array, "B M L"], valid: Bool[Array, "B L"]
) -> Float[Array, "B Q M"]:
    """The same for each query with the mask of each object."""
    prob = jnp.where(valid[:, None], jax.nn.sigmoid(logits), 0.0)
    overlap = jnp.einsum("bql,bml->bqm", prob, masks.astype(prob.dtype), precision="highest")
    return 1 - (2 * overlap + 1) / (prob.sum(-1)[:, :, None] + masks.sum(-1)[:, None] + 1)


def regression(
    predicted: Float[Array, "B M R"], targets: Float[Array, "B M R"]
) -> Float[Array, "B M"]:
    """Mean absolute difference over the targets of each matched object."""
    return jnp.abs(predicted - targets).mean(-1)


def pairwise_regression(
    predicted: Float[Array, "B Q R"], targets: Float[Array, "B M R"]
) -> Float[Array, "B Q M"]:
    """The same for each query with each object."""
    return jnp.abs(predicted[:, :, None] - targets[:, None]).mean(-1)
