"""Edges between the constituents of a jet: which of them come from one vertex.

Source: vertexing of GN1 and GN2, ATL-PHYS-PUB-2022-027.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key

from maskformer_jax.data.schema import Needs
from maskformer_jax.errors import InputError, check, check_range, known
from maskformer_jax.gradients import LossSums
from maskformer_jax.model.config import MAX_WIDTH
from maskformer_jax.model.layers import Dense, key_of
from maskformer_jax.model.network import Features, to_constituents
from maskformer_jax.tasks.confusion import confusion_matrix, fraction
from maskformer_jax.tasks.task import (
    Context,
    Kind,
    Task,
    check_weight,
    label_of,
    weighted_sum,
    weights_of,
)
from maskformer_jax.types import Batch, Labels, Outputs, Pairs


@dataclass(frozen=True)
class EdgesConfig:
    """Whether two constituents of a jet have the same label, such as the vertex of two tracks.

    Attributes:
        label: a label of a stream, without classes; negative: of no vertex, never equal.
        pair_weights: of the ordered pairs in the loss. `equal`: 1 each, divided by their number.
            `salt`: 2 where both constituents are of a class in `heavy` or `fake` and not both
            fake, 0 where both are fake, otherwise 1; divided by the number of pairs with an edge.
        classes_label: the label whose classes `heavy` and `fake` are.
        heavy: classes of weight 2, whose vertices an evaluation looks for.
        fake: classes whose pairs have weight 0.
        primary: class of the constituents of the primary vertex, which an evaluation leaves out.
        sample_weight: label of jets or of the stream, of the weights of their pairs; none: 1.
        head_widths: hidden layers; none: those of the model.
        kind: of the task.
    """

    label: str
    pair_weights: Literal["equal", "salt"] = "equal"
    classes_label: str = "origin"
    heavy: list[str] = field(default_factory=lambda: ["fromB", "fromBC", "fromC"])
    fake: list[str] = field(default_factory=lambda: ["fake"])
    primary: str = "primary"
    sample_weight: str | None = None
    head_widths: list[int] | None = None
    kind: Literal["edges"] = "edges"

    def __post_init__(self):
        check_range(self, 1, MAX_WIDTH, "head_widths")


class EdgeLogits(NamedTuple):
    """Of every pair, in both directions, which differ.

    Attributes:
        forward: from the first constituent to the second.
        backward: from the second to the first.
    """

    forward: Float[Array, "G P"]
    backward: Float[Array, "G P"]

    def mean(self) -> Float[Array, "G P"]:
        """Of both directions; an edge where its sigmoid is at least 1/2."""
        return (self.forward + self.backward) / 2


class EdgeHead(nnx.Module):
    """A network over [pooled jet, constituent i, constituent j].

    Its first layer is linear in the three: their parts are computed once per constituent, and a
    pair costs one addition there.

    Args:
        of: the stream.
        widths: hidden layers, at least one.
        context: of the task.
        rngs: source of the initial parameters.
    """

    def __init__(self, of: str, widths: tuple[int, ...], context: Context, rngs: nnx.Rngs):
        self.of, self.sizes = of, context.widths
        inputs = context.widths.pooled + 2 * context.widths.constituent
        self.network = Dense(inputs, widths, 1, context.style, rngs)

    def __call__(
        self, features: Features, outputs: Outputs, batch: Batch, key: Key[Array, ""] | None
    ) -> EdgeLogits:
        del outputs
        states, own = features.streams[self.of], features.own[self.of]
        # [pooled | as the first of a pair | as the second of a pair]
        first, dtype = self.network.layers[0], self.network.style.dtype
        kernel = first.kernel[...].astype(dtype)
        cuts = (self.sizes.pooled, self.sizes.pooled + self.sizes.constituent)
        of_jet, of_first, of_second = jnp.split(kernel, cuts)
        jets = features.pooled.astype(dtype) @ of_jet
        states = states.astype(dtype)
        as_first = states @ of_first + to_constituents(jets, own).astype(dtype)
        as_first = as_first + first.bias[...].astype(dtype)
        both = jnp.concatenate([as_first, states @ of_second], axis=-1)
        pairs = batch.pairs[self.of]
        one, two = (pairs.at(both, place) for place in (pairs.first, pairs.second))
        half = one.shape[-1] // 2
        key = key_of(key, "head")

        def logits(a: Array, b: Array, direction: str) -> Float[Array, "G P"]:
            hidden = a[..., :half] + b[..., half:]
            return self.network.after_first(hidden, key_of(key, direction))[..., 0]

        return EdgeLogits(logits(one, two, "forward"), logits(two, one, "backward"))


def has_edge(label: Int[Array, "N L"], pairs: Pairs) -> Bool[Array, "G P"]:
    """True where both constituents of a pair have the same label, and it is not negative."""
    first, second = pairs.at(label, pairs.first), pairs.at(label, pairs.second)
    return pairs.valid & (first == second) & (first >= 0)


def salt_weights(kind: Int[Array, "N L"], pairs: Pairs) -> Float[Array, "G P"]:
    """Weights of the pairs as Salt has them; see `EdgesConfig.pair_weights`.

    Args:
        kind: 1 for heavy, -1 for fake, 0 for other constituents.
        pairs: of constituents.
    """
    first, second = pairs.at(kind, pairs.first), pairs.at(kind, pairs.second)
    return 1.0 + (first & second)


def build(name: str, options: EdgesConfig, context: Context) -> Task:
    """The task.

    Raises:
        InputError: the label has classes or is not of a stream, or a weight is wrong.
    """
    label = label_of(options.label, context, name)
    if label.classes is not None or label.of not in context.data.streams:
        raise InputError(
            f"`tasks.{name}.label` must be a label without classes of one of the streams "
            f"{', '.join(context.data.streams) or '(there are none)'}; got {options.label!r}"
        )
    of = label.of
    read = check_weight(options.sample_weight, of, context, name)
    kinds = None
    if options.pair_weights == "salt":
        read[options.classes_label], kinds = _kinds(name, options, of, context)
    widths = context.head_widths(options)
    check(len(widths) > 0, f"tasks.{name}.head_widths", "have a hidden layer", list(widths))

    def terms(logits: EdgeLogits, batch: Batch, labels: Labels) -> list[LossSums]:
        pairs = batch.pairs[of]
        edge = has_edge(labels[options.label], pairs)
        weight = jnp.asarray(weights_of(options.sample_weight, of, batch, labels, context))
        if weight.ndim:
            weight = pairs.at(weight, pairs.first)
        divisor = jnp.broadcast_to(weight * pairs.valid, pairs.valid.shape)
        if kinds is not None:
            divisor = divisor * edge
            weight = weight * salt_weights(kinds[labels[options.classes_label]], pairs)
        weight = weight * pairs.valid
        sums = [weighted_sum(jax.nn.softplus(jnp.where(edge, -x, x)), weight).total for x in logits]
        return [LossSums(sum(sums), 2.0 * divisor.sum())]

    def count(logits: EdgeLogits, batch: Batch, labels: Labels) -> dict[str, Array]:
        if options.label not in labels:
            return {}
        pairs = batch.pairs[of]
        edge = has_edge(labels[options.label], pairs).astype(jnp.int32)
        predicted = (logits.mean() >= 0).astype(jnp.int32)
        return {"confusion": confusion_matrix(edge, predicted, pairs.valid, 2)}

    def figures(sums: Mapping[str, np.ndarray]) -> dict[str, float]:
        (_, false), (missed, true) = sums["confusion"].tolist()
        found = {"efficiency": fraction(true, true + missed)}
        found["purity"] = fraction(true, true + false)
        return {f"{figure}/{name}": x.value for figure, x in found.items() if x.total}

    def predict(logits: EdgeLogits, batch: Batch, labels: Labels) -> dict[str, Array]:
        del labels
        return {"edge_logits": logits.mean(), **batch.pairs[of]._asdict()}

    return Task(
        name=name,
        options=options,
        losses=(name,),
        needs=Needs({options.label: label, **read}, pairs=(of,)),
        head=lambda rngs: EdgeHead(of, widths, context, rngs),
        terms=terms,
        quantities=(f"efficiency/{name}", f"purity/{name}"),
        count=count,
        figures=figures,
        predict=predict,
    )


def _kinds(
    name: str, options: EdgesConfig, of: str, context: Context
) -> tuple[Any, Int[Array, " C"]]:
    """The label of the classes, and 1, -1 or 0 of each class; the last, for no class, is 0."""
    label = label_of(options.classes_label, context, name)
    if label.classes is None or label.of != of:
        raise InputError(
            f"`tasks.{name}.classes_label` must be a label with classes of {of}; "
            f"got {options.classes_label!r}"
        )
    for group in ("heavy", "fake"):
        for given in getattr(options, group):
            known(given, label.classes, f"class of `tasks.{name}.{group}`")
    number = {given: 1 for given in options.heavy} | {given: -1 for given in options.fake}
    return label, jnp.array([number.get(given, 0) for given in label.classes] + [0], jnp.int32)


KIND = Kind(EdgesConfig, build)
