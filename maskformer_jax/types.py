"""The axis letters and the pytrees that flow through the package.

Axis letters, the same in annotations, einsums and documentation:

    B  jets of a batch               Q  object queries
    N  rows of constituents          M  truth objects (heavy hadrons), M <= Q
    J  jets of a row, B = N J        P  pairs of constituents of a group
    L  constituents of a row         C  classes
    I  input features of a jet       R  regression targets
    F  features of a constituent     K  losses
                                     E  embedding width

A jet has one or several *streams* of constituents (tracks, electrons, flow), or none. A row of a
stream holds the constituents of one jet (J = 1, N = B: the padded layout) or of several, one after
the other (the packed layout, whose arithmetic follows the number of real constituents). Jet b
stands in row b // J of every stream, and each stream has its own L:

    row n     jet nJ      jet nJ + 1     padding
    tracks    t t t t t   t t t          . .
    electrons e           e e            .

*mask* always means the set of constituents of an object. Padding is `valid`, True = real.
`..._index` is an integer class or position, `..._logits` are unnormalised log-probabilities.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

# The place of what is of whole jets, beside the names of streams and objects.
JETS = "jets"


class Stream(NamedTuple):
    """One kind of constituents of the jets, normalised; padded entries are zero.

    Attributes:
        values: inputs, the real constituents of a row first.
        valid: True where a constituent of the row is a real one of the jet.
    """

    values: Float[Array, "N L F"]
    valid: Bool[Array, "B L"]

    def jets_of_rows(self) -> Bool[Array, "N J L"]:
        """True where a real constituent belongs to a jet of its row."""
        num_rows, width, _ = self.values.shape
        return self.valid.reshape(num_rows, -1, width)


class Pairs(NamedTuple):
    """Unordered pairs of real constituents of one jet, as places in the rows of a group.

    The N rows are G groups of N / G rows laid end to end: constituent l of the n-th row of a group
    has the place n L + l. In the padded layout a row is a group; otherwise there is one for each
    device, since the pairs of many jets vary far less than those of a row.

    Attributes:
        first: place of one constituent; 0 for padding.
        second: place of the other, after it; 0 for padding.
        valid: False for padding.
    """

    first: Int[Array, "G P"]
    second: Int[Array, "G P"]
    valid: Bool[Array, "G P"]

    def at(self, values: Shaped[Array, "N L *X"], place: Int[Array, "G P"]) -> Array:
        """Values of the constituents at some places, `[G, P, ...]`."""
        shape = (place.shape[0], -1, *values.shape[2:])
        index = place.reshape(*place.shape, *(1 for _ in values.shape[2:]))
        return jnp.take_along_axis(values.reshape(shape), index, axis=1)


class Batch(NamedTuple):
    """Inputs of the model.

    Attributes:
        jets: jet inputs, normalised; zero for padding.
        jet_valid: True for a real jet; False fills up a row or a batch.
        streams: constituents by the name of their stream.
        pairs: of the streams that a task on edges reads.
    """

    jets: Float[Array, "B I"]
    jet_valid: Bool[Array, " B"]
    streams: Mapping[str, Stream]
    pairs: Mapping[str, Pairs]


class ObjectLabels(NamedTuple):
    """The truth objects of a jet and their constituents.

    Attributes:
        valid: True for a real object, whether or not any of its constituents was reconstructed.
        masks: True where the constituent belongs to the object.
    """

    valid: Bool[Array, "B M"]
    masks: Bool[Array, "B M L"]


# What the tasks should predict, by name. Classes are an index, -1 for padding and for what no
# class lists (for objects: the number of classes, `none`); integers such as the vertex of a
# constituent are as in the file, -1 for padding; regression targets are transformed and
# standardised, zero for padding and NaN where the file has NaN. The axes are those of what they
# are of: jets `[B]`, a stream `[N, L]`, objects `[B, M]`, each with `R` behind for regression.
# Objects are `ObjectLabels`.
Labels = Mapping[str, Any]


class Objects(NamedTuple):
    """Predictions of one decoder layer for every object query; none for a loss that isn't there.

    Attributes:
        class_logits: classes in the order of the label, `none` last.
        mask_logits: one per constituent of the row; no meaning at one of another jet.
        regression: properties in the scale of the label.
    """

    class_logits: Float[Array, "B Q C"] | None
    mask_logits: Float[Array, "B Q L"] | None
    regression: Float[Array, "B Q R"] | None


# What the network predicts, by the name of the task: logits, values, or what `tasks/` says.
Outputs = Mapping[str, Any]
