"""The axis letters and the three pytrees that flow through the package.

Axis letters, the same in annotations, einsums and documentation:

    B  jets of a batch            Q  object queries
    L  tracks of a jet            M  truth objects (heavy hadrons), M = Q
    J  input features of a jet    C  classes
    F  input features of a track  R  regression targets
    E  embedding width            K  tasks

*mask* always means the set of tracks of an object. Padding is `valid`, True = real. `..._index` is
an integer class or position, `..._logits` are unnormalised log-probabilities.
"""

from typing import NamedTuple

from jaxtyping import Array, Bool, Float, Int


class Batch(NamedTuple):
    """Inputs of the model, normalised; padded entries are zero.

    Attributes:
        jets: jet inputs.
        tracks: track inputs, the real tracks first.
        valid: True for a real track.
        jet_valid: True for a real jet; False fills up the last batch of an epoch.
    """

    jets: Float[Array, "B J"]
    tracks: Float[Array, "B L F"]
    valid: Bool[Array, "B L"]
    jet_valid: Bool[Array, " B"]


class Targets(NamedTuple):
    """What the six tasks should predict.

    Attributes:
        jet_class_index: class of the jet, -1 for a padding jet.
        origin_index: class of each track, -1 for padding and for unlabelled tracks.
        object_class_index: class of each truth object, the last class (`none`) for padding.
        object_valid: True for a real hadron, whether or not any of its tracks was reconstructed.
        masks: True where the track belongs to the object.
        regression: hadron properties, transformed and standardised; zero for padding.
    """

    jet_class_index: Int[Array, " B"]
    origin_index: Int[Array, "B L"]
    object_class_index: Int[Array, "B M"]
    object_valid: Bool[Array, "B M"]
    masks: Bool[Array, "B M L"]
    regression: Float[Array, "B M R"]


class Objects(NamedTuple):
    """Predictions of one decoder layer for every object query.

    Attributes:
        class_logits: classes in the order of the config, `none` last.
        mask_logits: one per track; the value at padded tracks has no meaning.
        regression: hadron properties in the scale of `Targets.regression`.
    """

    class_logits: Float[Array, "B Q C"]
    mask_logits: Float[Array, "B Q L"]
    regression: Float[Array, "B Q R"]


class Outputs(NamedTuple):
    """Everything that the model predicts for a batch.

    Attributes:
        jet_class_logits: jet flavour.
        origin_logits: origin of each track.
        objects: predictions of the last decoder layer.
        intermediate: those of the layers before it; empty unless auxiliary losses are on.
    """

    jet_class_logits: Float[Array, "B C"]
    origin_logits: Float[Array, "B L C"]
    objects: Objects
    intermediate: tuple[Objects, ...] = ()
