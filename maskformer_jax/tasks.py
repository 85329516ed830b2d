"""The six tasks: outputs and targets in, one unweighted loss per task out (Eq. 4.1 and 4.2)."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from maskformer_jax import losses
from maskformer_jax.config import Config
from maskformer_jax.gradients import LossSums as LossSums
from maskformer_jax.matching import assign
from maskformer_jax.types import Batch, Objects, Outputs, Targets, jets_of_rows

TASK_NAMES = ("jet_class", "track_origin", "object_class", "mask_ce", "mask_dice", "regression")

Match = Callable[[Objects, Batch, Targets], Int[Array, "B M"]]


def _mask_cross_entropy(config: Config) -> losses.MaskCrossEntropy:
    loss = config.loss
    divisor = float(config.data.tracks.cap) if loss.mask_normalisation == "cap" else None
    return losses.MaskCrossEntropy(divisor, loss.poly_epsilon, loss.focal_gamma)


def build_match(config: Config) -> Match:
    """The matcher: the query of each truth object, by the cheapest weighted sum of pairwise costs.

    The weights are those of `config.matching`, whatever the weights of the losses. Truth objects
    that are padding cost nothing and receive the queries that are left.
    """
    weight, ce_options = config.matching, _mask_cross_entropy(config)

    def match(objects: Objects, batch: Batch, targets: Targets) -> Int[Array, "B M"]:
        mask_arguments = (objects.mask_logits, targets.masks, batch.valid)
        cost = (
            weight.object_class
            * losses.pairwise_object_class(objects.class_logits, targets.object_class_index)
            + weight.mask_ce * losses.pairwise_mask_ce(*mask_arguments, ce_options)
            + weight.mask_dice * losses.pairwise_mask_dice(*mask_arguments)
            + weight.regression * losses.pairwise_regression(objects.regression, targets.regression)
        )
        return assign(jnp.where(targets.object_valid[:, None], cost, 0.0))

    return match


def reorder(objects: Objects, query_index: Int[Array, "B M"]) -> Objects:
    """Predictions in the order of the truth objects that they are matched to."""
    return Objects(*(jnp.take_along_axis(x, query_index[..., None], axis=1) for x in objects))


def build_terms(
    config: Config, class_weights: Mapping[str, np.ndarray] | None = None
) -> Callable[[Outputs, Batch, Targets], list[LossSums]]:
    """The six losses one by one, in the order of `TASK_NAMES`.

    Jet class: cross-entropy of the real jets. Track origin: cross-entropy of the real, labelled
    tracks. Object class: cross-entropy of every query of the real jets, `none` weighted by
    `loss.none_weight`. Mask CE, mask Dice and regression: mean over the real hadrons.

    Args:
        config: options of losses and matching.
        class_weights: weight of each class for the tasks in `loss.class_weights`.
    """
    match, ce_options = build_match(config), _mask_cross_entropy(config)
    none_index = len(config.data.hadrons.classes)
    weights = {task: jnp.asarray(class_weights[task]) for task in config.loss.class_weights}
    object_weights = jnp.ones(none_index + 1).at[none_index].set(config.loss.none_weight)
    object_weights = object_weights * weights.get("object_class", 1.0)

    def classification(task: str, logits, index, real) -> LossSums:
        weight = weights[task][index] if task in weights else 1.0
        return _sum(losses.cross_entropy(logits, index), jnp.where(real, weight, 0.0))

    def object_losses(objects: Objects, batch: Batch, targets: Targets) -> list[LossSums]:
        matched = reorder(objects, match(objects, batch, targets))
        class_weight = object_weights[targets.object_class_index] * batch.jet_valid[:, None]
        mask_arguments = (matched.mask_logits, targets.masks, batch.valid)
        hadron = targets.object_valid.astype(jnp.float32)
        return [
            _sum(
                losses.object_class(matched.class_logits, targets.object_class_index),
                class_weight,
            ),
            _sum(losses.mask_ce(*mask_arguments, ce_options), hadron),
            _sum(losses.mask_dice(*mask_arguments), hadron),
            _sum(losses.regression(matched.regression, targets.regression), hadron),
        ]

    def terms(outputs: Outputs, batch: Batch, targets: Targets) -> list[LossSums]:
        jet, origin = targets.jet_class_index, targets.origin_index
        jets = classification(
            "jet_class", outputs.jet_class_logits, jet, batch.jet_valid & (jet >= 0)
        )
        labelled = jets_of_rows(batch).any(1) & (origin >= 0)
        tracks = classification("track_origin", outputs.origin_logits, origin, labelled)
        objects = object_losses(outputs.objects, batch, targets)
        for layer in outputs.intermediate:
            auxiliary = object_losses(layer, batch, targets)
            objects = [
                term._replace(total=term.total + more.total)
                for term, more in zip(objects, auxiliary, strict=True)
            ]
        return [jets, tracks, *objects]

    return terms


def build_losses(
    config: Config, class_weights: Mapping[str, np.ndarray] | None = None
) -> Callable[[Outputs, Batch, Targets], LossSums]:
    """The six losses of `build_terms` as one vector [K]."""
    terms = build_terms(config, class_weights)

    def loss_sums(outputs: Outputs, batch: Batch, targets: Targets) -> LossSums:
        return jax.tree.map(lambda *x: jnp.stack(x), *terms(outputs, batch, targets))

    return loss_sums


def batch_shapes(config: Config, batch_size: int) -> tuple[Batch, Targets]:
    """Shapes and types of a batch, for tracing without data."""
    data, shape = config.data, jax.ShapeDtypeStruct
    tracks, objects = (batch_size, data.tracks.cap), (batch_size, data.hadrons.cap)
    batch = Batch(
        jets=shape((batch_size, len(data.jets.inputs)), jnp.float32),
        tracks=shape((*tracks, len(data.tracks.inputs)), jnp.float32),
        valid=shape(tracks, jnp.bool_),
        jet_valid=shape((batch_size,), jnp.bool_),
    )
    targets = Targets(
        jet_class_index=shape((batch_size,), jnp.int32),
        origin_index=shape(tracks, jnp.int32),
        object_class_index=shape(objects, jnp.int32),
        object_valid=shape(objects, jnp.bool_),
        masks=shape((*objects, data.tracks.cap), jnp.bool_),
        regression=shape((*objects, len(data.hadrons.targets)), jnp.float32),
    )
    return batch, targets


def _sum(terms: Float[Array, "..."], weight: Float[Array, "..."] | Bool[Array, "..."]) -> LossSums:
    """Weighted sum of the terms and sum of the weights; a term of weight zero may be anything."""
    weight = jnp.broadcast_to(weight, terms.shape)
    return LossSums(jnp.where(weight > 0, terms * weight, 0.0).sum(), weight.sum())
