"""Objects of a jet, such as its heavy hadrons: class, constituents and properties of each.

The head is the decoder. Its queries are assigned to the truth objects by the cheapest sum of
pairwise costs, and the losses are those of the assigned (Eq. 4.1 and 4.2 of the thesis).
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Int

from maskformer_jax.data.schema import Needs, Targets
from maskformer_jax.errors import InputError, check, known
from maskformer_jax.gradients import LossSums
from maskformer_jax.model.decoder import Decoded, ObjectsHead
from maskformer_jax.tasks import losses
from maskformer_jax.tasks.classification import class_weights_of
from maskformer_jax.tasks.confusion import confusion_matrix, object_metrics
from maskformer_jax.tasks.matching import assign, mask_index, reorder
from maskformer_jax.tasks.objects_config import ObjectClassConfig, ObjectsTaskConfig
from maskformer_jax.tasks.objects_decoder import Sizes, make_decoder
from maskformer_jax.tasks.task import (
    Context,
    Kind,
    Task,
    check_weight,
    label_of,
    weighted_sum,
    weights_of,
)
from maskformer_jax.types import Batch, Labels, ObjectLabels, Objects

NONE = "none"


class ObjectsTask:
    """Losses, matching and figures of an objects task.

    Args:
        name: of the task.
        options: its configuration.
        context: what it is built with.

    Raises:
        InputError: something that it names is not there, or no loss is left.
    """

    def __init__(self, name: str, options: ObjectsTaskConfig, context: Context):
        known(options.objects, context.data.objects, f"objects (`tasks.{name}.objects`)")
        self.name, self.options, self.context = name, options, context
        self.entry = context.data.objects[options.objects]
        self.kinds = options.loss_names()
        check(len(self.kinds) > 0, f"tasks.{name}.losses", "list at least one loss", "none")
        queries, cap = options.queries or self.entry.cap, self.entry.cap
        rule = f"be at least the {cap} objects that are read (`data.objects.{options.objects}.cap`)"
        check(queries >= cap, f"tasks.{name}.queries", rule, queries)
        self.queries, self.classes, self.class_weights = queries, [], None
        self.means = self._means()
        if options.losses.object_class is not None:
            self._read_classes(options.losses.object_class)

    def _read_classes(self, loss: ObjectClassConfig) -> None:
        label = label_of(loss.label, self.context, self.name)
        if label.classes is None or label.of != self.options.objects:
            raise InputError(
                f"`tasks.{self.name}.losses.object_class.label` must be a label with classes of "
                f"{self.options.objects}; got {loss.label!r}"
            )
        self.classes = [*label.classes, NONE]
        weights = class_weights_of(
            loss.class_weights, loss.label, self.classes, self.context, self.name
        )
        weights[-1] *= loss.none_weight
        self.class_weights = weights

    @property
    def regression(self) -> str:
        """Name of the label of the properties."""
        return f"{self.name}.regression"

    def needs(self) -> Needs:
        """Objects, classes, properties and weights."""
        options = self.options
        read: dict[str, Any] = {options.objects: self.entry}
        read |= check_weight(options.sample_weight, options.objects, self.context, self.name)
        if options.losses.object_class is not None:
            label = options.losses.object_class.label
            read[label] = self.context.data.labels[label]
        if options.losses.regression is not None:
            read[self.regression] = Targets(options.objects, options.losses.regression.targets)
        return Needs(read)

    def head(self, rngs: nnx.Rngs) -> ObjectsHead:
        """The decoder."""
        regression = self.options.losses.regression
        sizes = Sizes(
            queries=self.queries,
            classes=len(self.classes),
            targets=len(regression.targets) if regression else 0,
            means=self.means,
        )
        make = partial(make_decoder, self.name, self.options, self.context, sizes)
        return ObjectsHead(self.entry.of, make, rngs)

    def _means(self) -> dict[int, int]:
        """Number of a target -> number of the input that it is a mean of."""
        loss = self.options.losses.regression
        if loss is None or not loss.means:
            return {}
        where = f"tasks.{self.name}.losses.regression.means"
        inputs, targets = self.context.data.streams[self.entry.of].inputs, list(loss.targets)
        for target, name in loss.means.items():
            known(target, targets, f"target (`{where}`)")
            known(name, inputs, f"input of {self.entry.of} (`{where}.{target}`)")
        return {targets.index(x): inputs.index(name) for x, name in loss.means.items()}

    def _mask_ce(self) -> losses.MaskCrossEntropy:
        loss = self.options.losses.mask_ce
        cap = self.context.data.streams[self.entry.of].cap
        divisor = float(cap) if loss.normalisation == "cap" else None
        return losses.MaskCrossEntropy(divisor, loss.poly_epsilon, loss.focal_gamma)

    def match(self, objects: Objects, batch: Batch, labels: Labels) -> Int[Array, "B M"]:
        """The query of each truth object, by the cheapest weighted sum of pairwise costs.

        The weights are those of `matching`, whatever the weights of the losses. Truth objects
        that are padding get the queries that are left; they, and what a file lacks, cost nothing.
        """
        weight, chosen = self.options.matching, self.options.losses
        truth: ObjectLabels = labels[self.options.objects]
        masks = (objects.mask_logits, truth.masks, batch.streams[self.entry.of].valid)
        cost: Any = 0.0
        if chosen.object_class is not None:
            classes = labels[chosen.object_class.label]
            cost += weight.object_class * losses.pairwise_object_class(
                objects.class_logits, classes
            )
        if chosen.mask_ce is not None:
            cost += weight.mask_ce * losses.pairwise_mask_ce(*masks, self._mask_ce())
        if chosen.mask_dice is not None:
            cost += weight.mask_dice * losses.pairwise_mask_dice(*masks)
        if chosen.regression is not None and self.regression in labels:
            cost += weight.regression * losses.pairwise_regression(
                objects.regression, labels[self.regression]
            )
        return assign(jnp.where(truth.valid[:, None], cost, 0.0))

    def _one_each(self, labels: Labels) -> Labels:
        """The labels with an object for every query; those beyond the truth are `none`."""
        chosen, number = self.options.losses, labels[self.options.objects].valid.shape[1]
        fill = {self.options.objects: 0, self.regression: 0, self.options.sample_weight: 0}
        if chosen.object_class is not None:
            fill[chosen.object_class.label] = len(self.classes) - 1
        sizes = [(0, 0), (0, self.queries - number)]

        def widen(name: str, value: int) -> Any:
            def pad(x: Array) -> Array:
                return jnp.pad(x, sizes + [(0, 0)] * (x.ndim - 2), constant_values=value)

            return jax.tree.map(lambda x: pad(x) if x.ndim > 1 else x, labels[name])

        if self.queries == number:
            return labels
        return {**labels, **{k: widen(k, value) for k, value in fill.items() if k in labels}}

    def _losses(self, objects: Objects, batch: Batch, labels: Labels) -> list[LossSums]:
        chosen = self.options.losses
        matched = reorder(objects, self.match(objects, batch, labels))
        truth: ObjectLabels = labels[self.options.objects]
        masks = (matched.mask_logits, truth.masks, batch.streams[self.entry.of].valid)
        of, name = self.options.objects, self.options.sample_weight
        sample = jnp.asarray(weights_of(name, of, batch, labels, self.context), jnp.float32)
        weight = truth.valid * sample
        found = []
        if chosen.object_class is not None:
            index = labels[chosen.object_class.label]
            of_class = jnp.asarray(self.class_weights)[index] * batch.jet_valid[:, None]
            # What is no object has the weight of its jet, or none.
            of_objects = name is not None and self.context.data.labels[name].of == of
            of_class *= jnp.where(truth.valid, sample, 1.0) if of_objects else sample
            found.append(weighted_sum(losses.object_class(matched.class_logits, index), of_class))
        if chosen.mask_ce is not None:
            found.append(weighted_sum(losses.mask_ce(*masks, self._mask_ce()), weight))
        if chosen.mask_dice is not None:
            found.append(weighted_sum(losses.mask_dice(*masks), weight))
        if chosen.regression is not None:
            of_object = losses.regression(matched.regression, labels[self.regression])
            found.append(weighted_sum(of_object, weight))
        return found

    def terms(self, decoded: Decoded, batch: Batch, labels: Labels) -> list[LossSums]:
        """Class: every query of the real jets. Masks and properties: the real objects."""
        labels = self._one_each(labels)
        found = self._losses(decoded.objects, batch, labels)
        for layer in decoded.intermediate:
            found = [
                term._replace(total=term.total + more.total)
                for term, more in zip(found, self._losses(layer, batch, labels), strict=True)
            ]
        return found

    def _has_truth(self, labels: Labels) -> bool:
        """Whether objects can be matched: by their classes, or else by all there is."""
        loss = self.options.losses.object_class
        needed = self.needs().labels if loss is None else (self.options.objects, loss.label)
        return set(needed) <= set(labels)

    def count(self, decoded: Decoded, batch: Batch, labels: Labels) -> dict[str, Array]:
        """Confusion of the classes of matched objects; nothing without classes or truth."""
        if not self.classes or not self._has_truth(labels):
            return {}
        labels = self._one_each(labels)
        objects = reorder(decoded.objects, self.match(decoded.objects, batch, labels))
        index = labels[self.options.losses.object_class.label]
        counted = jnp.broadcast_to(batch.jet_valid[:, None], index.shape)
        likeliest = objects.class_logits.argmax(-1)
        return {"confusion": confusion_matrix(index, likeliest, counted, len(self.classes))}

    def figures(self, sums: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Efficiency and purity of the objects."""
        if not sums:
            return {}
        found = object_metrics(sums["confusion"])
        pairs = {"efficiency": found.efficiency, "purity": found.purity}
        return {f"{figure}/{self.name}": x.value for figure, x in pairs.items() if x.total}

    def predict(self, decoded: Decoded, batch: Batch, labels: Labels) -> dict[str, Array]:
        """Objects in the order of the truth, then those that no truth has got; or as the queries.

        `class_prob` with `none` last, `mask_logits`, `mask_index`: the object of each constituent,
        `regression` in the scale of the label.
        """
        objects = decoded.objects
        if self._has_truth(labels):
            objects = reorder(objects, self.match(objects, batch, self._one_each(labels)))
        found = {}
        if objects.class_logits is not None:
            found["class_prob"] = jax.nn.softmax(objects.class_logits.astype(jnp.float32))
        if objects.mask_logits is not None:
            found["mask_logits"] = objects.mask_logits.astype(jnp.float32)
            found["mask_index"] = mask_index(
                found["mask_logits"],
                found.get("class_prob"),
                batch.streams[self.entry.of].valid,
            )
        if objects.regression is not None:
            found["regression"] = objects.regression.astype(jnp.float32)
        return found


def build(name: str, options: ObjectsTaskConfig, context: Context) -> Task:
    """The task.

    Raises:
        InputError: something that it names is not there, or no loss is left.
    """
    task = ObjectsTask(name, options, context)
    return Task(
        name=name,
        options=options,
        losses=tuple(task.kinds.values()),
        needs=task.needs(),
        head=task.head,
        terms=task.terms,
        quantities=(f"efficiency/{name}", f"purity/{name}") if task.classes else (),
        count=task.count,
        figures=task.figures,
        predict=task.predict,
        tokens=task.queries + options.decoder.dummy,
    )


KIND = Kind(ObjectsTaskConfig, build)
