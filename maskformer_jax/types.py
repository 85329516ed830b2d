"""The axis letters and the three pytrees that flow through the package.

Axis letters, the same in annotations, einsums and documentation:

    B  jets of a batch            Q  object queries
    N  rows of tracks             M  truth objects (heavy hadrons), M = Q
    J  jets of a row, B = N J     C  classes
    L  tracks of a row            R  regression targets
    I  input features of a jet    K  tasks
    F  input features of a track  E  embedding width

A row of tracks holds one jet (J = 1, N = B: the padded layout) or several, one after the other
(the packed layout, whose arithmetic follows the number of real tracks). Jet b stands in row b // J.

*mask* always means the set of tracks of an object. Padding is `valid`, True = real. `..._index` is
an integer class or position, `..._logits` are unnormalised log-probabilities.
"""

from typing import NamedTuple

from jaxtyping import Array, Bool, Float, Int


class Batch(NamedTuple):
    """Inputs of the model, normalised; padded entries are zero.

    Attributes:
        jets: jet inputs.
        tracks: track inputs, the real tracks of a row first.
        valid: True where a track of the row is a real track of the jet.
        jet_valid: True for a real jet; False fills up a row or a batch.
    """

    jets: Float[Array, "B I"]
    tracks: Float[Array, "N L F"]
    valid: Bool[Array, "B L"]
    jet_valid: Bool[Array, " B"]


def jets_of_rows(batch: Batch) -> Bool[Array, "N J L"]:
    """True where a real track belongs to a jet of its row."""
    num_rows, width, _ = batch.tracks.shape
    return batch.valid.reshape(num_rows, -1, width)


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
    origin_index: Int[Array, "N L"]
    object_class_index: Int[Array, "B M"]
    object_valid: Bool[Array, "B M"]
    masks: Bool[Array, "B M L"]
    regression: Float[Array, "B M R"]


class Objects(NamedTuple):
    """Predictions of one decoder layer for every object query.

    Attributes:
        class_logits: classes in the order of the config, `none` last.
        mask_logits: one per track of the row; the value at a track of another jet has no meaning.
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
    origin_logits: Float[Array, "N L C"]
    objects: Objects
    intermediate: tuple[Objects, ...] = ()
