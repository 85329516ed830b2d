"""The model's outputs as probabilities, its objects in the order of the true hadrons."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from maskformer_jax.evaluation.classification import Confusions, confusions
from maskformer_jax.tasks import Match, reorder
from maskformer_jax.types import Batch, Outputs, Targets


class Predictions(NamedTuple):
    """What is predicted for a batch, in float32.

    Attributes:
        jet_log_prob: logarithm of the flavour probabilities.
        origin_prob: origin probabilities of the tracks.
        object_prob: class probabilities of the objects, `none` last.
        regression: hadron properties in the scale of `Targets.regression`.
        mask_logits: one per object and track; no meaning at padded tracks.
        mask_index: object of each track, -1 for none.
        confusions: of the batch, summed over its jets.
    """

    jet_log_prob: Float[Array, "B C"]
    origin_prob: Float[Array, "B L C"]
    object_prob: Float[Array, "B M C"]
    regression: Float[Array, "B M R"]
    mask_logits: Float[Array, "B M L"]
    mask_index: Int[Array, "B L"]
    confusions: Confusions


def mask_index(
    mask_logits: Float[Array, "B M L"],
    object_prob: Float[Array, "B M C"],
    valid: Bool[Array, "B L"],
) -> Int[Array, "B L"]:
    """The one object that each track is given to, -1 for none.

    It is the object with the largest mask probability for that track, among those whose likeliest
    class is not `none`, provided that this probability is above 1/2.
    """
    real = jnp.argmax(object_prob, axis=-1) < object_prob.shape[-1] - 1
    logits = jnp.where(real[:, :, None], mask_logits, -jnp.inf)
    assigned = (jnp.max(logits, axis=1) > 0) & valid
    return jnp.where(assigned, jnp.argmax(logits, axis=1), -1)


def build_predict(
    apply: Callable[[Any, Batch], Outputs], match: Match | None
) -> Callable[[Any, Batch, Targets], Predictions]:
    """A compiled function (params, batch, targets) -> predictions.

    Args:
        apply: the model.
        match: query of each truth object; none: objects stay in the order of the queries.
    """

    @jax.jit
    def predict(params, batch, targets):
        outputs = apply(params, batch)
        objects = outputs.objects
        if match is not None:
            objects = reorder(objects, match(objects, batch, targets))
        class_logits, mask_logits, regression = (x.astype(jnp.float32) for x in objects)
        object_prob = jax.nn.softmax(class_logits)
        return Predictions(
            jet_log_prob=jax.nn.log_softmax(outputs.jet_class_logits.astype(jnp.float32)),
            origin_prob=jax.nn.softmax(outputs.origin_logits.astype(jnp.float32)),
            object_prob=object_prob,
            regression=regression,
            mask_logits=mask_logits,
            mask_index=mask_index(mask_logits, object_prob, batch.valid),
            confusions=confusions(
                outputs.jet_class_logits, outputs.origin_logits, class_logits, batch, targets
            ),
        )

    return predict
